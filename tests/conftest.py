"""Both backends, on time that jumps instead of passing."""

import copy
import gc
import json
import os
from collections import deque
from collections.abc import Callable
from pathlib import Path

import anyio
import hypothesis
import pytest
from tenacity import wait_exponential
from tenacity.wait import wait_base

from identomat_async import IdentomatClient, RateBudget, SessionResult, SessionStatus
from identomat_async._home import Home
from identomat_async._pause import Pause
from identomat_async.events import Event
from identomat_async.testing import VirtualClock

# How long an example takes says something of the machine, and nothing of the code.
hypothesis.settings.register_profile(
    "unhurried", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("unhurried")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--engine",
        choices=["httpx", "httpx2"],
        default="httpx",
        help="the HTTP library that a client uses unless a test names one",
    )
    parser.addoption(
        "--screenshots",
        metavar="DIR",
        help="where the browser tests leave pictures of the pages; a temporary folder if not said",
    )


def pytest_configure(config: pytest.Config) -> None:
    # Before any test module is imported: some make transports of that library.
    IdentomatClient.__init__.__kwdefaults__["engine"] = config.getoption("--engine")


def pytest_report_header(config: pytest.Config) -> str:
    engine = config.getoption("--engine")
    why = "; tests/test_wire_shapes.py is left out, since respx sees httpx alone" * (
        engine != "httpx"
    )
    return f"engine: {engine}{why}"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--engine") != "httpx":
        left_out = [item for item in items if item.path.name == "test_wire_shapes.py"]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


@pytest.fixture
def virtual_clock() -> VirtualClock:
    """Time that never lets anybody wait."""
    clock = VirtualClock()
    clock.jump()
    return clock


@pytest.fixture
def untraced(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have processes that a test starts run as they do for users: coverage is not told of them."""
    for name in [name for name in os.environ if name.startswith("COV")]:
        monkeypatch.delenv(name)


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(
    request: pytest.FixtureRequest, virtual_clock: VirtualClock
) -> tuple[str, dict[str, object]]:
    return request.param, virtual_clock.backend_options(request.param)


@pytest.fixture(params=["asyncio", "trio"])
def real_time(request: pytest.FixtureRequest) -> tuple[str, dict[str, object]]:
    """The backends on the real clock, for real sockets and worker threads."""
    return request.param, {}


class FakeSource:
    """
    A `ResultSource` without a wire.

    What it says of a session is a function of the seconds since it was first told of it.
    """

    def __init__(self) -> None:
        self.timeout = 15.0
        self.retry_wait: wait_base = wait_exponential(multiplier=1, max=60)
        self.budget: RateBudget | None = None
        self.pause = Pause()
        self.home = Home("client")
        self.guards: set[anyio.CancelScope] = set()
        self.source = self
        self.latency = 0.0
        self.looks: list[tuple[float, str, bool]] = []
        self.in_flight = 0
        self.peak = 0
        self._lives: dict[str, Callable[[float], object]] = {}
        self._since: dict[str, float] = {}

    def says(self, token: str, *answers: object) -> None:
        """Give *answers* one after the other, the last for ever."""
        left = deque(answers)
        self.lives(token, lambda _: left.popleft() if len(left) > 1 else left[0])

    def decides(self, token: str, status: str, *, after: float) -> None:
        """Be in progress, and after so many seconds something else."""
        self.lives(token, lambda age: status if age >= after else "in_progress")

    def lives(self, token: str, life: Callable[[float], object]) -> None:
        self._lives[token] = life

    def times(self, token: str) -> list[float]:
        """When *token* was looked at, from the first look on at all."""
        start = self.looks[0][0]
        return [round(at - start, 3) for at, name, _ in self.looks if name == token]

    def token_hash(self, token: str) -> str:
        return f"hash-of-{token}"

    async def look(self, token: str, *, fresh: bool) -> SessionStatus | SessionResult:
        now = anyio.current_time()
        self.looks.append((now, token, fresh))
        self.in_flight += 1
        self.peak = max(self.peak, self.in_flight)
        try:
            await anyio.sleep(self.latency)
        finally:
            self.in_flight -= 1
        answer = self._lives[token](now - self._since.setdefault(token, now))
        if isinstance(answer, float):
            await anyio.sleep(answer)
            return SessionStatus.IN_PROGRESS
        if isinstance(answer, Exception):
            raise copy.copy(answer)
        return document(token, str(answer)) if fresh else SessionStatus(str(answer))

    async def result(self, token: str) -> SessionResult:
        """Say of a session what `says` was told last; approved if nothing."""
        status = self._lives.get(token, lambda _: "approved")(anyio.current_time())
        return document(token, str(status))


def document(token: str, status: str) -> SessionResult:
    """Return what the service says of *token*: a document that names no token."""
    body = {"result": status, "live": True, "person": {"personal_number": f"of {token}"}}
    return SessionResult.from_json(json.dumps(body).encode())


@pytest.fixture
def source() -> FakeSource:
    return FakeSource()


@pytest.fixture
def collect() -> "type[Collector]":
    return Collector


class Collector(list[Event]):
    """An observer that keeps what it is told."""

    def __call__(self, event: Event) -> None:
        self.append(event)

    def of(self, kind: type[Event]) -> list[Event]:
        return [event for event in self if type(event) is kind]


def pytest_runtest_setup(item: pytest.Item) -> None:
    # What is there when a file begins stays until the end. To go through all of it for garbage
    # now and then takes longer than some of the deadlines that are tested.
    if item.path != _file_of.get("now"):
        _file_of["now"] = item.path
        gc.collect()
        gc.freeze()


_file_of: dict[str, Path] = {}
