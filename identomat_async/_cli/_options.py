"""Options that several commands have, worded once."""

from pathlib import Path
from typing import Annotated, TypeAlias

import typer

from identomat_async import Until
from identomat_async._cli._durations import parse_span

AsJson: TypeAlias = Annotated[bool, typer.Option("--json", help="Write JSON to stdout.")]
ShowPersonal: TypeAlias = Annotated[
    bool, typer.Option("--show-personal", help="Show personal data; otherwise none is.")
]
Token: TypeAlias = Annotated[
    str, typer.Argument(metavar="TOKEN", help="The session; - reads it from stdin.")
]
Tokens: TypeAlias = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="TOKEN", help="The sessions; - reads stdin, which is read too if none is."
    ),
]
TokenFile: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--file",
        "-f",
        help="A file with a token per line, a reference after it if you like; or JSON lines.",
    ),
]
UntilWhat: TypeAlias = Annotated[
    Until, typer.Option(help="decided: wait for the operator too, after MANUAL_CHECK.")
]
Deadline: TypeAlias = Annotated[
    float,
    typer.Option(
        parser=parse_span,
        metavar="SPAN",
        show_default="30m",
        help="How long the person may take: 90s, 30m, 2h.",
    ),
]
Review: TypeAlias = Annotated[
    float,
    typer.Option(
        parser=parse_span,
        metavar="SPAN",
        show_default="3d",
        help="How long an operator may take, with decided.",
    ),
]
