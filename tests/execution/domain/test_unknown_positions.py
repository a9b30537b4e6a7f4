"""Lots that nobody ordered, lots too many for one order: whatever the venue holds is looked after."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec
import numpy as np
import pytest

from execution.domain.config import ExecutionConfig
from execution.domain.exposure import most_market_lots
from execution.domain.sim_config import MarginMode, SimConfig
from execution.domain.venue import (
    AmendOrder,
    CommandRefused,
    ExecType,
    OrderFilled,
    OrderSide,
    OrderType,
    PlaceOrder,
    PositionUpdated,
    TimeInForce,
    VenueCode,
)
from market.domain.frames import FRAME_DTYPE, BookState
from strategy.domain.config import RiskConfig
from strategy.domain.messages import DcaLevel, EventType

MS = 1_000_000
WIDE_LIMITS = RiskConfig(
    max_notional_usd=1e9, max_heat_pct=100, max_leverage=100, max_drawdown_pct=100,
    daily_loss_limit_pct=90, daily_loss_close_pct=100,
)  # fmt: skip


def a_fill(world: Any, **changes: Any) -> OrderFilled:
    fields = {
        "exec_id": "foreign-1", "client_order_id": "unknown", "exchange_order_id": "x-1",
        "symbol": "BTCUSDT", "side": OrderSide.BUY, "price_ticks": 10_000, "qty_lots": 20,
        "leaves_lots": 0, "fee_usdt": Decimal(0), "is_maker": True,
        "venue_ts_ns": world.now_ns, "deliver_at_ns": world.now_ns,
    }  # fmt: skip
    return OrderFilled(**{**fields, **changes})


def a_position(world: Any, lots: int, **changes: Any) -> PositionUpdated:
    fields = {
        "symbol": "BTCUSDT", "lots": lots, "average_entry_ticks": 10_000.0, "leverage": 5.0,
        "initial_margin_usdt": Decimal(0), "maintenance_margin_usdt": Decimal(0),
        "liquidation_ticks": None, "take_profit_ticks": None, "stop_loss_ticks": None,
        "is_liquidated": False, "venue_ts_ns": world.now_ns, "deliver_at_ns": world.now_ns,
    }  # fmt: skip
    return PositionUpdated(**{**fields, **changes})


def hear(world: Any, update: Any) -> list[Any]:
    """The core hears it; what it wants done is looked at, not carried out."""
    outputs = world.core.on_venue(update, world.now_ns)
    world.outputs += outputs
    return [output for output in outputs if isinstance(output, PlaceOrder)]


def carry_out(world: Any, update: Any) -> None:
    """The core hears it, and what it wants is done."""
    world.desk.deliveries.push([update])
    world.outputs += world.desk.deliver(world.now_ns)


def sent_by(world: Any) -> list[Any]:
    """Every command given to the venue from now on."""
    sent: list[Any] = []
    submit = world.venue.submit
    world.venue.submit = lambda command: (sent.append(command), submit(command))[1]
    return sent


def alerts(world: Any) -> list[str]:
    return [e.reason for e in world.events() if e.status == "ALERT"]


def buy_behind_our_back(world: Any, lots: int) -> None:
    world.venue.submit(
        PlaceOrder(
            client_order_id="foreign", symbol="BTCUSDT", side=OrderSide.BUY, type=OrderType.MARKET,
            time_in_force=TimeInForce.IOC, qty_lots=lots, decision_ts_ns=world.now_ns,
        )
    )  # fmt: skip


# -- liquidation ------------------------------------------------------------------------------------------


def test_a_liquidation_of_trade_and_stray_together_leaves_no_position_behind(
    make_world: Any,
) -> None:
    sim = SimConfig(margin_mode=MarginMode.ISOLATED)
    config = ExecutionConfig(max_notional_usdt=1e6, sim_leverage=10, sim=sim)
    world = make_world(config=config, limits=WIDE_LIMITS)
    world.open_long(
        qty_lots=500, leverage=10.0, stop_ticks=8000, trailing=None, take_profits=(), time_stop_s=None
    )  # fmt: skip
    buy_behind_our_back(world, 20)
    world.wait(50)
    world.mark(7000)
    assert world.position() == 0
    world.mark(10_000)
    world.wait(10_000, step_ms=50)

    assert world.position() == 0
    assert world.core.trades == {}
    assert world.core._work.state.strays == {}
    trades = world.rows("TRADE")
    assert {row["exitReason"] for row in trades} == {"LIQUIDATED"}
    assert sorted(row["qty"] for row in trades) == [0.02, 0.5]


@pytest.mark.parametrize(("side", "net"), [("BUY", 120), ("SELL", 80)])
def test_a_liquidation_takes_holdings_of_both_sides_and_cancels_their_closes(
    world: Any, side: str, net: int
) -> None:
    world.open_long()
    hear(world, a_fill(world, side=OrderSide(side)))
    stray = next(iter(world.core._work.state.strays.values()))
    close = world.core.orders[stray.orders["CLOSE"]]
    bust = a_fill(
        world, exec_id="bust", client_order_id="", side=OrderSide.SELL, qty_lots=net,
        price_ticks=9_000, fee_usdt=Decimal(6), exec_type=ExecType.BUST,
    )  # fmt: skip
    hear(world, bust)

    assert world.core._work.signed_position("BTCUSDT") == 0
    assert [t.position_lots for t in world.core._work.held("BTCUSDT")] == [0, 0]
    assert stray.exit_fees_usdt == Decimal(1)  # 20 of 120 lots
    assert close.canceling is (side == "SELL")  # one that only reduces ends by itself


def test_a_close_that_sold_more_than_was_left_is_undone_as_well(world: Any) -> None:
    world.open_long()
    hear(world, a_fill(world, side=OrderSide.SELL))
    stray = next(iter(world.core._work.state.strays.values()))
    close = stray.orders["CLOSE"]
    bust = a_fill(
        world, exec_id="bust", side=OrderSide.SELL, qty_lots=80, exec_type=ExecType.BUST
    )  # fmt: skip
    hear(world, bust)

    placed = hear(world, a_fill(world, exec_id="c-1", client_order_id=close))

    assert world.core._work.signed_position("BTCUSDT") == 20
    assert [(o.side.value, o.qty_lots, o.reduce_only) for o in placed] == [("SELL", 20, True)]


# -- a stray's close --------------------------------------------------------------------------------------


@pytest.mark.parametrize("side", ["BUY", "SELL"])
def test_the_close_of_a_stray_may_open_only_beside_a_trade_of_the_other_side(
    world: Any, side: str
) -> None:
    world.open_long()
    placed = hear(world, a_fill(world, side=OrderSide(side)))
    alone = hear(world, a_fill(world, exec_id="e-2", symbol="ETHUSDT", side=OrderSide(side)))

    assert placed[0].reduce_only is (side == "BUY")
    assert alone[0].reduce_only


# -- the venue's position -----------------------------------------------------------------------------------


def test_a_position_that_only_the_venue_knows_is_closed_once_the_difference_stays(
    world: Any,
) -> None:
    buy_behind_our_back(world, 20)
    world.desk.deliveries.push(
        [u for u in world.venue.advance(world.now_ns + 50 * MS) if isinstance(u, PositionUpdated)]
    )  # its fill is lost on the way
    world.wait(200)
    assert world.position() == 20
    world.quote()
    world.ask()
    assert "SYMBOL_BUSY" in str(world.rows("ORDER")[-1]["lastError"])
    world.wait(world.config.protect_deadline_ms + 500)

    assert world.position() == 0
    assert world.core._work.state.strays == {}
    assert world.core._work.state.position_doubts == {}
    assert any("the venue holds 20 lots, 0 are known" in text for text in alerts(world))


def test_lots_that_the_venue_does_not_have_are_taken_off_and_the_trade_is_closed(
    world: Any,
) -> None:
    world.open_long()
    world.wait(100)
    hear(world, a_position(world, 60))
    sent = sent_by(world)
    world.outputs += world.desk.on_timer(world.now_ns, world.now_ns)
    assert sent == []
    world.now_ns += world.config.protect_deadline_ms * MS
    outputs = world.core.on_timer(world.now_ns)

    closes = [o for o in outputs if isinstance(o, PlaceOrder)]
    assert [(o.side.value, o.qty_lots, o.reduce_only) for o in closes] == [("SELL", 60, True)]
    assert world.core.trades["BTCUSDT"].close_reason == "POSITION_DIFFERS"


def test_a_difference_that_a_fill_explains_is_no_difference(world: Any) -> None:
    hear(world, a_position(world, 20))
    assert world.core._work.state.position_doubts
    hear(world, a_fill(world))

    assert world.core._work.state.position_doubts == {}


def test_an_older_position_than_was_heard_of_says_nothing(world: Any) -> None:
    world.open_long()
    hear(world, a_position(world, 0, venue_ts_ns=1))

    assert world.core._work.state.position_doubts == {}


def test_a_resting_entry_is_taken_back_while_the_position_is_in_doubt(world: Any) -> None:
    world.ask()
    world.wait(100)
    hear(world, a_position(world, 20))
    world.wait(100)

    assert "ENTRY" not in world.live()


def test_every_frame_is_looked_at_while_the_position_is_in_doubt(world: Any) -> None:
    frames = np.zeros(3, FRAME_DTYPE)
    frames["ts_ns"], frames["book_state"] = world.now_ns + 1, BookState.OK
    hear(world, a_position(world, 20))

    assert world.core.next_attention(frames, 0) == 0


def test_looking_at_a_stray_is_no_look_at_the_trade(world: Any) -> None:
    world.ask()
    world.wait(100)
    world.quote()
    looked = world.core._work.settled["BTCUSDT"]
    stray = hear(world, a_fill(world))
    assert stray
    world.core._work.settled["BTCUSDT"] = looked
    world.now_ns += MS
    hear(
        world,
        a_fill(world, exec_id="c", client_order_id=stray[0].client_order_id, side=OrderSide.SELL),
    )

    assert world.core._work.state.strays == {}
    assert "BTCUSDT" not in world.core._work.settled


# -- an order log that cannot be written -----------------------------------------------------------------


def test_a_stray_beside_a_trade_is_closed_though_the_order_log_cannot_be_written(
    world: Any,
) -> None:
    world.open_long()
    world.desk.journal = lambda _: False
    sent = sent_by(world)
    carry_out(world, a_fill(world, side=OrderSide.SELL))

    placed = [c for c in sent if isinstance(c, PlaceOrder)]
    assert [(c.side.value, c.reduce_only) for c in placed] == [("BUY", False)]


def test_an_entry_is_not_moved_while_the_order_log_cannot_be_written(world: Any) -> None:
    world.ask(plan=world.plan(timeout_ms=60_000))
    world.wait(300)
    world.desk.journal = lambda _: False
    sent = sent_by(world)
    world.book(10_001, 10_002)
    world.quote()
    world.wait(300)

    assert not [c for c in sent if isinstance(c, AmendOrder)]
    assert world.live()["ENTRY"].price_ticks == 10_000
    assert not world.live()["ENTRY"].amending


# -- more than one order carries -------------------------------------------------------------------------


def rich(make_world: Any) -> Any:
    config = ExecutionConfig(max_notional_usdt=1e9, sim_balance_usdt=1e6, max_slippage_bps=100)
    world = make_world(config=config, limits=WIDE_LIMITS)
    world.book(lots=200_000)
    world.quote()
    return world


def hold_above_the_maximum(world: Any) -> None:
    """A trade of 40,000 lots whose venue takes no more than 25,000 by now."""
    world.open_long(
        qty_lots=40_000, leverage=20.0, trailing=None, take_profits=(), time_stop_s=None
    )
    assert world.live()["STOP"].qty_lots == 40_000
    smaller = [msgspec.structs.replace(i, max_market_qty=Decimal(25)) for i in world.instruments]
    world.core._work.instruments.update({i.symbol: i for i in smaller})
    world.core._work.most_lots.update({i.symbol: most_market_lots(i) for i in smaller})
    world.venue._floor.instruments.update({i.symbol: i for i in smaller})


def test_an_open_is_refused_when_no_single_stop_could_carry_its_worst_case(
    make_world: Any,
) -> None:
    world = rich(make_world)
    levels = (DcaLevel(price_ticks=9_990, qty_lots=30_000),)
    world.ask(plan=world.plan(qty_lots=30_000, dca_levels=levels, take_profits=(), trailing=None))

    assert "RISK_STOP_SIZE: 60000 lots at worst" in str(world.rows("ORDER")[-1]["lastError"])


def test_a_position_above_the_market_maximum_is_closed_in_several_orders(make_world: Any) -> None:
    world = rich(make_world)
    hold_above_the_maximum(world)
    world.ask("CLOSE")
    world.wait(2_000)

    closes = [line["qty"] for line in world.lines("INTENT") if line["leg"] == "CLOSE"]
    assert closes == [25.0, 15.0]
    assert world.position() == 0


def test_a_stop_that_does_not_cover_the_whole_position_does_not_protect_it(
    make_world: Any,
) -> None:
    world = rich(make_world)
    hold_above_the_maximum(world)
    trade = world.core.trades["BTCUSDT"]
    world.core.orders[trade.orders["STOP"]].qty_lots = 25_000
    world.wait(world.config.protect_deadline_ms + 3_000)

    assert trade.close_reason == "PROTECT_DEADLINE"
    assert world.position() == 0


def test_a_refused_change_is_asked_for_ever_more_slowly_with_one_alert(world: Any) -> None:
    world.open_long()
    asked: list[Any] = []
    submit = world.venue.submit

    def refusing(command: Any) -> None:
        if not isinstance(command, AmendOrder):
            submit(command)
            return
        asked.append(command)
        world.desk.deliveries.push(
            [
                CommandRefused(
                    client_order_id=command.client_order_id, symbol=command.symbol,
                    command="AMEND", code=VenueCode.PARAMETER, reason="10001 not so",
                    venue_ts_ns=world.now_ns, deliver_at_ns=world.now_ns + 10 * MS,
                )
            ]
        )  # fmt: skip

    world.venue.submit = refusing
    world.core.trades["BTCUSDT"].stop_ticks += 5
    world.wait(10_000)

    assert 4 <= len(asked) <= 8  # 250 ms doubling up to 5 s
    told = [e.reason for e in world.events() if e.type is EventType.EXECUTION_ERROR]
    assert told == ["change of STOP refused (10001 not so): asked for ever more slowly"]
