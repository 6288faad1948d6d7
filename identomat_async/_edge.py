"""
The public edge: a refusal leaves without the frames that hold what was refused.

A mistyped token is nearly the token, and flags may name a person; an error tracker sends
what is in the frames of an error.
"""

from collections.abc import Awaitable, Callable, Coroutine
from functools import wraps
from inspect import iscoroutinefunction
from typing import Any, ParamSpec, TypeVar, cast

from identomat_async.errors import ConfigurationError

P = ParamSpec("P")
T = TypeVar("T")


def refusing(function: Callable[P, T]) -> Callable[P, T]:
    """Have *function* raise a `ConfigurationError` without frames, its own included."""
    if iscoroutinefunction(function):
        return cast("Callable[P, T]", _refusing_later(function))

    @wraps(function)
    def edge(*args: P.args, **keywords: P.kwargs) -> T:
        try:
            return function(*args, **keywords)
        except ConfigurationError as error:
            refusal = _bare(error)
        del args, keywords
        raise refusal

    return edge


def _refusing_later(
    function: Callable[P, Coroutine[Any, Any, T]],
) -> Callable[P, Coroutine[Any, Any, T]]:
    @wraps(function)
    async def edge(*args: P.args, **keywords: P.kwargs) -> T:
        running = function(*args, **keywords)
        del args, keywords
        try:
            return await running
        except ConfigurationError as error:
            refusal = _bare(error)
        raise refusal

    return edge


def is_async(function: object) -> bool:
    """Tell whether calling *function*, or an object like one, gives what has to be awaited."""
    call = getattr(function, "__call__", None)  # noqa: B004 - it may be a coroutine function
    return iscoroutinefunction(function) or iscoroutinefunction(call)


def made_at_edge(kind: type[T]) -> type[T]:
    """Have a class whose values callers make refuse them without frames."""
    setattr(kind, "__init__", refusing(kind.__init__))  # noqa: B010 - a type checker forbids it
    return kind


async def result_or_refusal(acting: Awaitable[T]) -> T | ConfigurationError:
    """Return what *acting* comes to, or the `ConfigurationError` that it ends with, bare."""
    try:
        return await acting
    except ConfigurationError as error:
        return _bare(error)


def _bare(error: ConfigurationError) -> ConfigurationError:
    return error.with_traceback(None)
