"""The command `identomat result`."""

from functools import partial

import anyio
import typer

from identomat_async._cli._account import Account, BaseUrl, CaFile, KeyFile, SecretFile
from identomat_async._cli._exits import Exit
from identomat_async._cli._options import AsJson, ShowPersonal, Token
from identomat_async._cli._tokens import one_token
from identomat_async._cli._told import of_result, show


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


async def _perform(account: Account, token: str, *, json: bool, show_personal: bool) -> Exit:
    async with account.client() as client:
        document = await client.result(token)
        told = of_result(document, token=token, token_hash=client.token_hash(token))
    show(told, json=json, show_personal=show_personal)
    return told.code
