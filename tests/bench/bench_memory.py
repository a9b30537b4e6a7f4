"""Memory of each service while the whole system trades the synthetic market.

Runs for minutes, so only when named (`python -m tests.bench memory`) or when BENCH_MEMORY_S gives the
seconds to watch (default 600), after a warm-up of BENCH_MEMORY_WARMUP_S (default 120).
"""

from __future__ import annotations

import os
import signal
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil

from tests.bench.result import Result
from tests.e2e.running_system import SERVICES, System

ON_REQUEST = "BENCH_MEMORY_S"
SAMPLE_S = 5.0
_MB = 1e6

Sample = tuple[float, dict[str, float]]


def run() -> list[Result]:
    watch_s = float(os.environ.get("BENCH_MEMORY_S") or 600)
    warmup_s = float(os.environ.get("BENCH_MEMORY_WARMUP_S") or 120)
    with tempfile.TemporaryDirectory(
        prefix="scalper-memory-", ignore_cleanup_errors=True
    ) as folder:
        system = System(Path(folder))
        try:
            system.start()
            system.until(lambda: system.newest("market.frames"), "frames", 300.0)
            time.sleep(warmup_s)
            samples = _watch(system, watch_s)
        finally:
            if system.process is not None:
                system.end(signal.SIGINT)
    return [result for name in samples[0][1] for result in _results(name, samples)]


def _watch(system: System, watch_s: float) -> list[Sample]:
    """Resident MB of each service and of Valkey. Raises AssertionError when one was started anew."""
    beats = system.beats()
    processes = {name: psutil.Process(beats[name].pid) for name in SERVICES}
    processes["valkey"] = system.valkey()
    started = time.monotonic()
    samples: list[Sample] = []
    while (elapsed_s := time.monotonic() - started) < watch_s:
        assert all(process.is_running() for process in processes.values()), system.said()
        rss = {name: p.memory_info().rss / _MB for name, p in processes.items()}
        samples.append((elapsed_s, rss))
        time.sleep(SAMPLE_S)
    return samples


def _results(name: str, samples: list[Sample]) -> list[Result]:
    """Start and end as the mean of a minute (or of all there is), growth as the fitted slope."""
    hours = np.array([elapsed_s / 3600 for elapsed_s, _ in samples])
    rss = np.array([each[name] for _, each in samples])
    minute = max(1, min(len(rss), round(60 / SAMPLE_S)))
    slope = float(np.polyfit(hours, rss, 1)[0]) if len(rss) > 1 else 0.0
    start, end = float(rss[:minute].mean()), float(rss[-minute:].mean())
    return [
        Result(name=f"memory {name}: {what}", value=round(value, 1), unit=unit, runs=len(rss))
        for what, value, unit in (
            ("start", start, "MB"), ("end", end, "MB"), ("growth", slope, "MB/h"),
        )
    ]  # fmt: skip
