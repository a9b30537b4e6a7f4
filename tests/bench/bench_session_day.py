"""A day of twenty symbols: built from compressed files and replayed, with the memory and the time it takes.

Needs some 400 bytes of disk a message and minutes, so only when named (`python -m tests.bench session_day`)
or when BENCH_SESSION_DAY_MESSAGES gives the messages of the day (default 8,000,000).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import psutil

from replay.adapters.session_store import SessionStore
from tests.bench.result import Result, measured
from tests.bench.session_load import file_texts, lay_down_day, mixed_stream, symbols_of

ON_REQUEST = "BENCH_SESSION_DAY_MESSAGES"
SYMBOLS, HOURS = 20, 24
MEMORY_LIMIT_MB = 1024.0


def run() -> list[Result]:
    asked = int(os.environ.get(ON_REQUEST) or 8_000_000)
    per_hour = asked // HOURS // SYMBOLS * SYMBOLS
    folder_of = os.environ.get("BENCH_FOLDER")
    with tempfile.TemporaryDirectory(prefix="bench-day-", dir=folder_of) as folder:
        store = SessionStore(Path(folder))
        instruments = symbols_of(SYMBOLS)
        texts = file_texts(instruments, mixed_stream(SYMBOLS, per_hour, 3_600.0))
        size = lay_down_day(store.market_dir, instruments, texts, HOURS, per_hour)
        del texts
        swapped = _swapped()
        built = _step("build", store)
        assert built["messages"] == per_hour * HOURS, "the session misses messages"
        replayed = _step("replay", store)
        assert replayed["messages"] == built["messages"]
        assert _swapped() == swapped, "the machine swapped"
        pair = _side_by_side(store)
    for step in (built, replayed):
        assert step["peakMb"] < MEMORY_LIMIT_MB, f"a step took {step['peakMb']} MB"
    note = f"{built['messages']:,} messages, {SYMBOLS} symbols, {size / 1e9:.1f} GB of lines"
    return [
        *_figures("build", built, note),
        *_figures("replay", replayed, f"{replayed['trades']:,} trades"),
        measured("session day: two symbols, two processes", [pair], "cores used"),
    ]


def _figures(name: str, step: dict[str, Any], note: str) -> list[Result]:
    return [
        measured(f"session day: {name}", [step["messages"] / step["cpuS"]], "msgs/s", note=note),
        measured(f"session day: {name}, peak memory", [step["peakMb"]], "MB"),
    ]


def _side_by_side(store: SessionStore) -> float:
    """Two symbols at once in two processes: CPU seconds of both by the wall time of the longer one."""
    symbols = [instrument.symbol for instrument in symbols_of(SYMBOLS)][:2]
    running = [_started("replay", store, symbol) for symbol in symbols]
    steps = [_ended(process) for process in running]
    return float(sum(step["cpuS"] for step in steps) / max(step["wallS"] for step in steps))


def _step(step: str, store: SessionStore) -> dict[str, Any]:
    return _ended(_started(step, store))


def _started(step: str, store: SessionStore, *only: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.bench.session_day_steps", step, str(store.data_dir), "day",
         str(SYMBOLS), *only],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip


def _ended(process: subprocess.Popen[str]) -> dict[str, Any]:
    said, _ = process.communicate()
    assert process.returncode == 0, said
    answer: dict[str, Any] = json.loads(said.splitlines()[-1])
    print(f"  {answer}", flush=True)
    return answer


def _swapped() -> tuple[int, int]:
    swap = psutil.swap_memory()
    return swap.sin, swap.sout
