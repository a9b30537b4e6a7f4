"""`python -m tests.bench [name …]`: run the benchmarks, print a table, write data/bench/latest.json.

A benchmark is a module `tests/bench/bench_<name>.py` with `run() -> list[Result]`. It raises when its
own output is wrong: a fast wrong answer is no figure.
"""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path

from tests.bench.result import Result, table, write_latest

PREFIX = "bench_"


def available() -> list[str]:
    return sorted(p.stem.removeprefix(PREFIX) for p in Path(__file__).parent.glob(f"{PREFIX}*.py"))


def main(chosen: list[str]) -> int:
    unknown = sorted(set(chosen) - set(available()))
    if unknown:
        print(f"unknown benchmark {', '.join(unknown)}; there are: {', '.join(available())}")
        return 2
    results: list[Result] = []
    for name in chosen or available():
        print(f"running {name} ...", flush=True)
        results += import_module(f"tests.bench.{PREFIX}{name}").run()
    print(table(results))
    write_latest(results)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
