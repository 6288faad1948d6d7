"""What a caller may give one by one, at once or over time."""

from collections.abc import AsyncGenerator, AsyncIterable, Iterable
from contextlib import aclosing
from typing import TypeVar

from identomat_async._model._token import checked_token

T = TypeVar("T")


async def unique(tokens: Iterable[str] | AsyncIterable[str]) -> list[str]:
    """
    Return each token once, in the order in which they come.

    Raises:
        ConfigurationError: One is no token.
    """
    async with aclosing(each_of(tokens)) as each:
        return list(dict.fromkeys([checked_token(token) async for token in each]))


async def each_of(items: Iterable[T] | AsyncIterable[T]) -> AsyncGenerator[T]:
    """Go through items, wherever they come from."""
    if isinstance(items, AsyncIterable):
        async for item in items:
            yield item
    else:
        for item in items:
            yield item
