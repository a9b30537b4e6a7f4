"""`python -m tests.bench [name …]`: run the benchmarks, print a table, write data/bench/latest.json.

A benchmark is a module `tests/bench/bench_<name>.py` with `run() -> list[Result]`. It raises AssertionError
when its own output is wrong: a fast wrong answer is no figure. The others still run, and the exit code is 1.
One with a constant ON_REQUEST, the name of a variable, takes long: without names it runs only where that
variable is set.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType

from tests.bench.result import Result, table, write_latest

PREFIX = "bench_"


def available() -> list[str]:
    return sorted(p.stem.removeprefix(PREFIX) for p in Path(__file__).parent.glob(f"{PREFIX}*.py"))


def _is_wanted(benchmark: ModuleType) -> bool:
    variable = getattr(benchmark, "ON_REQUEST", "")
    return not variable or bool(os.environ.get(variable))


def main(chosen: list[str]) -> int:
    unknown = sorted(set(chosen) - set(available()))
    if unknown:
        print(f"unknown benchmark {', '.join(unknown)}; there are: {', '.join(available())}")
        return 2
    results: list[Result] = []
    failures: list[str] = []
    for name in chosen or available():
        benchmark = import_module(f"tests.bench.{PREFIX}{name}")
        if not chosen and not _is_wanted(benchmark):
            print(f"leaving out {name}: name it, or set {benchmark.ON_REQUEST}", flush=True)
            continue
        print(f"running {name} ...", flush=True)
        try:
            results += benchmark.run()
        except AssertionError as error:
            failures.append(f"{name} failed: {error}")
    print(table(results))
    print(*failures, sep="\n", file=sys.stderr)
    write_latest(results)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
