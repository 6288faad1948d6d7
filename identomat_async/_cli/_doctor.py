"""The command `identomat doctor`."""

import importlib.metadata
import platform
import secrets
import sys
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Annotated, TypeVar

import anyio
import attrs
import typer
from rich.table import Table
from rich.text import Text

from identomat_async import IdentomatClient
from identomat_async._cli._account import (
    KEY,
    SECRET,
    Account,
    BaseUrl,
    CaFile,
    KeyFile,
    SecretFile,
)
from identomat_async._cli._doctor_checks import (
    Check,
    check_account,
    check_mode,
    check_signature,
)
from identomat_async._cli._doctor_line import Address, check_line
from identomat_async._cli._exits import Exit
from identomat_async._cli._options import AsJson
from identomat_async._cli._terminal import console_for, plain, put_json
from identomat_async._wire._protocol import checked_base_url
from identomat_async.errors import ConfigurationError, IdentomatError

T = TypeVar("T")

_MARKS = {"fine": ("ok", "green"), "note": ("note", "yellow"), "wrong": ("WRONG", "bold red")}


def doctor(
    *,
    begin: Annotated[
        bool,
        typer.Option("--begin", help="Begin a session too, look at it and delete it."),
    ] = False,
    timeout: Annotated[float, typer.Option(min=0.01, max=60, help="Seconds for a step.")] = 5.0,
    json: AsJson = False,
    key_file: KeyFile = None,
    secret_file: SecretFile = None,
    base_url: BaseUrl = None,
    ca_file: CaFile = None,
) -> None:
    """
    Check configuration, clock, TLS, reachability, account and signature; say what to fix.

    It asks the service for a session that cannot exist, and changes nothing there unless
    told to `--begin`.
    """
    account = Account(
        key_file=key_file, secret_file=secret_file, base_url=base_url, ca_file=ca_file
    )
    raise typer.Exit(
        anyio.run(partial(_perform, account, begin=begin, patience=timeout, json=json))
    )


async def _perform(account: Account, *, begin: bool, patience: float, json: bool) -> Exit:
    checks = await examine(account, begin=begin, patience=patience)
    is_well = all(check.verdict != "wrong" for check in checks)
    if json:
        put_json({"ok": is_well, "checks": [attrs.asdict(check) for check in checks]})
    else:
        console_for(sys.stdout).print(as_table(checks))
    return Exit.FINE if is_well else Exit.FAULT


async def examine(account: Account, *, begin: bool, patience: float) -> list[Check]:
    """Look at one thing after the other, as far as it makes sense."""
    checks = [_versions(), *_files(account)]
    address: Address | None = None
    try:
        address = Address.of(checked_base_url(account.address))
        trust = account.trust()
        client = account.client(timeout=patience)
    except (ConfigurationError, OSError) as error:
        fix = "correct it; `identomat doctor --help` names the options and variables"
        checks.append(Check.wrong("configuration", str(error), fix))
        if address is None or account.ca_file is not None:
            return checks
        return [*checks, *check_line(address, None, timeout=patience)]
    checks.append(Check.fine("configuration", _configured(account)))
    line = check_line(address, trust, timeout=patience)
    checks += line
    if line[-1].name == "clock":
        checks += await _ask(client, is_signed=account.is_signed, begin=begin)
    return checks


def as_table(checks: list[Check]) -> Table:
    """Lay the checks out for people."""
    table = Table(title="identomat doctor", title_justify="left", show_header=False)
    for check in checks:
        mark, style = _MARKS[check.verdict]
        said = check.found if check.fix is None else f"{check.found}\n-> {check.fix}"
        lines = "\n".join(map(plain, said.splitlines()))
        table.add_row(Text(mark, style=style), Text(check.name), Text(lines))
    return table


def _versions() -> Check:
    names = ("identomat-async", "httpx", "anyio")
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in names)
    return Check.fine("versions", f"Python {platform.python_version()}, {versions}")


def _files(account: Account) -> list[Check]:
    files = [file for file in (account.key_file, account.secret_file) if file is not None]
    found = [check_mode(str(file), file.stat().st_mode) for file in files]
    return [check for check in found if check is not None]


def _configured(account: Account) -> str:
    key = KEY if account.key_file is None else account.key_file
    secret = SECRET if account.secret_file is None else account.secret_file
    signed = f", signed with {secret}" if account.is_signed else ""
    return f"{account.address}, company key from {key}{signed}"


async def _ask(client: IdentomatClient, *, is_signed: bool, begin: bool) -> list[Check]:
    async with client:
        nobody = f"doctor-{secrets.token_hex(16)}"
        found = check_account(await _failure_of(client.result, nobody))
        if found.verdict == "wrong" or not begin:
            return [found, check_signature(is_signed=is_signed, is_proved=False)]
        session = await _try_session(client)
        is_proved = session.verdict == "fine"
        return [found, session, check_signature(is_signed=is_signed, is_proved=is_proved)]


async def _try_session(client: IdentomatClient) -> Check:
    try:
        token = await client.begin()
        try:
            await client.result(token)
        finally:
            await client.delete(token)
    except IdentomatError as error:
        found = check_account(error)
        return Check.wrong("session", f"{error.operation}: {error}", found.fix or "try again")
    return Check.fine("session", "one was begun, read and deleted")


async def _failure_of(call: Callable[[str], Awaitable[T]], token: str) -> IdentomatError | None:
    try:
        await call(token)
    except IdentomatError as error:
        return error
    return None
