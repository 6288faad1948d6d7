"""The public API is a contract: it changes on purpose or not at all, and all of it is explained."""

import ast
import builtins
import inspect
import re
import sys
from enum import Enum
from itertools import pairwise
from pathlib import Path
from types import FunctionType
from typing import Any

import pytest

import identomat_async
import pytest_identomat
from tests.public_api import MADE_HERE, WRITTEN, everything, lines, members

# They come from a base class outside of this package, which explains them.
ELSEWHERE = {"__aenter__", "__aiter__", "__anext__"}

# Who closes, or takes a place in a budget, can do no wrong.
NEVER_RAISES = {"RateBudget.acquire", "ResultPoller.aclose", "OtelResultPoller.aclose"}

FIXTURES = [name for name in vars(pytest_identomat) if name.startswith("identomat_")]

# An `IdentomatClient` is one, a transport of the HTTP library is one, and a schedule's base.
NEEDS_NO_NAME = {"HasSource", "Transport", "wait_density"}


def callables() -> list[Any]:
    found: dict[str, Any] = {}
    for name, each in everything():
        if isinstance(each, FunctionType) or inspect.isclass(each):
            found[name] = each
        for method, member in members(each) if inspect.isclass(each) else ():
            # The names of tests that are inherited say it all.
            if method not in ELSEWHERE and not method.startswith("test_"):
                found[f"{name}.{method}"] = member
    return [pytest.param(each, id=name) for name, each in found.items()]


def coroutines() -> list[Any]:
    return [
        each
        for each in callables()
        if inspect.iscoroutinefunction(inspect.unwrap(each.values[0]))
        and not re.search(r"Journal\.", str(each.id))  # `Journal` says it for all its methods
    ]


def text_of(each: Any) -> str:
    if not inspect.isclass(each):
        return inspect.getdoc(each) or ""
    # What a base class says of a field need not be said again.
    return "\n".join(vars(kind).get("__doc__") or "" for kind in each.__mro__)


def test_nothing_changes_by_accident():
    # On purpose: `python -m tests.public_api`, and a line in the CHANGELOG.
    assert list(lines()) == WRITTEN.read_text().splitlines()


def test_what_is_listed_is_there_in_order():
    assert identomat_async.__all__ == sorted(identomat_async.__all__, key=ordering)
    assert len(set(identomat_async.__all__)) == len(identomat_async.__all__)


def ordering(name: str) -> tuple[bool, str]:
    return not name[0].isupper(), name


def test_what_a_signature_or_an_attribute_shows_can_be_imported():
    offered = {name.rpartition(".")[2] for name, _ in everything()}
    ours = {
        each.__name__
        for name, module in list(sys.modules.items())
        if name.startswith("identomat_async")
        for each in vars(module).values()
        if inspect.isclass(each) and each.__module__.startswith("identomat_async")
    }
    said = (line for line in lines() if not line.startswith("class "))
    shown = {word for line in said for word in re.findall(r"\w+", line)}

    assert (shown & ours) - offered == NEEDS_NO_NAME


@pytest.mark.parametrize("each", callables())
def test_everything_is_explained(each):
    first = (inspect.getdoc(each) or "").partition("\n")[0]
    assert first, "there is no docstring"
    assert first[0].isupper()


@pytest.mark.parametrize("each", FIXTURES)
def test_every_fixture_is_explained(each):
    assert (vars(pytest_identomat)[each].__doc__ or "").strip()[0].isupper()


def test_every_value_is_explained():
    values = {
        name.rpartition(".")[2]
        for name, each in everything()
        if not isinstance(each, FunctionType) and not inspect.isclass(each)
    }

    assert values - explained_in(Path(identomat_async.__file__).parent) == set()


def explained_in(package: Path) -> set[str]:
    # Such a docstring follows the value, and is in the source alone.
    return {
        re.split(r"\W", line)[0]
        for path in package.rglob("*.py")
        for line, after in pairwise(top_level_of(path.read_text()))
        if re.match(r'r?"""[A-Z]', after)
    }


def top_level_of(source: str) -> list[str]:
    return [ast.get_source_segment(source, each) or "" for each in ast.parse(source).body]


@pytest.mark.parametrize("each", coroutines())
def test_every_coroutine_says_what_it_raises(each):
    text = inspect.getdoc(each) or ""
    assert "\nRaises:\n" in text or each.__qualname__ in NEVER_RAISES


@pytest.mark.parametrize("each", callables())
def test_every_error_that_is_said_to_be_raised_is_one(each):
    raised = (inspect.getdoc(each) or "").partition("\nRaises:\n")[2]
    said = re.findall(r"^ {4}(\w+): ", raised, re.MULTILINE)
    known = vars(builtins) | vars(identomat_async)

    assert [name for name in said if not issubclass(known[name], Exception)] == []


@pytest.mark.parametrize("each", callables())
def test_every_argument_is_explained(each):
    if isinstance(each, property) or each.__name__ in MADE_HERE:
        return
    if inspect.isclass(each) and issubclass(each, Enum | dict):
        return
    inner = getattr(each, "__func__", each)
    parameters = [
        parameter.name
        for parameter in inspect.signature(inner).parameters.values()
        if parameter.name not in {"self", "cls", "args", "kwargs"}
        and not parameter.name.startswith("_")
    ]
    text = text_of(each)
    assert [name for name in parameters if not is_said(name, text)] == []


def is_said(name: str, text: str) -> bool:
    # There is one thing that a token can be, and `Journal` says it for all journals.
    is_known = (name == "token" and "session" in text) or "see `Journal`" in text
    return is_known or re.search(rf"\b{name}\b", text) is not None
