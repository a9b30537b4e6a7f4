"""The fee-first gate and the regime guard."""

from __future__ import annotations

import math

import pytest

from market.domain.frames import BookState
from strategy.domain.config import RiskConfig, StrategyConfig
from strategy.domain.gate import Candidate, blocking_reasons, has_signal, planned_cost
from strategy.domain.regime import BookReading, Regime, RegimeTracker, judge

S = 1_000_000_000


def a_candidate(**changes: object) -> Candidate:
    values = {
        "score": 80.0,
        "expected_move_bps": 12.0,
        "cost_bps": 6.0,
        "warm": True,
        "regime": Regime.NORMAL,
        "regime_reason": "",
    }
    return Candidate(**(values | changes))  # type: ignore[arg-type]


def a_reading(**changes: object) -> BookReading:
    values = {
        "book_state": BookState.OK,
        "spread_bps": 1.0,
        "bid_depth_usd": 50_000.0,
        "ask_depth_usd": 50_000.0,
    }
    return BookReading(**(values | changes))  # type: ignore[arg-type]


def test_cost_at_real_fees_is_maker_in_and_half_maker_half_taker_out() -> None:
    """2 in + 0.5 * 2 out + 0.5 * (5.5 + 0.5 slippage + half of a 2 bps spread)."""
    cost = planned_cost(StrategyConfig(), RiskConfig())

    assert cost.round_trip_bps(2.0) == pytest.approx(2 + 1 + 0.5 * (5.5 + 0.5 + 1.0))


def test_measured_adverse_markout_is_part_of_the_cost() -> None:
    plain = planned_cost(StrategyConfig(), RiskConfig()).round_trip_bps(1.0)
    marked = planned_cost(StrategyConfig(adverse_markout_bps=1.25), RiskConfig())

    assert marked.round_trip_bps(1.0) == pytest.approx(plain + 1.25)


def test_a_candidate_that_pays_passes_without_a_reason() -> None:
    assert blocking_reasons(a_candidate(), StrategyConfig()) == ()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"score": 69.9}, "below entry score"),
        ({"score": math.nan}, "below entry score"),
        ({"expected_move_bps": 8.99}, "does not pay"),
        ({"expected_move_bps": math.nan}, "does not pay"),
        ({"cost_bps": math.nan}, "does not pay"),
        ({"warm": False}, "warming up"),
        ({"regime": Regime.STALE, "regime_reason": "order book is stale"}, "order book is stale"),
    ],
)
def test_each_shortcoming_blocks_alone_and_says_so(change: dict[str, object], words: str) -> None:
    reasons = blocking_reasons(a_candidate(**change), StrategyConfig())

    assert len(reasons) == 1
    assert words in reasons[0]


def test_every_reason_is_returned_not_the_first() -> None:
    bad = a_candidate(score=1.0, expected_move_bps=0.0, warm=False, regime=Regime.ILLIQUID)

    assert len(blocking_reasons(bad, StrategyConfig())) == 4


def test_a_signal_needs_score_and_move_alike() -> None:
    config = StrategyConfig()

    assert has_signal(70.0, 9.0, 6.0, config)
    assert not has_signal(69.9, 9.0, 6.0, config)
    assert not has_signal(70.0, 8.9, 6.0, config)
    assert not has_signal(70.0, math.nan, 6.0, config)


@pytest.mark.parametrize(
    ("change", "regime"),
    [
        ({}, Regime.NORMAL),
        ({"book_state": BookState.STALE}, Regime.STALE),
        ({"book_state": BookState.DEGRADED}, Regime.STALE),
        ({"book_state": BookState.EMPTY}, Regime.STALE),
        ({"spread_bps": 15.1}, Regime.ILLIQUID),
        ({"spread_bps": math.nan}, Regime.ILLIQUID),
        ({"bid_depth_usd": 19_999.0}, Regime.ILLIQUID),
        ({"ask_depth_usd": 19_999.0}, Regime.ILLIQUID),
        ({"ask_depth_usd": math.nan}, Regime.ILLIQUID),
    ],
)
def test_the_book_decides_the_regime(change: dict[str, object], regime: Regime) -> None:
    verdict = judge(a_reading(**change), StrategyConfig())

    assert verdict.regime is regime
    assert bool(verdict.reason) is (regime is not Regime.NORMAL)


def test_a_bad_regime_is_entered_at_once_and_left_after_calm() -> None:
    config, tracker = StrategyConfig(), RegimeTracker()
    thin, sound = judge(a_reading(spread_bps=20.0), config), judge(a_reading(), config)

    assert tracker.step(100 * S, thin, 20.0)
    assert tracker.regime is Regime.ILLIQUID
    assert not tracker.step(119 * S, sound, 20.0)
    assert not tracker.step(119 * S + 1, thin, 20.0)  # calm begins anew
    assert not tracker.step(139 * S, sound, 20.0)
    assert tracker.step(139 * S + 1, sound, 20.0)
    assert tracker.regime is Regime.NORMAL
