"""Where the words go: data to stdout, words for people to stderr, control codes to terminals."""

import json
import sys
from typing import TextIO

from rich.console import Console


def console_for(file: TextIO) -> Console:
    """Return a console that writes control codes to a terminal only, whatever is set."""
    # Left alone, rich would obey FORCE_COLOR in a pipe too.
    return Console(file=file, force_terminal=file.isatty(), highlight=False)


def is_lively(console: Console) -> bool:
    """Tell whether lines on it can be drawn again."""
    return console.is_terminal and not console.is_dumb_terminal


def put(text: str) -> None:
    """Write a line of data to stdout, at once."""
    # By `sys.stdout` as it is now: what is drawn on a terminal takes its place.
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def say(text: str) -> None:
    """Tell a person something, on stderr."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def fail(text: str) -> None:
    """Say in one line what went wrong, on stderr."""
    say(f"identomat: {plain(text)}")


def put_json(document: object) -> None:
    """Write one line of JSON to stdout, in ASCII: nothing in it can control a terminal."""
    put(json.dumps(document, default=str))


def is_piped() -> bool:
    """Tell whether stdout is read by a program."""
    return not sys.stdout.isatty()


def plain(text: str) -> str:
    """Return *text* in one line, without what could control a terminal."""
    return "".join(
        letter if letter.isprintable() else ascii(letter)[1:-1] for letter in " ".join(text.split())
    )
