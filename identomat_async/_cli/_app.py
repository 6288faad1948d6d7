"""Which commands there are; each has a file of its own."""

import typer

from identomat_async._cli._demo import demo
from identomat_async._cli._journal import journal
from identomat_async._cli._sandbox import sandbox

# A traceback of typer's own would show the values of local variables.
app = typer.Typer(
    help="Identity checks with Identomat, from a terminal.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)
app.command()(demo)
app.command()(journal)
app.command()(sandbox)


@app.callback()
def identomat() -> None:
    """Identity checks with Identomat, from a terminal."""
