"""The commands `identomat watch` and `identomat wait`."""

import sys
from functools import partial
from typing import Annotated

import anyio
import typer
from rich.console import Console

from identomat_async import Until
from identomat_async._cli._account import Account, BaseUrl, CaFile, KeyFile, SecretFile
from identomat_async._cli._board import Board
from identomat_async._cli._durations import parse_span
from identomat_async._cli._exits import Exit
from identomat_async._cli._options import (
    AsJson,
    Deadline,
    Review,
    ShowPersonal,
    Token,
    TokenFile,
    Tokens,
    UntilWhat,
)
from identomat_async._cli._terminal import console_for, is_lively, is_piped, put, put_json, say
from identomat_async._cli._tokens import Reading, one_token, sources_of
from identomat_async._cli._told import Told, show
from identomat_async._cli._watch_run import Plan, Waiting
from identomat_async.errors import ConfigurationError, IdentomatError

# Nobody is done sooner, so this has the first looks come soon.
_A_MINUTE = 60.0
_AN_HOUR = 3600.0
_HALF_AN_HOUR = 1800.0
_THREE_DAYS = 3 * 86400.0
_RATE = 50.0
_SHOWN = 10


def watch(
    tokens: Tokens = None,
    *,
    file: TokenFile = None,
    until: UntilWhat = Until.TERMINAL,
    deadline: Deadline = _HALF_AN_HOUR,
    review: Review = _THREE_DAYS,
    rate: Annotated[float, typer.Option(min=0.01, help="The most requests per second.")] = _RATE,
    age: Annotated[
        float,
        typer.Option(
            parser=parse_span,
            metavar="SPAN",
            show_default="60s",
            help="How old the sessions are taken to be, unless they say; shown with a ~.",
        ),
    ] = _A_MINUTE,
    grace: Annotated[
        float,
        typer.Option(
            parser=parse_span,
            metavar="SPAN",
            show_default="1h",
            help="How long a session outlives its deadline while the service does not answer.",
        ),
    ] = _AN_HOUR,
    once: Annotated[
        bool, typer.Option("--once", help="Look at each session once, and do not wait.")
    ] = False,
    json: Annotated[
        bool | None,
        typer.Option("--json/--text", help="One JSON object per line, or words; JSON into a pipe."),
    ] = None,
    show_personal: ShowPersonal = False,
    key_file: KeyFile = None,
    secret_file: SecretFile = None,
    base_url: BaseUrl = None,
    ca_file: CaFile = None,
) -> None:
    """
    Wait for many sessions, and write a line for each as soon as it has an outcome.

    Lines are read as they come: `tail -f tokens.txt | identomat watch | jq .status` goes on
    until the pipe ends and nobody is left. On a terminal a table shows who is still open.
    """
    account = Account(
        key_file=key_file, secret_file=secret_file, base_url=base_url, ca_file=ca_file
    )
    named, files = sources_of(tokens or [], file)
    as_json = is_piped() if json is None else json

    def tell(told: Told) -> None:
        if as_json:
            put_json(told.document(show_personal=show_personal))
        else:
            put(told.line(show_personal=show_personal))

    waiting = Waiting(
        client=account.client(rate=rate),
        reading=Reading(named, files),
        board=Board(),
        tell=tell,
        console=_lively_stderr(),
        show_personal=show_personal,
    )
    plan = Plan(until=until, deadline=deadline, review=review, rate=rate, grace=grace, age=age)
    raise typer.Exit(anyio.run(_perform, waiting, None if once else plan))


async def _perform(waiting: Waiting, plan: Plan | None) -> Exit:
    await _wait_for_all(waiting, plan)
    if not waiting.board.total:
        raise ConfigurationError("no session was named")
    say(f"{waiting.board.done} of {waiting.board.total}: {waiting.board.counts()}")
    return waiting.board.code


def wait(
    token: Token,
    *,
    until: UntilWhat = Until.TERMINAL,
    deadline: Deadline = _HALF_AN_HOUR,
    review: Review = _THREE_DAYS,
    json: AsJson = False,
    show_personal: ShowPersonal = False,
    key_file: KeyFile = None,
    secret_file: SecretFile = None,
    base_url: BaseUrl = None,
    ca_file: CaFile = None,
) -> None:
    """
    Wait for one session and show its result; the exit code says it too.

    `identomat begin | identomat wait -` begins one and waits for it.
    """
    account = Account(
        key_file=key_file, secret_file=secret_file, base_url=base_url, ca_file=ca_file
    )
    waiting = Waiting(
        client=account.client(),
        reading=Reading([one_token(token)], []),
        board=Board(),
        tell=partial(show, json=json, show_personal=show_personal),
        console=_lively_stderr(),
        show_personal=show_personal,
    )
    plan = Plan(until=until, deadline=deadline, review=review, rate=_RATE)
    raise typer.Exit(anyio.run(_wait, waiting, plan))


async def _wait(waiting: Waiting, plan: Plan) -> Exit:
    await _wait_for_all(waiting, plan)
    return waiting.board.code


async def _wait_for_all(waiting: Waiting, plan: Plan | None) -> None:
    try:
        if plan is None:
            await waiting.look_once()
        else:
            await waiting.watch(plan)
    except (anyio.get_cancelled_exc_class(), IdentomatError):
        # By Ctrl-C, or since nobody will be let in any more.
        _tell_open(waiting)
        raise


def _tell_open(waiting: Waiting) -> None:
    left = [waiting.client.token_hash(item.token) for item in waiting.board.first(_SHOWN)]
    more = len(waiting.board.open) - len(left)
    names = ", ".join(left) + (f" and {more} more" if more > 0 else "")
    say(f"Still open: {names or 'nobody'}")


def _lively_stderr() -> Console | None:
    console = console_for(sys.stderr)
    return console if is_lively(console) else None
