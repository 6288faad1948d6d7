"""What docs/testing.md says is true: every block of it is a test file that is run."""

import os
from xml.etree import ElementTree as ET

import pytest

from identomat_async.testing import JournalConformance
from tests._docs_ground import DOCS, blocks_of

BLOCKS = blocks_of(DOCS / "testing.md")
WITH_ANYIO = "[pytest]\nanyio_mode = auto\naddopts = -p no:asyncio\nfilterwarnings = error\n"
WITH_ASYNCIO = """[pytest]
asyncio_mode = auto
asyncio_default_fixture_loop_scope = function
filterwarnings = error
"""


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


def test_and_takes_less_than_50_milliseconds(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Measured as it is for users, and not while it is traced.
    for name in [name for name in os.environ if name.startswith("COV")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    repeated = "def pytest_generate_tests(metafunc):\n    metafunc.fixturenames.append('n')\n"
    pytester.makeconftest(repeated + "    metafunc.parametrize('n', range(5))\n")
    pytester.makepyfile(BLOCKS[0])
    pytester.makeini(WITH_ANYIO)

    plugins = ("-p", "anyio", "-p", "pytest_identomat")
    run = pytester.runpytest_subprocess(*plugins, "--junitxml=times.xml")

    run.assert_outcomes(passed=10)

    # With setup and teardown. One run imports what is not there yet; the machine may be busy.
    cases = ET.parse(pytester.path / "times.xml").iter("testcase")  # noqa: S314 - our own
    times = [(case.attrib["name"], float(case.attrib["time"])) for case in cases]
    for backend in ("asyncio", "trio"):
        assert min(spent for name, spent in times if backend in name) < 0.05
