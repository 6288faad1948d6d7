"""What the page on the journal shows works as it stands there."""

import re

import anyio
import pytest

from identomat_async import IdentomatClient, ResultPoller, SqliteJournal
from identomat_async.sandbox import Sandbox
from tests._docs_ground import DOCS, run_code_of, sandbox_client

PAGE = "journal.md"


@pytest.fixture
def anyio_backend(real_time):
    return real_time


class Shop:
    """The application that the page leaves out."""

    def __init__(self, folder) -> None:
        self.sandbox = Sandbox("key")
        self.kept: dict[str, tuple[str | None, str]] = {}
        self.path = folder / "identomat.db"
        self.tokens: list[str] = []
        self.page = run_code_of(
            PAGE,
            own_client=sandbox_client(self.sandbox),
            store=self.store,
            application=self.application,
            open_sessions=lambda: self.tokens,
        )
        self.page["SqliteJournal"] = lambda name: SqliteJournal(folder / name.rpartition("/")[2])

    async def store(self, reference: str | None, what: str, *, once: str) -> None:
        self.kept.setdefault(once, (reference, what))

    async def application(self, client: IdentomatClient, poller: ResultPoller) -> None:
        token = await client.begin()
        self.tokens.append(token)
        await poller.watch(token, reference=f"user:{len(self.tokens)}")
        poller.nudge(token)
        with anyio.fail_after(10):
            while len(poller):
                await anyio.sleep(0.01)


async def test_the_service_resumes_and_stores_each_result_once(tmp_path):
    shop = Shop(tmp_path)
    shop.sandbox.script("approved", after=0)

    await shop.page["serve"]()
    await shop.page["serve"]()

    assert sorted(shop.kept.values()) == [("user:1", "APPROVED"), ("user:2", "APPROVED")]


async def test_what_the_table_calls_open_is_caught_up_with_and_swept(tmp_path):
    shop = Shop(tmp_path)
    shop.sandbox.script("approved", after=0)
    async with shop.page["own_client"]() as client:
        shop.tokens = [await client.begin() for _ in range(3)]
        poller = shop.page["poller_of_this_worker"](client)
        assert await shop.page["catch_up"](poller) == 3
        assert await shop.page["catch_up"](poller) == 0

    await shop.page["pass_once"]()

    assert [what for _, what in shop.kept.values()] == ["APPROVED"] * 3


def test_every_reason_that_it_names_is_one_that_is_given():
    table = (DOCS / PAGE).read_text().partition("`JournalError.reason`")[2].partition("\n\n")[0]
    package = DOCS.parent / "identomat_async" / "_polling" / "_journal"
    source = "".join(path.read_text() for path in package.glob("*.py"))
    reasons = re.findall(r"`([a-z-]+)`", table)

    assert len(reasons) == 12
    assert [name for name in reasons if f'"{name}"' not in source] == []
