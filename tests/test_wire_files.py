"""Media that go to a file: whole or not at all. Worker threads need the real clock."""

import contextlib
import resource
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest

from identomat_async import IdentomatClient, Media
from identomat_async._wire._files import AtomicFile, SinkError
from identomat_async._wire._transport import library
from identomat_async.errors import ConfigurationError, MediaNotFoundError
from identomat_async.sandbox import Sandbox, Script

# The library that a client uses in this run.
httpx: Any = library(IdentomatClient.__init__.__kwdefaults__["engine"]).http


@pytest.fixture
def anyio_backend(real_time: tuple[str, dict[str, object]]) -> tuple[str, dict[str, object]]:
    return real_time


@pytest.mark.parametrize("secret", [None, "s"])
async def test_a_file_holds_what_the_method_returns(secret: str | None, tmp_path: Path) -> None:
    sandbox = Sandbox("k", secret, life=Script.of("approved"))
    client = IdentomatClient(
        "k", secret_key=secret, base_url=sandbox.base_url, transport=sandbox.transport
    )
    async with client:
        token = await client.begin()
        image = await client.media(token, Media.FACE)
        path = await client.save_media(token, Media.FACE, str(tmp_path / "face.jpg"))
        with pytest.raises(MediaNotFoundError):
            await client.save_media(token, Media.PASSPORT, tmp_path / "x")

    assert path.read_bytes() == image.content
    assert [each.name for each in tmp_path.iterdir()] == ["face.jpg"]


async def test_a_file_takes_the_place_of_the_old_one_and_of_a_link(tmp_path: Path) -> None:
    target, path = tmp_path / "elsewhere", tmp_path / "face"
    target.write_text("keep")
    path.symlink_to(target)

    async with AtomicFile(path) as file:
        await file.write(b"lost")
        await file.rewind()
        await file.write(b"new")
        await file.commit()

    assert path.read_bytes() == b"new"
    assert not path.is_symlink()
    assert path.stat().st_mode & 0o777 == 0o600
    assert target.read_text() == "keep"


async def test_without_commit_the_old_file_stays(tmp_path: Path) -> None:
    path = tmp_path / "face"
    path.write_text("old")

    with anyio.move_on_after(0.05):
        async with AtomicFile(path) as file:
            await file.write(b"new")
            await anyio.sleep_forever()

    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


async def test_a_folder_that_is_not_there_is_an_os_error(tmp_path: Path) -> None:
    async with IdentomatClient("k") as client:
        with pytest.raises(FileNotFoundError):
            await client.save_media("t", Media.FACE, tmp_path / "no" / "face")


@pytest.mark.parametrize("path", [None, 5, b"x", "a\0b"])
def test_what_is_no_path_is_refused(path: str) -> None:
    with pytest.raises(ConfigurationError, match="path must be the path of a file"):
        AtomicFile(path)


@pytest.fixture
def full_disk() -> Iterator[None]:
    """No file may grow beyond 64 KiB, as on a disk that is full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (65536, before[1]))
    with contextlib.suppress(OSError):
        yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


async def test_a_full_disk_is_an_os_error_and_leaves_nothing(
    tmp_path: Path, full_disk: None
) -> None:
    image = httpx.Response(200, content=b"\xff" * 200_000, headers={"content-type": "image/jpeg"})
    transport = httpx.MockTransport(lambda _: image)
    async with IdentomatClient("canary", secret_key=None, transport=lambda: transport) as client:
        with pytest.raises(OSError, match="File too large") as caught:
            await client.save_media("t", Media.FACE, tmp_path / "face")

    assert caught.value.__context__ is None
    assert list(tmp_path.iterdir()) == []


async def test_a_file_that_failed_once_takes_no_more(tmp_path: Path, full_disk: None) -> None:
    async with AtomicFile(tmp_path / "face") as file:
        with pytest.raises(SinkError):
            await file.write(b"x" * 200_000)
        with pytest.raises(SinkError):
            await file.rewind()

    assert list(tmp_path.iterdir()) == []
