"""The ladder: its figures by hand, and that no ladder is begun which could be liquidated before its stop."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from strategy.domain.config import DecisionConfig, RiskConfig, StrategyConfig
from strategy.domain.config_plan import LadderDca, LadderSettings, LadderTarget
from strategy.domain.margin import MarginTable, MarginTier, liquidation_price
from strategy.domain.messages import Side
from strategy.domain.plan import PlanInput, Planned
from strategy.domain.plan_ladder import worst_position
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


def plan_with(
    ladder: dict[str, Any] | None = None,
    risk: dict[str, Any] | None = None,
    account: AccountRisk = ACCOUNT,
    **order: Any,
) -> Planned:
    values = {
        "instrument": an_instrument(qty_step=Decimal("0.00001"), min_qty=Decimal("0.00001")),
        "side": Side.LONG,
        "bid_ticks": 1_000_000,
        "ask_ticks": 1_000_001,
        "rv60s": 1.0,
        "cost_bps": 6.0,
        "near_depth_usd": 1e9,
        "plan_id": "s1-BTCUSDT-7",
    }
    config = DecisionConfig(
        strategy=StrategyConfig(plan="ladder", ladder=LadderSettings(**(ladder or {}))),
        risk=RiskConfig(**(risk or {})),
    )
    return make_plan(PlanInput(**(values | order)), account, config)


def test_a_ladder_has_the_layout_of_phase_7() -> None:
    """At 25x 21 % ROE are 0.84 % of price; the stop of 50 % ROE lies 2 % behind the average."""
    plan = plan_with().plan

    assert plan is not None
    assert (plan.profile, plan.leverage, plan.break_even_after_tp) == ("ladder", 25.0, 1)
    assert plan.trailing is None
    assert [leg.price_ticks for leg in plan.take_profits] == [1_008_400, 1_016_800, 1_025_200]
    assert [leg.price_ticks for leg in plan.dca_levels] == [998_000, 994_000, 988_000]
    assert {leg.qty_lots for leg in plan.dca_levels} == {plan.qty_lots}
    assert sum(leg.qty_lots for leg in plan.take_profits) == plan.qty_lots
    assert plan.stop.price_ticks == 980_000
    assert plan.stop.distance_bps == pytest.approx(200.0)


def test_percentages_of_price_are_taken_as_they_are() -> None:
    plan = plan_with(
        {
            "unit": "PRICE", "stop_pct": 2.0, "dca_levels": (LadderDca(distance_pct=1.0),),
            "targets": (LadderTarget(distance_pct=1.0, fraction=1.0),),
        }
    ).plan  # fmt: skip

    assert plan is not None
    assert (plan.stop.price_ticks, plan.dca_levels[0].price_ticks) == (980_000, 990_000)
    assert [leg.price_ticks for leg in plan.take_profits] == [1_010_000]


def test_the_whole_ladder_is_sized_for_its_worst_loss() -> None:
    """0.25 % of 10,000 over 2 % stop + 5.5 bps fee + 2 bps slippage: 1,204.8 USDT of all orders."""
    planned = plan_with()

    assert planned.plan is not None
    assert planned.sizing is not None
    assert planned.sizing.notional_usdt == pytest.approx(1_204.8, rel=0.01)
    assert planned.sizing.risk_usdt <= 25.0
    lots, average = worst_position(planned.plan)
    assert planned.sizing.qty_lots == lots
    assert average == pytest.approx(995_000)


def test_a_stop_that_liquidation_would_come_before_is_refused() -> None:
    """At 25x an isolated long goes at 4 % less 0.5 % maintenance: a stop 3.1 % away is too near it."""
    refused = plan_with({"stop_pct": 77.5})
    allowed = plan_with({"stop_pct": 74.9})

    assert refused.plan is None
    assert "liquidation" in refused.refusals[0]
    assert allowed.plan is not None


def test_a_leverage_the_tier_does_not_allow_is_refused() -> None:
    tiers = (MarginTier(up_to_usdt=1e6, maintenance_bps=50.0, max_leverage=10.0),)
    refused = plan_with(risk={"margin_tiers": tiers})

    assert refused.plan is None
    assert "25x is not allowed" in refused.refusals[0]


def test_an_averaging_order_behind_the_stop_is_refused() -> None:
    refused = plan_with({"dca_levels": (LadderDca(distance_pct=51.0),)})

    assert refused.plan is None
    assert "averaging order 1 lies behind the stop" in refused.refusals[0]


def test_a_worst_loss_that_would_close_the_whole_account_is_refused() -> None:
    lost = AccountRisk(
        ts_ns=START_NS, equity=9_715.0, available=9_715.0, equity_peak=10_000.0,
        realized_pnl_today=-285.0, unrealized_pnl=0.0, exposures=(),
    )  # fmt: skip

    assert "day's loss" in plan_with(account=lost).refusals[0]


def test_an_averaging_order_too_small_for_the_venue_merges_into_the_next() -> None:
    coarse = an_instrument(min_notional=Decimal(250), qty_step=Decimal("0.0001"))
    levels = (LadderDca(distance_pct=5.0, size_x=0.3), LadderDca(distance_pct=15.0, size_x=0.7))
    plan = plan_with({"dca_levels": levels}, instrument=coarse).plan

    assert plan is not None
    assert [leg.price_ticks for leg in plan.dca_levels] == [994_000]
    assert plan.dca_levels[0].qty_lots == pytest.approx(plan.qty_lots, abs=2)


def test_settings_that_contradict_each_other_are_refused_together() -> None:
    with pytest.raises(ValueError, match=r"targets.*dcaLevels.*breakEvenAfterTp"):
        LadderSettings(
            targets=(
                LadderTarget(distance_pct=2.0, fraction=0.5),
                LadderTarget(distance_pct=1.0, fraction=0.5),
            ),
            dca_levels=(LadderDca(distance_pct=2.0), LadderDca(distance_pct=2.0)),
            break_even_after_tp=3,
        )


@settings(max_examples=120)
@given(
    leverage=st.floats(1, 25),
    stop_pct=st.floats(1, 99),
    distances=st.lists(st.floats(0.5, 60), max_size=4, unique=True),
    sizes=st.lists(st.floats(0.1, 5), min_size=4, max_size=4),
    side=st.sampled_from(Side),
    equity=st.floats(500, 1e6),
)
def test_any_ladder_that_is_begun_survives_its_own_worst_case(
    leverage: float,
    stop_pct: float,
    distances: list[float],
    sizes: list[float],
    side: Side,
    equity: float,
) -> None:
    """At every stage the next order fills before the stop, and the stop comes before liquidation."""
    levels = tuple(
        LadderDca(distance_pct=d, size_x=s) for d, s in zip(sorted(distances), sizes, strict=False)
    )
    account = AccountRisk(
        ts_ns=START_NS, equity=equity, available=equity, equity_peak=equity,
        realized_pnl_today=0.0, unrealized_pnl=0.0, exposures=(),
    )  # fmt: skip
    ladder = {"leverage": leverage, "stop_pct": stop_pct, "dca_levels": levels}
    planned = plan_with(ladder, {"max_notional_usd": 1e7}, account, side=side)

    assert (planned.plan is None) == bool(planned.refusals)
    plan = planned.plan
    if plan is None or planned.sizing is None:
        return
    assert planned.sizing.risk_usdt <= equity * 0.0025 * (1 + 1e-9)
    tick, step = Decimal("0.1"), Decimal("0.00001")
    held, value = plan.qty_lots, plan.entry.price_ticks * plan.qty_lots
    for stage in range(len(plan.dca_levels) + 1):
        average = Decimal(value) / held * tick
        stop = average * (1 - side.sign * Decimal(plan.stop.distance_bps) / 10_000)
        liquidation = liquidation_price(
            side.sign, average, held * step, Decimal(plan.leverage), MarginTable()
        )
        assert (stop - liquidation) * side.sign > 0
        if stage < len(plan.dca_levels):
            leg = plan.dca_levels[stage]
            assert (leg.price_ticks * tick - stop) * side.sign > -tick
            held, value = held + leg.qty_lots, value + leg.price_ticks * leg.qty_lots
