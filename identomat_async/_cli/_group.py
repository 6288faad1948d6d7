"""How a command ends: an exit code, and one line on stderr if something was wrong."""

import sys
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from identomat_async._cli._account import Account
from identomat_async._cli._doctor_line import Address
from identomat_async._cli._exits import Exit, of_error
from identomat_async._cli._terminal import fail
from identomat_async.errors import IdentomatError, TransportError


class Commands(TyperGroup):
    """The commands; none of them ends in a traceback for what a user can have caused."""

    def main(self, *args: Any, **keywords: Any) -> Any:
        """Run a command and end the process with its exit code."""
        try:
            code = super().main(*args, **keywords | {"standalone_mode": False})
        except typer.TyperException as error:
            # Words of the command line's own, without a box and a usage around them.
            fail(f"{sentence(error.format_message())}{hint_of(error)}")
            code = error.exit_code
        except typer.Abort:
            code = Exit.FAULT
        except IdentomatError as error:
            fail(str(error) or type(error).__name__)
            code = of_error(error)
        except OSError as error:
            fail(said_of(error))
            code = Exit.FAULT
        sys.exit(int(code or 0))


class Command(TyperCommand):
    """A command, which says where it was that it could not reach."""

    def invoke(self, ctx: Any) -> Any:
        """Run it."""
        try:
            return super().invoke(ctx)
        except TransportError as error:
            address = Address.of(Account(base_url=ctx.params.get("base_url")).address)
            fail(f"{error} ({address}); `identomat doctor` says more")
            raise typer.Exit(of_error(error)) from None


def sentence(text: str) -> str:
    """Let a text end as a sentence does."""
    text = text.rstrip(".")
    return text if text.endswith("?") else f"{text}."


def hint_of(error: typer.TyperException) -> str:
    """Say where help is, if it is known which command was meant."""
    context = getattr(error, "ctx", None)
    return "" if context is None else f" See `{context.command_path} --help`."


def said_of(error: OSError) -> str:
    """Say what the system said, and of which file."""
    said = error.strerror or type(error).__name__
    return said if error.filename is None else f"{said}: {error.filename}"
