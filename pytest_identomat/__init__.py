"""
The pytest plugin of identomat-async, which imports it when a test asks for a fixture.

It is a package of its own, so that pytest need not import the library in order to find
out that there are fixtures. ``-p no:identomat`` leaves them out.
"""

from __future__ import annotations

from inspect import isgeneratorfunction
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from identomat_async import IdentomatClient, ResultPoller
    from identomat_async.sandbox import Sandbox, SandboxServer
    from identomat_async.testing import Account, LeakGuard, NetworkGuard, VirtualClock

_CLOCK = "identomat_clock"

# The tests that users inherit say what they found as tests of theirs do.
pytest.register_assert_rewrite("identomat_async.testing._journal")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Let the clock be there before anybody makes an event loop."""
    names: list[str] = getattr(item, "fixturenames", [])
    if _CLOCK in names:
        names.remove(_CLOCK)
        names.insert(0, _CLOCK)


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Generator[None, Any, Any]:
    """Put the event loop of a test on the clock; anyio makes one for each test."""
    arguments = pyfuncitem.funcargs
    if _CLOCK in arguments and "anyio_backend" in arguments:
        backend: Any = arguments["anyio_backend"]
        arguments["anyio_backend"] = _on(arguments[_CLOCK], backend)
    return (yield)


@pytest.hookimpl(wrapper=True, trylast=True)
def pytest_fixture_setup(
    fixturedef: pytest.FixtureDef[Any], request: pytest.FixtureRequest
) -> Generator[None, Any, Any]:
    """Do so too where an async fixture comes first; the test then shares its event loop."""
    given: Any = fixturedef.func
    if not _is_on_clock(fixturedef, request):
        return (yield)
    clock = request.getfixturevalue(_CLOCK)

    def wrapper(anyio_backend: Any, **arguments: Any) -> Iterator[Any]:
        yield from given(_on(clock, anyio_backend), **arguments)

    fixturedef.func = wrapper  # type: ignore[misc]
    try:
        return (yield)
    finally:
        fixturedef.func = given  # type: ignore[misc]


def _is_on_clock(fixture: pytest.FixtureDef[Any], request: pytest.FixtureRequest) -> bool:
    # This hook is the last, and so inside of what anyio has just done to an async fixture.
    return (
        _CLOCK in request.fixturenames
        and fixture.scope == "function"
        and isgeneratorfunction(fixture.func)
        and fixture.func.__module__ == "anyio.pytest_plugin"
    )


def _on(clock: Any, backend: str | tuple[str, dict[str, Any]]) -> tuple[str, dict[str, Any]]:
    name, options = (backend, {}) if isinstance(backend, str) else backend
    kept = {key: value for key, value in options.items() if key != "use_uvloop"}
    return name, {**kept, **clock.backend_options(name)}


@pytest.fixture
def identomat_account() -> Account:
    """The invented keys; override it to have others, or no signatures."""
    from identomat_async.testing import Account  # noqa: PLC0415

    return Account()


@pytest.fixture
def identomat_clock() -> Iterator[VirtualClock]:
    """Time that stands still: ``await identomat_clock.advance(seconds)`` lets it pass."""
    from identomat_async.testing._install import installed_clock  # noqa: PLC0415

    with installed_clock() as clock:
        yield clock


@pytest.fixture
def identomat_sandbox(identomat_account: Account, request: pytest.FixtureRequest) -> Sandbox:
    """A local Identomat in process; sessions are approved after 30 s unless told otherwise."""
    if _CLOCK in request.fixturenames:
        return identomat_account.sandbox(request.getfixturevalue(_CLOCK).now)
    return identomat_account.sandbox()


@pytest.fixture
def identomat_server(
    identomat_sandbox: Sandbox, request: pytest.FixtureRequest
) -> Iterator[SandboxServer]:
    """The same sandbox on a port of this machine, in a thread of its own."""
    if _CLOCK in request.fixturenames:
        raise pytest.UsageError(
            "identomat_server runs on real time, identomat_clock stands still: with the clock "
            "speak in process, through transport=identomat_sandbox.transport"
        )
    with identomat_sandbox.serve() as server:
        yield server


@pytest.fixture
def identomat_env(
    identomat_account: Account, request: pytest.FixtureRequest
) -> Iterator[dict[str, str]]:
    """
    The three variables that ``IdentomatClient.from_env()`` reads, for the time of a test.

    They lead to ``identomat_server``; beside ``identomat_clock``, where there is none, to
    the sandbox in process, for ``from_env(transport=identomat_sandbox.transport)``.
    """
    near = _CLOCK in request.fixturenames
    reached = request.getfixturevalue("identomat_sandbox" if near else "identomat_server")
    variables = dict(identomat_account.environment(reached.base_url))
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("IDENTOMAT_SECRET_KEY", raising=False)  # one that is not of this account
        for name, value in variables.items():
            patch.setenv(name, value)
        yield variables


@pytest.fixture
def identomat_client(identomat_account: Account, identomat_sandbox: Sandbox) -> IdentomatClient:
    """A client of the sandbox in process, for one event loop; nothing need close it."""
    return identomat_account.client(identomat_sandbox)


@pytest.fixture
def identomat_poller(identomat_client: IdentomatClient) -> ResultPoller:
    """A poller of that client: enter it, run it, or await its ``wait``."""
    from identomat_async import ResultPoller  # noqa: PLC0415

    return ResultPoller(identomat_client)


@pytest.fixture
def identomat_loopback_only() -> Iterator[NetworkGuard]:
    """A guard: who leaves this machine is refused, and the test fails."""
    from identomat_async.testing import NetworkGuard  # noqa: PLC0415

    with NetworkGuard() as guard:
        yield guard
    guard.check()


@pytest.fixture
def identomat_no_leaks(identomat_account: Account) -> Iterator[LeakGuard]:
    """A guard: the test fails if a key, or what it plants, is in a log, repr or traceback."""
    from identomat_async.testing import LeakGuard  # noqa: PLC0415

    with LeakGuard(identomat_account.secrets) as guard:
        yield guard
        guard.check()
