"""
Verify several people in a trio program, each in a task of its own.

python -m examples.trio_app NUMBER
"""

import sys

import trio

from identomat_async import IdentomatClient, ResultPoller, WaitTimeoutError


async def verify(number: int, client: IdentomatClient, poller: ResultPoller) -> None:
    """See one person through."""
    token = await client.begin()
    print(f"person {number} goes to {client.widget_url(token)}", flush=True)
    try:
        result = await poller.wait(token, deadline=1800)
    except WaitTimeoutError as error:
        print(f"person {number} never finished; the last status was {error.last}")
    else:
        print(f"person {number}: {result.status}", flush=True)


async def verify_all(people: int, client: IdentomatClient) -> None:
    """Verify so many people at once; whoever waits, one scheduler looks for all of them."""
    async with ResultPoller(client) as poller, trio.open_nursery() as nursery:
        for number in range(1, people + 1):
            nursery.start_soon(verify, number, client, poller)


async def main(people: int) -> None:
    """Do so with the account that the environment names."""
    async with IdentomatClient.from_env() as client:
        await verify_all(people, client)


if __name__ == "__main__":
    if len(sys.argv) != 2 or not sys.argv[1].isdecimal():  # noqa: PLR2004 - itself, and how many
        sys.exit("usage: python -m examples.trio_app NUMBER")
    trio.run(main, int(sys.argv[1]))
