"""No secret and nobody's data comes out sideways, whatever the service does."""

import asyncio
import base64
import faulthandler
import gc
import io
import json
import logging
import pickle
import re
import socket
import struct
import sys
import tempfile
import traceback
import types
import urllib.parse
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

import anyio
import attrs
import pytest
from anyio.abc import SocketAttribute, SocketStream
from anyio.streams.buffered import BufferedByteReceiveStream
from tenacity import wait_fixed

from identomat_async import (
    Delivery,
    IdentomatClient,
    Media,
    PollState,
    ResultPoller,
    RetryPolicy,
    Settled,
)
from identomat_async._polling._state import Trouble
from identomat_async._wire._call import Caller
from identomat_async.errors import IdentomatError
from identomat_async.events import Event, Halted

# The library that a client uses in this run.
httpx: Any = import_module((IdentomatClient.__init__.__kwdefaults__ or {}).get("engine") or "httpx")

COMPANY = 'c0mpany+key/"canary"'
SECRET = "s3cret+key/'canary'"
TOKEN = "t0ken-canary-9f3a"
NAME = "Ánna Çanary"
BIRTH = "1990-02-29T00:00:00"
NUMBER = "01/017-canary"
MRZ = "P<UTOCANARY<<ANNA<<<<<<<<<\n9002299F<<<<<<02"
IMAGE = b"\xff\xd8\xff\xe0pixels of a canary\x00\x01\x02\xfe"

SENT = {"begin": (NAME, NUMBER, MRZ, BIRTH), "screening_person": (NUMBER,), "call": (NAME,)}
PLANTED: list[str | bytes] = [COMPANY, SECRET, TOKEN, NAME, BIRTH, NUMBER, MRZ, IMAGE]


def spellings(planted: str | bytes) -> Iterator[bytes]:
    """Write it in every way in which it might come out."""
    raw = planted.encode() if isinstance(planted, str) else planted
    yield raw
    yield raw[::-1]
    yield urllib.parse.quote(raw, safe="").encode()
    yield urllib.parse.quote(raw).encode()
    yield urllib.parse.quote_plus(raw).encode()
    yield raw.hex().encode()
    yield raw.hex().upper().encode()
    yield repr(raw).encode()[2:-1]
    text = planted if isinstance(planted, str) else planted.decode("latin-1")
    yield json.dumps(text).encode()[1:-1]
    yield text.encode("utf-16-le")
    yield text.encode("utf-16-be")
    for before in range(3):
        # Where it begins in a longer text decides how base64 spells it.
        code = base64.b64encode(bytes(before) + raw)
        yield code[4 if before else 0 : -4]
        yield base64.urlsafe_b64encode(bytes(before) + raw)[4 if before else 0 : -4]


NEEDLES = {spelt: planted for planted in PLANTED for spelt in spellings(planted)}
ANY = re.compile(b"|".join(re.escape(spelt) for spelt in sorted(NEEDLES, key=len, reverse=True)))


def hits(channel: str, *found: object) -> list[str]:
    """Say which of what was planted can be read in a channel."""
    seen: list[str] = []
    for each in found:
        data = (
            bytes(each)
            if isinstance(each, bytes | bytearray)
            else str(each).encode("utf-8", "replace")
        )
        seen += [f"{channel}: {NEEDLES[match]!r}" for match in ANY.findall(data)]
    return seen


@pytest.mark.parametrize("planted", PLANTED, ids=ascii)
@pytest.mark.parametrize("before", ["", "x", "xy", "xyz"])
def test_whatever_way_it_comes_out_it_is_found(planted: str | bytes, before: str) -> None:
    raw = (
        before.encode() + (planted.encode() if isinstance(planted, str) else planted) + b" and more"
    )
    text = raw.decode("latin-1")
    ways: list[object] = [
        raw,
        raw[::-1],
        raw.hex(),
        repr(raw),
        base64.b64encode(raw),
        urllib.parse.quote(raw),
        json.dumps({"x": planted if isinstance(planted, str) else text}),
        (planted if isinstance(planted, str) else text).encode("utf-16"),
    ]
    assert [way for way in ways if not hits("x", way)] == []


# --- a server that does everything wrong and fills it with what must not come out -------

DOCUMENT = json.dumps(
    {
        "result": "approved",
        "live": True,
        "session_token": TOKEN,
        "company_key": COMPANY,
        "name": NAME,
        "person": {
            "first_name": NAME,
            "birthday_time": BIRTH,
            "personal_number": NUMBER,
            "mrz": MRZ,
        },
    }
).encode()
HEADER = f"{TOKEN} {NUMBER} {BIRTH} {COMPANY}"

Ending = Callable[[SocketStream], Awaitable[None]]


async def keep(_: SocketStream) -> None:
    """Wait for the next request on the same connection."""


async def close(stream: SocketStream) -> None:
    await stream.aclose()


async def reset(stream: SocketStream) -> None:
    plug = stream.extra(SocketAttribute.raw_socket)
    plug.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    await stream.aclose()


async def stall(stream: SocketStream) -> None:
    await stream.receive()


async def pour(stream: SocketStream) -> None:
    while True:
        await stream.send(DOCUMENT * 5000)


def said(
    status: str = "200 OK", *headers: str, body: bytes = DOCUMENT, kind: str = "application/json"
) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Type: {kind}", f"Content-Length: {len(body)}"]
    lines += [f"X-Person: {HEADER}", f"Set-Cookie: person={HEADER}", *headers, "", ""]
    return "\r\n".join(lines).encode("latin-1") + body


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
LETTERS = HEADER.encode("latin-1")
FAULTS: dict[str, tuple[bytes, Ending]] = {
    "sound": (said(), keep),
    "reset": (b"", reset),
    "closed": (b"", close),
    "half-a-status-line": (b"HTTP/1.1 200 " + LETTERS, close),
    "half-the-headers": (b"HTTP/1.1 200 OK\r\nX: " + LETTERS, close),
    "silence": (b"", stall),
    "silence-in-the-headers": (b"HTTP/1.1 200 OK\r\nX: " + LETTERS + b"\r\n", stall),
    "silence-in-the-body": (said()[:-5], stall),
    "short-body": (said()[:-5], close),
    "reset-in-the-body": (said()[:-5], reset),
    "chunks-cut": (CHUNKED + b"fff\r\n" + DOCUMENT, close),
    "chunk-size": (CHUNKED + LETTERS + b"\r\n", close),
    "garbage": (LETTERS + b"\r\n\r\n" + DOCUMENT, keep),
    "garbage-in-a-header": (b"HTTP/1.1 200 OK\r\n" + LETTERS + b"\r\n\r\n", keep),
    "two-lengths": (said("200 OK", "Content-Length: 3"), keep),
    "a-length-of-letters": (b"HTTP/1.1 200 OK\r\nContent-Length: " + LETTERS + b"\r\n\r\n", keep),
    "no-http": (DOCUMENT, close),
    "coding": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: " + LETTERS + b"\r\n\r\n", keep),
    "followed-by-another": (said() + said(), keep),
    "long-header": (said("200 OK", "X: " + HEADER * 5000), keep),
    "many-headers": (said("200 OK", *[f"X: {HEADER}"] * 300), keep),
    "endless": (b"HTTP/1.1 200 OK\r\n\r\n", pour),
    "length-alone": (said("200 OK").replace(b"Length: ", b"Length: 99999"), keep),
    "compressed": (said("200 OK", f"Content-Encoding: gzip, {TOKEN}"), keep),
    "cached": (said("200 OK", "Age: 5", f"X-Cache: HIT from {TOKEN}"), keep),
    "page": (said(kind=f"text/html; {HEADER}", body=b"<html>" + DOCUMENT), keep),
    "empty": (said(body=b""), keep),
    "cut-json": (said(body=DOCUMENT[:-1]), keep),
    "two-documents": (said(body=DOCUMENT + DOCUMENT), keep),
    "shape": (said(body=b"[" + DOCUMENT + b"]"), keep),
    "wrong-type": (said(body=DOCUMENT.replace(b'"live": true', b'"live": "no"')), keep),
    "other-session": (said(body=DOCUMENT.replace(b"9f3a", b"9f3a-" + TOKEN.encode())), keep),
    "image": (said(body=IMAGE, kind="image/jpeg"), keep),
    "cut-image": (said(body=IMAGE * 100, kind="image/jpeg")[:-5], close),
    "not-found": (said(body=b'"SESSION_NOT_FOUND"'), keep),
    "invalid": (said(body=b'"SESSION_INVALID"'), keep),
    "code": (said(body=b'"CANARY_ANNA"'), keep),
    "argument": (said(body=json.dumps({"argumentError": NAME + TOKEN}).encode()), keep),
    "signature": (said("200 OK", f'Authorization: signature="{TOKEN}'), keep),
    "two-signatures": (said("200 OK", "Authorization: a", f"Authorization: {HEADER}"), keep),
    "retry-after": (said(f"429 {HEADER}", f"Retry-After: {HEADER}"), keep),
    "far-future": (said("429 No", "Retry-After: 3600"), keep),
    "redirect": (said("307 No", f"Location: https://x.example/{urllib.parse.quote(HEADER)}"), keep),
    **{
        f"http-{status}": (said(f"{status} {HEADER}"), keep)
        for status in (199, 400, 401, 403, 404, 408, 409, 413, 425, 500, 501, 502, 503, 520)
    },
}

CALLS: dict[str, Callable[[IdentomatClient, Path], Awaitable[object]]] = {
    "begin": lambda client, _: client.begin(
        {"person": NAME, "x": [NUMBER, MRZ]},
        steps=[{"type": "t", "key": BIRTH}],
        parent_session=TOKEN,
    ),
    "result": lambda client, _: client.result(TOKEN),
    "delete": lambda client, _: client.delete(TOKEN),
    "media": lambda client, _: client.media(TOKEN, Media.FACE),
    "save_media": lambda client, folder: client.save_media(TOKEN, Media.FACE, folder / "face"),
    "screening_person": lambda client, _: client.screening_person(NUMBER),
    "call": lambda client, _: client.call("x", {"y": NAME, "z": TOKEN}),
    "look": lambda client, _: client.source.look(TOKEN, fresh=False),
    "fresh look": lambda client, _: client.source.look(TOKEN, fresh=True),
}


# Everything on one back end; on the other what its own streams and threads take part in.
TRIED: dict[str, list[tuple[str, str | None]]] = {
    "asyncio": [*((method, None) for method in CALLS), ("result", SECRET), ("save_media", SECRET)],
    "trio": [("begin", None), ("result", SECRET), ("save_media", None)],
}
REAL = pytest.mark.parametrize(
    "anyio_backend", [("asyncio", {}), ("trio", {})], ids=["asyncio", "trio"]
)


@asynccontextmanager
async def serving(*faults: tuple[bytes, Ending]) -> AsyncIterator[str]:
    """Answer each request with the next fault, the last for ever; gives the base URL."""
    left = list(faults)

    async def serve(stream: SocketStream) -> None:
        gone = (anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError)
        try:
            async with stream:
                buffered = BufferedByteReceiveStream(stream)
                while True:
                    head = await buffered.receive_until(b"\r\n\r\n", 65536)
                    length = int(head.lower().partition(b"content-length: ")[2].split()[0])
                    await buffered.receive_exactly(length)
                    answer, ending = left.pop(0) if len(left) > 1 else left[0]
                    await stream.send(answer) if answer else None
                    await ending(stream)
        except (*gone, anyio.IncompleteRead):
            pass

    async with (
        await anyio.create_tcp_listener(local_host="127.0.0.1") as listener,
        anyio.create_task_group() as group,
    ):
        group.start_soon(listener.serve, serve)
        yield f"http://127.0.0.1:{listener.extra(SocketAttribute.local_port)}/"
        group.cancel_scope.cancel()


def client_of(base_url: str, *, secret: str | None) -> IdentomatClient:
    return IdentomatClient(
        COMPANY,
        secret_key=secret,
        base_url=base_url,
        timeout=0.02,
        retry=RetryPolicy(attempts=1),
    )


# --- the channels ----------------------------------------------------------------------


@contextmanager
def overheard(capfd: pytest.CaptureFixture[str]) -> Iterator[list[str]]:
    """Collect what loggers, warnings, stdout and stderr are told; it is there afterwards."""
    told: list[str] = []
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logging.Formatter("%(name)s %(message)s %(args)r %(exc_text)s"))
    root, loggers = (
        logging.getLogger(),
        [logging.getLogger(n) for n in logging.root.manager.loggerDict],
    )
    levels = [(each, each.level) for each in (root, *loggers)]
    root.addHandler(handler)
    for each, _ in levels:
        each.setLevel(logging.DEBUG)
    try:
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            yield told
    finally:
        root.removeHandler(handler)
        for each, level in levels:
            each.setLevel(level)
    told += hits("loggers", stream.getvalue())
    told += hits("warnings", *(f"{each.message} {each.source!r}" for each in warned))
    out, err = capfd.readouterr()
    told += hits("stdout", out) + hits("stderr", err)


def own_frames(error: BaseException) -> types.TracebackType | None:
    """Leave out the frames of the test, which holds what it passes itself."""
    frames = error.__traceback__
    while frames is not None and "identomat_async" not in frames.tb_frame.f_code.co_filename:
        frames = frames.tb_next
    return frames


def attributes_of(thing: object, depth: int = 6) -> Iterator[object]:
    yield thing
    members = list(vars(thing).values()) if hasattr(thing, "__dict__") else []
    if isinstance(thing, list | tuple | set | frozenset):
        members += thing
    if isinstance(thing, dict):
        members += [*thing, *thing.values()]
    if depth:
        for member in members:
            yield from attributes_of(member, depth - 1)


# A client holds its keys in order to work; whoever holds the client may reach them.
NOT_FOLLOWED = (types.ModuleType, type, types.FrameType, IdentomatClient, Caller)


def reachable(*roots: object) -> list[object]:
    """Everything that the garbage collector finds from here."""
    seen: dict[int, object] = {}
    left = list(roots)
    while left:
        thing = left.pop()
        if id(thing) in seen or isinstance(thing, NOT_FOLLOWED):
            continue
        if isinstance(thing, dict) and "__builtins__" in thing:
            continue  # the globals of a function
        seen[id(thing)] = thing
        left += gc.get_referents(thing)
    return list(seen.values())


FOREIGN = ("httpx", "httpcore", "h11", "cattrs", "tenacity", "json", "anyio", "trio", "ssl")


def channels_of(error: IdentomatError) -> list[str]:
    frames = own_frames(error)
    full = traceback.TracebackException(type(error), error, frames, capture_locals=True)
    plain = traceback.format_exception(type(error), error, frames)
    bare = error.with_traceback(None)
    held = reachable(bare)
    foreign = {type(each).__module__.partition(".")[0] for each in held} & set(FOREIGN)
    assert (foreign, error.__cause__, error.__context__) == (set(), None, None)
    return [
        *hits("str", str(error)),
        *hits("repr", repr(error), repr(error.args)),
        *hits("format_exception", "".join(plain)),
        *hits("locals", "".join(full.format())),
        *hits("pickle", *(pickle.dumps(error, protocol) for protocol in range(6))),
        *hits("vars", *attributes_of(vars(error)), *map(repr, attributes_of(error))),
        *hits("gc", *(each for each in held if isinstance(each, str | bytes | bytearray))),
    ]


def answers_in(frames: types.TracebackType | None, *, sent: set[str]) -> list[str]:
    """Say what the frames of an error keep alive, but for what the caller gave them itself."""
    values: list[object] = []
    while frames is not None:
        values += frames.tb_frame.f_locals.values()
        frames = frames.tb_next
    held = reachable(*values)
    read = [
        hit
        for each in held
        if isinstance(each, str | bytes | bytearray)
        for hit in hits("frames", each)
    ]
    return [hit for hit in read if hit not in {f"frames: {each!r}" for each in sent}]


@REAL
@pytest.mark.parametrize("fault", FAULTS)
async def test_no_fault_brings_out_a_secret_or_a_person(
    fault: str, anyio_backend_name: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    leaks: dict[str, list[str]] = {}
    with overheard(capfd) as told:
        async with serving(FAULTS[fault]) as base_url:
            for method, secret in TRIED[anyio_backend_name]:
                async with client_of(base_url, secret=secret) as client:
                    error = await failure_of(CALLS[method](client, tmp_path))
                    found = hits("client", repr(client), repr(client.source))
                if error is not None:
                    given = {COMPANY, SECRET, TOKEN, *SENT.get(method, ())}
                    found += answers_in(own_frames(error), sent=given) + channels_of(error)
                if found:
                    leaks[f"{method}, {'signed' if secret else 'plain'}"] = found

    assert leaks == {}
    assert told == []


async def failure_of(call: Awaitable[object]) -> IdentomatError | None:
    try:
        await call
    except IdentomatError as error:
        return error
    return None


# --- pollers: events, figures, states, tasks -------------------------------------------


class Service:
    """Answers in memory, looks at what else can be seen meanwhile, and approves in the end."""

    def __init__(self, *answers: tuple[int, bytes, dict[str, str]]) -> None:
        self.answers = [*answers, (200, DOCUMENT, {})]
        self.seen: list[str] = []

    def __call__(self) -> Any:
        return httpx.MockTransport(self._answer)

    async def _answer(self, _: object) -> Any:
        tasks = anyio.get_running_tasks()
        self.seen += hits("tasks", *(f"{task.name} {task.id} {task!r}" for task in tasks))
        with tempfile.TemporaryFile() as dump:
            faulthandler.dump_traceback(dump, all_threads=True)
            dump.seek(0)
            self.seen += hits("faulthandler", dump.read())
        status, body, headers = self.answers[0]
        del self.answers[: len(self.answers) > 1]
        return httpx.Response(status, content=body, headers={"X-Person": TOKEN, **headers})

    def client(self) -> IdentomatClient:
        return IdentomatClient(COMPANY, transport=self)


ANSWERS: list[tuple[int, bytes, dict[str, str]]] = [
    (200, b'{"result":"in_progress","x":' + DOCUMENT + b"}", {}),
    (200, json.dumps({"result": NAME}).encode(), {}),
    (500, DOCUMENT, {}),
    (429, DOCUMENT, {"retry-after": "2"}),
    (200, DOCUMENT[:-1], {}),
    (200, DOCUMENT + DOCUMENT, {}),
    (200, b'"SESSION_NOT_FOUND"', {}),
    (404, DOCUMENT, {}),
    (200, b"<html>" + DOCUMENT, {}),
    (307, DOCUMENT, {"location": f"https://x.example/{TOKEN}"}),
    (401, DOCUMENT, {}),
    (200, json.dumps({"result": "approved", "session_token": SECRET}).encode(), {}),
]


def shown(*things: object) -> list[str]:
    return [text for each in things for text in (str(each), repr(each), f"{each}")]


async def test_a_poller_tells_nobody_what_it_sees(capfd: pytest.CaptureFixture[str]) -> None:
    events: list[Event] = []
    service = Service(*ANSWERS)
    found: list[str] = []
    with overheard(capfd) as told:
        async with (
            service.client() as client,
            ResultPoller(client, observers=[events.append], wait=wait_fixed(1)) as poller,
        ):
            await poller.watch(TOKEN, reference=NAME, deadline=10**6)
            found += hits("poller", *shown(poller, poller.stats()))
            outcomes = [outcome async for outcome in poller]
            found += hits("stats", *shown(poller, attrs.asdict(poller.stats())))
    gc.collect()

    (outcome,) = outcomes
    assert isinstance(outcome, Settled)
    assert len(service.answers) == 1
    assert len(events) > len(ANSWERS)
    found += hits("events", *(attrs.asdict(event) for event in events), *shown(*events))
    found += hits("outcome", outcome.explain(), *shown(outcome, outcome.result))
    found += hits("redacted", outcome.result.redacted())
    assert found + service.seen + told == []


@pytest.mark.parametrize("answer", ANSWERS, ids=lambda answer: f"{answer[0]}-{len(answer[1])}")
async def test_a_state_says_its_token_and_nothing_else(answer: tuple[int, bytes, Any]) -> None:
    """The token is what a state is stored for; it is documented to be in there."""
    async with Service(answer).client() as client:
        error = await failure_of(client.source.look(TOKEN, fresh=True))
    trouble = Trouble(failures=1, since=0.0, error=error)
    state = PollState(token=TOKEN, begun=0.0, watched=0.0, trouble=trouble)

    assert set(hits("state", state.to_json())) == {f"state: {TOKEN!r}"}
    assert hits("state", *shown(state, state.last_error)) == []


async def test_a_service_that_is_halted_says_so_without_names(
    capfd: pytest.CaptureFixture[str],
) -> None:
    events: list[Event] = []
    service = Service(*[(401, DOCUMENT, {})] * 4)
    deliveries: list[Delivery] = []
    with overheard(capfd) as told:
        async with service.client() as client, anyio.create_task_group() as group:
            poller = ResultPoller(client, observers=[events.append])

            def deliver(delivery: Delivery) -> None:
                deliveries.append(delivery)
                if len(deliveries) == 1:
                    raise ValueError("not now")

            await group.start(poller.run, deliver)
            await poller.watch(TOKEN, reference=NAME)
            while len(deliveries) < 2:
                await anyio.sleep(1)
            group.cancel_scope.cancel()
    gc.collect()

    assert Halted in {type(event) for event in events}
    found = hits("events", *(attrs.asdict(event) for event in events), *shown(*events))
    found += hits("delivery", *shown(*deliveries), *(each.id for each in deliveries))
    assert found + service.seen + told == []


@pytest.mark.parametrize("anyio_backend", [("asyncio", {"debug": True})], ids=["asyncio-debug"])
async def test_the_debug_mode_of_asyncio_brings_nothing_out(
    capfd: pytest.CaptureFixture[str],
) -> None:
    with overheard(capfd) as told:
        async with serving(
            *(FAULTS[name] for name in ("reset", "cut-json", "http-500", "silence"))
        ) as url:
            async with client_of(url, secret=SECRET) as client, anyio.create_task_group() as group:
                for _ in range(3):
                    group.start_soon(failure_of, client.result(TOKEN))
            with anyio.move_on_after(0.01):
                async with client_of(url, secret=None) as client:
                    await client.begin({"person": NAME})
        gc.collect()

    assert told == []


def test_the_loggers_are_overheard(capfd: pytest.CaptureFixture[str]) -> None:
    with overheard(capfd) as told:
        logging.getLogger("httpcore.http11").debug("read %r", {"x": TOKEN})
        logging.getLogger("any").error("no", exc_info=ValueError(NAME))
        warnings.warn(f"{NUMBER}", stacklevel=1)
        sys.stderr.write(json.dumps(NAME))

    assert {each.partition(":")[0] for each in told} == {"loggers", "warnings", "stderr"}


def test_what_an_error_holds_is_found() -> None:
    class Held:
        def __init__(self) -> None:
            self.inside = [{"x": (DOCUMENT,)}]

    assert hits("gc", *(each for each in reachable(Held()) if isinstance(each, bytes)))
    assert hits("vars", *map(repr, attributes_of(Held())))


# --- who is cancelled ------------------------------------------------------------------


async def natively(call: Callable[[], Awaitable[object]], arrived: anyio.Event) -> None:
    task = asyncio.ensure_future(call())
    await arrived.wait()
    await anyio.sleep(0.02)
    task.cancel()
    await task


async def waited_for(call: Callable[[], Awaitable[object]], _: anyio.Event) -> None:
    await asyncio.wait_for(call(), 0.2)


async def timed_out(call: Callable[[], Awaitable[object]], _: anyio.Event) -> None:
    async with asyncio.timeout(0.2):
        await call()


async def scoped(call: Callable[[], Awaitable[object]], _: anyio.Event) -> None:
    with anyio.fail_after(0.2):
        await call()


CUTS = {
    "native": (natively, ("asyncio", {})),
    "wait_for": (waited_for, ("asyncio", {})),
    "timeout": (timed_out, ("asyncio", {})),
    "scope": (scoped, ("asyncio", {})),
    "trio": (scoped, ("trio", {})),
}
WHO_WAITS = {
    **CALLS,
    "wait": lambda client, _: client.wait(TOKEN),
}


@pytest.mark.parametrize("method", WHO_WAITS)
@pytest.mark.parametrize(("cut", "anyio_backend"), list(CUTS.values()), ids=list(CUTS))
async def test_who_is_cancelled_shows_nothing_in_its_frames(method, cut, tmp_path) -> None:
    arrived = anyio.Event()

    async def stop_short(stream: SocketStream) -> None:
        arrived.set()
        await stream.receive()

    async with (
        serving((said()[:-5], stop_short)) as base_url,
        IdentomatClient(COMPANY, secret_key=SECRET, base_url=base_url) as client,
    ):
        with pytest.raises((TimeoutError, asyncio.CancelledError)) as caught:
            await cut(lambda: WHO_WAITS[method](client, tmp_path), arrived)

    assert arrived.is_set()
    assert not shown_by(caught.value, sent={COMPANY, SECRET, TOKEN, *SENT.get(method, ())})


def shown_by(error: BaseException | None, *, sent: set[str]) -> list[str]:
    """Say what the frames of an error and of all that it came from show of the library."""
    shown: list[str] = []
    while error is not None:
        frames = own_frames(error)
        full = traceback.TracebackException(type(error), error, frames, capture_locals=True)
        shown += hits("locals", "".join(full.format(chain=False)))
        shown += answers_in(frames, sent=sent)
        error = error.__cause__ or error.__context__
    return shown
