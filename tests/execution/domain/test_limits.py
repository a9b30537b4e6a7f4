"""Exposure limits as execution holds them: whatever is asked for and however it fills."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from execution.domain.config import ExecutionConfig
from execution.domain.exposure import planned_exposure
from failover.domain.days import NS_PER_DAY
from strategy.domain.config import RiskConfig
from strategy.domain.config_risk import CorrelationGroup
from strategy.domain.messages import DcaLevel, Side, StopPlan

SYMBOLS = ("BTCUSDT", "ETHUSDT", "SOLUSDT", "XRPUSDT")
MAJORS = CorrelationGroup(name="majors", symbols=("BTCUSDT", "ETHUSDT"), max_positions=1)
LIMITS = RiskConfig(
    max_positions=2,
    groups=(MAJORS,),
    max_heat_pct=0.05,  # of 10,000: 5 USDT, some three entries of 100 USDT with a stop of 1 %
    risk_per_trade_pct=0.05,
    max_notional_usd=300.0,
    max_trades_per_hour=1000,
    loss_streak=1000,
)
ONE_LOT_USDT = 1.1
WORLD: Any = None


@pytest.fixture(autouse=True)
def _world_for_properties(make_world: Any) -> None:
    globals()["WORLD"] = make_world


def a_wish(world: Any, symbol: str, side: Side, lots: int, averaging: int) -> None:
    """Ask for a scalp, or a ladder of up to two averaging orders, of any size."""
    bid, ask = world.quotes[symbol]
    entry, sign = (bid if side is Side.LONG else ask), side.sign
    levels = [
        DcaLevel(price_ticks=entry - sign * 15 * n, qty_lots=lots * n)
        for n in range(1, averaging + 1)
    ]
    world.ask(
        plan=world.plan(
            symbol=symbol, side=side, entry_ticks=entry, qty_lots=lots, leverage=5.0,
            trailing=None, take_profits=(), dca_levels=tuple(levels),
            stop=StopPlan(price_ticks=entry - sign * 100, distance_bps=100.0),
        )
    )  # fmt: skip


class Ledger:
    """What each live trade was judged to risk when its request was accepted."""

    def __init__(self) -> None:
        self.judged: dict[str, float] = {}
        self.gap = 1.0  # a short may sell higher than it asked for, and is worth that much more

    def check(self, world: Any) -> None:
        trades = world.core.trades
        self.gap = max(self.gap, *(ask / 10_000 for _, ask in world.quotes.values()))
        exposures = {e.symbol: e for e in world.core.snapshot(world.now_ns).exposures}
        self._forget_ended(trades)
        for symbol, trade in trades.items():
            if trade.plan.plan_id not in self.judged:
                self.judged[trade.plan.plan_id] = exposures[symbol].risk
                equity = world.core.snapshot(world.now_ns).equity
                assert sum(self.judged.values()) <= equity * LIMITS.max_heat_pct / 100 + 1e-6
        self._check_positions(world)
        for symbol, trade in trades.items():
            judged = self.judged[trade.plan.plan_id]
            assert exposures[symbol].risk <= judged * self.gap + 0.012 * ONE_LOT_USDT
            assert exposures[symbol].notional <= LIMITS.max_notional_usd * self.gap + ONE_LOT_USDT

    def _forget_ended(self, trades: dict[str, Any]) -> None:
        live = {trade.plan.plan_id for trade in trades.values()}
        self.judged = {plan: risk for plan, risk in self.judged.items() if plan in live}

    @staticmethod
    def _check_positions(world: Any) -> None:
        """At the venue itself: open positions and what they are worth at their entry."""
        held = {s: p for s, p in world.venue.account().positions.items() if p.lots}
        assert len(held) <= LIMITS.max_positions
        assert sum(symbol in MAJORS.symbols for symbol in held) <= MAJORS.max_positions
        assert len(world.core.trades) <= LIMITS.max_positions
        for symbol, position in held.items():
            notional = abs(position.lots) * world.quotes[symbol][0] * 1e-4
            assert notional <= LIMITS.max_notional_usd * 1.03 + ONE_LOT_USDT


what_happens = st.lists(
    st.one_of(
        st.tuples(
            st.just("ask"), st.sampled_from(SYMBOLS), st.sampled_from(list(Side)),
            st.integers(5, 400), st.integers(0, 2),
        ),
        st.tuples(st.just("trade"), st.sampled_from(SYMBOLS), st.booleans(), st.integers(900, 1600)),
        st.tuples(st.just("move"), st.sampled_from(SYMBOLS), st.integers(-30, 30)),
        st.tuples(st.just("close"), st.sampled_from(SYMBOLS)),
    ),
    min_size=4,
    max_size=18,
)  # fmt: skip


@settings(max_examples=40, deadline=None)
@given(story=what_happens)
@example(  # the first averaging order is too small for the venue and becomes part of the second
    story=[
        ("close", "BTCUSDT"),
        ("ask", "BTCUSDT", Side.LONG, 5, 2),
        ("move", "BTCUSDT", -1),
        ("ask", "BTCUSDT", Side.LONG, 5, 0),
    ]
)
def test_no_sequence_of_signals_and_fills_exceeds_a_limit_by_more_than_a_lot(
    story: list[tuple[Any, ...]],
) -> None:
    world = WORLD(ExecutionConfig(max_notional_usdt=1e6), LIMITS, SYMBOLS)
    ledger = Ledger()
    for what, symbol, *rest in story:
        if what == "ask":
            a_wish(world, symbol, *rest)
        elif what == "trade":
            bid, ask = world.quotes[symbol]
            taker = "BUY" if rest[0] else "SELL"
            world.trade(taker, ask if rest[0] else bid, rest[1], symbol=symbol)
        elif what == "move":
            world.move_to(world.quotes[symbol][0] + rest[0], symbol=symbol)
        else:
            world.ask("CLOSE", symbol=symbol)
        ledger.check(world)
        world.wait(60, step_ms=20)
        ledger.check(world)


def test_the_stories_above_do_open_positions_and_are_refused_for_each_limit() -> None:
    """Guards the property against proving nothing."""
    world = WORLD(ExecutionConfig(max_notional_usdt=1e6), LIMITS, SYMBOLS)
    a_wish(world, "BTCUSDT", Side.LONG, 100, 0)
    a_wish(world, "ETHUSDT", Side.LONG, 50, 0)
    a_wish(world, "SOLUSDT", Side.LONG, 100, 2)
    a_wish(world, "XRPUSDT", Side.LONG, 301, 0)
    reasons = [str(row["lastError"]) for row in world.rows("ORDER") if row["status"] == "REJECTED"]
    world.wait(50)
    world.trade("SELL", 10_000, 1100)
    world.wait(100)

    assert world.position("BTCUSDT") == 100
    assert "RISK_GROUP" in reasons[0]
    assert "RISK_HEAT" in reasons[1]
    assert "RISK_NOTIONAL" in reasons[2]


# -- limits of one symbol -------------------------------------------------------------------------------


def test_an_entry_is_held_at_the_risk_its_own_symbol_was_judged_by(make_world: Any) -> None:
    """A symbol that is thought to slip more at its stop goes on so once the entry is accepted."""
    world = make_world(limits=RiskConfig(stop_slippage_bps=1.0))
    own = RiskConfig(stop_slippage_bps=100.0)
    world.core.on_config(
        world.config, RiskConfig(stop_slippage_bps=1.0), "v2", symbol_limits={"BTCUSDT": own}
    )
    plan = world.plan(type="MARKET", take_profits=(), trailing=None)
    judged = planned_exposure(plan, plan.qty_lots, 10_001.0, world.instruments[0], own).risk_usdt
    world.ask(plan=plan)
    world.wait(150)

    snapshot = world.core.snapshot(world.now_ns)
    assert judged > 1.0  # of 100 USDT
    assert snapshot.exposures[0].risk == pytest.approx(judged)
    assert snapshot.positions[0].open_risk == pytest.approx(judged)


# -- the day ----------------------------------------------------------------------------------------------


def test_the_day_rolls_over_at_utc_midnight_and_takes_no_old_loss_along(make_world: Any) -> None:
    """A position held over midnight: what it had lost by then is yesterday's."""
    limits = RiskConfig(daily_loss_limit_pct=0.002, daily_loss_close_pct=0.004, max_heat_pct=50.0)
    world = make_world(limits=limits)
    world.ask(plan=world.plan(type="MARKET", take_profits=(), time_stop_s=None))
    world.wait(150)
    world.move_to(9_980)
    world.wait(1100)
    stopped = world.core.risk(world.now_ns)
    assert stopped.daily_pnl < -0.2
    assert not stopped.flags.risk_allow_new_positions

    world.now_ns = (world.now_ns // NS_PER_DAY + 1) * NS_PER_DAY
    world.wait(100)
    fresh = world.core.risk(world.now_ns)
    assert fresh.daily_pnl == pytest.approx(0.0, abs=1e-6)
    assert fresh.flags.risk_allow_new_positions
    assert world.core.snapshot(world.now_ns).day_open_equity == pytest.approx(stopped.equity)

    world.move_to(9_955)
    world.wait(100)
    assert world.core.risk(world.now_ns).daily_pnl == pytest.approx(-0.25, abs=0.01)


def test_losses_in_a_row_pause_entries_and_the_snapshot_says_until_when(make_world: Any) -> None:
    limits = RiskConfig(loss_streak=1, loss_streak_pause_s=60, max_heat_pct=50.0)
    world = make_world(limits=limits)
    world.open_long()
    world.move_to(9_900)
    world.wait(300)
    paused = world.core.snapshot(world.now_ns).paused_until_ns
    world.quote("ETHUSDT")
    world.ask(plan=world.plan(symbol="ETHUSDT"))

    assert paused > world.now_ns
    assert "RISK_ENGINE_BLOCK_GLOBAL" in str(world.rows("ORDER")[-1]["lastError"])
