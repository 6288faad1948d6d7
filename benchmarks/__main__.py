"""`python -m benchmarks` lists the benchmarks; with a name it runs one."""

import sys
from collections.abc import Sequence

from benchmarks import gather

BENCHMARKS = {"gather": gather}


def main(arguments: Sequence[str]) -> int:
    """List, or run the one that is named; return the exit code."""
    if not arguments or arguments[0] in {"-h", "--help"}:
        for name, module in BENCHMARKS.items():
            print(f"{name:<12}{(module.__doc__ or '').splitlines()[0]}")
        return 0
    name, *rest = arguments
    if name not in BENCHMARKS:
        print(f"no benchmark {name!r}; there are: {', '.join(BENCHMARKS)}", file=sys.stderr)
        return 2
    code: int = BENCHMARKS[name].run(rest)
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
