"""The guards see what they are there for, and nothing else."""

import asyncio
import base64
import logging
import socket
import urllib.parse

import attrs
import pytest

from identomat_async.errors import IdentomatError
from identomat_async.testing import LeakGuard, NetworkGuard

SECRET = "pässword+/of Anna"


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, object]]:
    return "asyncio", {}


@pytest.mark.parametrize("host", ["192.0.2.1", "10.0.0.1", "2001:db8::1"])
def test_no_connection_leaves_this_machine(host: str) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with (
        NetworkGuard() as guard,
        socket.socket(family) as plug,
        pytest.raises(ConnectionRefusedError, match="lets nobody reach"),
    ):
        plug.connect((host, 443))

    assert guard.refused == [host]
    with pytest.raises(AssertionError, match=f"the test tried to reach {host}"):
        guard.check()


def test_nor_a_datagram() -> None:
    with (
        NetworkGuard() as guard,
        socket.socket(type=socket.SOCK_DGRAM) as plug,
        pytest.raises(ConnectionRefusedError),
    ):
        plug.sendto(b"?", ("192.0.2.1", 53))

    assert repr(guard) == "<NetworkGuard refused=['192.0.2.1']>"


@pytest.mark.parametrize("name", ["shop.example", b"shop.example"], ids=["text", "bytes"])
def test_nor_the_question_where_a_name_is(name: str | bytes) -> None:
    with NetworkGuard() as guard, pytest.raises(ConnectionRefusedError):
        socket.getaddrinfo(name, 443)

    assert guard.refused == ["shop.example"]


async def test_event_loops_are_seen_too() -> None:
    with NetworkGuard() as guard, pytest.raises(OSError, match="lets nobody reach"):
        await asyncio.open_connection("192.0.2.1", 443)

    assert guard.refused == ["192.0.2.1"]


def test_this_machine_may_speak_to_itself() -> None:
    with NetworkGuard() as guard, socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        socket.create_connection(("localhost", port)).close()
        socket.create_connection(("127.0.0.1", port)).close()
        socket.getaddrinfo("192.0.2.1", 443, flags=socket.AI_NUMERICHOST)
        socket.getaddrinfo(None, 443)
        left, right = socket.socketpair()
        left.sendmsg([b"hello"])
        with left, right, socket.socket(socket.AF_UNIX) as plug, pytest.raises(FileNotFoundError):
            plug.connect("/nobody/listens/here")

    guard.check()


def test_the_guard_goes_off_duty() -> None:
    with NetworkGuard() as guard:
        pass
    with socket.socket(type=socket.SOCK_DGRAM) as plug:
        plug.connect(("192.0.2.1", 53))  # sends nothing

    guard.check()


@attrs.define
class Careless:
    """What a user may have made."""

    key: str


@pytest.mark.parametrize(
    "shown",
    [
        SECRET,
        SECRET[::-1],
        SECRET.encode().hex(),
        urllib.parse.quote(SECRET, safe=""),
        urllib.parse.quote_plus(SECRET),
        *(base64.b64encode(b"x" * n + SECRET.encode() + b" and more").decode() for n in range(4)),
        Careless(SECRET),
        [SECRET],
        ValueError(SECRET),
    ],
    ids=range(12),
)
def test_a_secret_is_found_however_it_is_written(shown: object) -> None:
    guard = LeakGuard([SECRET])

    with pytest.raises(AssertionError, match="secret 1 is in") as caught:
        guard.check(shown)
    assert SECRET not in str(caught.value)
    guard = LeakGuard(["something else"])
    guard.check(shown)
    assert repr(guard) == "<LeakGuard secrets=1>"


def test_every_record_is_looked_at_with_its_error_and_its_extras() -> None:
    logger = logging.getLogger("shop")
    level = logging.getLogger().level
    for log in (
        lambda: logger.debug("it is %s", SECRET),
        lambda: logger.info("it is", extra={"key": SECRET}),
        lambda: logger.error("it failed", exc_info=ValueError(SECRET)),
    ):
        with LeakGuard(["another secret", SECRET]) as guard:
            logger.info("nothing")
            guard.check()
            log()
        with pytest.raises(AssertionError, match="secret 2 is in a log record"):
            guard.check()
    assert logging.getLogger().level == level


def test_errors_that_are_alive_are_looked_at_to_their_last_variable() -> None:
    guard = LeakGuard([SECRET])
    namespace: dict[str, object] = {"__name__": "identomat_async.x", "E": IdentomatError}
    exec("def fail(inner):\n    raise E('nothing')\n", namespace)  # noqa: S102 - our own
    with pytest.raises(IdentomatError) as caught:
        namespace["fail"](SECRET)  # type: ignore[operator]

    with pytest.raises(AssertionError, match=r"secret 1 is in an error \(IdentomatError\)"):
        guard.check()
    del caught


def test_what_is_alive_of_the_library_is_looked_at() -> None:
    guard = LeakGuard([SECRET])

    class Open:
        def __repr__(self) -> str:
            return SECRET

    kept = Open()
    guard.check()
    Open.__module__ = "identomat_async._somewhere"
    with pytest.raises(AssertionError, match="secret 1 is in the repr of a Open"):
        guard.check()
    Open.__module__ = "identomat_async.sandbox._somewhere"
    guard.check()
    assert repr(kept) == SECRET


def test_a_secret_that_is_found_by_chance_is_refused() -> None:
    with pytest.raises(ValueError, match="less than four"):
        LeakGuard(["abc"])


@pytest.mark.parametrize("secret", ["Zxqw", "Zxqwv", "Zxqwvu"])
def test_a_short_secret_is_not_found_where_it_is_not(secret: str) -> None:
    with LeakGuard() as guard:
        guard.plant(secret)
        guard.check("nothing of it in a text that is long enough for a chance")
        with pytest.raises(AssertionError):
            guard.check(f"but {secret} here")
