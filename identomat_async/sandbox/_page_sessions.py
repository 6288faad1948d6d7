"""The page of all sessions: how they stand, told again whenever that changes."""

import json
from collections.abc import Sequence

from identomat_async.sandbox._service import Service
from identomat_async.sandbox._truth import Glance

SHOWN = 100
TICK = 0.5
"""Seconds between two looks at the sessions."""
# Ticks; what is written to a browser that has gone tells that it has.
_SILENCE = 30
_BEAT = b": still here\n\n"


class Live:
    """
    What one browser is told as long as it listens.

    Args:
        service: Whose sessions.
        skip: How many of the newest are left out.
    """

    def __init__(self, service: Service, *, skip: int) -> None:
        self._service = service
        self._skip = skip
        self._told: object = None
        self._quiet = 0

    def next(self) -> bytes:
        """Return what there is to tell now; nothing most of the time."""
        total, glances = len(self._service), self._service.newest(skip=self._skip, count=SHOWN)
        seen = (total, glances)
        if seen == self._told:
            self._quiet = (self._quiet + 1) % _SILENCE
            return b"" if self._quiet else _BEAT
        self._told, self._quiet = seen, 0
        return _event(total, glances, self._service.now())


def pages_around(skip: int, total: int) -> tuple[int | None, int | None]:
    """Return how many to leave out for newer and for older sessions, None for no page."""
    newer = max(0, skip - SHOWN) if skip else None
    older = skip + SHOWN if skip + SHOWN < total else None
    return newer, older


def _event(total: int, glances: Sequence[Glance], now: float) -> bytes:
    rows = [_row(glance, now) for glance in glances]
    said = json.dumps({"total": total, "rows": rows}, separators=(",", ":"))
    return f"data: {said}\n\n".encode()


def _row(glance: Glance, now: float) -> dict[str, object]:
    ahead, polled = glance.ahead, glance.last_poll
    return {
        "token": glance.token,
        "status": glance.status,
        "age": round(now - glance.begun, 1),
        "polls": glance.polls,
        "polled": None if polled is None else round(now - polled, 1),
        "next": None if ahead is None else [ahead.status, round(glance.begun + ahead.at - now, 1)],
    }
