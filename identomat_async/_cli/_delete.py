"""The command `identomat delete`."""

import sys
from functools import partial
from typing import Annotated

import anyio
import typer

from identomat_async._cli._account import Account, BaseUrl, CaFile, KeyFile, SecretFile
from identomat_async._cli._exits import Exit, highest, of_error
from identomat_async._cli._options import AsJson, TokenFile, Tokens
from identomat_async._cli._terminal import fail, put, put_json
from identomat_async._cli._tokens import Item, named_items
from identomat_async._cli._told import status_word
from identomat_async.errors import AuthenticationError, ConfigurationError, IdentomatError


def delete(
    tokens: Tokens = None,
    *,
    file: TokenFile = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    json: AsJson = False,
    key_file: KeyFile = None,
    secret_file: SecretFile = None,
    base_url: BaseUrl = None,
    ca_file: CaFile = None,
) -> None:
    """
    Delete sessions at the service, with all that it keeps of them. There is no way back.

    A session that is gone already counts as deleted.
    """
    account = Account(
        key_file=key_file, secret_file=secret_file, base_url=base_url, ca_file=ca_file
    )
    items = named_items(tokens or [], file)
    if not yes:
        _ask(len(items))
    raise typer.Exit(anyio.run(partial(_delete, account, items, json=json)))


def _ask(count: int) -> None:
    if not sys.stdin.isatty():
        raise ConfigurationError("deleting cannot be undone: say --yes, since nobody can be asked")
    what = "this session" if count == 1 else f"these {count} sessions"
    if not typer.confirm(f"Delete {what} at the service for good?", err=True):
        raise typer.Exit(Exit.FAULT)


async def _delete(account: Account, items: list[Item], *, json: bool) -> Exit:
    codes: list[Exit] = []
    async with account.client() as client:
        for item in items:
            token_hash = client.token_hash(item.token)
            try:
                result = await client.delete(item.token)
            except AuthenticationError:
                raise
            except IdentomatError as error:
                fail(f"{token_hash} was not deleted: {error}")
                codes.append(of_error(error))
                continue
            status = None if result is None else status_word(result.status)
            if json:
                put_json(
                    {
                        "token": item.token,
                        "token_hash": token_hash,
                        "was_there": result is not None,
                        "status": status,
                    }
                )
            else:
                said = "was gone already" if result is None else f"deleted; it was {status}"
                put(f"{token_hash} {said}")
    return highest(codes)
