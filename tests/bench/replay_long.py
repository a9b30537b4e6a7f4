"""`python -m tests.bench.replay_long CASE MILLIONS…`: replay a long market, say what it cost on the way.

Runs as a process of its own, since a peak of memory is that of a process. Prints one JSON line: CPU seconds
per million messages of each stretch between the marks, the peak of resident memory, and round trips.
"""

from __future__ import annotations

import json
import sys
import time

from replay.domain.digest import RunDigest
from replay.domain.figures import DigestObserver, RunFigures
from replay.domain.pipeline import Pipeline
from tests.bench.peak_memory import peak_mb
from tests.bench.replay_load import CASES, EXECUTION, HOUR_MESSAGES, long_market
from tests.bench.stream import bench_instrument, bench_stream


def a_run(case: str) -> tuple[Pipeline, RunFigures]:
    figures = RunFigures()
    observers = (DigestObserver(RunDigest()), figures)
    return Pipeline([bench_instrument()], CASES[case], EXECUTION, observers, records=False), figures


def main(case: str, marks: list[int]) -> None:
    a_run("dense")[0].feed(bench_stream(100_000, seconds=360.0))  # compiles
    pipeline, figures = a_run(case)
    seconds, before, stretches = 0.0, 0, {}
    for chunk in long_market(marks[-1]):
        began = time.thread_time()
        pipeline.feed(chunk)
        seconds += time.thread_time() - began
        millions, rest = divmod(pipeline.messages, HOUR_MESSAGES)
        if not rest and millions in marks:
            stretches[f"{before}..{millions}"] = seconds / (millions - before)
            seconds, before = 0.0, millions
    print(json.dumps({
        "secondsPerMillion": stretches, "peakMb": round(peak_mb(), 1),
        "messages": pipeline.messages, "trades": len(figures.trades),
    }))  # fmt: skip


if __name__ == "__main__":
    main(sys.argv[1], [int(mark) for mark in sys.argv[2:]])
