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

from identomat_async import Delivery, IdentomatClient, ResultPoller, Settled, Until, Watch

HALF_AN_HOUR = timedelta(minutes=30)


def keep(delivery: Delivery) -> None:
    """Write a verdict down. The same delivery may come again; then nothing changes."""
    outcome = delivery.outcome
    verdict = str(outcome.status) if isinstance(outcome, Settled) else "EXPIRED"
    checks: Any = apps.get_model("shop", "Check").objects
    close_old_connections()  # as at the end of a request: the database may have been away
    checks.filter(token=delivery.token, delivery=None).update(delivery=delivery.id, verdict=verdict)


class Command(BaseCommand):
    """Awaits the verdicts of all checks that are open, and ends when there are none."""

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
        self.stdout.write(f"{len(open_checks)} checks have come to an end")
