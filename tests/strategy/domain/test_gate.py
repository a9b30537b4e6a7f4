"""The fee-first gate."""

from __future__ import annotations

import math

import pytest

from strategy.domain.config import RiskConfig, StrategyConfig
from strategy.domain.gate import Candidate, blocking_reasons, has_signal, planned_cost
from strategy.domain.messages import QualityView
from strategy.domain.regime import Regime


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


def test_cost_at_real_fees_is_maker_in_and_half_maker_half_taker_out() -> None:
    """2 in + 0.5 * 2 out + 0.5 * (5.5 + 0.5 slippage + half of a 2 bps spread)."""
    cost = planned_cost(StrategyConfig(), RiskConfig())

    assert cost.round_trip_bps(2.0) == pytest.approx(2 + 1 + 0.5 * (5.5 + 0.5 + 1.0))


def test_measured_adverse_markout_is_part_of_the_cost() -> None:
    plain = planned_cost(StrategyConfig(), RiskConfig()).round_trip_bps(1.0)
    marked = planned_cost(StrategyConfig(adverse_markout_bps=1.25), RiskConfig())

    assert marked.round_trip_bps(1.0) == pytest.approx(plain + 1.25)


def test_what_execution_measured_counts_where_it_is_worse_than_assumed() -> None:
    config = StrategyConfig(adverse_markout_bps=0.5, taker_slippage_bps=0.5)
    bad = QualityView(adverse_markout_bps=1.5, slippage_bps=2.5)
    good = QualityView(adverse_markout_bps=0.1, slippage_bps=0.1)
    assumed = planned_cost(config, RiskConfig()).round_trip_bps(1.0)

    assert planned_cost(config, RiskConfig(), bad).round_trip_bps(1.0) == pytest.approx(
        assumed + 1.0 + 0.5 * 2.0
    )
    assert planned_cost(config, RiskConfig(), good).round_trip_bps(1.0) == assumed


def test_the_parts_of_a_cost_add_up_to_it() -> None:
    cost = planned_cost(StrategyConfig(), RiskConfig(), QualityView(adverse_markout_bps=1.5))

    assert sum(cost.parts(2.0).values()) == pytest.approx(cost.round_trip_bps(2.0))


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
        ({"scorer_failure": "scorer x.Y failed: ZeroDivisionError"}, "ZeroDivisionError"),
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
