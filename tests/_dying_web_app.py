"""The example of a web app, which is killed when it has written a verdict and not said so."""

import os
import signal

from examples import fastapi_app
from examples.fastapi_app import app, keep
from identomat_async import Delivery

__all__ = ["app"]


def keep_and_die(delivery: Delivery) -> None:
    keep(delivery)
    os.kill(os.getpid(), signal.SIGKILL)


fastapi_app.keep = keep_and_die
