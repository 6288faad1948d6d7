"""`python -m benchmarks` lists the benchmarks; with a name it runs one."""

import ast
import importlib
import sys
from collections.abc import Sequence
from pathlib import Path

# Every module here is a benchmark, but for those whose name begins with an underscore.
BENCHMARKS = {
    path.stem: path
    for path in sorted(Path(__file__).parent.glob("*.py"))
    if not path.stem.startswith("_")
}


def main(arguments: Sequence[str]) -> int:
    """List, or run the one that is named; return the exit code."""
    if not arguments or arguments[0] in {"-h", "--help"}:
        for name, path in BENCHMARKS.items():
            # Read and not imported: a listing needs none of what a benchmark compares.
            words = ast.get_docstring(ast.parse(path.read_text())) or ""
            print(f"{name:<12}{words.partition(chr(10))[0]}")
        return 0
    name, *rest = arguments
    if name not in BENCHMARKS:
        print(f"no benchmark {name!r}; there are: {', '.join(BENCHMARKS)}", file=sys.stderr)
        return 2
    code: int = importlib.import_module(f"benchmarks.{name}").run(rest)
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
