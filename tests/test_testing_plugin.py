"""The fixtures, as the tests of a user have them: each of these runs pytest inside of pytest."""

import os
import subprocess
import sys
from importlib.metadata import entry_points

import pytest
import pytest_asyncio  # noqa: F401 - what is imported here is not imported anew in each run
import starlette.testclient  # noqa: F401 - as above

import identomat_async.testing._trio  # noqa: F401 - as above

ANYIO = "[pytest]\nanyio_mode = auto\naddopts = -p no:asyncio\nfilterwarnings = error\n"
ASYNCIO = """[pytest]
asyncio_mode = auto
asyncio_default_fixture_loop_scope = {scope}
asyncio_default_test_loop_scope = {scope}
filterwarnings = error
"""

FLOW = """
import pytest
from identomat_async import Flags, Until

async def test_a_flow(identomat_sandbox, identomat_client, identomat_clock):
    identomat_sandbox.script("approved", after=30)
    token = await identomat_client.begin(Flags(liveness=True))
    await identomat_clock.advance(29)
    assert not (await identomat_client.result(token)).status.is_approved
    await identomat_clock.advance(1)
    assert (await identomat_client.result(token)).status.is_approved

@pytest.fixture
async def token(identomat_client, identomat_sandbox):
    token = await identomat_client.begin()
    yield token
    assert identomat_sandbox.truth(token).status == "approved"

async def test_async_fixtures_are_on_the_clock(token, identomat_client, identomat_clock):
    await identomat_clock.advance(30)
    assert (await identomat_client.result(token)).status.is_approved
"""

BLOCK = """
import pytest

@pytest.fixture
async def poller(identomat_poller):
    async with identomat_poller:
        yield identomat_poller

async def test_it(poller, identomat_client, identomat_sandbox, identomat_clock):
    token = await identomat_client.begin()
    await poller.watch(token, reference="user")
    await identomat_clock.advance(80)
    outcome = await anext(poller)
    assert outcome.reference == "user"
    assert outcome.result.status.is_approved
    truth = identomat_sandbox.truth(token)
    assert 30 <= truth.last_poll - truth.begun_at < 80
"""


def run(pytester: pytest.Pytester, settings: str, code: str) -> list[int]:
    """Run a test file; gives how many passed, were skipped and failed."""
    pytester.makeini(settings)
    pytester.makepyfile(code)
    return pytester.inline_run().countoutcomes()


def test_anyios_plugin_runs_them_on_both_backends(pytester: pytest.Pytester) -> None:
    assert run(pytester, ANYIO, FLOW) == [4, 0, 0]


def test_a_block_that_a_fixture_of_anyios_enters_is_on_the_clock(
    pytester: pytest.Pytester,
) -> None:
    assert run(pytester, ANYIO, BLOCK) == [2, 0, 0]


def test_the_options_of_a_backend_are_kept_but_for_its_clock(pytester: pytest.Pytester) -> None:
    backend = """
@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request):
    options = {"use_uvloop": True, "debug": True} if request.param == "asyncio" else {}
    return request.param, options

async def test_the_options_are_kept(identomat_clock, anyio_backend_name):
    import asyncio
    if anyio_backend_name == "asyncio":
        assert asyncio.get_running_loop().get_debug()
"""
    flow, _, _ = FLOW.partition("@pytest.fixture")
    assert run(pytester, ANYIO, flow + backend) == [4, 0, 0]


def test_pytest_asyncio_runs_them_in_its_auto_mode(pytester: pytest.Pytester) -> None:
    assert run(pytester, ASYNCIO.format(scope="function"), FLOW) == [2, 0, 0]


def test_an_event_loop_that_is_shared_is_not_on_the_clock_and_says_so(
    pytester: pytest.Pytester,
) -> None:
    code = """
import pytest
from identomat_async.errors import ConfigurationError

async def test_first():
    pass

async def test_shared(identomat_clock, identomat_client):
    await identomat_client.begin()
    with pytest.raises(ConfigurationError, match="another clock: it was made before"):
        await identomat_clock.advance(1)
"""
    assert run(pytester, ASYNCIO.format(scope="session"), code) == [2, 0, 0]


def test_an_async_fixture_of_a_larger_scope_is_left_alone(pytester: pytest.Pytester) -> None:
    code = """
import pytest

@pytest.fixture(scope="module")
async def shared():
    yield 5

async def test_it(shared, identomat_clock):
    assert shared == 5
"""
    assert run(pytester, ANYIO, code) == [2, 0, 0]


def test_a_plain_test_has_its_event_loops_on_the_clock(pytester: pytest.Pytester) -> None:
    code = """
import asyncio
import anyio
import pytest

async def main(sandbox, client):
    return await client.wait(await client.begin())

def test_asyncio(identomat_sandbox, identomat_client, identomat_clock):
    identomat_clock.jump()
    result = asyncio.run(main(identomat_sandbox, identomat_client))
    assert result.status.is_approved

def test_trio(identomat_sandbox, identomat_client, identomat_clock):
    identomat_clock.jump()
    options = identomat_clock.backend_options("trio")
    result = anyio.run(
        main, identomat_sandbox, identomat_client, backend="trio", backend_options=options
    )
    assert result.status.is_approved

def test_none_is_on_it_any_more():
    loop = asyncio.new_event_loop()
    assert type(loop).__module__.startswith("asyncio.")
    loop.close()
"""
    assert run(pytester, ANYIO, code) == [3, 0, 0]


def test_an_app_in_a_test_client_has_its_time_advanced_from_outside(
    pytester: pytest.Pytester,
) -> None:
    code = """
from contextlib import asynccontextmanager

import anyio
import pytest
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.testclient import TestClient

@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_it(identomat_sandbox, identomat_client, identomat_poller, identomat_clock, backend):
    told = []

    @asynccontextmanager
    async def lifespan(app):
        async with anyio.create_task_group() as tasks:
            await tasks.start(identomat_poller.run, told.append)
            yield
            tasks.cancel_scope.cancel()

    async def begin(request):
        token = await identomat_client.begin()
        await identomat_poller.watch(token)
        return JSONResponse(token)

    app = Starlette(routes=[Route("/", begin)], lifespan=lifespan)
    options = identomat_clock.backend_options(backend)
    identomat_sandbox.script("manual_check", after=20)
    with TestClient(app, backend=backend, backend_options=options) as browser:
        token = browser.get("/").json()
        identomat_clock.advance(19)
        assert told == []
        identomat_clock.advance(60)
        assert [delivery.token for delivery in told] == [token]
        identomat_sandbox.script("approved", after=7200, token=token)
        identomat_clock.advance(7200)
        assert identomat_sandbox.truth(token).status == "approved"
    identomat_clock.advance(5)
    assert 79 + 7200 + 5 == identomat_clock.now() - identomat_sandbox.truth(token).begun_at
"""
    assert run(pytester, ANYIO, code) == [2, 0, 0]


def test_the_environment_leads_to_a_server_or_into_the_process(pytester: pytest.Pytester) -> None:
    code = """
import os
import pytest
from identomat_async import IdentomatClient

NAMES = ["IDENTOMAT_COMPANY_KEY", "IDENTOMAT_SECRET_KEY", "IDENTOMAT_BASE_URL"]

async def test_a_server(identomat_env, identomat_server, identomat_sandbox):
    assert os.environ["IDENTOMAT_BASE_URL"] == identomat_server.base_url
    async with IdentomatClient.from_env() as client:
        token = await client.begin()
    assert identomat_sandbox.tokens == (token,)

async def test_in_process(identomat_env, identomat_sandbox, identomat_clock):
    assert list(identomat_env) == NAMES
    async with IdentomatClient.from_env(transport=identomat_sandbox.transport) as client:
        token = await client.begin()
    assert identomat_sandbox.tokens == (token,)

def test_it_is_gone():
    assert [name for name in NAMES if name in os.environ] == []
"""
    assert run(pytester, ANYIO, code) == [5, 0, 0]


def test_an_account_of_ones_own_goes_for_all(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IDENTOMAT_SECRET_KEY", "of-somebody-else")
    code = """
import os
import pytest
from identomat_async.testing import Account

@pytest.fixture
def identomat_account():
    return Account(company_key="another-key", secret_key=None)

async def test_it(identomat_client, identomat_env):
    assert os.environ["IDENTOMAT_COMPANY_KEY"] == "another-key"
    assert "IDENTOMAT_SECRET_KEY" not in os.environ
    result = await identomat_client.result(await identomat_client.begin())
    assert result.signature is None
"""
    assert run(pytester, ANYIO, code) == [2, 0, 0]


def test_a_server_does_not_start_where_time_stands_still(pytester: pytest.Pytester) -> None:
    code = "def test_it(identomat_clock, identomat_server): pass"
    pytester.makepyfile(code)

    result = pytester.runpytest_inprocess("-p", "no:asyncio")

    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*speak in process, through transport=*"])


def test_the_guards_fail_a_test_that_does_what_they_forbid(pytester: pytest.Pytester) -> None:
    code = """
import logging
import socket

def test_away(identomat_loopback_only):
    try:
        socket.create_connection(("192.0.2.1", 443), timeout=1)
    except OSError:
        pass

def test_shown(identomat_no_leaks, identomat_account):
    logging.getLogger("shop").debug("the key is %s", identomat_account.company_key)

def test_good(identomat_loopback_only, identomat_no_leaks, identomat_client):
    repr(identomat_client)
"""
    pytester.makepyfile(code)

    result = pytester.runpytest_inprocess("-p", "no:asyncio")

    result.assert_outcomes(passed=3, errors=2)
    result.stdout.fnmatch_lines(
        ["*the test tried to reach 192.0.2.1", "*secret 1 is in a log record"]
    )


def test_the_plugin_is_found_and_can_be_left_out(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_it(identomat_sandbox): pass")

    assert [found.value for found in entry_points(group="pytest11", name="identomat")] == [
        "pytest_identomat"
    ]
    pytester.runpytest_inprocess("-p", "no:asyncio").assert_outcomes(passed=1)
    pytester.runpytest_inprocess("-p", "no:asyncio", "-p", "no:identomat").assert_outcomes(errors=1)


def test_it_imports_nothing_until_a_fixture_is_asked_for(pytester: pytest.Pytester) -> None:
    # A process of its own, in which nothing of the library has been imported.
    pytester.makepyfile("""
import sys

def test_it():
    assert "pytest_identomat" in sys.modules
    dear = {"identomat_async", "anyio", "asyncio", "attr", "httpx", "starlette", "uvicorn"}
    assert dear & set(sys.modules) == set()
""")
    # Nor has any other plugin, which brings what it brings.
    told = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "pytest_identomat"],
        cwd=pytester.path,
        env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert told.returncode == 0, told.stdout
