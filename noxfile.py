"""What `.ci/run` leaves out, and more; `nox -l` lists it. Missing interpreters are said."""

import re
import tomllib
from pathlib import Path

import nox

nox.options.default_venv_backend = "venv"
nox.options.error_on_missing_interpreters = False
nox.options.sessions = ["tests", "tests_lowest", "tests_random", "wheel"]

PYTHONS = ["3.11", "3.12", "3.13", "3.14"]
OLDEST = PYTHONS[0]
PROJECT = tomllib.loads(Path("pyproject.toml").read_text())["project"]


def lowest() -> list[str]:
    """Return the lowest version of everything that the library or an extra of it needs."""
    extras = PROJECT["optional-dependencies"]
    wanted = [*PROJECT["dependencies"], *(each for some in extras.values() for each in some)]
    pinned = {}
    for requirement in wanted:
        if found := re.match(r"([\w-]+)(?:\[[\w,-]+\])?>=([\d.]+)", requirement):
            pinned[found[1]] = f"{found[1]}=={found[2]}"
    return sorted(pinned.values())


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """Run the whole suite, with both HTTP libraries."""
    session.install("-e", ".[test]")
    session.run("pytest", *WHOLE, *session.posargs)
    session.run("pytest", *WHOLE, "--engine", "httpx2", *WIRE)


@nox.session(python=OLDEST)
def nightly(session: nox.Session) -> None:
    """Run what takes too long for every change, and the soak with ten thousand sessions."""
    session.install("-e", ".[test]")
    session.run("pytest", "-m", "nightly", *session.posargs)
    session.run("python", "-m", "benchmarks", "soak", "--sessions", "10000", "--quick", "--check")


@nox.session(python=OLDEST)
def tests_lowest(session: nox.Session) -> None:
    """Run the suite with the lowest versions that are declared."""
    constraints = Path(session.create_tmp()) / "lowest.txt"
    constraints.write_text("\n".join(lowest()))
    session.install("-e", ".[test]", "-c", str(constraints))
    session.run("pytest", *WHOLE, *session.posargs)


@nox.session(python=OLDEST)
def tests_random(session: nox.Session) -> None:
    """Run the suite three times, each time in another order."""
    session.install("-e", ".[test]", "pytest-random-order>=1.1")
    # Two processes have to agree on what the order is.
    for seed in ("1", "2", "3"):
        order = ("--random-order", "--random-order-bucket=global", f"--random-order-seed={seed}")
        session.run("pytest", *WHOLE, *order, *session.posargs)


@nox.session(python=OLDEST)
def wheel(session: nox.Session) -> None:
    """Build twice, compare, and run the suite against what was built, in an empty place."""
    session.install("build")
    tmp = Path(session.create_tmp())
    for number in ("1", "2"):
        session.run("python", "-m", "build", "--outdir", str(tmp / number), silent=True)
    for path in (tmp / "1").iterdir():
        if path.read_bytes() != (tmp / "2" / path.name).read_bytes():
            session.error(f"two builds of {path.name} differ")
    (built,) = (tmp / "1").glob("*.whl")
    session.install(f"{built}[test]")
    place = tmp / "place"
    session.run("python", "-c", COPY, str(place))
    session.chdir(place)
    session.run("pytest", *WHOLE, *session.posargs)


@nox.session(python=OLDEST)
def mutation(session: nox.Session) -> None:
    """Change the code that everything hangs on, and count the changes that no test finds."""
    session.install("-e", ".[test]", "mutmut==3.8.1")
    session.run("python", "-m", "tests.mutation")


@nox.session(python=OLDEST)
def audit(session: nox.Session) -> None:
    """Look for known holes in what is installed with every extra, and in the workflows."""
    session.install("-e", ".[cli,docket,httpx2,otel,sandbox]", "pip-audit", "zizmor")
    # What cannot be looked up is a failure: only our own package is left out.
    frozen = session.run("pip", "freeze", "--all", "--exclude-editable", silent=True)
    pinned = Path(session.create_tmp()) / "installed.txt"
    pinned.write_text(str(frozen))
    session.run("pip-audit", "--strict", "--disable-pip", "--no-deps", "-r", str(pinned))
    session.run("zizmor", "--offline", ".github/workflows")


@nox.session(python=OLDEST)
def benchmarks(session: nox.Session) -> None:
    """Measure what the benchmarks promise; this wants a quiet machine with two cores."""
    session.install("-e", ".[test]")
    session.run("python", "-m", "benchmarks", "all", "--check", *session.posargs)


# With what is marked `thorough`, on every core.
WHOLE = (
    *("-n", "auto", "--dist", "worksteal"),
    *("-m", "not nightly and not durability and not browser and not docs"),
)
WIRE = [
    *sorted(map(str, Path("tests").glob("test_client*.py"))),
    *sorted(map(str, Path("tests").glob("test_wire_*.py"))),
    *sorted(map(str, Path("tests").glob("test_hostile_*.py"))),
    "tests/test_conformance.py",
    "tests/test_canary.py",
    "tests/test_cancel_everywhere.py",
    "tests/test_signature_forgeries.py",
]
# Everything but the packages, so that only the installed ones can be imported.
COPY = """
import shutil, sys
skipped = ("identomat_async", "pytest_identomat", "build", "dist", ".*", "__pycache__")
shutil.copytree(".", sys.argv[1], ignore=shutil.ignore_patterns(*skipped), dirs_exist_ok=True)
"""
