"""Pluggable scorers: the same row by row and at once, and kept from taking the loop with them."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from market.domain.config import MarketConfig
from market.domain.frames import Frames
from strategy.domain import numeric_layout as at
from strategy.domain.config import DecisionConfig, ScoreWeights, StrategyConfig, SymbolDecision
from strategy.domain.core import StrategyCore
from strategy.domain.evaluations import Evaluations
from strategy.domain.messages import EventType, ScoreUpdate, StateEvent, SymbolState
from strategy.domain.numeric_path import NumericPath
from strategy.domain.scorer import (
    BadScorer,
    LinearScorer,
    Score,
    ScoreContext,
    Scorer,
    ScorerRegistry,
    ScorerTooSlow,
)
from tests.strategy.builders import STRONG_LONG, Feed, S, a_config, an_instrument, balanced

PATH = "trader.Scorer"
WEIGHTS = ScoreWeights(imb20=0.3, ret5s=-0.2, basis=0.1)


def registry_of(kind: Callable[[], Scorer]) -> ScorerRegistry:
    registry = ScorerRegistry()
    registry.use(lambda path: kind)  # type: ignore[arg-type,return-value]
    return registry


def a_path(kind: Callable[[], Scorer] | None, **strategy: Any) -> NumericPath:
    """A path that asks `kind`, or the compiled scorer for None."""
    if kind is not None:
        strategy["scorer"] = PATH
    config = DecisionConfig(
        market=MarketConfig(warmup_s=1), strategy=StrategyConfig(weights=WEIGHTS, **strategy)
    )
    scorers = ScorerRegistry() if kind is None else registry_of(kind)
    return NumericPath(("BTCUSDT", "ETHUSDT"), config, scorers)


def random_frames(seed: int, count: int) -> Frames:
    rng = np.random.default_rng(seed)
    frames = Feed(2).frames(count // 2)
    for name in ("imb5", "imb20", "ofi1s", "ofi5s", "flow_ratio5s", "ret5s", "basis_bps"):
        frames[name] = rng.normal(0, rng.uniform(0.05, 3), len(frames))
        frames[name][rng.random(len(frames)) < 0.05] = np.nan
    frames["rv10s"] = rng.uniform(0.1, 10, len(frames))
    return frames


class RowByRow:
    """The built-in formula without its batch form."""

    def __init__(self) -> None:
        self._linear = LinearScorer()

    def score(self, frame: Any, context: ScoreContext) -> Score:
        return self._linear.score(frame, context)


class Bent:
    """Arithmetic on both frame and context, for one row and for many alike, with its own move."""

    def score(self, frame: Any, context: ScoreContext) -> Score:
        bent = np.tanh(context.z["imb5"]) + 0.1 * context.z["flowRatio5s"] ** 3
        spread = frame["spread_bps"] / context.config.max_spread_bps
        parts = {"bent": bent, "spread": -spread * context.params.get("dislike", 1.0)}
        move_bps = np.abs(bent) * frame["rv10s"]
        return Score(parts["bent"] + parts["spread"], parts, move_bps)

    score_frames = score


class BentRowByRow:
    def score(self, frame: Any, context: ScoreContext) -> Score:
        return Bent().score(frame, context)


# -- one truth ---------------------------------------------------------------------------------------------


def same(one: Evaluations, other: Evaluations) -> None:
    np.testing.assert_array_equal(one.out_i, other.out_i)
    np.testing.assert_array_equal(one.out_f, other.out_f)


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 10_000), st.integers(1, 50))
def test_a_scorer_says_the_same_row_by_row_and_at_once(seed: int, size: int) -> None:
    frames = random_frames(seed, 120)
    for single, many in ((BentRowByRow, Bent), (RowByRow, LinearScorer)):
        whole = a_path(many).evaluate(frames)
        rows, cut = a_path(single), a_path(many)

        same(rows.evaluate(frames), whole)
        parts = [cut.evaluate(frames[i : i + size]) for i in range(0, len(frames), size)]
        np.testing.assert_array_equal(np.concatenate([part.out_f for part in parts]), whole.out_f)


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 10_000))
def test_the_compiled_scorer_computes_what_its_text_says(seed: int) -> None:
    frames = random_frames(seed, 120)

    compiled, asked = a_path(None).evaluate(frames), a_path(LinearScorer).evaluate(frames)

    warm = compiled.warm
    assert warm.sum() > 50
    np.testing.assert_array_equal(asked.out_f[warm], compiled.out_f[warm])
    np.testing.assert_array_equal(asked.out_i[warm], compiled.out_i[warm])


def test_a_scorer_explains_itself_and_may_bring_its_own_expected_move() -> None:
    frames = random_frames(1, 80)

    seen = a_path(Bent, scorer_params={"dislike": 2.0}).evaluate(frames)

    parts = seen.contributions(79, {})
    assert set(parts) == {"bent", "spread"}
    assert parts["spread"] == pytest.approx(-2.0 * 0.01 / 15.0)
    assert sum(parts.values()) == pytest.approx(seen.pressure[79])
    assert seen.expected_move_bps[79] == pytest.approx(abs(parts["bent"]) * frames["rv10s"][79])


# -- isolation ---------------------------------------------------------------------------------------------


def failing(at_imb5: float, how: Callable[[], Any]) -> Callable[[], Scorer]:
    """A scorer that does `how` at frames of that imb5, and the built-in formula else."""

    class Failing:
        def score(self, frame: Any, context: ScoreContext) -> Any:
            if frame["imb5"] == at_imb5:
                return how()
            return LinearScorer().score(frame, context)

    return Failing


def divide_by_zero() -> Score:
    return Score(1 / 0)


class Unspeakable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


class OwnInterrupt(KeyboardInterrupt):
    """Not the trader's Ctrl-C."""


def throw(error: BaseException) -> Score:
    raise error


BAD_WAYS: list[tuple[Callable[[], Any], str]] = [
    (divide_by_zero, "ZeroDivisionError"),
    (lambda: Score(math.nan), "not a number"),
    (lambda: Score(math.inf), "not a number"),
    (lambda: Score(1.0, {"part": math.nan}), "not a number"),
    (lambda: Score(1.0, {}, math.nan), "not a number"),
    (lambda: 0.7, "answered with float"),
    (lambda: None, "answered with NoneType"),
    (lambda: Score("high"), "ValueError"),
    (lambda: throw(SystemExit(1)), "SystemExit: 1"),
    (lambda: throw(OwnInterrupt()), "OwnInterrupt"),
    (lambda: throw(GeneratorExit()), "GeneratorExit"),
    (lambda: throw(Unspeakable()), "Unspeakable: (it has no text)"),
    (lambda: throw(ValueError("a\ud800b")), "ValueError: a?b"),
    (lambda: Score(1.0, {"\ud800": 1.0}), "UnicodeEncodeError"),
    (lambda: Score(1.0, {None: 1.0}), "named by NoneType"),  # type: ignore[dict-item]
]


class Desk:
    """A core of two symbols whose config names a scorer; only its own fails."""

    def __init__(self, kind: Callable[[], Scorer], **options: Any) -> None:
        self.feed = Feed(2)
        config = a_config(strategy={"scorer": PATH, "scorer_probation_s": 2.0})
        instruments = [an_instrument(name) for name in ("BTCUSDT", "ETHUSDT")]
        self.core = StrategyCore(instruments, config, "s1", scorers=registry_of(kind), **options)
        self.core.on_frames(balanced(self.feed, 3))

    def see(self, seconds: float, bad_symbol: int | None = None, **values: float) -> list[Any]:
        frames = self.feed.frames(round(seconds * 10), **values)
        if bad_symbol is not None:
            frames["imb5"][frames["symbol"] == bad_symbol] = -9.0
        return list(self.core.on_frames(frames))


def alerts(outputs: list[Any]) -> list[StateEvent]:
    return [
        output
        for output in outputs
        if isinstance(output, StateEvent) and "scorerFailed" in output.extra
    ]


@pytest.mark.parametrize(("how", "words"), BAD_WAYS)
def test_a_failing_scorer_leaves_its_symbol_without_signal_and_says_so(
    how: Callable[[], Any], words: str
) -> None:
    desk = Desk(failing(-9.0, how))

    outputs = desk.see(0.5, bad_symbol=0, **STRONG_LONG)

    (alert,) = alerts(outputs)
    assert msgspec.msgpack.encode(outputs)
    assert alert.symbol == "BTCUSDT"
    assert alert.event_type is EventType.SCORING_UPDATE
    assert words in alert.reason
    assert "no signal for 2 s" in alert.reason
    assert desk.core.scorer_failures == {"BTCUSDT": 1}
    states = desk.core.states()
    assert states["BTCUSDT"] is SymbolState.FLAT
    assert states["ETHUSDT"] is SymbolState.ARM


@pytest.mark.parametrize("batch", [False, True])
def test_the_traders_own_interrupt_is_no_failure_of_the_scorer(batch: bool) -> None:
    class Interrupted:
        def score(self, frame: Any, context: ScoreContext) -> Score:
            raise KeyboardInterrupt

    if batch:
        Interrupted.score_frames = Interrupted.score  # type: ignore[attr-defined]

    with pytest.raises(KeyboardInterrupt):
        a_path(Interrupted).evaluate(Feed().frames(20))


def test_a_scorer_that_writes_into_its_frame_changes_no_frame() -> None:
    class Scribbler:
        def score(self, frame: Any, context: ScoreContext) -> Score:
            del context
            frame["bid_tick"] = 0
            return Score(1.0)

    frames = Feed().frames(20)
    before = frames.copy()

    seen = a_path(Scribbler).evaluate(frames)

    assert seen.pressure[-1] == 1.0
    np.testing.assert_array_equal(seen.frames, before)
    np.testing.assert_array_equal(frames, before)


def test_a_scorer_that_leaves_the_process_when_it_is_made_is_refused_with_its_config() -> None:
    class Leaves:
        def __init__(self) -> None:
            raise SystemExit(3)

    with pytest.raises(BadScorer, match="cannot be made: SystemExit: 3"):
        registry_of(Leaves).make(PATH)


def test_the_reason_stands_among_what_blocks_an_entry() -> None:
    desk = Desk(failing(-9.0, divide_by_zero))

    outputs = desk.see(0.5, bad_symbol=0, **STRONG_LONG)

    scores = [o for o in outputs if isinstance(o, ScoreUpdate) and o.symbol == "BTCUSDT"]
    assert any("ZeroDivisionError" in reason for reason in scores[-1].blocked_reasons)
    assert not scores[-1].signal_long


def test_after_its_probation_a_scorer_is_asked_again_and_may_recover() -> None:
    desk = Desk(failing(-9.0, divide_by_zero))
    desk.see(0.5, bad_symbol=0, **STRONG_LONG)

    assert alerts(desk.see(1.5, **STRONG_LONG)) == []
    assert desk.core.states()["BTCUSDT"] is SymbolState.FLAT
    outputs = desk.see(1.0, **STRONG_LONG)

    (recovery,) = alerts(outputs)
    assert recovery.reason.endswith("answers again")
    assert desk.core.states()["BTCUSDT"] is SymbolState.ARM


def test_a_scorer_that_goes_on_failing_is_asked_once_a_probation() -> None:
    asked: list[int] = []

    class AlwaysFailing:
        def score(self, frame: Any, context: ScoreContext) -> Score:
            del context
            asked.append(int(frame["ts_ns"]))
            raise RuntimeError("no")

    desk = Desk(AlwaysFailing)
    desk.see(10.0)

    assert np.diff(sorted(set(asked))).min() >= 2 * S
    assert desk.core.scorer_failures["BTCUSDT"] == len(asked) / 2


def test_an_error_in_the_batch_form_is_pinned_to_its_row() -> None:
    """`score_frames` fails as a whole: rows before the bad one keep their scores."""

    class Whole:
        def score(self, frame: Any, context: ScoreContext) -> Score:
            if frame["imb5"] == -9.0:
                raise ValueError("bad row")
            return LinearScorer().score(frame, context)

        def score_frames(self, frames: Frames, context: ScoreContext) -> Score:
            if (frames["imb5"] == -9.0).any():
                raise ValueError("bad batch")
            return LinearScorer().score_frames(frames, context)

    frames = random_frames(3, 200)
    frames["imb5"][120] = -9.0
    rows = np.flatnonzero(frames["symbol"] == frames["symbol"][120])

    whole = a_path(Whole).evaluate(frames)
    path = a_path(Whole)
    one_by_one = np.concatenate([path.evaluate(frames[i : i + 1]).out_f for i in range(200)])

    assert whole.scorer_notes == {120: "ValueError: bad row"}
    np.testing.assert_array_equal(whole.out_f, one_by_one)
    good = whole.out_i[rows, at.SCORER_OK] == 1
    assert good[(rows < 120) & (rows > 40)].all()
    assert not good[rows >= 120].any()


def test_a_slow_scorer_is_left_out_like_a_failing_one() -> None:
    class SlowAt:
        """Calls whose scorer looks at imb5 of -9 take longer than allowed."""

        def call(self, ask: Callable[[], Any], limit_s: float) -> Any:
            del limit_s
            return ask()

    def too_slow() -> Score:
        raise ScorerTooSlow("took 50.0 ms (limit 20 ms)")

    desk = Desk(failing(-9.0, too_slow), watch=SlowAt())

    (alert,) = alerts(desk.see(0.5, bad_symbol=0, **STRONG_LONG))

    assert "took 50.0 ms (limit 20 ms)" in alert.reason


def test_the_time_allowed_grows_with_the_frames_asked_for() -> None:
    allowed: list[float] = []

    class Watch:
        def call(self, ask: Callable[[], Any], limit_s: float) -> Any:
            allowed.append(limit_s)
            return ask()

    path = NumericPath(
        ("BTCUSDT", "ETHUSDT"),
        a_config(strategy={"scorer": PATH, "scorer_limit_ms": 5.0}),
        registry_of(LinearScorer),
        Watch(),
    )
    path.evaluate(random_frames(1, 40))
    allowed.clear()
    path.evaluate(random_frames(1, 40)[:0])
    assert allowed == []

    late = random_frames(1, 20)
    late["ts_ns"] += 10 * S
    late["frame_seq"] += 100
    path.evaluate(late)

    assert allowed == [10 * 0.005] * 2


def test_a_cold_frame_and_a_bad_book_are_not_shown_to_the_scorer() -> None:
    shown: list[np.void] = []

    class Curious:
        def score(self, frame: np.void, context: ScoreContext) -> Score:
            del context
            shown.append(frame)
            return Score(0.0)

    frames = Feed().frames(20)
    frames["book_state"][15] = 3
    frames["warm"][16] = 0
    a_path(Curious).evaluate(frames)

    numbers = [int(frame["frame_seq"]) for frame in shown]
    assert numbers == [11, 12, 13, 14, 15, 18, 19, 20]


def test_one_symbol_may_have_a_scorer_of_its_own() -> None:
    base = StrategyConfig(weights=WEIGHTS)
    own = {name: getattr(base, name) for name in base.__struct_fields__} | {"scorer": PATH}
    config = a_config()
    decision = DecisionConfig(
        market=config.market,
        strategy=base,
        symbols={"ETHUSDT": SymbolDecision(strategy=StrategyConfig(**own))},
    )

    class Flat:
        def score(self, frame: Any, context: ScoreContext) -> Score:
            del frame
            return Score(0.0, {context.symbol: 0.0})

    path = NumericPath(("BTCUSDT", "ETHUSDT"), decision, registry_of(Flat))
    seen = path.evaluate(random_frames(2, 80))

    eth = seen.frames["symbol"] == 1
    assert not seen.pressure[eth].any()
    assert seen.pressure[~eth].any()
