"""How a service is doing as a whole, and when that changes. Pure."""

import math
from typing import Literal, Self, TypeAlias, get_args

import attrs

from identomat_async.errors import ConfigurationError

How: TypeAlias = Literal["refuse", "reset", "silent", "unreachable", "503"]
_KINDS = ("up", "down", "brownout", "slow", "flap", "maintenance", "key_revoked")


@attrs.frozen
class Mode:
    """
    How the whole service is doing; made by one of the class methods.

    Attributes:
        kind: The name of the method that made it.
        how: For ``"down"``, what a client meets.
        share: For ``"brownout"``, the share of the requests that fail.
        seconds: For ``"slow"``, how long each answer takes; for ``"flap"``, how long it is
            up, and then down.
    """

    kind: str
    how: How = attrs.field(default="refuse", kw_only=True)
    share: float = attrs.field(default=0.0, kw_only=True)
    seconds: float = attrs.field(default=0.0, kw_only=True)

    @classmethod
    def up(cls) -> Self:
        """All is well, but for single faults."""
        return cls("up")

    @classmethod
    def down(cls, how: How = "refuse") -> Self:
        """
        Nobody is served.

        Args:
            how: ``"refuse"``: the port is closed. ``"reset"``: connections are accepted
                and reset. ``"silent"``: they are accepted, and nothing is ever said.
                ``"unreachable"``: they are not even accepted, as behind a firewall
                (Linux). ``"503"``: every answer is an HTTP 503.

        Raises:
            ConfigurationError: *how* is none of these.
        """
        if how not in get_args(How):
            raise ConfigurationError(f"a service can be down as {', '.join(get_args(How))}")
        return cls("down", how=how)

    @classmethod
    def brownout(cls, share: float) -> Self:
        """
        Answer a share of all requests with HTTP 503, however often they are made.

        Raises:
            ConfigurationError: *share* does not lie between 0 and 1.
        """
        if not 0 <= share <= 1:
            raise ConfigurationError("the share of a brownout lies between 0 and 1")
        return cls("brownout", share=share)

    @classmethod
    def slow(cls, seconds: float) -> Self:
        """
        Take so many seconds for every answer.

        Raises:
            ConfigurationError: *seconds* is no span of time.
        """
        return cls("slow", seconds=_span(seconds, least=0.0))

    @classmethod
    def flap(cls, period: float) -> Self:
        """
        Be up for *period* seconds, then refuse connections for as long, and so on.

        Raises:
            ConfigurationError: *period* is no span of time, or shorter than 10 ms.
        """
        return cls("flap", seconds=_span(period, least=0.01))

    @classmethod
    def maintenance(cls) -> Self:
        """Answer everything with a web page and HTTP 200."""
        return cls("maintenance")

    @classmethod
    def key_revoked(cls) -> Self:
        """Accept no company key any more."""
        return cls("key_revoked")

    @classmethod
    def of(cls, text: str) -> Self:
        """
        Read a mode from *text*, as the command line has it: ``down``, ``down:silent``, ``flap:2``.

        Raises:
            ConfigurationError: It is none.
        """
        kind, _, figure = text.replace("-", "_").partition(":")
        if kind not in _KINDS:
            known = ", ".join(_KINDS).replace("_", "-")
            raise ConfigurationError(f"{text!r} is no mode; there are: {known}")
        if kind == "down":
            return cls.down(figure or "refuse")  # type: ignore[arg-type] # it is checked there
        if kind in {"up", "maintenance", "key_revoked"}:
            if figure:
                raise ConfigurationError(f"{kind.replace('_', '-')} takes no figure")
            return cls(kind)
        make = {"brownout": cls.brownout, "slow": cls.slow, "flap": cls.flap}[kind]
        try:
            number = float(figure)
        except ValueError:
            raise ConfigurationError(f"{kind} needs a figure, such as {kind}:0.5") from None
        return make(number)

    def at(self, age: float) -> "Mode":
        """
        Say what it comes to: itself, but for a service that flaps.

        Args:
            age: Seconds since it was set.
        """
        if self.kind != "flap":
            return self
        return Mode.down() if int(age / self.seconds) % 2 else Mode.up()

    def lasts(self, age: float) -> float:
        """Return the seconds, at *age*, until `at` changes by itself; infinity for never."""
        return self.seconds - age % self.seconds if self.kind == "flap" else math.inf

    @property
    def is_open(self) -> bool:
        """Whether connections are accepted at all."""
        return self.kind != "down" or self.how not in {"refuse", "unreachable"}

    @property
    def is_mute(self) -> bool:
        """Whether connections that are accepted come to nothing."""
        return self.kind == "down" and self.how != "503"


def _span(seconds: float, *, least: float) -> float:
    if not least <= seconds < math.inf:
        raise ConfigurationError(f"{seconds} is no span of time in seconds, {least} at least")
    return seconds
