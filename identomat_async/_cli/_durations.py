"""Spans of time as people write them: `90`, `90s`, `30m`, `2h`, `3d`."""

import math
import re

import typer

_UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_SPAN = re.compile(r"(\d+(?:\.\d+)?)([smhd]?)", re.ASCII)
_LONGEST = 366 * 86400.0


def parse_span(text: str) -> float:
    """
    Return the seconds that *text* means.

    Raises:
        BadParameter: It is no span of time, or longer than a year.
    """
    found = _SPAN.fullmatch(text.strip().lower())
    seconds = float(found[1]) * _UNITS[found[2]] if found else math.inf
    if seconds > _LONGEST:
        raise typer.BadParameter("a span of time is a number with s, m, h or d: 90s, 30m, 2h, 3d")
    return seconds


def short(seconds: float) -> str:
    """Write a span in the unit that fits: ``8 s``, ``2:05``, ``1:02:05``."""
    whole = max(0, int(seconds))
    if whole < 60:  # noqa: PLR2004  # seconds
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
