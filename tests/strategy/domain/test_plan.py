"""The scalp plan: its figures by hand, its shape for any instrument and price."""

from __future__ import annotations

import math
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from strategy.domain.config import DecisionConfig, RiskConfig, StrategyConfig
from strategy.domain.messages import Side
from strategy.domain.plan import PlanInput, Target, take_profit_legs
from strategy.domain.plans import make_plan
from strategy.domain.risk import AccountRisk
from tests.strategy.builders import START_NS, an_instrument

ACCOUNT = AccountRisk(
    ts_ns=START_NS,
    equity=10_000.0,
    available=10_000.0,
    equity_peak=10_000.0,
    realized_pnl_today=0.0,
    unrealized_pnl=0.0,
    exposures=(),
)


def a_plan_input(**changes: object) -> PlanInput:
    values = {
        "instrument": an_instrument(),
        "side": Side.LONG,
        "bid_ticks": 1_000_000,
        "ask_ticks": 1_000_001,
        "rv60s": 1.0,
        "cost_bps": 6.0,
        "near_depth_usd": 1e9,
        "plan_id": "s1-BTCUSDT-7",
    }
    return PlanInput(**(values | changes))  # type: ignore[arg-type]


def test_a_long_scalp_has_the_figures_of_the_specification() -> None:
    """Stop 3 x 6 = 18 bps (2.5 * 1 * sqrt(10) = 7.9 is less); TP1 max(9, 2 + 5.5 + 2) = 9.5 bps."""
    plan = make_plan(a_plan_input(), ACCOUNT, DecisionConfig()).plan

    assert plan is not None
    assert plan.plan_id == "s1-BTCUSDT-7"
    assert (plan.entry.type, plan.entry.time_in_force) == ("LIMIT", "PostOnly")
    assert plan.entry.price_ticks == 1_000_000
    assert plan.stop.price_ticks == 998_200
    assert plan.stop.trigger_by == "MarkPrice"
    assert [leg.price_ticks for leg in plan.take_profits] == [1_000_950, 1_002_160]
    assert [leg.qty_lots for leg in plan.take_profits] == [
        math.floor(plan.qty_lots * 0.4),
        math.floor(plan.qty_lots * 0.4),
    ]
    assert plan.trailing is not None
    assert plan.trailing.activate_bps == pytest.approx(9.5)
    assert plan.trailing.distance_bps == pytest.approx(9.0)
    assert (plan.break_even_after_tp, plan.time_stop_s, plan.dca_levels) == (1, 180, ())


def test_volatility_widens_the_stop_beyond_costs() -> None:
    plan = make_plan(a_plan_input(rv60s=10.0), ACCOUNT, DecisionConfig()).plan

    assert plan is not None
    stop_bps = 2.5 * 10 * math.sqrt(10)
    assert plan.stop.price_ticks == 1_000_000 - math.ceil(stop_bps * 100)


def test_the_required_hit_rate_is_loss_over_win_and_loss() -> None:
    plan = make_plan(a_plan_input(), ACCOUNT, DecisionConfig()).plan

    assert plan is not None
    win, loss = 0.4 * 9.5 + 0.6 * 21.6 - 4.0, 18 + 2 + 5.5 + 0.5
    assert plan.required_hit_rate == pytest.approx(loss / (win + loss))


def test_an_entry_inside_the_spread_never_reaches_the_other_side() -> None:
    config = DecisionConfig(strategy=StrategyConfig(entry_ticks_inside=1))

    tight = make_plan(a_plan_input(), ACCOUNT, config).plan
    wide = make_plan(a_plan_input(ask_ticks=1_000_003), ACCOUNT, config).plan
    short = make_plan(a_plan_input(ask_ticks=1_000_003, side=Side.SHORT), ACCOUNT, config).plan

    assert tight is not None
    assert wide is not None
    assert short is not None
    assert tight.entry.price_ticks == 1_000_000
    assert wide.entry.price_ticks == 1_000_001
    assert short.entry.price_ticks == 1_000_002


@pytest.mark.parametrize(("bid", "ask"), [(0, 1), (5, 5), (6, 5)])
def test_no_plan_without_a_valid_touch(bid: int, ask: int) -> None:
    planned = make_plan(a_plan_input(bid_ticks=bid, ask_ticks=ask), ACCOUNT, DecisionConfig())

    assert planned.plan is None
    assert planned.refusals == ("the book has no valid touch",)


def test_no_plan_whose_stop_would_leave_the_venues_price_range() -> None:
    planned = make_plan(
        a_plan_input(bid_ticks=2, ask_ticks=3, rv60s=1000.0), ACCOUNT, DecisionConfig()
    )

    assert planned.plan is None
    assert "price range" in planned.refusals[0]


def test_a_leg_too_small_for_the_venue_merges_into_the_next() -> None:
    instrument = an_instrument(min_qty=Decimal("0.005"))
    wanted = [Target(0.4, 1_000_100), Target(0.4, 1_000_200)]

    first_too_small = take_profit_legs(10, wanted, instrument)
    both_too_small = take_profit_legs(6, wanted, instrument)
    rest_too_small = take_profit_legs(15, wanted, instrument)

    assert [(leg.price_ticks, leg.qty_lots) for leg in first_too_small] == [(1_000_200, 10)]
    assert both_too_small == ()
    assert [leg.qty_lots for leg in rest_too_small] == [6, 9]


ticks = st.sampled_from(["0.0000001", "0.00001", "0.001", "0.01", "0.1", "0.5"])
steps = st.sampled_from(["0.001", "0.01", "1", "10", "1000"])


def test_an_unknown_volatility_refuses_the_plan_instead_of_counting_as_none() -> None:
    planned = make_plan(a_plan_input(rv60s=math.nan), ACCOUNT, DecisionConfig())

    assert planned.plan is None
    assert planned.refusals == ("volatility (rv60s) is not known yet",)


@settings(max_examples=300)
@given(
    tick_size=ticks,
    qty_step=steps,
    bid_ticks=st.integers(1, 3_000_000),
    spread_ticks=st.integers(1, 50),
    side=st.sampled_from(Side),
    rv60s=st.one_of(st.floats(0, 500), st.just(math.nan)),
    cost_bps=st.floats(3, 60),
    depth=st.floats(0, 1e8),
    inside=st.integers(0, 1),
    fractions=st.tuples(st.floats(0, 0.5), st.floats(0, 0.5)),
)
def test_any_plan_is_safe_in_shape(
    tick_size: str,
    qty_step: str,
    bid_ticks: int,
    spread_ticks: int,
    side: Side,
    rv60s: float,
    cost_bps: float,
    depth: float,
    inside: int,
    fractions: tuple[float, float],
) -> None:
    """Stop on the losing side, take-profits on the winning side in order, legs within the position."""
    instrument = an_instrument(
        tick_size=Decimal(tick_size),
        qty_step=Decimal(qty_step),
        min_qty=Decimal(qty_step),
        max_qty=Decimal(qty_step) * 1_000_000,
        max_market_qty=Decimal(qty_step) * 500_000,
        min_price=Decimal(tick_size),
        max_price=Decimal(tick_size) * 100_000_000,
    )
    order = a_plan_input(
        instrument=instrument, side=side, bid_ticks=bid_ticks, ask_ticks=bid_ticks + spread_ticks,
        rv60s=rv60s, cost_bps=cost_bps, near_depth_usd=depth,
    )  # fmt: skip
    config = DecisionConfig(
        strategy=StrategyConfig(
            entry_ticks_inside=inside, tp1_fraction=fractions[0], tp2_fraction=fractions[1]
        ),
        risk=RiskConfig(),
    )

    planned = make_plan(order, ACCOUNT, config)

    plan = planned.plan
    assert (plan is None) == bool(planned.refusals)
    if plan is None:
        return
    entry = plan.entry.price_ticks
    assert entry is not None
    assert bid_ticks <= entry <= bid_ticks + spread_ticks
    assert entry < order.ask_ticks if side is Side.LONG else entry > order.bid_ticks
    assert (entry - plan.stop.price_ticks) * side.sign > 0
    away = [(leg.price_ticks - entry) * side.sign for leg in plan.take_profits]
    assert all(distance > 0 for distance in away)
    assert away == sorted(set(away))
    assert sum(leg.qty_lots for leg in plan.take_profits) <= plan.qty_lots
    for leg in plan.take_profits:
        assert not instrument.refusals(
            leg.price_ticks, leg.qty_lots, is_market=False, reduce_only=False
        )
    assert not instrument.refusals(entry, plan.qty_lots, is_market=False, reduce_only=False)
    assert plan.qty_lots <= instrument.qty_to_lots(instrument.max_market_qty)
    assert 0 < (plan.required_hit_rate or 0) <= 1
