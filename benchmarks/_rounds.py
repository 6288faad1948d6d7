"""Contenders that take turns, and ratios that a busy machine does not disturb."""

from collections.abc import Callable, Mapping, Sequence
from statistics import median

Round = Mapping[str, float]


def take_turns(contenders: Mapping[str, Callable[[], float]], *, rounds: int) -> list[Round]:
    """
    Measure every contender once per round.

    In every other round they come in the opposite order, so that a machine that gets
    slower or faster does nobody a favour.
    """
    names, measured = list(contenders), list[Round]()
    for number in range(rounds):
        order = names if number % 2 == 0 else names[::-1]
        figures = {name: contenders[name]() for name in order}
        measured.append({name: figures[name] for name in names})
    return measured


def typical(rounds: Sequence[Round], name: str) -> float:
    """Return the median of what *name* came to."""
    return median(each[name] for each in rounds)


def ratio(rounds: Sequence[Round], name: str, other: str) -> float:
    """Return the median of what *name* came to as a multiple of *other* in the same round."""
    return median(each[name] / each[other] for each in rounds)
