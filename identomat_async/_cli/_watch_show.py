"""How waiting looks on a terminal: a table of the open sessions, and a bar."""

from collections.abc import Callable, Iterator

import attrs
from rich.console import Console, Group
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from identomat_async import PollerStats, ResultPoller, WatchedSession
from identomat_async._cli._board import Board
from identomat_async._cli._durations import short
from identomat_async._cli._terminal import plain
from identomat_async._cli._tokens import Item
from identomat_async._cli._told import status_word

_BESIDES = 8  # lines for frame, heading, bar and what is above
_BAR = 30
_HELD_UP_BY = {
    "rate": "spread out to fit the rate",
    "in_flight": "as many requests under way as may be",
    "paused": "paused: the service is down, or asks for it",
    "consumer": "waiting for the reader of the output",
    "halted": "halted: the account is refused",
}


@attrs.frozen(kw_only=True)
class Row:
    """An open session as it is shown."""

    name: str
    status: str
    age: str
    looks: str
    next_look: str
    trouble: str


def row_of(
    item: Item,
    session: WatchedSession | None,
    *,
    token_hash: str,
    age: float,
    show_personal: bool,
) -> Row:
    """Return what is shown of one session; *session* is None before it is looked at."""
    reference = f" ({plain(item.reference)})" if show_personal and item.reference else ""
    error = None if session is None else session.last_error
    return Row(
        name=token_hash + reference,
        status=(session and status_word(session.status)) or "-",
        age=f"~{short(age)}" if item.is_supposed else short(age),
        looks=str(session.polls if session else 0),
        next_look="-" if session is None else _in(session.next_look),
        trouble="" if error is None else type(error).__name__,
    )


def _in(seconds: float) -> str:
    return f"in {short(seconds)}" if seconds >= 1 else "now"


def picture(board: Board, rows: list[Row], stats: PollerStats) -> Group:
    """Lay out the open sessions and how far it all is."""
    table = Table("session", "status", "age", "looks", "next look", "trouble", expand=False)
    for row in rows:
        # Text, since a str would be searched for markup.
        table.add_row(*map(Text, attrs.astuple(row)))
    more = len(board.open) - len(rows)
    if more > 0:
        table.add_row(Text(f"{more} more"))
    bar = Table.grid(padding=(0, 1))
    bar.add_row(
        ProgressBar(total=max(board.total, 1), completed=board.done, width=_BAR),
        Text(f"{board.done} of {board.total}{'' if board.is_fed else ' so far'}"),
        Text(board.counts()),
        Text(_HELD_UP_BY.get(stats.limited_by, ""), style="yellow"),
    )
    return Group(table, bar) if rows else Group(bar)


@attrs.frozen(kw_only=True)
class View:
    """What is drawn, again and again."""

    console: Console
    board: Board
    poller: ResultPoller
    hash_of: Callable[[str], str]
    show_personal: bool

    def draw(self, now: float) -> Group:
        """Draw how it stands *now*."""
        return picture(self.board, list(self._rows(now)), self.poller.stats())

    def _rows(self, now: float) -> Iterator[Row]:
        for item in self.board.first(max(1, self.console.height - _BESIDES)):
            yield row_of(
                item,
                self.poller.session(item.token),
                token_hash=self.hash_of(item.token),
                age=0.0 if item.begun is None else now - item.begun.timestamp(),
                show_personal=self.show_personal,
            )
