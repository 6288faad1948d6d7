"""The command `identomat journal`."""

import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import attrs
import typer

from identomat_async._cli._terminal import console_for, put_json
from identomat_async._polling._journal._overview import Overview, Unacked, overview

_SHOWN = 20


def journal(
    file: Annotated[Path, typer.Argument(help="The file of a SqliteJournal.")],
    *,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object only.")] = False,
) -> None:
    """
    Show how a poller's journal stands: who polls, what is watched, what is not accepted.

    The file is only read, and may be in use. Neither tokens nor references are shown.
    """
    now = time.time()
    found = overview(file, now)
    if json:
        put_json(attrs.asdict(found))
        return
    console = console_for(sys.stdout)
    for line in lines(found, now):
        console.print(line, soft_wrap=True, markup=False)


def lines(found: Overview, now: float) -> Iterator[str]:
    """Say in lines how a journal stands."""
    yield _holder(found, now)
    ages = ", ".join(f"{count} {name}" for name, count in found.live.items() if count)
    yield f"watched: {sum(found.live.values())}" + (f" ({ages})" if ages else "")
    yield f"not accepted: {len(found.unacked)}"
    for each in found.unacked[:_SHOWN]:
        yield f"  {_unacked(each)}"
    if len(found.unacked) > _SHOWN:
        yield f"  and {len(found.unacked) - _SHOWN} more"
    if found.undeleted:
        yield f"accepted, and the session not yet deleted: {found.undeleted}"
    yield f"accepted within a week: {found.finished}"


def _holder(found: Overview, now: float) -> str:
    if not found.is_held:
        return "held by nobody: nothing in it is polled"
    if found.since is None:
        return "held by a process that is just starting"
    since = datetime.fromtimestamp(found.since, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    return f"held by process {found.holder} since {since} ({_span(now - found.since)})"


def _unacked(each: Unacked) -> str:
    status = f" {each.status}" if each.status else ""
    error = f", last {each.handler_error}" if each.handler_error else ""
    refused = f"refused {each.attempts} times{error}" if each.attempts else "not refused"
    return f"{each.delivery}: {each.outcome}{status}, known for {_span(each.age)}, {refused}"


def _span(seconds: float) -> str:
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(0.0, seconds):.0f} s"
