"""What the page on several machines shows works as it stands there."""

from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest

from identomat_async.contrib.docket import DocketResultPoller
from identomat_async.sandbox import Sandbox
from tests._docket_server import Server
from tests._docs_ground import DOCS, run_code_of, sandbox_client

PAGE = "machines.md"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    server = Server(tmp_path)
    server.start()
    yield server
    server.stop()


async def test_the_page_watches_and_works(server: Server) -> None:
    sandbox, kept = Sandbox("key"), dict[str, tuple[str | None, str]]()
    sandbox.script("approved", after=0)
    client = sandbox_client(sandbox)
    tokens: list[str] = []

    async def store(reference: str | None, what: str, *, once: str) -> None:
        kept[once] = (reference, what)

    page = run_code_of(PAGE, own_client=client, store=store, open_sessions=lambda: tokens)
    page["SERVER"] = server.url

    async with page["watching"]() as poller, anyio.create_task_group() as tasks:
        assert isinstance(poller, DocketResultPoller)
        await tasks.start(poller.run, page["on_delivery"])
        async with client() as own:
            tokens += [await own.begin(), await own.begin()]
        await page["begun"](poller, tokens[0], 1)
        assert await page["catch_up"](poller) == 1
        for token in tokens:
            page["person_is_back"](poller, token)
        with anyio.fail_after(20):
            while len(kept) < 2:
                await anyio.sleep(0.05)
        tasks.cancel_scope.cancel()

    assert {reference for reference, _ in kept.values()} == {"user:1", None}


def test_the_page_names_the_defaults() -> None:
    said = (DOCS / PAGE).read_text()
    defaults = DocketResultPoller.__init__.__kwdefaults__

    assert f"| `concurrency` | {defaults['concurrency']} |" in said
    for name in ("lease", "handler_timeout"):
        assert f"| `{name}` | {defaults[name]:.0f} s |" in said
