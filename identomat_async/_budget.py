"""How many requests may be on the wire: per second, and at once."""

from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final

import attrs

from identomat_async._places import Places, in_order
from identomat_async.errors import ConfigurationError

_LOWEST, _HIGHEST = 1e-9, 1e9


def _above_zero(_: object, attribute: "attrs.Attribute[Any]", value: Any) -> None:
    if not (_is_number(value) and _LOWEST <= value <= _HIGHEST):
        raise ConfigurationError(
            f"{attribute.name} must be a finite number above 0, from {_LOWEST:g} to {_HIGHEST:g}"
        )


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def whole(value: object, *, name: str) -> int:
    """
    Return *value* if it can be a number of things.

    Raises:
        ConfigurationError: It is not whole, or below 1; *name* says whose.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ConfigurationError(f"{name} must be a whole number, 1 or more")
    return value


def _whole(_: object, attribute: "attrs.Attribute[Any]", value: object) -> None:
    whole(value, name=attribute.name)


# Checked when it is made, and not at each of the assignments of every request.
@attrs.define(eq=False, repr=False, slots=False, on_setattr=attrs.setters.NO_OP)
class RateBudget:
    """
    A ceiling on requests, which clients and pollers may share.

    Every request takes from it, confirming reads included. In any span of t seconds, one
    second or more, at most ``per_second * t + burst`` requests start. Urgent requests
    (`begin`, `delete`, confirming reads) go before polls. A budget belongs to one event
    loop.

    Attributes:
        per_second: Requests per second; None for no limit. It has no default.
        burst: How many may start at once after a pause; 1 by default.
        max_in_flight: How many may be under way at the same time; 20 by default.

    Raises:
        ConfigurationError: A figure is not above 0, or not whole where it must be.
    """

    per_second: float | None = attrs.field(validator=attrs.validators.optional(_above_zero))
    burst: int = attrs.field(default=1, kw_only=True, validator=_whole)
    max_in_flight: int = attrs.field(default=20, kw_only=True, validator=_whole)

    def __attrs_post_init__(self) -> None:
        self._places = Places(self.per_second, burst=self.burst, max_in_flight=self.max_in_flight)

    def __repr__(self) -> str:
        return (
            f"RateBudget({self.per_second}, burst={self.burst}, max_in_flight={self.max_in_flight})"
        )

    @property
    def in_flight(self) -> int:
        """How many requests are under way."""
        return self._places.in_flight

    def delay(self) -> float:
        """Return the seconds until the rate admits another request."""
        return self._places.delay()

    def try_acquire(self) -> bool:
        """Take a place if nobody is queueing, the rate admits it and one is free."""
        return self._places.try_acquire()

    async def acquire(self, *, urgent: bool = False) -> None:
        """Wait for a place; urgent requests overtake the others."""
        await self._places.acquire(urgent=urgent)

    def release(self) -> None:
        """Give a place back."""
        self._places.release()


def budget_of(rate: float | RateBudget | None, *, max_in_flight: int) -> RateBudget:
    """
    Return the budget that *rate* stands for, with *max_in_flight* if it is none itself.

    Raises:
        ConfigurationError: It is no number above 0, or *max_in_flight* is no whole one.
    """
    if isinstance(rate, RateBudget):
        return rate
    is_rate = rate is None or (_is_number(rate) and rate > 0)
    if not is_rate:
        raise ConfigurationError(
            "rate must be requests per second, above 0; or a RateBudget; or None for no ceiling"
        )
    return RateBudget(rate, max_in_flight=max_in_flight)


def places_of(budget: RateBudget) -> Places:
    """Return what *budget* gives, for a scheduler."""
    return budget._places  # noqa: SLF001  # pyright: ignore[reportPrivateUsage] - its own


@contextmanager
def obeyed_besides(budget: RateBudget) -> Generator[None]:
    """Have the requests that calls make in a block obey *budget* too, beside their client's."""
    before = _BESIDES.set(budget)
    try:
        yield
    finally:
        _BESIDES.reset(before)


def ceilings(budget: RateBudget | None) -> tuple[Places, ...]:
    """Return what a call obeys whose client has *budget*, in the order of taking from it."""
    return in_order(places_of(each) for each in (budget, _BESIDES.get()) if each is not None)


_BESIDES: Final[ContextVar[RateBudget | None]] = ContextVar("identomat_besides", default=None)
