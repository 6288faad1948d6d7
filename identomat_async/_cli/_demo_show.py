"""How the demo shows that it goes on: a bar, plain lines, or nothing."""

from collections.abc import Callable, Generator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import TypeAlias

import attrs
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from identomat_async._cli._demo_report import counted


@attrs.frozen(kw_only=True)
class Standing:
    """
    How far the demo has come.

    Attributes:
        begun: Sessions begun.
        ended: Outcomes by what they count as.
    """

    begun: int
    ended: Mapping[str, int]

    @property
    def done(self) -> int:
        """How many outcomes there are."""
        return sum(self.ended.values())


Look: TypeAlias = Callable[[], Standing]
Tell: TypeAlias = Callable[[], None]
Show: TypeAlias = Callable[[int, Look], AbstractContextManager[Tell]]
"""Takes how many sessions there will be and a way to look; gives what to call on a change."""


@contextmanager
def nothing(total: int, look: Look) -> Generator[Tell]:  # noqa: ARG001  # as the others
    """Show nothing."""
    yield lambda: None


@contextmanager
def lines(console: Console, total: int, look: Look) -> Generator[Tell]:
    """Print a line for each tenth of the outcomes."""
    tenths = 0

    def tell() -> None:
        nonlocal tenths
        standing = look()
        if (reached := standing.done * 10 // total) > tenths:
            tenths = reached
            console.print(f"{standing.done} of {total}: {counted(standing.ended)}", soft_wrap=True)

    console.print(f"Checking {total} people against a local Identomat")
    yield tell


@contextmanager
def bar(console: Console, total: int, look: Look) -> Generator[Tell]:
    """Draw a bar, and counts beside it, again and again."""
    progress = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[counts]}"),
        console=console,
        refresh_per_second=5,
    )
    with progress:
        task = progress.add_task("Beginning", total=total, counts="")

        def tell() -> None:
            standing = look()
            progress.update(
                task,
                description="Beginning" if standing.begun < total else "Waiting  ",
                completed=standing.done,
                counts=counted(standing.ended),
            )

        yield tell
