"""Pictures of what was measured. matplotlib is imported only when one is drawn."""

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def picture(file: Path) -> Generator[Any]:
    """Give axes to draw on, and write what was drawn to *file*, a PNG."""
    import matplotlib as mpl  # noqa: PLC0415 - wanted for pictures only

    mpl.use("Agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415

    figure, axes = plt.subplots(figsize=(8, 4.5), layout="constrained")
    try:
        yield axes
        figure.savefig(file, dpi=120)
    finally:
        plt.close(figure)


def draw_bars(figures: Mapping[str, float], file: Path, *, title: str, unit: str) -> None:
    """Draw one bar for each of *figures*."""
    with picture(file) as axes:
        bars = axes.barh(list(figures), list(figures.values()))
        axes.bar_label(bars, fmt="%.3g", padding=3)
        axes.set(title=title, xlabel=unit)
        axes.margins(x=0.15)
        axes.invert_yaxis()
