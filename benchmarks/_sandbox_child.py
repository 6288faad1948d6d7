"""
The sandbox that sandbox.py measures, in a process of its own.

`python -m benchmarks._sandbox_child KIND` prints the port it serves on, and for each line that
it reads what it has come to: CPU seconds, sessions, polls and bytes of memory.
"""

import json
import sys
import time
from random import Random
from typing import NoReturn

from benchmarks._parked import resident
from identomat_async.sandbox import Front, Sandbox, Script

_DECIDED = 0.1


def life(rng: Random) -> Script:
    """Draw a life for a session: a poll finds most of them in progress."""
    return Script.of("approved") if rng.random() < _DECIDED else Script()


def main(kind: str) -> NoReturn:
    """Serve until the process is killed."""
    sandbox = Sandbox(life=life)
    with sandbox.serve(front=Front() if kind == "front" else None) as server:
        print(server.port, flush=True)
        for _ in sys.stdin:
            said = {
                "cpu": time.process_time(),
                "sessions": len(sandbox.tokens),
                "polls": sandbox.requests.get("result", 0),
                "memory": resident(),
            }
            print(json.dumps(said), flush=True)
    raise SystemExit


if __name__ == "__main__":
    main(*sys.argv[1:])
