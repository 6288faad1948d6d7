"""
A faithful local Identomat, over real HTTP or inside the process.

It is written from the vendor's documentation alone and shares no code with the client, so
that a mistake of one is not repeated by the other. Needs the extra ``[sandbox]``.
"""

try:
    from identomat_async.sandbox._sandbox import Sandbox, Scripted
except ModuleNotFoundError as missing:
    raise ModuleNotFoundError(
        f"the sandbox needs {missing.name}: pip install 'identomat-async[sandbox]'",
        name=missing.name,
    ) from missing

from identomat_async.sandbox._script import Life, Script, ScriptStep, random_life
from identomat_async.sandbox._server import SandboxServer
from identomat_async.sandbox._service import Truth

__all__ = [
    "Life",
    "Sandbox",
    "SandboxServer",
    "Script",
    "ScriptStep",
    "Scripted",
    "Truth",
    "random_life",
]
