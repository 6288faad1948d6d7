"""A task group that does not dress up a lone exception."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import anyio
from anyio.abc import TaskGroup


@asynccontextmanager
async def task_group() -> AsyncGenerator[TaskGroup]:
    """Open a task group; one exception leaves it as itself, several as a group."""
    failures: list[BaseException] = []
    try:
        async with anyio.create_task_group() as tasks:
            try:
                yield tasks
            except Exception as error:  # noqa: BLE001 - raised again below, as it is
                failures.append(error)
                tasks.cancel_scope.cancel()
    except BaseExceptionGroup as group:
        failures.extend(group.exceptions)
    if len(failures) == 1:
        raise failures[0]
    if failures:
        raise BaseExceptionGroup("several tasks of a poller failed", failures)
