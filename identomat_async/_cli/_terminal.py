"""Where the words go: a terminal, or a file or pipe that takes plain text only."""

from typing import TextIO

from rich.console import Console


def console_for(file: TextIO) -> Console:
    """Return a console that writes control codes to a terminal only, whatever is set."""
    # Left alone, rich would obey FORCE_COLOR in a pipe too.
    return Console(file=file, force_terminal=file.isatty(), highlight=False)


def is_lively(console: Console) -> bool:
    """Tell whether lines on it can be drawn again."""
    return console.is_terminal and not console.is_dumb_terminal
