"""
Poll in a worker process of its own, until it is told to end.

Tokens come on standard input, one a line; each outcome is a line on standard output.
SIGTERM or SIGINT ends it when the outcomes at hand are written. What is open then is open at
the service too: the next worker is given those tokens again.
"""

import asyncio
import json
import signal
import sys
import threading

from identomat_async import ConfigurationError, Delivery, IdentomatClient, ResultPoller


def write(delivery: Delivery) -> None:
    """Write an outcome down."""
    outcome = delivery.outcome
    line = {"token": outcome.token, "outcome": type(outcome).__name__, "status": outcome.status}
    print(json.dumps(line), flush=True)


async def take_tokens(poller: ResultPoller) -> None:
    """Watch whatever comes in, from a pipe or a file."""
    loop, lines = asyncio.get_running_loop(), asyncio.Queue[str]()
    stdin = open(0, errors="replace", closefd=False)  # noqa: ASYNC230, SIM115 - no wait

    def read() -> None:
        for line in stdin:
            loop.call_soon_threadsafe(lines.put_nowait, line)

    # A file cannot be awaited, and a read of a pipe may never end: the thread holds nobody up.
    threading.Thread(target=read, daemon=True).start()
    while True:
        line = await lines.get()
        try:
            await poller.watch(line.strip())
        except ConfigurationError as error:
            print("a line was left out:", error, file=sys.stderr)


async def work(client: IdentomatClient) -> None:
    """Poll until a signal comes, or something fails."""
    poller = ResultPoller(client)
    running = asyncio.create_task(poller.run(write))
    taking = asyncio.create_task(take_tokens(poller))
    told_to_end = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, told_to_end.set)
    ending = asyncio.create_task(told_to_end.wait())
    await asyncio.wait([running, taking, ending], return_when=asyncio.FIRST_COMPLETED)
    await poller.drain(grace=10)
    await running
    if taking.done():  # which it never is by itself
        await taking
    print("ended;", len(poller), "sessions are open", file=sys.stderr)


async def main() -> None:
    """Work with the account that the environment names."""
    async with IdentomatClient.from_env() as client:
        await work(client)


if __name__ == "__main__":
    asyncio.run(main())
