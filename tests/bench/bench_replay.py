"""Messages a second through the whole pipeline, beside both peers, at three densities of trading.

Ours: kernel with all features, regimes and scores of every frame, state machine, risk, plans, execution
with its orders, the simulated venue with queues and fees, figures and digest. hftbacktest: its numba
strategies at 100 ms steps, one that enters by market orders and one that rests at the touch as ours does.
nautilus_trader: its Rust engine, a Python strategy with features at 100 ms steps. All on the same events,
in turns, in CPU time of their one thread. Loading is timed for nobody. The peers always make some 200
round trips (by limit orders: as many as fill); ours make as many as the name of the run says, each of about
6 orders, 15 commands and 34 updates of the venue.

Then one long run in a process of its own: CPU time per million messages from 1 to 50 million, and memory.
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
from typing import Any

from market.domain.events import EventChunk
from replay.domain.digest import RunDigest
from replay.domain.figures import DigestObserver, RunFigures
from replay.domain.pipeline import Pipeline
from strategy.domain.config import DecisionConfig
from tests.bench.hftbacktest_venv import ROOT, Peer, PeerMissing, running_peer
from tests.bench.nautilus_venv import running_nautilus
from tests.bench.replay_load import CASES, EXECUTION
from tests.bench.result import Result, measured
from tests.bench.stream import bench_instrument, bench_stream
from tests.replay.domain.frame_by_frame import FrameByFrame

MESSAGES = 2_000_000
RUNS = 5
CHECKED_MESSAGES = 100_000  # what the driver that visits everything can walk in the time
STRATEGIES = {"hftbacktest": ("limit", "market"), "nautilus_trader": ("",)}  # of each peer
LONG_CASE, LONG_MARKS = "realistic", (1, 5, 20, 50)  # millions of messages
MEMORY_LIMIT_MB = 600.0
# A cost that grew with what has gone before would be several times the first by then; loaded machines
# alone make it differ by half.
MOST_GROWTH = 1.5
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
        self, driver: Callable[..., Any] = Pipeline, decision: DecisionConfig = CASES["dense"]
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
    ours: dict[str, list[float]] = {case: [] for case in CASES}
    theirs: dict[str, list[float]] = {}
    last: dict[str, Replay] = {}
    with tempfile.TemporaryDirectory() as folder, _peers(stream, Path(folder)) as (peers, missing):
        for _ in range(RUNS):
            for case, decision in CASES.items():
                replay = Replay(unrecorded, decision)
                ours[case].append(MESSAGES / replay.timed(stream))
                _compare(case, replay, last)
            for name, peer in peers.items():
                for strategy in STRATEGIES[name]:
                    rates = theirs.setdefault(f"{name} {peer.version} {strategy}".strip(), [])
                    rates.append(MESSAGES / peer.run(strategy)["seconds"])
    notes = {case: "; ".join([_traded(last[case]), note, *missing]) for case in CASES}
    results = [each for case in CASES for each in _rates(case, ours[case], theirs, notes[case])]
    return [*results, *_shares(stream), *_long()]


def _compare(case: str, replay: Replay, last: dict[str, Replay]) -> None:
    before = last.setdefault(case, replay)
    if before.digest != replay.digest:
        raise AssertionError(f"different digests of the same stream ({case})")
    if (case == "no signal") != (replay.figures.counts["orders"] == 0):
        raise AssertionError(f"{replay.figures.counts['orders']} orders in the run {case!r}")


def _rates(
    case: str, rates: list[float], theirs: dict[str, list[float]], note: str
) -> list[Result]:
    """One row per peer; the first tells what was done."""
    name = f"replay, {case}"
    if not theirs:
        return [measured(name, rates, "messages/s", note=note)]
    return [
        measured(name, rates, "messages/s", peer=peer, peer_values=values, note="" if n else note)
        for n, (peer, values) in enumerate(theirs.items())
    ]


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
    replay, spent = Replay(unrecorded), Counter[str]()  # the dense run
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


def _long() -> list[Result]:
    """A long run, streamed: what each of its stretches cost, and the peak of a process of its own."""
    marks = [str(mark) for mark in LONG_MARKS]
    command = [sys.executable, "-m", "tests.bench.replay_long", LONG_CASE, *marks]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    told = json.loads(done.stdout.splitlines()[-1])
    costs: dict[str, float] = told["secondsPerMillion"]
    peak_mb, (first, *others) = told["peakMb"], costs.values()
    if peak_mb > MEMORY_LIMIT_MB:
        raise AssertionError(f"{peak_mb} MB at {LONG_MARKS[-1]} million, over {MEMORY_LIMIT_MB}")
    if max(others) > first * MOST_GROWTH:
        raise AssertionError(f"the cost of a million messages grew: {costs}")
    note = f"{told['messages']} messages, {told['trades']} round trips ({LONG_CASE})"
    return [
        *(Result(name=f"replay: a million, of {stretch} million", value=cost, unit="s CPU")
          for stretch, cost in costs.items()),
        Result(name="replay: peak resident memory", value=peak_mb, unit="MB", note=note),
    ]  # fmt: skip
