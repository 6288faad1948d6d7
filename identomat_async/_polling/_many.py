"""Many tokens at once, however somebody has them."""

from collections.abc import AsyncGenerator, AsyncIterable, Iterable
from contextlib import aclosing
from typing import TypeVar

from identomat_async._model._token import checked_token
from identomat_async.errors import ConfigurationError

T = TypeVar("T")


def checked_many(items: object, *, of: str) -> None:
    """
    See to it that *items* can hold many of something.

    Raises:
        ConfigurationError: It is a text, whose characters would be taken for them, or
            cannot be iterated.
    """
    is_text = isinstance(items, str | bytes | bytearray)
    if is_text or not isinstance(items, Iterable | AsyncIterable):
        raise ConfigurationError(f"{of} are a list, or anything else that can be iterated")


def check_writable(reference: str | None) -> None:
    """
    See to it that a reference can be written down.

    Raises:
        ConfigurationError: It is text that UTF-8 has no bytes for.
    """
    try:
        (reference or "").encode()
    except UnicodeEncodeError:
        pass
    else:
        return
    raise ConfigurationError("a reference must be text that can be written as UTF-8")


async def unique_tokens(tokens: Iterable[str] | AsyncIterable[str]) -> list[str]:
    """
    Return *tokens* in their order, each once.

    Raises:
        ConfigurationError: One of them cannot be a token.
    """
    checked_many(tokens, of="tokens")
    async with aclosing(each_of(tokens)) as each:
        return list(dict.fromkeys([checked_token(token) async for token in each]))


async def each_of(items: Iterable[T] | AsyncIterable[T]) -> AsyncGenerator[T]:
    """Yield *items* one after the other; close this when you leave it early."""
    if isinstance(items, AsyncIterable):
        async for item in items:
            yield item
    else:
        for item in items:
            yield item
