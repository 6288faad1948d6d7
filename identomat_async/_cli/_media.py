"""The command `identomat media`."""

import sys
from functools import partial
from pathlib import Path
from typing import Annotated

import anyio
import typer

from identomat_async import IdentomatClient, Media, MediaNotFoundError
from identomat_async._cli._account import Account, BaseUrl, CaFile, KeyFile, SecretFile
from identomat_async._cli._exits import Exit
from identomat_async._cli._options import AsJson, Token
from identomat_async._cli._terminal import put, put_json, say
from identomat_async._cli._tokens import one_token
from identomat_async.errors import ConfigurationError

# What a file begins with, and from which byte on.
_KINDS = (
    (0, b"\xff\xd8\xff", ".jpg"),
    (0, b"\x89PNG", ".png"),
    (4, b"ftyp", ".mp4"),
    (0, b"\x1aE\xdf\xa3", ".webm"),
    (8, b"WEBP", ".webp"),
    (0, b"%PDF", ".pdf"),
)
_HEAD = 16


def media(
    token: Token,
    kinds: Annotated[
        list[Media] | None, typer.Argument(metavar="MEDIA", help="Which; all there are.")
    ] = None,
    *,
    into: Annotated[
        Path, typer.Option(file_okay=False, help="The folder for the files, made if need be.")
    ] = Path(),
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="The file for a single one; - writes it to stdout."),
    ] = None,
    json: AsJson = False,
    key_file: KeyFile = None,
    secret_file: SecretFile = None,
    base_url: BaseUrl = None,
    ca_file: CaFile = None,
) -> None:
    """
    Save images and the video of a session, in files that only you can read.

    A file is named after the token's hash and what it shows, and appears whole or not at
    all. These are personal data: know where you keep them.
    """
    account = Account(
        key_file=key_file, secret_file=secret_file, base_url=base_url, ca_file=ca_file
    )
    if output is not None and len(kinds or ()) != 1:
        raise ConfigurationError("--output takes exactly one: say which, such as face")
    if output == Path("-"):
        if sys.stdout.isatty():
            raise ConfigurationError("an image does not belong on a terminal: send it to a file")
        if json:
            raise ConfigurationError("--json and -o - would both write to stdout")
    perform = partial(_perform, account, one_token(token), kinds or [], into=into, output=output)
    if output is None:
        into.mkdir(mode=0o700, exist_ok=True)
    raise typer.Exit(anyio.run(partial(perform, json=json)))


async def _perform(
    account: Account,
    token: str,
    kinds: list[Media],
    *,
    into: Path,
    output: Path | None,
    json: bool,
) -> Exit:
    found: list[Media] = []
    async with account.client() as client:
        for kind in kinds or Media:
            path = output or into / f"{client.token_hash(token)}-{kind}"
            try:
                saved = await _save_one(client, token, kind, path, named=output is not None)
            except MediaNotFoundError:
                continue
            found.append(kind)
            _tell(kind, saved, json=json)
    missing = [kind.value for kind in kinds if kind not in found]
    if missing or not found:
        say(f"The session has no {', '.join(missing) or 'images'}")
        return Exit.GONE
    return Exit.FINE


def _tell(kind: Media, path: Path, *, json: bool) -> None:
    if json:
        put_json({"media": kind.value, "path": str(path), "bytes": path.stat().st_size})
    elif path != Path("-"):
        put(str(path))


async def _save_one(
    client: IdentomatClient, token: str, kind: Media, path: Path, *, named: bool
) -> Path:
    if path == Path("-"):
        content = (await client.media(token, kind)).content
        sys.stdout.buffer.write(content)
        sys.stdout.buffer.flush()
        return path
    saved = await client.save_media(token, kind, path)
    return saved if named else _with_suffix(saved)


def _with_suffix(path: Path) -> Path:
    with path.open("rb") as file:
        suffix = suffix_of(file.read(_HEAD))
    return path.replace(path.with_name(path.name + suffix))


def suffix_of(head: bytes) -> str:
    """Return the ending for a file that begins with *head*, nothing if it is not known."""
    return next((suffix for at, mark, suffix in _KINDS if head[at:].startswith(mark)), "")
