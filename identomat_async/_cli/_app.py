"""Which commands there are; each has a file of its own."""

import importlib.metadata
from collections.abc import Callable
from typing import Annotated

import typer

from identomat_async._cli._begin import begin
from identomat_async._cli._delete import delete
from identomat_async._cli._demo import demo
from identomat_async._cli._doctor import doctor
from identomat_async._cli._exits import Exit, as_markdown
from identomat_async._cli._group import Command, Commands
from identomat_async._cli._hash import hash_
from identomat_async._cli._journal import journal
from identomat_async._cli._media import media
from identomat_async._cli._result import result
from identomat_async._cli._sandbox import sandbox
from identomat_async._cli._screening import screening
from identomat_async._cli._watch import wait, watch
from identomat_async._cli._worker import worker

# Every command is registered here, under the heading it has in the help.
COMMANDS: dict[str, dict[str, Callable[..., None]]] = {
    "Sessions": {
        "begin": begin,
        "result": result,
        "wait": wait,
        "watch": watch,
        "media": media,
        "screening": screening,
        "delete": delete,
    },
    "Operation": {"doctor": doctor, "journal": journal, "worker": worker, "hash": hash_},
    "Without a contract": {"sandbox": sandbox, "demo": demo},
}

# A traceback of typer's own would show the values of local variables.
app = typer.Typer(
    name="identomat",
    cls=Commands,
    epilog=f"Exit codes; of several sessions the highest counts.\n\n{as_markdown()}",
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)
for heading, commands in COMMANDS.items():
    for name, command in commands.items():
        app.command(name, cls=Command, rich_help_panel=heading)(command)


@app.callback(invoke_without_command=True)
def identomat(
    context: typer.Context,
    *,
    version: Annotated[bool, typer.Option("--version", help="Write the version.")] = False,
) -> None:
    """
    Identity checks with Identomat, from a terminal.

    The keys are read from IDENTOMAT_COMPANY_KEY and IDENTOMAT_SECRET_KEY, or from files.
    Data goes to stdout, words for people to stderr.
    """
    if version:
        typer.echo(f"identomat-async {importlib.metadata.version('identomat-async')}")
    elif context.invoked_subcommand is None:
        typer.echo(context.get_help())
        raise typer.Exit(Exit.USAGE)
