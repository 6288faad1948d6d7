"""
The pytest plugin of identomat-async, which imports it when a test asks for a fixture.

It is a package of its own, so that pytest need not import the library in order to find
out that there are fixtures. ``-p no:identomat`` leaves them out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from identomat_async import IdentomatClient, ResultPoller
    from identomat_async.sandbox import Sandbox, SandboxServer
    from identomat_async.testing import Account, LeakGuard, NetworkGuard, VirtualClock

_CLOCK = "identomat_clock"


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Let the clock be there before anybody makes an event loop."""
    names: list[str] = getattr(item, "fixturenames", [])
    if _CLOCK in names:
        names.remove(_CLOCK)
        names.insert(0, _CLOCK)


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Generator[None, Any, Any]:
    """Put the event loop of anyio's plugin on the clock; trio's can be named only there."""
    arguments = pyfuncitem.funcargs
    clock = arguments.get(_CLOCK)
    backend = arguments.get("anyio_backend")
    if clock is not None and backend is not None:
        name, options = (backend, {}) if isinstance(backend, str) else backend
        kept = {key: value for key, value in options.items() if key != "use_uvloop"}
        arguments["anyio_backend"] = name, {**kept, **clock.backend_options(name)}
    return (yield)


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
