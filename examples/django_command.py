"""
Poll from a management command: `manage.py await_verdicts`.

Put this file into your app as `management/commands/await_verdicts.py`. It needs a model
`Check` with `token`, `begun`, `delivery` and `verdict`, and nothing of Django that is async:
the handler is a plain function, and is called in a thread with a database connection of its
own.
"""

from datetime import timedelta
from typing import Any

import anyio
from django.apps import apps
from django.core.management.base import BaseCommand
from django.db import close_old_connections

from identomat_async import (
    DeadlinePassed,
    Delivery,
    IdentomatClient,
    Outcome,
    PollFailed,
    ResultPoller,
    SessionGone,
    SessionStatus,
    Settled,
    Until,
    Watch,
)

HALF_AN_HOUR = timedelta(minutes=30)


def verdict_of(outcome: Outcome) -> tuple[str | None, bool]:
    """Return what to store, and whether that is the end of it; docs/outcomes.md says why."""
    match outcome:
        case Settled(result=result, final=final):
            return str(result.status), final
        case DeadlinePassed(status=SessionStatus.MANUAL_CHECK):
            return "MANUAL_CHECK", False
        case DeadlinePassed() | SessionGone():
            return "EXPIRED", True
        case PollFailed():
            return None, False


def keep(delivery: Delivery) -> None:
    """Write a verdict down. The same delivery may come again; then nothing changes."""
    verdict, is_final = verdict_of(delivery.outcome)
    new = {"verdict": verdict} if verdict else {}
    checks: Any = apps.get_model("shop", "Check").objects
    close_old_connections()  # as at the end of a request: the database may have been away
    checks.filter(token=delivery.token, delivery=None).update(
        delivery=delivery.id if is_final else None, **new
    )


class Command(BaseCommand):
    """Awaits the verdicts of all checks that are open; what is still open is for the next run."""

    help = "Await the verdicts of all identity checks that are open."
    connect = IdentomatClient.from_env

    def handle(self, *args: object, **options: object) -> None:
        """Do it."""
        checks: Any = apps.get_model("shop", "Check").objects
        anyio.run(self.watch, list(checks.filter(delivery=None).values_list("token", "begun")))

    async def watch(self, open_checks: list[tuple[str, Any]]) -> None:
        """Poll until each of them has an outcome that is written down."""
        async with self.connect() as client, anyio.create_task_group() as tasks:
            poller = ResultPoller(client, until=Until.DECIDED)
            await poller.watch_many(
                Watch(token, begun=begun, deadline=begun + HALF_AN_HOUR)
                for token, begun in open_checks
            )
            await tasks.start(poller.run, keep)
            while len(poller):
                await anyio.sleep(1)
            await poller.drain()
        self.stdout.write(f"{len(open_checks)} checks were looked at")
