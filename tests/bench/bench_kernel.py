"""Messages a second through the market kernel with all features on, beside hftbacktest.

Our run makes every field of every boundary and trigger frame; the peer's run is a backtest with a numba
strategy at 100 ms steps on the same events. Runs alternate, and both are timed
in CPU time of their one thread, so that both meet the same machine and a busy one counts less.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import numpy as np

from market.domain.config import MarketConfig
from market.domain.events import EventChunk
from market.domain.frames import Frames
from market.domain.kernel import MarketKernel
from tests.bench.hftbacktest_venv import PeerMissing, running_peer
from tests.bench.result import Result, measured
from tests.bench.stream import bench_instrument, bench_stream
from tests.market.domain.streams import assert_same_frames, reference_frames

MESSAGES = 2_000_000
RUNS = 5
CHECKED_MESSAGES = 20_000  # what the slow reference can walk
CHUNK_SIZES = {16: 100_000, 128: 500_000, 4096: MESSAGES}
CALLS = 50_000
CONFIG = MarketConfig()


def new_kernel() -> MarketKernel:
    return MarketKernel([bench_instrument()], CONFIG)


def timed_whole(stream: EventChunk) -> tuple[float, Frames]:
    kernel = new_kernel()
    began = time.thread_time()
    frames = kernel.process(stream)
    return time.thread_time() - began, frames


def timed_chunks(stream: EventChunk, size: int, messages: int) -> tuple[float, Frames]:
    kernel = new_kernel()
    chunks = [stream.slice(i, min(i + size, messages)) for i in range(0, messages, size)]
    began = time.thread_time()
    frames = [kernel.process(chunk) for chunk in chunks]
    seconds = time.thread_time() - began
    return seconds, np.concatenate(frames)


def check_against_reference(stream: EventChunk, frames: Frames) -> str:
    """The timed run's own frames: those of the prefix against the reference."""
    prefix = stream.slice(0, CHECKED_MESSAGES)
    expected = reference_frames(prefix, CONFIG, (bench_instrument(),))
    assert_same_frames(frames[: len(expected)], expected)
    return f"first {len(expected)} of {len(frames)} frames of the timed run checked field by field"


def run() -> list[Result]:
    stream = bench_stream(MESSAGES)
    timed_whole(stream.slice(0, 1_000))  # compiles
    ours, peers, label, note = [], [], None, ""
    with tempfile.TemporaryDirectory() as folder:
        try:
            with running_peer(stream, Path(folder)) as peer:
                label = f"hftbacktest {peer.version}"
                for _ in range(RUNS):
                    seconds, frames = timed_whole(stream)
                    ours.append(MESSAGES / seconds)
                    peers.append(MESSAGES / peer.run()["seconds"])
        except PeerMissing as missing:
            note = f"{missing}; "
    while len(ours) < RUNS:
        seconds, frames = timed_whole(stream)
        ours.append(MESSAGES / seconds)
    note += check_against_reference(stream, frames)
    results = [
        measured(
            "market kernel, all features, one call", ours, "messages/s",
            peer=label, peer_values=peers, note=note,
        )
    ]  # fmt: skip
    for size, messages in CHUNK_SIZES.items():
        results.append(_chunked(stream, size, messages, frames))
    results.append(_call_cost(stream))
    return results


def _chunked(stream: EventChunk, size: int, messages: int, whole: Frames) -> Result:
    rates = []
    for _ in range(RUNS):
        seconds, frames = timed_chunks(stream, size, messages)
        rates.append(messages / seconds)
    if frames.tobytes() != whole[: len(frames)].tobytes():
        raise AssertionError(f"chunks of {size} gave other frames than one call")
    return measured(f"market kernel, chunks of {size}", rates, "messages/s")


def _call_cost(stream: EventChunk) -> Result:
    costs = []
    for _ in range(RUNS):
        seconds, _frames = timed_chunks(stream, 1, CALLS)
        costs.append(seconds / CALLS * 1e6)
    return measured("market kernel, one message a call", costs, "us/message")
