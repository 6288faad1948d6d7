"""What users may write code against, in lines; `python -m tests.public_api` writes them down."""

import enum
import importlib
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from types import FunctionType
from typing import Any

import attrs

WRITTEN = Path(__file__).with_name("public_api.txt")
MODULES = (
    "identomat_async",
    "identomat_async.errors",
    "identomat_async.events",
    "identomat_async.sandbox",
    "identomat_async.testing",
    "identomat_async.contrib.docket",
    "identomat_async.contrib.otel",
)
_HOMES = (
    "identomat_async|anyio|collections|datetime|httpx2?|opentelemetry|os|pathlib|ssl|tenacity|"
    "typing"
)
# What these are made of is our own business.
MADE_HERE = {"Advanced", "Jumping", "SandboxServer", "Scripted"}
SPECIAL = {"__aenter__", "__aiter__", "__anext__", "__contains__", "__len__", "__call__"}


def public(module: Any) -> dict[str, Any]:
    """Return what a module offers, by name."""
    names = getattr(module, "__all__", None) or [
        name
        for name, each in vars(module).items()
        if not name.startswith("_") and getattr(each, "__module__", None) == module.__name__
    ]
    return {name: getattr(module, name) for name in sorted(names)}


def everything() -> Iterator[tuple[str, Any]]:
    """Yield everything public with its full name, each once, and what is in classes."""
    seen: set[int] = set()
    for module in map(importlib.import_module, MODULES):
        for name, each in public(module).items():
            if inspect.ismodule(each) or id(each) in seen:
                continue
            seen.add(id(each))
            yield f"{module.__name__}.{name}", each


def members(kind: type) -> Iterator[tuple[str, Any]]:
    """Yield the public methods and properties of a class, those of its bases here included."""
    for base in reversed(kind.__mro__):
        if base.__module__.startswith("identomat_async"):
            for name, each in vars(base).items():
                is_public = not name.startswith("_") or name in SPECIAL
                is_member = isinstance(each, FunctionType | property | classmethod | staticmethod)
                if is_public and is_member and getattr(kind, name, None) is not None:
                    yield name, each


def lines() -> Iterator[str]:
    """Yield a line for each thing that a user may rely on."""
    for name, each in everything():
        yield from _described(name, each)


def _described(name: str, each: Any) -> Iterator[str]:
    if not inspect.isclass(each):
        yield f"{name}{_signature(each)}" if callable(each) and not _is_alias(each) else name
        return
    bases = [base.__name__ for base in each.__bases__ if base is not object]
    yield f"class {name}({', '.join(bases)})"
    if issubclass(each, enum.Enum):
        for member in each:
            yield f"    {name}.{member.name} = {str(member.value)!r}"
    elif each.__name__ not in MADE_HERE and ("__init__" in vars(each) or attrs.has(each)):
        yield f"    {name}{_signature(each)}"
    if attrs.has(each):
        for field in attrs.fields(each):
            if not field.name.startswith("_"):
                yield f"    {name}.{field.name}: {_clean(field.type)}"
    for method, found in dict(sorted(dict(members(each)).items())).items():
        inner = found.__func__ if isinstance(found, classmethod | staticmethod) else found
        shape = " (property)" if isinstance(found, property) else _signature(inner)
        waits = "async " if inspect.iscoroutinefunction(inspect.unwrap(inner)) else ""
        yield f"    {waits}{name}.{method}{shape}"


def _is_alias(each: object) -> bool:
    return not isinstance(each, FunctionType)


def _signature(each: Any) -> str:
    signature = inspect.signature(each)
    return _clean(signature)


def _clean(text: object) -> str:
    # Neither addresses nor where something is defined inside are promised.
    words = text.__name__ if isinstance(text, type) else str(text)
    words = re.sub(rf"\b(?:{_HOMES})(?:\.[a-z_]\w*)*\.(?=\w)", "", words)
    words = re.sub(r"\*<class '(\w+)'>", r"Unpack[\1]", words)  # before Python 3.12
    words = re.sub(r"frozenset\(\{.*?\}\)", "frozenset(...)", words)
    return re.sub(r"<(?:built-in method |function )?(\w+) [^>]*0x[^>]*>", r"<\1>", words)


if __name__ == "__main__":
    WRITTEN.write_text("".join(f"{line}\n" for line in lines()))
