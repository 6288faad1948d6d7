"""What docs/testing.md says is true: every program of it is a test file that is run."""

import pytest

from identomat_async.testing import JournalConformance
from tests._docs_ground import DOCS, blocks_of

PAGE = DOCS / "testing.md"
BLOCKS = blocks_of(PAGE)
WITH_ANYIO = "[pytest]\nanyio_mode = auto\naddopts = -p no:asyncio\nfilterwarnings = error\n"
WITH_ASYNCIO = """[pytest]
asyncio_mode = auto
asyncio_default_fixture_loop_scope = function
filterwarnings = error
"""


@pytest.mark.thorough
@pytest.mark.parametrize("settings", [WITH_ANYIO, WITH_ASYNCIO], ids=["anyio", "pytest-asyncio"])
def test_every_block_is_a_test_that_passes(pytester: pytest.Pytester, settings: str) -> None:
    pytester.makepyfile(**{f"test_block_{n}": block for n, block in enumerate(BLOCKS)})
    pytester.makeini(settings)

    # In a process of its own, since the guards look at everything that is alive.
    outcomes = pytester.runpytest_subprocess().parseoutcomes()

    inherited = sum(name.startswith("test_") for name in dir(JournalConformance))
    tests = sum(block.count("def test_") for block in BLOCKS) + inherited
    coroutines = sum(block.count("async def test_") for block in BLOCKS)
    assert all("def test_" in block or "class Test" in block for block in BLOCKS)
    assert outcomes == {"passed": tests + (coroutines if settings is WITH_ANYIO else 0)}


def test_the_first_is_a_whole_flow_in_less_than_ten_lines() -> None:
    lines = [line for line in BLOCKS[0].splitlines() if line.strip()]

    assert len(lines) < 10


def test_and_passes_with_the_settings_that_the_page_says_before(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    (settings,) = blocks_of(PAGE, "toml")
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    pytester.makepyprojecttoml(settings)
    pytester.makepyfile(BLOCKS[0])

    run = pytester.runpytest_subprocess("-p", "anyio", "-p", "pytest_identomat")

    run.assert_outcomes(passed=2)
    assert PAGE.read_text().index(settings) < PAGE.read_text().index(BLOCKS[0])


TIMED = """
import time
import pytest

def pytest_generate_tests(metafunc):
    metafunc.fixturenames.append("n")
    metafunc.parametrize("n", range(20))

@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item):
    began, spent = time.perf_counter(), time.process_time()
    result = yield
    spent, passed = time.process_time() - spent, time.perf_counter() - began
    with open("times", "a") as times:
        print(item.name, spent, passed, file=times)
    return result
"""


def test_and_takes_less_than_50_milliseconds(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, untraced: None
) -> None:
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    pytester.makeconftest(TIMED)
    pytester.makepyfile(BLOCKS[0])
    pytester.makeini(WITH_ANYIO)

    run = pytester.runpytest_subprocess("-p", "anyio", "-p", "pytest_identomat")

    run.assert_outcomes(passed=40)

    # With setup and teardown. One run imports what is not there yet; others may keep the machine
    # busy, but nothing waits.
    times = [line.rsplit(" ", 2) for line in (pytester.path / "times").read_text().splitlines()]
    for backend in ("asyncio", "trio"):
        assert min(float(spent) for name, spent, _ in times if backend in name) < 0.05
        assert min(float(passed) for name, _, passed in times if backend in name) < 0.5
