"""A ladder carried out: averaging orders, the average that moves stop and targets, legs that are refused."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from execution.domain.config import ExecutionConfig
from execution.domain.venue import OrderUpdated, VenueOrderStatus
from market.domain.events import ASK
from strategy.domain.config import RiskConfig
from strategy.domain.messages import DcaLevel, EventType, Side, StopPlan, TakeProfitLevel, TradePlan

MS = 1_000_000
LIMITS = RiskConfig(max_notional_usd=100_000.0, max_heat_pct=50.0)


def a_ladder(world: Any, side: Side = Side.LONG, **changes: Any) -> TradePlan:
    """Entry of 100 lots at 10,000; averaging at 20 and 40 ticks, targets at 30 and 60 bps, stop at 100."""
    sign = side.sign
    entry = 10_000 if sign > 0 else 10_001
    fields = {
        "side": side, "profile": "ladder", "qty_lots": 100, "leverage": 10.0, "trailing": None,
        "stop": StopPlan(price_ticks=entry - sign * 100, distance_bps=100.0),
        "take_profits": (
            TakeProfitLevel(price_ticks=entry + sign * 30, qty_lots=50, distance_bps=30.0),
            TakeProfitLevel(price_ticks=entry + sign * 60, qty_lots=50, distance_bps=60.0),
        ),
        "dca_levels": (
            DcaLevel(price_ticks=entry - sign * 20, qty_lots=100),
            DcaLevel(price_ticks=entry - sign * 40, qty_lots=200),
        ),
    }  # fmt: skip
    return world.plan(**{**fields, **changes})


@pytest.fixture
def ladder_world(make_world: Any) -> Any:
    return make_world(limits=LIMITS)


def enter(world: Any, **changes: Any) -> None:
    """The entry rests at the touch, and a seller fills it whole."""
    world.ask(plan=a_ladder(world, **changes))
    world.wait(50)
    world.trade("SELL", 10_000, 1100)
    world.wait(150)


def test_averaging_orders_rest_as_soon_as_the_entry_is_over(ladder_world: Any) -> None:
    world = ladder_world
    enter(world)

    live = world.live()
    assert set(live) == {"STOP", "TP1", "TP2", "DCA1", "DCA2"}
    assert [(live[leg].price_ticks, live[leg].qty_lots) for leg in ("DCA1", "DCA2")] == [
        (9_980, 100),
        (9_960, 200),
    ]
    assert not live["DCA1"].reduce_only


def test_an_averaging_fill_moves_the_average_and_with_it_stop_and_targets(
    ladder_world: Any,
) -> None:
    world = ladder_world
    enter(world)
    world.move_to(9_980)
    world.trade("SELL", 9_980, 1100)
    world.wait(200)

    live = world.live()
    assert world.position() == 200
    assert (live["STOP"].qty_lots, live["STOP"].trigger_ticks) == (200, 9_890)  # 1 % under 9,990
    assert [(live[leg].price_ticks, live[leg].qty_lots) for leg in ("TP1", "TP2")] == [
        (10_020, 100),
        (10_050, 100),
    ]


def test_after_the_first_target_no_averaging_order_is_left_and_the_stop_is_at_break_even(
    ladder_world: Any,
) -> None:
    world = ladder_world
    enter(world)
    world.move_to(10_030)
    world.trade("BUY", 10_031, 60)
    world.wait(300)

    live = world.live()
    assert world.position() == 50
    assert set(live) == {"STOP", "TP2"}
    assert live["STOP"].trigger_ticks == 10_009


def test_a_ladder_that_is_stopped_leaves_no_averaging_order_behind(ladder_world: Any) -> None:
    world = ladder_world
    enter(world)
    for bid in (9_975, 9_955, 9_800):
        world.move_to(bid)
        world.wait(300)

    assert world.position() == 0
    assert world.venue.open_orders() == ()
    assert world.rows("TRADE")[-1]["exitReason"] == "STOP_LOSS"


def test_a_part_filled_entry_is_averaged_in_proportion(ladder_world: Any) -> None:
    world = ladder_world
    world.ask(plan=a_ladder(world, timeout_ms=500))
    world.wait(50)
    world.trade("SELL", 10_000, 1030)
    world.wait(700)

    live = world.live()
    assert [live[leg].qty_lots for leg in ("DCA1", "DCA2")] == [30, 60]
    assert (live["TP1"].qty_lots, live["TP2"].qty_lots) == (15, 15)


def test_an_averaging_order_too_small_for_the_venue_goes_on_to_the_next(make_world: Any) -> None:
    """Of 10 lots of 100 USDT the venue takes orders from 5 USDT: DCA1 of a twentieth is too small."""
    world = make_world(limits=LIMITS)
    levels = (DcaLevel(price_ticks=9_980, qty_lots=4), DcaLevel(price_ticks=9_960, qty_lots=20))
    enter(world, dca_levels=levels)

    live = world.live()
    assert "DCA1" not in live
    assert live["DCA2"].qty_lots == 24


# -- legs the venue refuses -------------------------------------------------------------------------------


def refuse(world: Any, leg: str) -> None:
    """Every order of `leg` is rejected by the venue, whatever it is."""
    submit = world.venue.submit

    def refusing(command: Any) -> None:
        order = world.core.orders.get(command.client_order_id)
        if type(command).__name__ != "PlaceOrder" or order is None or order.leg != leg:
            submit(command)
            return
        world.desk.deliveries.push(
            [
                OrderUpdated(
                    client_order_id=command.client_order_id, exchange_order_id="",
                    symbol=command.symbol, status=VenueOrderStatus.REJECTED, revision=1,
                    qty_lots=command.qty_lots, filled_lots=0, venue_ts_ns=world.now_ns,
                    deliver_at_ns=world.now_ns + 20 * MS, code=110_094, reason="110094 too small",
                )
            ]
        )  # fmt: skip

    world.venue.submit = refusing


def attempts(world: Any, leg: str) -> list[dict[str, Any]]:
    return [line for line in world.lines("INTENT") if line["leg"] == leg]


def test_a_refused_target_is_given_up_with_one_alert_and_goes_on_to_the_next(world: Any) -> None:
    refuse(world, "TP1")
    world.open_long()
    world.wait(20_000, step_ms=50)

    assert len(attempts(world, "TP1")) == 3
    assert world.live()["TP2"].qty_lots == 80
    alerts = [e for e in world.events() if e.type is EventType.EXECUTION_ERROR]
    assert [event.status for event in alerts] == ["ALERT"]
    assert "TP1 given up after 3 orders (110094 too small)" in alerts[0].reason
    shown = world.core.tpsl_snapshot_row(world.now_ns)["trades"][0]["tps"]
    assert [row["state"] for row in shown] == ["GIVEN_UP", "OPEN"]


def test_a_refused_last_target_leaves_its_share_to_the_stop(world: Any) -> None:
    refuse(world, "TP2")
    world.open_long()
    world.wait(5_000, step_ms=50)

    live = world.live()
    assert set(live) == {"STOP", "TP1"}
    assert (live["STOP"].qty_lots, live["TP1"].qty_lots) == (100, 40)


def test_a_refused_averaging_order_goes_on_to_the_next(ladder_world: Any) -> None:
    world = ladder_world
    refuse(world, "DCA1")
    enter(world)
    world.wait(3_000, step_ms=50)

    assert world.live()["DCA2"].qty_lots == 300
    assert len(attempts(world, "DCA1")) == 3


def test_a_refused_close_is_tried_for_ever_but_ever_more_slowly(world: Any) -> None:
    world.open_long()
    refuse(world, "CLOSE")
    world.ask("CLOSE")
    world.wait(30_000, step_ms=50)

    made = attempts(world, "CLOSE")
    assert 7 <= len(made) <= 12  # 250 ms doubling up to 5 s
    assert world.position() == 100
    assert world.live()["STOP"].qty_lots == 100
    assert any("trying again" in event.reason for event in world.events())


# -- labels ---------------------------------------------------------------------------------------------


def test_a_break_even_stop_that_a_gap_carried_into_a_loss_is_called_a_stop_loss(
    world: Any,
) -> None:
    plan = world.plan(
        trailing=None, take_profits=(TakeProfitLevel(price_ticks=10_030, qty_lots=5),)
    )
    world.ask(plan=plan)
    world.wait(50)
    world.trade("SELL", 10_000, 1100)
    world.wait(100)
    world.move_to(10_030)
    world.trade("BUY", 10_031, 20)
    world.wait(200)
    assert world.live()["STOP"].trigger_ticks == 10_009

    world.move_to(9_900)
    world.wait(200)

    trade = world.rows("TRADE")[-1]
    assert trade["realizedPnl"] < 0
    assert trade["exitReason"] == "STOP_LOSS"


WIDE = (DcaLevel(price_ticks=9_980, qty_lots=300),)

# -- limits -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("limits", "changes", "code"),
    [
        ({"max_notional_usd": 398.0}, {}, "RISK_NOTIONAL"),
        ({"max_heat_pct": 0.03, "risk_per_trade_pct": 0.01}, {}, "RISK_HEAT"),
        ({"max_leverage": 5.0}, {}, "RISK_LEVERAGE"),
        ({}, {"qty_lots": 9_900, "leverage": 1.0, "dca_levels": WIDE}, "RISK_MARGIN"),
        (
            {},
            {"leverage": 25.0, "stop": StopPlan(price_ticks=9_600, distance_bps=400.0)},
            "RISK_LIQUIDATION",
        ),
    ],
)
def test_a_ladder_that_would_break_a_limit_with_every_order_filled_is_refused(
    make_world: Any, limits: dict[str, Any], changes: dict[str, Any], code: str
) -> None:
    """Each limit but the leverage would bear the entry alone; its averaging orders break it."""
    config = ExecutionConfig(max_notional_usdt=1e9, min_notional_usdt=0.0)
    values = {"max_notional_usd": 1e9, "max_heat_pct": 50.0} | limits
    world = make_world(config, RiskConfig(**values))
    world.ask(plan=a_ladder(world, **changes))

    assert code in str(world.rows("ORDER")[-1]["lastError"])
    assert world.core.trades == {}


# -- whatever happens ---------------------------------------------------------------------------------------

WORLD: Any = None


@pytest.fixture(autouse=True)
def _world_for_properties(make_world: Any) -> None:
    globals()["WORLD"] = make_world


steps = st.lists(
    st.tuples(
        st.sampled_from(["move", "thin", "trade", "wait", "close", "cancel"]),
        st.integers(-45, 45),
    ),
    max_size=20,
)


@settings(max_examples=25, deadline=None)
@given(story=steps, side=st.sampled_from(list(Side)))
def test_whatever_happens_to_a_ladder_it_is_protected_and_never_more_than_was_judged(
    story: list[tuple[str, int]], side: Side
) -> None:
    world = WORLD(limits=LIMITS)
    world.ask(plan=a_ladder(world, side))
    worst, highest = world.core.snapshot(world.now_ns).exposures[0], 10_001
    for what, amount in story:
        if what == "move":
            world.move_to(world.quotes["BTCUSDT"][0] + amount)
        elif what == "thin":
            world.level(ASK, world.quotes["BTCUSDT"][1], 7)
        elif what == "trade":
            taker = "BUY" if amount > 0 else "SELL"
            world.trade(taker, world.quotes["BTCUSDT"][0] + (amount > 0), 400 + 30 * abs(amount))
        elif what in ("close", "cancel"):
            world.ask("CLOSE" if what == "close" else "CANCEL_ENTRY")
        world.wait(
            240
        )  # an entry, an averaging order and two amends of the stop, one after another
        highest = max(highest, world.quotes["BTCUSDT"][1])
        check(world, worst, highest / 10_000)
    world.ask("CLOSE")
    world.book()
    world.mark(10_000)
    world.wait(1500)

    assert world.core.trades == {}
    assert world.venue.open_orders() == ()
    assert world.core.book.realized_usdt + 10_000 == world.venue.account().equity_usdt


def check(world: Any, worst: Any, gap: float) -> None:
    """A short that a gap lets sell higher than it asked for is worth that much more, and no more."""
    trade = world.core.trades.get("BTCUSDT")
    if trade is None:
        return
    one_lot = 10_100 * float(Decimal("0.0001"))
    now = world.core.snapshot(world.now_ns).exposures[0]
    assert now.notional <= worst.notional * gap + one_lot
    assert now.risk <= worst.risk * gap + one_lot
    if trade.position_lots <= 0:
        return
    live = world.live()
    assert world.position() * trade.plan.side.sign == trade.position_lots
    assert "STOP" in live or "CLOSE" in live or trade.phase == "CLOSING"
    if "STOP" in live and trade.phase == "OPEN":
        assert live["STOP"].qty_lots == trade.position_lots
    targets = sum(o.leaves_lots for leg, o in live.items() if leg.startswith("TP"))
    assert targets <= trade.position_lots
