"""Media that go to a file: whole or not at all. Worker threads need the real clock."""

import asyncio
import contextlib
import errno
import resource
import subprocess
import sys
import threading
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


class Bytes:
    """A path that is bytes."""

    def __fspath__(self) -> bytes:
        return b"face.jpg"


class Number:
    """A path that is a number."""

    def __fspath__(self) -> int:
        return 5


@pytest.mark.parametrize("path", [None, 5, b"x", "a\0b", "a\ud800b", Bytes(), Number()])
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


FULL = """
import resource, sys
from pathlib import Path
import anyio, httpx
from identomat_async import IdentomatClient, Media

async def main(path):
    image = httpx.Response(200, content=b"\\xff" * 200_000, headers={"content-type": "image/jpeg"})
    transport = httpx.MockTransport(lambda _: image)
    async with IdentomatClient("k", transport=lambda: transport) as client:
        try:
            await client.save_media("t", Media.FACE, path)
        except OSError as error:
            print(type(error).__name__, error.errno, error.__context__)

before = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (65536, before[1]))
anyio.run(main, Path(sys.argv[1]))
resource.setrlimit(resource.RLIMIT_FSIZE, before)
"""

WATCHED = """
import sys
from pathlib import Path
import anyio
from identomat_async._wire._files import AtomicFile

async def main(path):
    async with AtomicFile(path) as file:
        await file.write(b"new")
        sys.addaudithook(tell)
        await file.commit()

def tell(event, arguments):
    if event == "os.rename" and str(arguments[1]) == sys.argv[1]:
        print("named")
    elif event == "open" and str(arguments[0]) == str(Path(sys.argv[1]).parent):
        print("folder opened")

anyio.run(main, Path(sys.argv[1]))
"""


def child(program: str, path: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603 - our own code
        [sys.executable, "-c", program, str(path)],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parent.parent,
    )


def test_a_process_whose_disk_is_full_goes_on_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "face").write_text("old")
    done = child(FULL, tmp_path / "face")

    assert (done.stdout, done.stderr, done.returncode) == (f"OSError {errno.EFBIG} None\n", "", 0)
    assert [each.name for each in tmp_path.iterdir()] == ["face"]
    assert (tmp_path / "face").read_text() == "old"


def test_after_the_file_its_name_is_made_durable(tmp_path: Path) -> None:
    done = child(WATCHED, tmp_path / "face")

    assert (done.stdout, done.stderr) == ("named\nfolder opened\n", "")


async def test_a_folder_that_cannot_be_opened_takes_a_file_all_the_same(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    async with AtomicFile(tmp_path / "face") as file:
        await file.write(b"new")
        # Its own descriptor was the lowest that was free; now there is none.
        resource.setrlimit(resource.RLIMIT_NOFILE, (file._opened.fileno(), hard))
        try:
            await file.commit()
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

    assert (tmp_path / "face").read_bytes() == b"new"


def test_a_task_that_is_cancelled_again_and_again_leaves_nothing(tmp_path: Path) -> None:
    async def save() -> None:
        async with AtomicFile(tmp_path / "face") as file:
            await file.write(b"new")
            await asyncio.sleep(60)

    async def main() -> None:
        task = asyncio.create_task(save())
        await asyncio.sleep(0.05)
        for _ in range(3):
            task.cancel()
            await asyncio.sleep(0)
        await asyncio.wait([task])

    before = set(threading.enumerate())
    asyncio.run(main())
    for thread in set(threading.enumerate()) - before:
        thread.join()
    assert list(tmp_path.iterdir()) == []
