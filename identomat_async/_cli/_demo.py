"""The command `identomat demo`."""

import sys
from functools import partial
from typing import Annotated

import anyio
import typer

from identomat_async._cli._terminal import console_for, is_lively


def demo(
    *,
    sessions: Annotated[int, typer.Option(min=1, help="How many people are checked.")] = 200,
    median: Annotated[
        float, typer.Option(min=0.01, max=86400, help="Seconds that half of them stay below.")
    ] = 5.0,
    seed: Annotated[int, typer.Option(help="The same seed gives the same people.")] = 1,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object only.")] = False,
) -> None:
    """
    Verify many people against a local Identomat, and check every verdict.

    A sandbox is started on a free port of this machine. Every verdict is compared with what
    the sandbox knows; the exit code is 0 if none was wrong, lost or doubled, otherwise 1.
    """
    perform = partial(_perform, sessions=sessions, median=median, seed=seed, json=json)
    raise typer.Exit(anyio.run(perform))


async def _perform(*, sessions: int, median: float, seed: int, json: bool) -> int:
    # The sandbox is an extra of its own, which other commands do without.
    from identomat_async._cli._demo_report import as_json, as_table  # noqa: PLC0415
    from identomat_async._cli._demo_run import Plan, run  # noqa: PLC0415
    from identomat_async._cli._demo_show import bar, lines, nothing  # noqa: PLC0415

    console = console_for(sys.stdout)
    show = nothing if json else partial(bar if is_lively(console) else lines, console)
    report = await run(Plan(sessions=sessions, median=median, seed=seed), show)
    if json:
        typer.echo(as_json(report))
    else:
        console.print(as_table(report))
    return report.exit_code
