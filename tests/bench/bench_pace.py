"""How exactly a paced replay keeps time: (actual - scheduled) dispatch, over the whole pipeline.

The bench stream at 1,000 messages/s of market time, FULL_DECISION with a strategy that trades, so a message
may fall due while the one before it still makes decisions: that waiting is part of the figure. `peer` is the
target of 5 ms. A share of the processor that others take is in it too: it is wall-clock time. What the host
of a virtual machine took meanwhile (steal) is told: a few hundredths are tens of milliseconds at a time.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import psutil

from market.domain.events import EventChunk
from market.domain.recordings import FaultLog, MarketData, ReadProgress
from replay.services.pacer import Pacer
from replay.services.run import ReplayOptions, run_replay
from tests.bench.replay_load import CHUNK_MESSAGES, DECISION, EXECUTION
from tests.bench.result import Result, measured
from tests.bench.stream import bench_instrument, bench_stream

SPEEDS = (1.0, 10.0, 50.0)
MESSAGES_A_SECOND = 1_000
WALL_S = 5.0
TARGET_MS = 5.0
RUNS = 5


def _data(chunk: EventChunk) -> MarketData:
    pieces = (
        chunk.slice(start, min(start + CHUNK_MESSAGES, len(chunk)))
        for start in range(0, len(chunk), CHUNK_MESSAGES)
    )
    return MarketData(
        instruments=(bench_instrument(),),
        chunks=pieces,
        description="bench stream",
        paths=(),
        faults=FaultLog(),
        progress=ReadProgress(),
        message_counts=Counter(),
    )


def _paced(chunk: EventChunk, speed: float) -> Pacer:
    pacer = Pacer(speed)
    run_replay(_data(chunk), DECISION, EXECUTION, ReplayOptions(run_id="pace", pacer=pacer))
    if pacer.lateness.messages != len(chunk):
        raise AssertionError(f"{pacer.lateness.messages} of {len(chunk)} messages were paced")
    return pacer


def _stolen_share(before: Any) -> float:
    """Of all processor time since `before`, idle time included."""
    now = psutil.cpu_times()
    return float((now.steal - before.steal) / max(sum(now) - sum(before), 1e-9))


def run() -> list[Result]:
    results = []
    warm = bench_stream(1_000, seconds=1.0)
    _paced(warm, 50.0)  # loads the kernels
    for speed in SPEEDS:
        seconds = WALL_S * speed
        chunk = bench_stream(int(MESSAGES_A_SECOND * seconds), seconds=seconds)
        before = psutil.cpu_times()
        late = [_paced(chunk, speed).lateness for _ in range(RUNS)]
        results.append(
            measured(
                f"pace {speed:g}x: lateness p99",
                [one.percentile_ms(99) for one in late],
                "ms",
                peer="target",
                peer_values=[TARGET_MS] * RUNS,
                note=f"p50 {late[0].percentile_ms(50):.2f} ms, p99.9 {late[0].percentile_ms(99.9):.2f} ms, "
                f"worst {max(one.worst_ms for one in late):.1f} ms, {len(chunk):,} messages a run, "
                f"{_stolen_share(before):.1%} of the processors stolen",
            )
        )
    return results
