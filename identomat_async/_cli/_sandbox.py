"""The command `identomat sandbox`."""

import shlex
import sys
import threading
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from identomat_async._cli._account import SECRET, text_of
from identomat_async._cli._terminal import console_for
from identomat_async._wire._setup import secret_of_environment
from identomat_async.errors import ConfigurationError

if TYPE_CHECKING:
    from identomat_async.sandbox import Life

# Faults of the service as a whole.
_MODES = {"F1": "down", "F2": "down:unreachable", "F5": "down:reset"}
_WARNING = (
    "Warning: whoever reaches this machine reaches this sandbox, which keeps nobody out."
    " Clients on other machines want https: put a proxy with TLS in between."
)


def sandbox(
    *,
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="The port; 0 takes a free one.")
    ] = 8731,
    secret_file: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            dir_okay=False,
            readable=True,
            help=f"A file with the secret key. Without it {SECRET} counts, if it is set.",
        ),
    ] = None,
    median: Annotated[
        float, typer.Option(min=0.01, max=86400, help="Seconds that half of the people take.")
    ] = 20.0,
    faults: Annotated[
        float, typer.Option(min=0, max=1, help="The share of requests that a fault strikes.")
    ] = 0.0,
    kind: Annotated[
        list[str] | None,
        typer.Option(help="A fault to choose from, such as F14; may be given several times."),
    ] = None,
    mode: Annotated[
        str,
        typer.Option(
            help="up, down, down:silent, brownout:0.5, slow:2, flap:10, maintenance, key-revoked."
        ),
    ] = "up",
    script: Annotated[
        Path | None,
        typer.Option(
            exists=True, dir_okay=False, help="A TOML file that tells how sessions go, in order."
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="The same seed gives the same people and faults.")] = 0,
) -> None:
    """
    Run a local Identomat with invented people until Ctrl-C.

    It prints the environment variables that point a client to it. With `--faults` and
    `--mode` it fails as real services fail, by a seed, so that every run can be had again.
    """
    # The sandbox is an extra of its own, which other commands do without.
    from identomat_async._cli._script_file import read_script  # noqa: PLC0415
    from identomat_async.sandbox import Front, Mode, Sandbox, random_life  # noqa: PLC0415

    _check_kinds(kind or [])
    secret, source = _secret(secret_file)
    life: Life = partial(random_life, median=median, review=60.0)
    try:
        front = Front(faults=faults, seed=seed, kinds=kind or None, mode=Mode.of(mode))
        play = None if script is None else read_script(script)
        local = Sandbox(
            secret_key=secret, seed=seed, life=life if play is None else play.life(life)
        )
        if play is not None:
            play.plant(local)
        with local.serve(host=host, port=port, public=True, front=front) as server:
            # On this machine a client reaches it without TLS, if it asks for this machine.
            url = _reached(server.base_url)
            pages = _reached(server.sessions_url).removesuffix("sessions")
            _stay(partial(_say, url, pages, source, is_local=server.is_local))
    except ConfigurationError as error:
        raise typer.BadParameter(str(error)) from None
    struck = ", ".join(f"{count} x {name}" for name, count in sorted(front.struck.items()))
    typer.echo(f"{len(local.tokens)} sessions, {local.request_count} requests", err=True)
    if struck:
        typer.echo(f"faults: {struck}", err=True)


def _check_kinds(kinds: Iterable[str]) -> None:
    from identomat_async.sandbox import ELSEWHERE  # noqa: PLC0415  # as above

    for name in kinds:
        if name in ELSEWHERE:
            mode = _MODES.get(name)
            hint = "no option plays it" if mode is None else f"--mode {mode} plays it"
            raise typer.BadParameter(f"{name} strikes no single request; {hint}")


def _secret(file: Path | None) -> tuple[str | None, str | None]:
    """Return the secret, and how a shell comes by it; it is printed nowhere."""
    if file is not None:
        return text_of(file), f'"$(cat {shlex.quote(str(file))})"'
    secret = secret_of_environment()
    return secret, None if secret is None else f'"${SECRET}"'


def _reached(url: str) -> str:
    """Return where this machine finds what listens on all its addresses."""
    return url.replace("//0.0.0.0:", "//127.0.0.1:").replace("[::]", "[::1]")


def _say(base_url: str, pages: str, source: str | None, *, is_local: bool) -> None:
    console = console_for(sys.stdout)
    console.print(f"export IDENTOMAT_BASE_URL={base_url}", soft_wrap=True)
    if source is not None:
        console.print(f"export {SECRET}={source}", soft_wrap=True)
    console.print("export IDENTOMAT_COMPANY_KEY=any-key-will-do")
    if not is_local:
        typer.echo(_WARNING, err=True)
    typer.echo(f"Be verified in a browser: {pages}", err=True)
    typer.echo(f"All sessions, to see and to decide: {pages}sessions", err=True)
    typer.echo("Ctrl-C ends it.", err=True)


def _stay(say: Callable[[], None]) -> None:
    # Ctrl-C may come as soon as there is something to read.
    try:
        say()
        threading.Event().wait()
    except KeyboardInterrupt:
        typer.echo(err=True)
