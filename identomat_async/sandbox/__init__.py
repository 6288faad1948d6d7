"""
A faithful local Identomat, over real HTTP or inside the process.

It is written from the vendor's documentation alone and shares no code with the client, so
that a mistake of one is not repeated by the other. Needs the extra ``[sandbox]``.
"""

try:
    from identomat_async.sandbox._sandbox import Sandbox, Scripted
except ModuleNotFoundError as _missing:
    raise ModuleNotFoundError(
        f"the sandbox needs {_missing.name}: pip install 'identomat-async[sandbox]'",
        name=_missing.name,
    ) from _missing

from identomat_async.sandbox._faults import ELSEWHERE, FAULTS, Fault, fault_for
from identomat_async.sandbox._front import Front
from identomat_async.sandbox._front_log import Exchange
from identomat_async.sandbox._front_mode import Mode
from identomat_async.sandbox._script import Life, Script, ScriptStep, random_life
from identomat_async.sandbox._server import SandboxServer
from identomat_async.sandbox._truth import Truth

__all__ = [
    "ELSEWHERE",
    "FAULTS",
    "Exchange",
    "Fault",
    "Front",
    "Life",
    "Mode",
    "Sandbox",
    "SandboxServer",
    "Script",
    "ScriptStep",
    "Scripted",
    "Truth",
    "fault_for",
    "random_life",
]
