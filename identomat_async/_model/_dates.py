"""Reading the dates the service writes, in all the ways it writes them."""

import datetime as dt

_LONGEST = 40
_HALF_A_DAY = dt.timedelta(hours=12)


def first_date(*texts: str | None) -> dt.date | None:
    """Give the first of some texts that can be read as a date, or None."""
    dates = (read_date(text) for text in texts)
    return next((date for date in dates if date is not None), None)


def read_date(text: str | None) -> dt.date | None:
    """
    Read ``M/D/YYYY`` or an ISO 8601 date or time; None for anything else.

    The service writes some dates as a local midnight in UTC: ``2024-01-25T22:00:00.000Z``
    is 26 January two hours east of Greenwich. A UTC time is therefore read as the
    midnight nearest to it, which is right everywhere from UTC-12 to UTC+12. A time with
    another offset, or with none, gives the day it names.
    """
    if not text or len(text) > _LONGEST:
        return None
    try:
        return _month_first(text) if "/" in text else _iso(text)
    except (ValueError, OverflowError):
        return None


def _month_first(text: str) -> dt.date:
    month, day, year = text.split("/")
    if not (month + day + year).isascii() or len(year) != len("YYYY"):
        raise ValueError
    return dt.date(_number(year), _number(month), _number(day))


def _number(digits: str) -> int:
    if not digits.isdigit():
        raise ValueError
    return int(digits)


def _iso(text: str) -> dt.date:
    moment = dt.datetime.fromisoformat(text)
    if moment.utcoffset() == dt.timedelta(0):
        moment += _HALF_A_DAY
    return moment.date()
