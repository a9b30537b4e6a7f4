"""Messages a second through the whole pipeline, with a strategy that trades, beside both peers.

Ours: kernel with all features, regimes and scores of every frame, state machine, risk, plans, execution
with its orders, the simulated venue with queues and fees, figures and digest. hftbacktest: its numba
strategy at 100 ms steps. nautilus_trader: its Rust engine, a Python strategy with features at 100 ms steps.
All on the same events, in turns, in CPU time of their one thread. Loading is timed for nobody.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Any

from market.domain.events import EventChunk
from replay.domain.digest import RunDigest
from replay.domain.figures import DigestObserver, RunFigures
from replay.domain.pipeline import Pipeline
from strategy.domain.config import DecisionConfig
from tests.bench.hftbacktest_venv import ROOT, Peer, PeerMissing, running_peer
from tests.bench.nautilus_venv import running_nautilus
from tests.bench.replay_load import CALM, DECISION, EXECUTION
from tests.bench.result import Result, measured
from tests.bench.stream import bench_instrument, bench_stream
from tests.replay.domain.frame_by_frame import FrameByFrame

MESSAGES = 2_000_000
RUNS = 5
CHECKED_MESSAGES = 100_000  # what the driver that visits everything can walk in the time
DAY_HOURS, DAY_MESSAGES_AN_HOUR = 24, 250_000
MEMORY_LIMIT_MB = 1024.0
STAGES: dict[str, tuple[str, tuple[str, ...]]] = {
    "kernel": ("kernel", ("process", "advance")),
    "evaluate": ("strategy", ("evaluate",)),
    "decide": ("strategy", ("next_attention", "decide", "on_execution")),
    "execution": (
        "execution",
        ("next_attention", "note_quotes", "on_quotes", "on_timer", "on_venue", "on_request"),
    ),
    "venue": ("venue", ("process", "process_until", "advance", "submit")),
}


class Replay:
    """One run over the stream, ready to be timed."""

    def __init__(
        self, driver: Callable[..., Any] = Pipeline, decision: DecisionConfig = DECISION
    ) -> None:
        self.figures, self._digest = RunFigures(), RunDigest()
        self.observer = DigestObserver(self._digest)
        self.pipeline = driver(
            [bench_instrument()], decision, EXECUTION, (self.observer, self.figures)
        )

    def timed(self, stream: EventChunk) -> float:
        began = time.thread_time()
        self.pipeline.feed(stream)
        self.pipeline.finish()
        return time.thread_time() - began

    @property
    def digest(self) -> str:
        return self._digest.hexdigest()


def unrecorded(*arguments: Any) -> Pipeline:
    return Pipeline(*arguments, records=False)


def check(stream: EventChunk) -> str:
    """The prefix, judged by a driver that shows every frame and message to every core."""
    prefix = stream.slice(0, CHECKED_MESSAGES)
    fast, slow = Replay(unrecorded), Replay(FrameByFrame)
    fast.timed(prefix)
    slow.timed(prefix)
    if fast.digest != slow.digest or not slow.figures.counts["fills"]:
        raise AssertionError("visiting only frames that matter gave other decisions, or none")
    return f"first {CHECKED_MESSAGES} messages checked against a look at every frame"


def run() -> list[Result]:
    stream = bench_stream(MESSAGES)
    note = check(stream)  # compiles, too
    ours: list[float] = []
    theirs: dict[str, list[float]] = {}
    digests = set()
    with tempfile.TemporaryDirectory() as folder, _peers(stream, Path(folder)) as (peers, missing):
        for _ in range(RUNS):
            replay = Replay(unrecorded)
            ours.append(MESSAGES / replay.timed(stream))
            digests.add(replay.digest)
            for name, peer in peers.items():
                rates = theirs.setdefault(f"{name} {peer.version}", [])
                rates.append(MESSAGES / peer.run()["seconds"])
    if len(digests) != 1:
        raise AssertionError(f"{len(digests)} different digests of the same stream")
    note = "; ".join([_traded(replay), note, *missing])
    results = [
        measured("replay, whole pipeline", ours, "messages/s", peer=name, peer_values=rates, note=note)
        for name, rates in theirs.items()
    ] or [measured("replay, whole pipeline", ours, "messages/s", note=note)]  # fmt: skip
    return [*results, _calm(stream, theirs), *_shares(stream), *_day()]


def _calm(stream: EventChunk, theirs: dict[str, list[float]]) -> Result:
    """Without a signal: what remains is what each message and frame costs, trades or not."""
    rates = []
    for _ in range(RUNS):
        replay = Replay(unrecorded, CALM)
        rates.append(MESSAGES / replay.timed(stream))
    if replay.figures.counts["orders"]:
        raise AssertionError("the calm run traded")
    slowest = min(theirs, key=lambda name: median(theirs[name]), default=None)
    return measured(
        "replay, no signal", rates, "messages/s",
        peer=slowest, peer_values=theirs.get(slowest or "", ()), note="the peers do trade",
    )  # fmt: skip


@contextlib.contextmanager
def _peers(stream: EventChunk, folder: Path) -> Iterator[tuple[dict[str, Peer], list[str]]]:
    """(peers that run here by name, why others do not)."""
    found: dict[str, Peer] = {}
    missing: list[str] = []
    with contextlib.ExitStack() as stack:
        for name, start in (("hftbacktest", running_peer), ("nautilus_trader", running_nautilus)):
            place = folder / name
            place.mkdir()
            try:
                found[name] = stack.enter_context(start(stream, place))
            except PeerMissing as reason:
                missing.append(str(reason))
        yield found, missing


def _traded(replay: Replay) -> str:
    counts = replay.figures.counts
    return (
        f"{counts['frames']} frames, {counts['orders']} orders, {counts['fills']} fills, "
        f"{len(replay.figures.trades)} round trips, {counts['state events']} state changes"
    )


def _shares(stream: EventChunk) -> list[Result]:
    """One more run with a clock around each stage: its share of the whole, the clock's cost included."""
    replay, spent = Replay(unrecorded), Counter[str]()
    for stage, (owner, names) in STAGES.items():
        for name in names:
            _time_calls(getattr(replay.pipeline, owner), name, stage, spent)
    for name in ("on_frames", "on_strategy", "on_execution", "on_venue"):
        _time_calls(replay.observer, name, "digest", spent)
        _time_calls(replay.figures, name, "figures", spent)
    total_ns = replay.timed(stream) * 1e9
    spent["driver"] = int(total_ns) - spent.total()
    return [
        Result(name=f"replay: share of {stage}", value=round(100 * ns / total_ns, 1), unit="%")
        for stage, ns in spent.most_common()
    ]


def _time_calls(owner: Any, name: str, stage: str, spent: Counter[str]) -> None:
    """Stages do not call each other: what is spent in one is its own."""
    call, now = getattr(owner, name), time.thread_time_ns

    def timed(*arguments: Any) -> Any:
        began = now()
        try:
            return call(*arguments)
        finally:
            spent[stage] += now() - began

    setattr(owner, name, timed)


def _day() -> list[Result]:
    """A day of several million events, streamed: the peak of a process of its own."""
    command = [
        sys.executable, "-m", "tests.bench.replay_day", str(DAY_HOURS), str(DAY_MESSAGES_AN_HOUR),
    ]  # fmt: skip
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    day = json.loads(done.stdout.splitlines()[-1])
    if day["peakMb"] >= MEMORY_LIMIT_MB:
        raise AssertionError(f"a day took {day['peakMb']} MB, more than {MEMORY_LIMIT_MB:.0f} MB")
    note = f"{day['messages']} messages over {DAY_HOURS} h, {day['trades']} round trips"
    return [Result(name="replay: peak memory of a day", value=day["peakMb"], unit="MB", note=note)]
