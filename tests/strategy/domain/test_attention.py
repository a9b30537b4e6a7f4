"""Decisions are those of the frames: not of their batches, of the rows visited, nor of who listens."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from market.domain.frames import FRAME_DTYPE, BookState, FrameReason, Frames
from strategy.domain.core import StrategyCore
from strategy.domain.evaluations import Evaluations
from strategy.domain.messages import (
    EventType,
    OrderRequest,
    RiskSnapshot,
    ScoreUpdate,
    StateEvent,
    StrategyInput,
    StrategyOutput,
    SymbolState,
)
from tests.strategy.builders import (
    MS,
    Feed,
    S,
    a_config,
    a_position,
    a_snapshot,
    an_event,
    an_instrument,
    balanced,
)
from tests.strategy.desk import Desk

SYMBOLS = ("BTCUSDT", "ETHUSDT")
QUICK = {
    "cooldown_s": 1.0,
    "entry_timeout_ms": 700,
    "exit_timeout_ms": 500,
    "regime_exit_s": 0.5,
    "close_on_opposite": True,
    "panic_closes": True,
    "baseline_s": 1.0,
    "pump_lag_s": 1,
    "score_update_ms": 300,
}


def a_story(seed: int, count: int) -> Frames:
    """Two symbols, restless: signals both ways, trigger frames, bad books, a panic, a feed that pauses."""
    rng = np.random.default_rng(seed)
    frames = Feed(2).frames(count // 2)
    lean = np.repeat(rng.choice([-1.0, 0.0, 1.0], count // 20 + 1), 20)[: len(frames)]
    for name in ("imb5", "imb20", "ofi1s", "ofi5s", "flow_ratio5s"):
        frames[name] = 0.3 * lean + rng.normal(0, 0.1, len(frames))
    frames["notional_rate5s"] = rng.exponential(1_000.0, len(frames))
    frames["ret300s"] = np.where(np.arange(len(frames)) // 60 % 5 == 4, -300.0, 0.0)
    frames["book_state"] = np.where(rng.random(len(frames)) < 0.02, BookState.STALE, BookState.OK)
    triggers = rng.random(len(frames)) < 0.1
    frames["reason"] = np.where(triggers, FrameReason.TRIGGER, FrameReason.BOUNDARY)
    frames["ts_ns"][len(frames) // 2 :] += 4 * S
    return frames


@dataclass
class Run:
    """A core that is told news at fixed frames of a story, and all that it decided."""

    core: StrategyCore
    news: dict[int, list[StrategyInput]]
    decisions: list[StrategyOutput] = field(default_factory=list)
    told: list[StrategyOutput] = field(default_factory=list)
    visited: int = 0

    def note(self, outputs: list[StrategyOutput]) -> None:
        for output in outputs:
            is_told = isinstance(output, ScoreUpdate | RiskSnapshot)
            (self.told if is_told else self.decisions).append(output)
            if isinstance(output, OrderRequest):
                self.core.note_request_written(output.request_id, f"{len(self.decisions)}-0")

    def hear(self, frame: int, now_ns: int) -> None:
        for message in self.news.get(frame, []):
            self.note(self.core.on_execution(message, now_ns))

    def evaluate_and_decide(self, frames: Frames, first: int) -> None:
        """A batch as replay takes it: the numeric path ahead, news between the rows as they fall due."""
        evaluations = self.core.evaluate(frames)
        row = 0
        while row < len(frames):
            self.hear(first + row, int(frames["ts_ns"][row]))
            stop = min([n - first for n in self.news if n > first + row] + [len(frames)])
            row = self._decide_until(evaluations, row, stop)

    def _decide_until(self, evaluations: Evaluations, row: int, stop: int) -> int:
        while (row := self.core.next_attention(evaluations, row)) < stop:
            self.visited += 1
            self.note(self.core.decide(evaluations, row))
            row += 1
        return stop


def some_news(seed: int, frames: Frames) -> dict[int, list[StrategyInput]]:
    """Snapshots each second, in and out of safe mode and losses, positions that come and go."""
    rng = np.random.default_rng(seed + 1)
    news: dict[int, list[StrategyInput]] = {}
    for row in range(0, len(frames), 20):
        changes: dict[str, Any] = {}
        if rng.random() < 0.2:
            changes["safe_mode_reasons"] = ("OPERATOR",)
        if rng.random() < 0.2:
            changes["positions"] = (a_position("BTCUSDT"),)
        if rng.random() < 0.1:
            changes |= {"realized_pnl_today": -250.0, "equity": 9_750.0}
        if rng.random() < 0.1:
            changes["losses_in_row"] = 4
        ts_ns = int(frames["ts_ns"][row])
        news[row] = [a_snapshot(ts_ns, requests_stream_id="99999-0", **changes)]
        if rng.random() < 0.2:
            closed = EventType.EXECUTION_POSITION_CLOSED
            news[row].append(an_event(closed, ts_ns, leg="STOP"))
    return news


def a_core(**options: Any) -> StrategyCore:
    instruments = [an_instrument(name) for name in SYMBOLS]
    return StrategyCore(
        instruments, a_config(strategy=QUICK, loss_streak_pause_s=2), "s1", **options
    )


def run(seed: int, size: int, count: int = 400, **options: Any) -> Run:
    frames = a_story(seed, count)
    done = Run(a_core(**options), some_news(seed, frames))
    for first in range(0, len(frames), size):
        done.evaluate_and_decide(frames[first : first + size], first)
    return done


@settings(deadline=None, max_examples=6)
@given(st.integers(0, 10_000))
def test_decisions_do_not_depend_on_the_size_of_batches(seed: int) -> None:
    whole = run(seed, 4096)

    assert run(seed, 1).decisions == whole.decisions
    assert run(seed, 7).decisions == whole.decisions


@settings(deadline=None, max_examples=6)
@given(st.integers(0, 10_000), st.sampled_from([1, 7, 4096]))
def test_decisions_are_the_same_with_and_without_telemetry(seed: int, size: int) -> None:
    silent, told = run(seed, size, telemetry=False), run(seed, size, telemetry=True)

    assert silent.decisions == told.decisions
    assert not silent.told
    assert any(isinstance(output, RiskSnapshot) for output in told.told)


class _LookAtAll(StrategyCore):
    """Visits every frame and takes each for one that matters."""

    def next_attention(self, evaluations: Evaluations, start: int) -> int:
        accepted = np.flatnonzero(evaluations.accepted[start:])
        return start + int(accepted[0]) if len(accepted) else len(evaluations)

    def decide(self, evaluations: Evaluations, row: int) -> list[StrategyOutput]:
        self._waiting.matters = lambda *_: True  # type: ignore[method-assign]
        return super().decide(evaluations, row)


def without_frame_numbers(outputs: list[StrategyOutput]) -> list[str]:
    """What is asked for at news is named after the last frame looked at: that may differ, nothing else."""
    return [
        re.sub(r"-\d+-(CANCEL|CLOSE)|'frameSeq': \d+|frame_seq=\d+", "", repr(o)) for o in outputs
    ]


@settings(deadline=None, max_examples=6)
@given(st.integers(0, 10_000))
def test_passing_over_calm_frames_changes_no_decision(seed: int) -> None:
    frames = a_story(seed, 400)
    instruments = [an_instrument(name) for name in SYMBOLS]
    config = a_config(strategy=QUICK, loss_streak_pause_s=2)
    every = Run(_LookAtAll(instruments, config, "s1", telemetry=False), some_news(seed, frames))
    every.evaluate_and_decide(frames, 0)

    some = run(seed, 4096, telemetry=False)

    assert without_frame_numbers(some.decisions) == without_frame_numbers(every.decisions)
    assert some.visited < every.visited


class _AskedOnceAVersion(Run):
    """Keeps to the row it was told of until what is waited for changes."""

    known: tuple[int, Evaluations, int] | None = None  # version, rows, the next of them
    saved: int = 0

    def _next(self, evaluations: Evaluations, row: int) -> int:
        version = self.core.attention_version
        if self.known is not None:
            before, of, known_row = self.known
            if before == version and of is evaluations and known_row >= row:
                self.saved += 1
                return known_row
        row = self.core.next_attention(evaluations, row)
        self.known = version, evaluations, row
        return row

    def _decide_until(self, evaluations: Evaluations, row: int, stop: int) -> int:
        while (row := self._next(evaluations, row)) < stop:
            self.note(self.core.decide(evaluations, row))
            row += 1
        return stop


@settings(deadline=None, max_examples=6)
@given(st.integers(0, 10_000))
def test_what_is_waited_for_holds_as_long_as_its_version(seed: int) -> None:
    frames = a_story(seed, 400)
    once = _AskedOnceAVersion(a_core(telemetry=False), some_news(seed, frames))

    once.evaluate_and_decide(frames, 0)

    assert once.decisions == run(seed, 4096, telemetry=False).decisions
    assert once.saved


def test_a_deadline_goes_with_the_state_that_set_it() -> None:
    """An entry that was taken back is over: the time at which it would have been asked for again too."""
    waits = {"cooldown_s": 9.0, "retry_cooldown_s": 9.0, "entry_timeout_ms": 700}
    desk = Desk(strategy=waits, telemetry=False)
    request = desk.entering()
    desk.tell(EventType.EXECUTION_ORDER_CANCELED, request_id=request.request_id, leg="ENTRY")
    assert desk.state is SymbolState.COOLDOWN

    evaluations = desk.core.evaluate(balanced(desk.feed, 8.0))

    assert desk.core.next_attention(evaluations, 0) == len(evaluations)


def test_the_stories_do_contain_what_they_are_meant_to_prove() -> None:
    """Guards the tests above: entries, cancels, closes, panics and regimes do happen in them."""
    decisions = [output for seed in range(6) for output in run(seed, 4096).decisions]

    actions = {output.action for output in decisions if isinstance(output, OrderRequest)}
    reasons = " ".join(output.reason for output in decisions if isinstance(output, StateEvent))
    assert actions == {"OPEN", "CLOSE", "CANCEL_ENTRY"}
    for words in ("GLOBAL_PANIC", "STALE", "not filled in time", "safe mode"):
        assert words in reasons or words in repr(decisions), words


def calm_frames(count: int) -> Frames:
    frames = np.zeros(count, FRAME_DTYPE)
    frames[:] = Feed().frames(1)[0]
    frames["frame_seq"] = np.arange(1, count + 1)
    frames["ts_ns"] += np.arange(count) * 100 * MS
    return frames


def test_a_calm_symbol_is_looked_at_once_and_then_passed_over() -> None:
    """The first frame starts the core's clock; of a day without a signal nothing else matters."""
    core, frames = a_core(telemetry=False), calm_frames(50_000)
    core.on_execution(a_snapshot(int(frames["ts_ns"][0])), int(frames["ts_ns"][0]))

    evaluations = core.evaluate(frames)

    assert core.next_attention(evaluations, 0) == 0
    assert core.decide(evaluations, 0) == []
    assert core.next_attention(evaluations, 1) == len(frames)


def test_the_end_of_the_utc_day_is_looked_at() -> None:
    """Daily limits end there, whatever the market does."""
    core, frames = a_core(telemetry=False), calm_frames(10)
    day_ns = 86_400 * S
    midnight_ns = (int(frames["ts_ns"][0]) // day_ns + 1) * day_ns
    frames["ts_ns"] = midnight_ns + (np.arange(10) - 5) * 100 * MS
    core.on_execution(a_snapshot(int(frames["ts_ns"][0])), int(frames["ts_ns"][0]))
    evaluations = core.evaluate(frames)
    core.decide(evaluations, 0)

    assert core.next_attention(evaluations, 1) == 5


def test_a_frame_of_no_known_symbol_is_never_looked_at_but_counted() -> None:
    core, frames = a_core(), calm_frames(3)
    frames["symbol"] = 9

    assert core.on_frames(frames) == []
    assert core.dropped_frames == 3


@pytest.mark.parametrize("telemetry", [True, False])
def test_no_frames_are_no_rows(telemetry: bool) -> None:
    core = a_core(telemetry=telemetry)
    evaluations = core.evaluate(np.zeros(0, FRAME_DTYPE))

    assert core.next_attention(evaluations, 0) == len(evaluations) == 0
