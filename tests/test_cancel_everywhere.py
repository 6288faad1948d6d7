"""Cancelled at every point where it can be, an operation loses no lane, task or descriptor."""

import asyncio
import os
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest
import trio
import trustme
from anyio._backends._asyncio import SocketStream
from anyio.abc import TaskStatus
from tenacity import wait_fixed

from identomat_async import Delivery, IdentomatClient, Media, RateBudget, ResultPoller, RetryPolicy
from identomat_async.errors import ClientClosedError, ServerError

# A service in a process of its own, whose sockets are not ours: it prints five ports. On the
# second it closes each connection after its answer, without having said so; on the third it
# speaks TLS, with the certificate in the file that is named; on the fourth it reads nothing;
# the fifth is a proxy's.
SERVICE = """
import asyncio, ssl, sys

def whole(kind, body):
    head = f"HTTP/1.1 200 OK\\r\\nContent-Type: {kind}\\r\\nContent-Length: {len(body)}\\r\\n\\r\\n"
    return head.encode() + body

DOCUMENT = whole("application/json", b'{"result":"approved"}')
TOKEN = whole("application/json", b'"token"')
FAILED = whole("text/plain", b"no").replace(b"200 OK", b"503 No")
IMAGE = whole("image/jpeg", b"\\xff\\xd8" + b"x" * 20_000)

class Connection(asyncio.Protocol):
    closes = False

    def connection_made(self, transport):
        self.transport = transport
        self.received = b""

    def data_received(self, data):
        self.received += data
        if self.received.endswith(b"}"):
            path = self.received.split(b" ", 2)[1]
            said = TOKEN if b"begin" in path else IMAGE if b"face" in path else DOCUMENT
            self.transport.write(FAILED if b'"failing"' in self.received else said)
            self.received = b""
            if self.closes:
                self.transport.close()

class Closing(Connection):
    closes = True

class Deaf(asyncio.Protocol):
    def connection_made(self, transport):
        transport.pause_reading()

async def pass_on(reader, writer):
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except OSError:
        pass
    writer.close()

async def connect(reader, writer):
    try:
        head = await reader.readuntil(b"\\r\\n\\r\\n")
        port = int(head.split()[1].rpartition(b":")[2])
        there, back = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"HTTP/1.1 200 OK\\r\\n\\r\\n")
        await asyncio.gather(pass_on(reader, back), pass_on(there, writer))
    except (OSError, asyncio.IncompleteReadError):
        writer.close()

async def main():
    loop = asyncio.get_running_loop()
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(sys.argv[1])
    kinds = (Connection, None), (Closing, None), (Connection, tls), (Deaf, None)
    for kind, context in kinds:
        server = await loop.create_server(kind, "127.0.0.1", 0, ssl=context)
        print(server.sockets[0].getsockname()[1], flush=True)
    proxy = await asyncio.start_server(connect, "127.0.0.1", 0)
    print(proxy.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)

asyncio.run(main())
"""


class Service:
    """Where it is, and how to trust it."""

    def __init__(self, ports: list[int], trusting: ssl.SSLContext) -> None:
        self.plain, self.closing, self.tls, self.deaf, self.proxy = ports
        self.trusting = trusting

    def client(self, kind: str, limit: int) -> IdentomatClient:
        """Make a client of the service on one of its ports, or behind the proxy or a rate."""
        keywords: dict[str, Any] = {
            "proxied": {"proxy": f"http://127.0.0.1:{self.proxy}"},
            "rationed": {"rate": RateBudget(10**6, max_in_flight=1)},
        }.get(kind, {})
        if kind in {"tls", "proxied"}:
            base_url = f"https://localhost:{self.tls}/"
        else:
            port = {"closing": self.closing, "deaf": self.deaf}.get(kind, self.plain)
            base_url = f"http://127.0.0.1:{port}/"
        return IdentomatClient(
            "k",
            base_url=base_url,
            max_connections=limit,
            retry=RetryPolicy(attempts=2 if kind == "retried" else 1, wait=wait_fixed(0.002)),
            ssl_context=self.trusting,
            **keywords,
        )


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    authority = trustme.CA()
    certificate = tmp_path_factory.mktemp("tls") / "certificate.pem"
    authority.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(certificate)
    trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority.configure_trust(trusting)
    with subprocess.Popen(  # noqa: S603 - our own code
        [sys.executable, "-c", SERVICE, str(certificate)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        said = process.stdout
        assert said is not None
        yield Service([int(said.readline()) for _ in range(5)], trusting)


class Steps:
    """Counts how often operations let go, and calls *cancel* at the times that are in *at*."""

    def __init__(self, *, at: set[int]) -> None:
        self.at = at
        self.cancel: Callable[[], object] = print
        self.count = 0

    def taken(self) -> None:
        self.count += 1
        if self.count in self.at:
            self.cancel()

    async def through(self, operation: Awaitable[Any]) -> Any:
        return await _Stepwise(operation, self)


class _Stepwise:
    def __init__(self, operation: Awaitable[Any], steps: Steps) -> None:
        self.operation = operation
        self.steps = steps

    def __await__(self) -> Generator[Any, Any, Any]:
        inner = self.operation.__await__()
        resume: Callable[[], Any] = partial(next, inner)
        while True:
            try:
                waits_for = resume()
            except StopIteration as end:
                return end.value
            self.steps.taken()
            try:
                said = yield waits_for
            except BaseException as error:  # noqa: BLE001 - handed on
                resume = partial(inner.throw, error)
            else:
                resume = partial(inner.send, said)  # type: ignore[attr-defined] # it is one


class Source:
    """What a poller asks: its requests count as steps of the operation that waits for them."""

    def __init__(self, case: "Case") -> None:
        self._case = case
        self.source = self

    def __getattr__(self, name: str) -> Any:
        return getattr(self._case.client.source, name)

    async def look(self, token: str, *, fresh: bool) -> object:
        look = self._case.client.source.look(token, fresh=fresh)
        return await self._case.steps.through(look)


class Case:
    """One client in one state, and what came of an operation on it."""

    def __init__(self, client: IdentomatClient, folder: Path) -> None:
        self.client = client
        self.folder = folder
        self.steps = Steps(at=set())
        self.outcomes: list[object] = []
        self.expected = self.left = 0

    @property
    def lanes(self) -> Any:
        return self.client.source.transport.lanes  # type: ignore[attr-defined]

    async def begin(self) -> None:
        assert await self.client.begin() == "token"

    async def result(self) -> None:
        assert (await self.client.result("t")).status.is_approved

    async def delete(self) -> None:
        assert (await self.client.delete("t")) is not None

    async def look(self) -> None:
        await self.client.source.look("t", fresh=False)

    async def media(self) -> None:
        assert len((await self.client.media("t", Media.FACE)).content) == 20_002

    async def save_media(self) -> None:
        path = await self.client.save_media("t", Media.FACE, self.folder / "face.jpg")
        assert path.stat().st_size == 20_002

    async def wait(self) -> None:
        poller = ResultPoller(Source(self), rate=None)
        self.outcomes.append(await poller.wait("t"))

    async def iterate(self) -> None:
        async with ResultPoller(Source(self), rate=None) as poller:
            await poller.watch("t")
            poller.nudge("t")
            self.expected = 1
            try:
                async for outcome in poller:
                    self.outcomes.append(outcome)
            finally:
                self.left = len(poller)

    async def wait_all(self) -> None:
        poller = ResultPoller(Source(self), rate=None)
        self.outcomes += (await poller.wait_all(["t", "u"])).values()

    async def run(self) -> None:
        poller = ResultPoller(Source(self), rate=None)
        async with anyio.create_task_group() as group:

            async def accept(delivery: Delivery) -> None:
                self.outcomes.append(delivery.outcome)
                group.cancel_scope.cancel()

            await group.start(poller.run, accept)
            await poller.watch("t")
            poller.nudge("t")

    async def scoped(self) -> None:
        async with self.client.scoped():
            await anyio.lowlevel.checkpoint()

    async def call(self) -> None:
        assert await self.client.call("result/", {"session_token": "t"})

    async def fail(self) -> None:
        with pytest.raises(ServerError):
            await self.client.result("failing")

    async def aclose(self) -> None:
        await self.client.aclose()


OPERATIONS = [
    Case.begin,
    Case.result,
    Case.delete,
    Case.look,
    Case.media,
    Case.save_media,
    Case.wait,
    Case.iterate,
    Case.aclose,
]
Operation = Callable[[Case], Awaitable[None]]
# How an operation is cancelled at its k-th step; it tells whether the operation got so far.
Cancelling = Callable[[Case, Operation, int], Awaitable[bool]]


async def natively(case: Case, operation: Operation, k: int, *, again: bool = False) -> bool:
    case.steps = Steps(at={k, k + 1} if again else {k})
    task = asyncio.ensure_future(case.steps.through(operation(case)))
    case.steps.cancel = task.cancel
    await asyncio.wait([task])
    assert task.cancelled() or task.exception() is None
    return case.steps.count >= k


async def twice(case: Case, operation: Operation, k: int) -> bool:
    return await natively(case, operation, k, again=True)


async def by_scope(case: Case, operation: Operation, k: int) -> bool:
    with anyio.CancelScope() as scope:
        case.steps = Steps(at={k})
        case.steps.cancel = scope.cancel
        await case.steps.through(operation(case))
    return case.steps.count >= k


HOW = [
    pytest.param("asyncio", natively, id="native"),
    pytest.param("asyncio", by_scope, id="scope"),
    pytest.param("asyncio", twice, id="double"),
    pytest.param("trio", by_scope, id="trio"),
]


@asynccontextmanager
async def fresh(case: Case) -> AsyncIterator[None]:
    yield


@asynccontextmanager
async def kept(case: Case) -> AsyncIterator[None]:
    await case.look()
    yield


@asynccontextmanager
async def queued(case: Case) -> AsyncIterator[None]:
    async with anyio.create_task_group() as group:
        group.start_soon(somebody, case)
        while not case.lanes.busy:
            await anyio.lowlevel.checkpoint()
        yield


@asynccontextmanager
async def rationed(case: Case) -> AsyncIterator[None]:
    budget = case.client.source.budget
    assert budget is not None

    async def hold(*, task_status: TaskStatus[None]) -> None:
        await budget.acquire()
        task_status.started()
        await anyio.sleep(0.002)
        budget.release()

    async with anyio.create_task_group() as group:
        await group.start(hold)
        yield
    assert budget.in_flight == 0
    assert budget.try_acquire()
    budget.release()


@asynccontextmanager
async def paused(case: Case) -> AsyncIterator[None]:
    case.client.source.pause.heed(0.002)
    yield


async def somebody(case: Case) -> None:
    try:
        await case.result()
    except ClientClosedError:
        assert case.client.source.is_closed


STATES = [
    pytest.param(fresh, 5, "plain", id="fresh"),
    pytest.param(kept, 5, "plain", id="kept"),
    pytest.param(queued, 1, "plain", id="queued"),
    pytest.param(kept, 5, "closing", id="server-closes"),
]
CASES = [
    *product(OPERATIONS, STATES),
    *product([Case.result, Case.look], [pytest.param(fresh, 5, "tls", id="tls")]),
    *product([Case.result, Case.look], [pytest.param(fresh, 5, "proxied", id="proxied")]),
    *product([Case.begin, Case.result], [pytest.param(rationed, 5, "rationed", id="rationed")]),
    *product([Case.begin, Case.result], [pytest.param(paused, 5, "plain", id="paused")]),
    *product([Case.call, Case.scoped, Case.wait_all, Case.run], STATES[:2]),
    (Case.fail, pytest.param(fresh, 5, "retried", id="retried")),
]


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - counted, not read


def tasks() -> int:
    try:
        return len(asyncio.all_tasks())
    except RuntimeError:
        return trio.lowlevel.current_statistics().tasks_living


async def settled(figure: Callable[[], int], expected: int) -> None:
    """Give what is closed a moment to be gone: turns of the event loop, or of a thread."""
    for turn in range(100):
        if figure() <= expected:
            return
        await anyio.sleep(0 if turn < 10 else 0.005)
    assert figure() == expected


@pytest.mark.parametrize(("backend", "cancelling"), HOW)
@pytest.mark.parametrize(
    ("operation", "state", "limit", "kind"),
    [
        pytest.param(operation, *state.values, id=f"{operation.__name__}-{state.id}")
        for operation, state in CASES
    ],
)
def test_wherever_it_is_cancelled_nothing_is_lost(
    backend: str,
    cancelling: Cancelling,
    operation: Operation,
    state: Callable[[Case], Any],
    limit: int,
    kind: str,
    service: Service,
    tmp_path: Path,
) -> None:
    async def cancel_at(k: int) -> bool:
        client = service.client(kind, limit)
        case = Case(client, tmp_path)
        async with state(case):
            got_so_far = await cancelling(case, operation, k)
        assert case.lanes.busy == 0
        if operation is not Case.aclose:
            with anyio.fail_after(2):
                await case.look()
        assert len(case.outcomes) + case.left >= case.expected
        await client.aclose()
        assert case.lanes.free == case.lanes.busy == 0
        return got_so_far

    async def main() -> None:
        await settled(tasks, tasks())
        before, living = descriptors(), tasks()
        k = 1
        while await cancel_at(k):
            await settled(tasks, living)
            await settled(descriptors, before)
            await settled(lambda: sum(each.name != "face.jpg" for each in tmp_path.iterdir()), 0)
            k += 1
        # Closing waits for nothing but for those whose calls it cuts off.
        assert k > 3 or (operation is Case.aclose and (k > 1) == (state is queued))

    anyio.run(main, backend=backend)


async def _closes_as_before_416(stream: Any) -> None:
    stream._closed = True
    if not stream._transport.is_closing():
        with suppress(OSError):
            stream._transport.write_eof()
        stream._transport.close()
        await asyncio.sleep(0)
        stream._transport.abort()


@pytest.mark.parametrize("is_before_416", [False, True], ids=["anyio", "anyio-4.15"])
@pytest.mark.parametrize(("backend", "times"), [("asyncio", 1), ("asyncio", 2), ("trio", 1)])
def test_what_the_other_side_does_not_read_keeps_no_socket_open(
    backend: str,
    times: int,
    is_before_416: bool,
    service: Service,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if is_before_416:
        monkeypatch.setattr(SocketStream, "aclose", _closes_as_before_416)

    async def main() -> None:
        client = service.client("deaf", 5)
        before, living = descriptors(), tasks()
        with anyio.CancelScope() as scope:
            task: asyncio.Task[object] | None = None
            call = client.call("x", {"x": "x" * 8_000_000})
            async with anyio.create_task_group() as group:
                if backend == "trio":
                    group.start_soon(lambda: call)
                else:
                    task = asyncio.ensure_future(call)
                while descriptors() == before:
                    await anyio.sleep(0.005)
                await anyio.sleep(0.05)  # so much of it is written as there is room for
                if task is None:
                    scope.cancel()
                else:
                    for _ in range(times):
                        task.cancel()
                        await anyio.lowlevel.checkpoint()
                    await asyncio.wait([task])
        await settled(tasks, living)
        await settled(descriptors, before)
        await client.aclose()

    anyio.run(main, backend=backend)
