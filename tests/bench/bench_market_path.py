"""The market path over a local socket: sustained rate, lag, and CPU per message by stage.

A separate process plays pre-encoded frames of 20 symbols. The sustained run has everything on: parser,
hub, kernel, frames, bus (a real Valkey) and recorder. Stages are measured by leaving them out: the CPU
time of this process per message, with one more stage in each run. Length: BENCH_MARKET_S (60).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import uvloop

from failover.adapters.bus import connect_bus
from failover.adapters.files import write_atomically
from failover.services.valkey import running_valkey
from market.adapters import bybit_public_ws
from market.adapters.bus import MarketPublisher
from market.adapters.bybit_topics import FeedTimings
from market.adapters.indexed_file import IndexedFile
from market.domain.config import MarketConfig
from market.domain.events import ChunkBuilder, EventChunk, EventKind
from market.domain.instruments import Instrument
from market.domain.kernel import MarketKernel
from market.services.core_clock import CoreClock
from market.services.hub import MarketHub
from market.services.recorder import MarketRecorder
from tests.bench.market_load import symbols_of
from tests.bench.peak_memory import peak_mb
from tests.bench.result import Result
from tests.bench.stream import bench_instrument

SYMBOLS = 20
RATE = 6_000.0
STAGE_S = 8.0
WARM_S = 2.0
STAGES = ("receive", "parse", "hub and kernel", "bus", "recorder")


class LagProbe:
    """A chunk sink that reads the real time out of the stamped trades."""

    def __init__(self) -> None:
        self.lags_ms: list[float] = []
        self.messages = 0

    def take_chunk(self, chunk: EventChunk) -> None:
        self.messages += len(chunk)
        stamped = (chunk.kind == EventKind.TRADE) & (chunk.exchange_ts_ns > 10**15)
        if stamped.any():
            self.lags_ms.append((time.time_ns() - int(chunk.exchange_ts_ns[stamped][-1])) / 1e6)


@dataclass
class Measured:
    """One run: frames a second, CPU microseconds per frame of this process, lags in order."""

    rate: float
    cpu_us: float
    frames: int
    peak_rss_mb: float = 0.0
    lags_ms: list[float] = field(default_factory=list)
    dropped: int = 0


def run() -> list[Result]:
    seconds = float(os.environ.get("BENCH_MARKET_S", "60"))
    stages = [_measure(stage, RATE, STAGE_S) for stage in range(1, len(STAGES) + 1)]
    sustained = _measure(len(STAGES), RATE, seconds)
    flood = _measure(len(STAGES), 0.0, STAGE_S)
    _check(sustained, seconds)
    results, below = [], 0.0
    for name, measured in zip(STAGES, stages, strict=True):
        results.append(
            _result(f"market path: CPU per message, {name}", measured.cpu_us - below, "us")
        )
        below = measured.cpu_us
    first, last = _ends(sustained.lags_ms)
    return [
        *results,
        _result("market path: CPU per message, all", below, "us"),
        _result(
            f"market path: sustained {seconds:.0f} s, 20 symbols", sustained.rate, "messages/s"
        ),
        _result("market path: lag p50, first tenth", first, "ms"),
        _result("market path: lag p50, last tenth", last, "ms"),
        _result("market path: lag p99", float(np.percentile(sustained.lags_ms, 99)), "ms"),
        _result("market path: flooded", flood.rate, "messages/s"),
        _result("market path: peak memory", sustained.peak_rss_mb, "MB"),
    ]


def _result(name: str, value: float, unit: str) -> Result:
    return Result(name=name, value=value, unit=unit)


def _ends(lags_ms: list[float]) -> tuple[float, float]:
    tenth = max(1, len(lags_ms) // 10)
    return float(np.median(lags_ms[:tenth])), float(np.median(lags_ms[-tenth:]))


def _check(measured: Measured, seconds: float) -> None:
    """A fast wrong answer is no figure: all must have arrived, in time, and been kept."""
    if measured.rate < 5_000:
        raise AssertionError(
            f"only {measured.rate:.0f} messages/s of {RATE:.0f} played came through"
        )
    first, last = _ends(measured.lags_ms)
    # Five messages in a hundred too slow would be 3 s behind after a minute; what a busy machine adds
    # now and then stays far below this.
    if last > first + 500:
        raise AssertionError(f"lag grew from {first:.1f} to {last:.1f} ms over {seconds:.0f} s")
    if measured.dropped:
        raise AssertionError(f"{measured.dropped} messages or entries were dropped")


def _measure(stages: int, rate: float, seconds: float) -> Measured:
    folder = Path(tempfile.mkdtemp(prefix="bench-market-"))
    try:
        with _load(rate) as port, running_valkey(folder / "valkey.sock"):
            return uvloop.run(_feed(stages, port, folder, seconds))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _load(rate: float) -> Iterator[int]:
    command = [sys.executable, "-m", "tests.bench.market_load", str(SYMBOLS), str(rate)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline())
        finally:
            process.stdin.close()
            process.terminate()


def _compiled(instruments: list[Instrument]) -> MarketKernel:
    """A kernel whose first message does not wait for the compiler, as the service has it."""
    MarketKernel(instruments, MarketConfig()).process(ChunkBuilder().take())
    MarketKernel(instruments, MarketConfig()).advance(1)
    return MarketKernel(instruments, MarketConfig())


async def _feed(stages: int, port: int, folder: Path, seconds: float) -> Measured:
    symbols = symbols_of(SYMBOLS)
    instruments = [bench_instrument(symbol) for symbol in symbols]
    run_id, probe = "20260101T000000.000000Z-bench", LagProbe()
    client = connect_bus(f"unix://{folder}/valkey.sock")
    publisher = MarketPublisher(client, "bench:", run_id)
    recorder = MarketRecorder(
        folder / "market",
        instruments,
        run_id,
        open_file=IndexedFile,
        write_whole=write_atomically,
    )
    sinks: list[Any] = [*([publisher] if stages >= 4 else []), *([recorder] if stages >= 5 else [])]
    loop = asyncio.get_running_loop()
    hub = MarketHub(
        instruments,
        _compiled(instruments),
        clock=CoreClock(),
        chunk_sinks=[*sinks, probe],
        frame_sinks=[publisher] if stages >= 4 else [],
        on_pending=lambda: loop.call_soon(hub.flush),
    )
    feed = bybit_public_ws.BybitPublicFeed(
        f"ws://127.0.0.1:{port}/v5/public/linear",
        symbols,
        hub,
        rng=random.Random(1),
        is_local=True,
        # Topics whose messages a stage leaves out must not look silent.
        timings=FeedTimings(silent_book_s=1e9, silent_ticker_s=1e9, silent_kline_s=1e9),
    )
    _leave_out(feed, stages)
    recorder.start()
    stopping = asyncio.Event()
    work = [asyncio.create_task(feed.run(stopping)), asyncio.create_task(_boundaries(hub, stages))]
    await asyncio.sleep(WARM_S)
    probe.lags_ms.clear()
    frames, cpu, began = feed.stats.messages, time.process_time(), loop.time()
    await asyncio.sleep(seconds)
    frames, cpu = feed.stats.messages - frames, time.process_time() - cpu
    elapsed = loop.time() - began
    stopping.set()
    work[1].cancel()
    await asyncio.wait(work)
    dropped = recorder.stats.dropped_messages + publisher.details()["busDropped"] + feed.stats.gaps
    await publisher.close()
    await client.aclose()
    await asyncio.to_thread(recorder.stop)
    return Measured(
        rate=frames / elapsed,
        cpu_us=cpu / max(1, frames) * 1e6,
        frames=frames,
        peak_rss_mb=peak_mb(),
        lags_ms=probe.lags_ms,
        dropped=dropped,
    )


async def _boundaries(hub: MarketHub, stages: int) -> None:
    while stages >= 3:
        await asyncio.sleep(0.1)
        hub.advance()


def _leave_out(feed: bybit_public_ws.BybitPublicFeed, stages: int) -> None:
    """Measure the socket alone, or the socket and the parser: replies still reach the connector."""
    if stages >= 3:
        return
    for connection in feed.connections:
        whole = connection._on_frame

        def frame_alone(
            frame: bytes | str, whole: Any = whole, connection: Any = connection
        ) -> None:
            if b'"topic"' not in frame[:12]:  # type: ignore[operator]  # frames are bytes here
                whole(frame)
                return
            connection._stats.messages += 1
            connection._last_data_s = bybit_public_ws._now_s()
            if stages == 2:
                bybit_public_ws.parse(frame)

        connection._on_frame = frame_alone  # type: ignore[method-assign]
