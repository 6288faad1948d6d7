"""
Writes docs/faults.md, the conformance table in words.

``python -m tests.faults_table`` prints it; with ``--write`` it is written.
"""

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from tests._conformance_table import Facts, Row, table

PATH = Path(__file__).parent.parent / "docs" / "faults.md"

_INTRO = """\
# What goes wrong, and what comes of it

Networks, gateways and services fail in more ways than a program wants to know. This is
what {rows} of them come to, for each kind of call; every line is played against the
library, over real sockets, on asyncio (plain, with debug=True, with eager tasks), uvloop
and trio.

How to read it:

- An error is one of `identomat_async.errors`; what stands in brackets is its `reason`.
- "3 requests" is how often the service was asked before the error came, with the default
  `RetryPolicy`. A service that is well again in between gives the right value, and nobody
  notices.
- **May have worked** is `error.maybe_applied`: the service may have acted on the request.
  After a `begin` there may be a session that nobody knows of, so it is never sent again.
- Reading is `result()`; `media()` and `save_media()` do the same unless their line says
  otherwise.
- While a session is polled, an error is seen by no caller. It is in `stats().errors`, in
  the `PollFinished` event and, if it was the last one, in `outcome.last_error`.
  *Goes on* means that the session is looked at again later, and that its verdict is
  delivered when the trouble is over; *pauses* and *halts* are for all sessions of the
  poller, and the set is kept.
- A connection that is *kept* serves later polls; what you act on always has a new one.

You can have most of this on your own machine: `identomat sandbox --faults 0.3 --kind F14`,
or in a test `Sandbox().serve(front=Front(faults=0.3, kinds=["F14"]))`. A kind is the name of
a line up to its dash; without any, every fault that passes may strike. Whole outages are
modes: `--mode down`, `down:unreachable`, `down:silent`, `maintenance` and others.
"""

_PARTS = {
    "connecting": "Connecting",
    "breaking": "The answer does not come, or breaks off",
    "more": "More comes than the answer",
    "size": "Too much of it",
    "content": "What the answer says",
    "status": "HTTP statuses",
    "caller": "On your side",
}
_HEAD = ("", "What happens", "`begin`", "Reading", "`delete`", "Polling", "Connection")
_VALUES = {
    "right": "the right value",
    "unknown": "the unknown status",
    "older": "the older answer",
    "gone": "`None`",
    "cancelled": "cancelled",
}
_THEN = {
    "watches": "goes on",
    "pauses": "pauses",
    "halts": "halts",
    "ends": "the session stays in the set",
    "PollFailed": "three times: `PollFailed`",
    "SessionGone": "three times: `SessionGone`",
}


def page() -> str:
    """Return the whole page."""
    rows = table()
    parts = [
        _part(title, [row for row in rows if row.part == part]) for part, title in _PARTS.items()
    ]
    return "\n".join([_INTRO.format(rows=len(rows)), *parts])


def _part(title: str, rows: Sequence[Row]) -> str:
    lines = [f"## {title}", "", _line(_HEAD), _line(["---"] * len(_HEAD))]
    return "\n".join([*lines, *map(_row, rows), ""])


def _row(row: Row) -> str:
    says = f"{row.says} {row.note}".strip()
    calls = [_called(row.comes.get("begin")), _read(row), _called(row.comes.get("delete"))]
    return _line([row.id, says, *calls, _polled(row.comes.get("poll")), row.connection or "either"])


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _read(row: Row) -> str:
    result, media = row.comes.get("result"), row.comes.get("media")
    if media is None or result == media:
        return _called(result)
    own = f"media: {_called(media)}"
    return own if result is None else f"{_called(result)}; {own}"


def _called(facts: Facts | None) -> str:
    if facts is None:
        return "-"
    requests = f"{facts['requests']} requests" if facts["requests"] > 1 else ""
    applied = "may have worked" if facts.get("maybe_applied") else ""
    return ", ".join(filter(None, [_outcome(facts), requests, applied]))


def _polled(facts: Facts | None) -> str:
    if facts is None:
        return "-"
    if facts.get("value") == "right":
        return "nobody notices"
    return f"{_outcome(facts)}; {_THEN[facts['then']]}"


def _outcome(facts: Facts) -> str:
    if "value" in facts:
        return _VALUES[facts["value"]]
    more = f" ({facts['reason']})" if "reason" in facts else ", `tls`" if "tls" in facts else ""
    return f"`{facts['error']}`{more}"


def main(arguments: Sequence[str], *, path: Path = PATH) -> None:
    """Print the page, or write it."""
    if "--write" in arguments:
        path.write_text(page())
    else:
        sys.stdout.write(page())


if __name__ == "__main__":
    main(sys.argv[1:])
