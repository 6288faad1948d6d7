"""The command `identomat begin`."""

import json as codec
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Annotated, cast

import anyio
import attrs
import typer

from identomat_async._cli._account import Account, BaseUrl, CaFile, KeyFile, SecretFile
from identomat_async._cli._options import AsJson
from identomat_async._cli._terminal import put, put_json, say
from identomat_async.errors import ConfigurationError


@attrs.frozen(kw_only=True)
class Begun:
    """A session that was begun; written as JSON, it is what `watch` and `wait` read."""

    token: str = attrs.field(repr=False)
    token_hash: str
    url: str = attrs.field(repr=False)
    begun: str
    reference: str | None = attrs.field(default=None, repr=False)


def begin(
    *,
    flag: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME[=VALUE]", help="A flag, such as liveness or language=de; repeatable."
        ),
    ] = None,
    flags: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="A JSON file with the flags."),
    ] = None,
    steps: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="A JSON file with the list of steps."),
    ] = None,
    config_id: Annotated[
        str | None, typer.Option(help="A configuration saved in the dashboard.")
    ] = None,
    parent: Annotated[
        str | None, typer.Option(help="The token of the session to which this one belongs.")
    ] = None,
    reference: Annotated[
        str | None, typer.Option(help="What you call it; comes back in JSON, is sent nowhere.")
    ] = None,
    url: Annotated[
        bool, typer.Option("--url", help="Write the address of the page instead of the token.")
    ] = False,
    json: AsJson = False,
    key_file: KeyFile = None,
    secret_file: SecretFile = None,
    base_url: BaseUrl = None,
    ca_file: CaFile = None,
) -> None:
    """
    Begin a session and write its token.

    The address to which the person is sent goes to stderr, for you to read.
    """
    account = Account(
        key_file=key_file, secret_file=secret_file, base_url=base_url, ca_file=ca_file
    )
    given = {} if flags is None else _object_in(flags)
    given |= dict(map(parse_flag, flag or ()))
    show = _show_json if json else _show_address if url else _show_token
    anyio.run(
        partial(
            _perform,
            account,
            show,
            flags=given or None,
            steps=None if steps is None else _list_in(steps),
            config_id=config_id,
            parent=parent,
            reference=reference,
        )
    )


def _show_json(begun: Begun) -> None:
    put_json(attrs.asdict(begun))


def _show_address(begun: Begun) -> None:
    put(begun.url)


def _show_token(begun: Begun) -> None:
    put(begun.token)
    say(f"Send the person to {begun.url}")


async def _perform(
    account: Account,
    show: Callable[[Begun], None],
    *,
    flags: Mapping[str, object] | None,
    steps: list[Mapping[str, object]] | None,
    config_id: str | None,
    parent: str | None,
    reference: str | None,
) -> None:
    async with account.client() as client:
        begun = _now()
        token = await client.begin(flags, steps=steps, config_id=config_id, parent_session=parent)
        show(
            Begun(
                token=token,
                token_hash=client.token_hash(token),
                url=client.widget_url(token),
                begun=begun,
                reference=reference,
            )
        )


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def parse_flag(text: str) -> tuple[str, object]:
    """
    Read ``name``, which is true, or ``name=value``: JSON, or else a text.

    Raises:
        BadParameter: There is no name.
    """
    name, sign, value = text.partition("=")
    if not name.isidentifier():
        raise typer.BadParameter("a flag is NAME or NAME=VALUE, such as liveness or language=de")
    if not sign:
        return name, True
    try:
        return name, codec.loads(value)
    except ValueError:
        return name, value


def _object_in(file: Path) -> dict[str, object]:
    members = _json_in(file)
    if not isinstance(members, dict):
        raise ConfigurationError(f"{file} must hold a JSON object of flags")
    return cast("dict[str, object]", members)


def _list_in(file: Path) -> list[Mapping[str, object]]:
    steps = _json_in(file)
    if not isinstance(steps, list):
        raise ConfigurationError(f"{file} must hold a JSON list of steps")
    return cast("list[Mapping[str, object]]", steps)


def _json_in(file: Path) -> object:
    try:
        return codec.loads(file.read_bytes())
    except (ValueError, RecursionError):
        raise ConfigurationError(f"{file} does not hold JSON") from None
