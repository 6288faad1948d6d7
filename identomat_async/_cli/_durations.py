"""Spans of time as people write them: `90`, `90s`, `30m`, `2h`, `3d`."""

import re

import typer

_UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_SPAN = re.compile(r"(\d+(?:\.\d+)?)([smhd]?)", re.ASCII)
_LONGEST = 366 * 86400.0
_MINUTE, _HOUR = 60, 3600


def seconds_of(text: str | float) -> float | None:
    """Return the seconds that *text* means, None if it is no span, or longer than a year."""
    found = _SPAN.fullmatch(str(text).strip().lower())
    if found is None:
        return None
    seconds = float(found[1]) * _UNITS[found[2]]
    return seconds if seconds <= _LONGEST else None


def parse_span(text: str | float) -> float:
    """
    Return the seconds that an option means; a number, such as a default, means itself.

    Raises:
        BadParameter: It is no span of time, or longer than a year.
    """
    seconds = seconds_of(text)
    if seconds is None:
        raise typer.BadParameter("a span of time is a number with s, m, h or d: 90s, 30m, 2h, 3d")
    return seconds


def short(seconds: float) -> str:
    """Write a span in the unit that fits: ``8 s``, ``2:05``, ``1:02:05``."""
    whole = max(0, int(seconds))
    if whole < _MINUTE:
        return f"{whole} s"
    hours, rest = divmod(whole, _HOUR)
    minutes, rest = divmod(rest, _MINUTE)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
