"""The command `identomat worker`."""

import importlib
import os
import signal
import sys
from functools import partial
from typing import Annotated, Any
from urllib.parse import urlsplit

import anyio
import typer

from identomat_async._cli._account import Account, BaseUrl, CaFile, KeyFile, SecretFile
from identomat_async._cli._exits import Exit
from identomat_async._polling._courier import Handler
from identomat_async._polling._tasks import task_group
from identomat_async.errors import ConfigurationError

REDIS = "IDENTOMAT_REDIS"


def worker(
    *,
    handler: Annotated[
        str, typer.Option(help="The function that takes each Delivery: module:function.")
    ],
    redis: Annotated[
        str | None,
        typer.Option(help=f"The Redis or Valkey server; with a password in it, set {REDIS}."),
    ] = None,
    name: Annotated[str, typer.Option(help="What the keys on the server begin with.")] = (
        "identomat"
    ),
    rate: Annotated[
        float, typer.Option(min=0.01, help="Requests per second, of all workers together.")
    ] = 50.0,
    concurrency: Annotated[int, typer.Option(min=1, help="Sessions in hand at a time.")] = 60,
    lease: Annotated[
        float, typer.Option(min=1, help="Seconds after which others stand in for this one.")
    ] = 120.0,
    handler_timeout: Annotated[
        float, typer.Option(min=0.1, help="Seconds that the function may take.")
    ] = 30.0,
    key_file: KeyFile = None,
    secret_file: SecretFile = None,
    base_url: BaseUrl = None,
    ca_file: CaFile = None,
) -> None:
    """
    Look at the sessions that a DocketResultPoller watches, as one of any number of workers.

    A signal to end has it finish what it has in hand.
    """
    account = Account(
        key_file=key_file, secret_file=secret_file, base_url=base_url, ca_file=ca_file
    )
    options: dict[str, Any] = {
        "name": name,
        "rate": rate,
        "concurrency": concurrency,
        "lease": lease,
        "handler_timeout": handler_timeout,
    }
    perform = partial(_work, account, _address(redis), function_named(handler), options)
    raise typer.Exit(anyio.run(perform))


def function_named(path: str) -> Handler:
    """
    Return the function that *path*, ``module:function``, names.

    Raises:
        ConfigurationError: There is none.
    """
    module_name, _, names = path.partition(":")
    if not (module_name and names):
        raise ConfigurationError("--handler must be module:function")
    # As `python -m` does it: what is in the folder can be named.
    sys.path.insert(0, os.getcwd())  # noqa: PTH109 - text is what goes there
    try:
        found = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise
        found = None
    for name in names.split(".") if found is not None else ():
        found = getattr(found, name, None)
    if not callable(found):
        raise ConfigurationError(f"--handler: there is no function {path}")
    return found


def _address(redis: str | None) -> str:
    if redis is not None and urlsplit(redis).password:
        raise ConfigurationError(
            f"a password in an argument is shown to everybody on the machine: set {REDIS}"
        )
    address = redis or os.environ.get(REDIS)
    if not address:
        raise ConfigurationError(f"there is no server: give --redis, or set {REDIS}")
    return address


async def _work(account: Account, address: str, handler: Handler, options: dict[str, Any]) -> Exit:
    try:
        from identomat_async.contrib.docket import DocketResultPoller  # noqa: PLC0415 - an extra
    except ModuleNotFoundError:
        raise ConfigurationError("install identomat-async[docket] for this") from None
    async with account.client() as client:
        poller = DocketResultPoller(client, address, **options)
        with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
            async with task_group() as tasks:
                await tasks.start(poller.run, handler)
                typer.echo("working; a signal ends it", err=True)
                told = await anext(signals)
                await poller.drain(options["handler_timeout"])
                tasks.cancel_scope.cancel()
    return Exit.INTERRUPTED if told == signal.SIGINT else Exit.FINE
