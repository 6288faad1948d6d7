"""The command `identomat screening`."""

import sys
from functools import partial
from typing import Annotated

import anyio
import typer

from identomat_async import ScreeningPerson
from identomat_async._cli._account import Account, BaseUrl, CaFile, KeyFile, SecretFile
from identomat_async._cli._options import AsJson, ShowPersonal
from identomat_async._cli._terminal import console_for, put_json, say
from identomat_async._cli._told import HIDDEN, as_table


def screening(
    person_id: Annotated[
        str, typer.Argument(metavar="PERSON_ID", help="From `result --show-personal`; - for stdin.")
    ],
    *,
    json: AsJson = False,
    show_personal: ShowPersonal = False,
    key_file: KeyFile = None,
    secret_file: SecretFile = None,
    base_url: BaseUrl = None,
    ca_file: CaFile = None,
) -> None:
    """Read the details behind a screening match."""
    account = Account(
        key_file=key_file, secret_file=secret_file, base_url=base_url, ca_file=ca_file
    )
    name = sys.stdin.readline().strip() if person_id == "-" else person_id
    anyio.run(partial(_perform, account, name, json=json, show_personal=show_personal))


async def _perform(account: Account, person_id: str, *, json: bool, show_personal: bool) -> None:
    async with account.client() as client:
        person = await client.screening_person(person_id)
    members = dict(person.raw) if show_personal else redacted(person)
    if json:
        put_json(members)
        return
    console_for(sys.stdout).print(as_table(members))
    if not show_personal:
        say(HIDDEN)


def redacted(person: ScreeningPerson) -> dict[str, object]:
    """Tell what may be shown to anybody: how much there is, and nothing of it."""
    return {
        "has_name": bool(person.name),
        "has_birthday": bool(person.birthday_time),
        "has_nationality": bool(person.nationality),
        "aliases": len(person.aliases),
        "topics": len(person.topics),
        "unreadable": list(person.unreadable),
    }
