"""The command `identomat result`, and how a session that was read is shown."""

import sys
from functools import partial

import anyio
import typer

from identomat_async._cli._account import Account, BaseUrl, CaFile, KeyFile, SecretFile
from identomat_async._cli._exits import Exit
from identomat_async._cli._options import AsJson, ShowPersonal, Token
from identomat_async._cli._terminal import console_for, put, put_json, say
from identomat_async._cli._tokens import one_token
from identomat_async._cli._told import HIDDEN, Told, as_table, of_result, result_document


def result(
    token: Token,
    *,
    json: AsJson = False,
    show_personal: ShowPersonal = False,
    key_file: KeyFile = None,
    secret_file: SecretFile = None,
    base_url: BaseUrl = None,
    ca_file: CaFile = None,
) -> None:
    """Read how a session stands now; the exit code says it too."""
    account = Account(
        key_file=key_file, secret_file=secret_file, base_url=base_url, ca_file=ca_file
    )
    perform = partial(_perform, account, one_token(token), json=json, show_personal=show_personal)
    raise typer.Exit(anyio.run(perform))


def show(told: Told, *, json: bool, show_personal: bool) -> None:
    """Write what is told of one session to stdout."""
    if json:
        put_json(told.document(show_personal=show_personal))
        return
    put(told.line(show_personal=show_personal))
    if told.result is not None:
        members = result_document(told.result, show_personal=show_personal)
        console_for(sys.stdout).print(as_table(members))
        if not show_personal:
            say(HIDDEN)


async def _perform(account: Account, token: str, *, json: bool, show_personal: bool) -> Exit:
    async with account.client() as client:
        document = await client.result(token)
        told = of_result(document, token=token, token_hash=client.token_hash(token))
    show(told, json=json, show_personal=show_personal)
    return told.code
