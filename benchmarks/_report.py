"""What the benchmarks have in common: options, tables, and gates that can close."""

import argparse
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import attrs

Row = Mapping[str, object]


@attrs.frozen
class Gate:
    """
    A figure that is promised.

    Attributes:
        name: What is measured.
        figure: What was measured.
        most: It must not be above this, None for no such limit.
        least: It must not be below this, None for no such limit.
    """

    name: str
    figure: float
    most: float | None = attrs.field(default=None, kw_only=True)
    least: float | None = attrs.field(default=None, kw_only=True)

    @property
    def holds(self) -> bool:
        """Whether the promise is kept; a figure that is not a number keeps none."""
        is_low_enough = self.most is None or self.figure <= self.most
        return is_low_enough and (self.least is None or self.figure >= self.least)

    def __str__(self) -> str:
        bounds = [
            f"{sign} {bound:g}"
            for sign, bound in (("<=", self.most), (">=", self.least))
            if bound is not None
        ]
        verdict = "ok    " if self.holds else "MISSED"
        return f"{verdict} {self.name}: {self.figure:.4g} ({' and '.join(bounds)})"


def options(name: str, doc: str | None, *, rounds: int | None = None) -> argparse.ArgumentParser:
    """Return a parser with the options of every benchmark; *rounds* is how many by default."""
    parser = argparse.ArgumentParser(prog=f"python -m benchmarks {name}", description=doc)
    parser.add_argument("--check", action="store_true", help="exit with 1 if a gate is missed")
    parser.add_argument("--json", action="store_true", help="print JSON lines")
    if rounds is not None:
        parser.add_argument("--rounds", type=int, default=rounds, help=f"how often ({rounds})")
    return parser


def plottable(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """Add the option that asks for a picture."""
    parser.add_argument("--plot", type=Path, metavar="FILE.png", help="draw a picture")
    return parser


def show(rows: Iterable[Row], *, as_json: bool) -> None:
    """Print rows of one shape: as a table, or as JSON lines."""
    kept = list(rows)
    if as_json:
        for row in kept:
            print(json.dumps(row), flush=True)
        return
    cells = [list(kept[0]), *([_cell(value) for value in row.values()] for row in kept)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for line in cells:
        texts = [line[0].ljust(widths[0])]
        texts += [text.rjust(width) for text, width in zip(line[1:], widths[1:], strict=True)]
        print("  ".join(texts).rstrip(), flush=True)


def judge(gates: Sequence[Gate], asked: argparse.Namespace) -> int:
    """Print which gates hold; return the exit code that *asked* wants."""
    for gate in gates:
        as_json = {**attrs.asdict(gate), "holds": gate.holds}
        print(json.dumps(as_json) if asked.json else gate, flush=True)
    return 1 if asked.check and not all(gate.holds for gate in gates) else 0


def _cell(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else "" if value is None else str(value)
