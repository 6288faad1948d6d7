"""How event loops that others make come to be on a clock."""

import asyncio
import warnings
from collections.abc import Generator
from contextlib import contextmanager

from identomat_async.testing._clock import VirtualClock


@contextmanager
def installed_clock() -> Generator[VirtualClock]:
    """
    Make a clock, and let asyncio make its event loops on it while the block lasts.

    It is the policy at hand that makes them, whoever asks: anyio, pytest-asyncio,
    starlette's ``TestClient``, ``asyncio.run``. A factory of their own goes before it.
    """
    clock = VirtualClock()
    with warnings.catch_warnings():
        # There is nothing else yet that all of them ask.
        warnings.simplefilter("ignore", DeprecationWarning)
        policy = asyncio.get_event_loop_policy()  # pyright: ignore[reportDeprecated] - as said
    # On the object and not the class: another policy has to stay as it is.
    before = {name: made for name, made in vars(policy).items() if name == "new_event_loop"}
    vars(policy)["new_event_loop"] = clock.new_event_loop
    try:
        yield clock
    finally:
        vars(policy).pop("new_event_loop")
        vars(policy).update(before)
