"""Fills that nobody expects: late ones, foreign ones, liquidation, funding. The venue is the truth."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec
import pytest

from execution.domain.orders import OrderTransition
from execution.domain.venue import (
    CommandRefused,
    ExecType,
    FundingPaid,
    OrderFilled,
    OrderSide,
    PlaceOrder,
    SetLeverage,
)
from strategy.domain.messages import EventType, Side


def a_fill(world: Any, **changes: Any) -> OrderFilled:
    fields = {
        "exec_id": "late-1", "client_order_id": "unknown", "exchange_order_id": "x-1",
        "symbol": "BTCUSDT", "side": OrderSide.BUY, "price_ticks": 10_000, "qty_lots": 30,
        "leaves_lots": 0, "fee_usdt": Decimal("0.06"), "is_maker": True,
        "venue_ts_ns": world.now_ns, "deliver_at_ns": world.now_ns,
    }  # fmt: skip
    return OrderFilled(**{**fields, **changes})


def hear(world: Any, update: Any) -> list[Any]:
    """The core hears it; what it wants done is looked at, not carried out."""
    outputs = world.core.on_venue(update, world.now_ns)
    world.outputs += outputs
    return [output for output in outputs if isinstance(output, PlaceOrder)]


def an_ended_entry(world: Any) -> str:
    """An entry that was cancelled without a fill; returns its order's id."""
    world.ask(plan=world.plan(timeout_ms=100))
    world.wait(300)
    return next(iter(world.core.orders))


def test_a_late_fill_of_an_ended_entry_is_protected_and_closed(world: Any) -> None:
    entry = an_ended_entry(world)

    placed = hear(world, a_fill(world, client_order_id=entry))

    assert [(o.type.value, o.side.value, o.qty_lots) for o in placed] == [
        ("STOP_MARKET", "SELL", 30),
        ("MARKET", "SELL", 30),
    ]
    assert all(order.reduce_only for order in placed)


@pytest.mark.parametrize("side", list(Side))
def test_a_late_fill_beside_a_new_trade_is_closed_and_leaves_the_new_trade_alone(
    world: Any, side: Side
) -> None:
    entry = an_ended_entry(world)
    world.ask(plan=world.plan(type="MARKET", side=side))
    world.wait(150)
    before = {leg: (o.qty_lots, o.trigger_ticks) for leg, o in world.live().items()}

    placed = hear(world, a_fill(world, client_order_id=entry))

    assert [(o.type.value, o.side.value, o.qty_lots) for o in placed] == [("MARKET", "SELL", 30)]
    # Beside a short it must be able to sell more.
    assert placed[0].reduce_only is (side is Side.LONG)
    assert world.core.snapshot(world.now_ns).positions[0].qty_lots == 100
    assert world.core._work.signed_position("BTCUSDT") == 100 * side.sign + 30
    closing = placed[0].client_order_id
    hear(
        world,
        a_fill(world, exec_id="c-1", client_order_id=closing, side=OrderSide.SELL, fee_usdt=Decimal(0)),
    )  # fmt: skip
    assert world.core._work.signed_position("BTCUSDT") == 100 * side.sign
    live = {leg: (o.qty_lots, o.trigger_ticks) for leg, o in world.live().items()}
    assert live == before
    assert world.core.book.realized_usdt == Decimal("-0.06")
    assert world.rows("TRADE")[-1]["exitReason"] == "LATE_FILL"
    assert "EXECUTION_POSITION_CLOSED" not in world.event_types()
    assert [e.status for e in world.events() if e.type is EventType.EXECUTION_ERROR] == ["ALERT"]


def test_no_new_entry_while_a_late_fill_is_being_closed(world: Any) -> None:
    hear(world, a_fill(world))
    world.ask()

    assert "SYMBOL_BUSY" in str(world.rows("ORDER")[-1]["lastError"])


def test_a_fill_of_an_unknown_order_is_closed_by_one_order_and_heard_once(world: Any) -> None:
    placed = hear(world, a_fill(world))
    again = hear(world, a_fill(world))

    assert [(o.side.value, o.qty_lots) for o in placed] == [("SELL", 30)]
    assert again == []
    assert any("unknown order" in event.reason for event in world.events())


def test_a_result_counted_once_is_not_counted_again_after_a_late_fill(world: Any) -> None:
    """The trade is taken up, closed and reported again; the account counts the difference alone."""
    world.open_long()
    world.ask("CLOSE")
    world.wait(500)
    realized = world.core.book.realized_usdt
    entry = next(i for i, o in world.core.orders.items() if o.leg == "ENTRY")

    placed = hear(world, a_fill(world, client_order_id=entry, fee_usdt=Decimal(0)))
    closing = next(o for o in placed if o.type.value == "MARKET")
    hear(
        world,
        a_fill(
            world, exec_id="c-1", client_order_id=closing.client_order_id, side=OrderSide.SELL,
            price_ticks=9_990, fee_usdt=Decimal(0),
        ),
    )  # fmt: skip
    for order in placed:
        if order.type.value == "STOP_MARKET":
            world.core.orders[order.client_order_id].move(OrderTransition.CANCEL)
    world.core.on_timer(world.now_ns + 1)

    assert world.core.trades == {}
    assert world.core.book.realized_usdt - realized == Decimal("-0.03")  # 30 lots, 10 ticks


def test_a_liquidation_ends_the_trade_and_says_who_closed_it(world: Any) -> None:
    world.open_long()
    bust = a_fill(
        world, client_order_id="", side=OrderSide.SELL, price_ticks=8_000, qty_lots=100,
        exec_type=ExecType.BUST,
    )  # fmt: skip
    world.desk.deliveries.push([bust])
    world.wait(200)  # the stop and the targets are swept

    assert world.core.trades == {}
    assert world.rows("TRADE")[-1]["exitReason"] == "LIQUIDATED"
    assert world.event_types()[-1] == "POSITION_CLOSED_BY_EXCHANGE"


def test_funding_is_part_of_the_trades_result_and_counted_once(world: Any) -> None:
    world.open_long()
    paid = FundingPaid(
        exec_id="f-1", symbol="BTCUSDT", position_lots=100, mark_usdt=Decimal(1000),
        rate=Decimal("0.001"), fee_usdt=Decimal("0.1"), venue_ts_ns=world.now_ns,
        deliver_at_ns=world.now_ns,
    )  # fmt: skip
    hear(world, paid)
    hear(world, paid)
    fees = world.core.trades["BTCUSDT"].fees_usdt
    world.move_to(9_990)
    world.ask("CLOSE")
    world.wait(200)

    trade = world.rows("TRADE")[-1]
    assert trade["funding"] == 0.1
    gross = (trade["closePrice"] - trade["entryPrice"]) * trade["qty"]
    assert trade["realizedPnl"] == pytest.approx(gross - trade["fees"] - 0.1)
    assert trade["fees"] > float(fees)


def test_the_leverage_of_a_plan_is_told_to_the_venue_once(world: Any) -> None:
    told: list[Any] = []
    submit = world.venue.submit
    world.venue.submit = lambda command: (told.append(command), submit(command))[1]
    for _ in range(2):
        world.ask(plan=world.plan(timeout_ms=100))
        world.wait(300)
        world.quote()

    leverages = [command.leverage for command in told if isinstance(command, SetLeverage)]
    assert leverages == [5.0]
    assert isinstance(told[0], SetLeverage)  # before the entry


def test_an_entry_whose_leverage_the_venue_refuses_is_taken_back(world: Any) -> None:
    world.ask()
    refused = CommandRefused(
        client_order_id="x", symbol="BTCUSDT", command="LEVERAGE", code=110_013,
        reason="110013 leverage above the tier", venue_ts_ns=world.now_ns,
        deliver_at_ns=world.now_ns,
    )  # fmt: skip
    world.desk.deliveries.push([refused])
    world.wait(200)

    assert world.core.trades == {}
    assert "LEVERAGE_REFUSED" in [event.reason for event in world.events()]
    assert any("leverage refused: 110013" in event.reason for event in world.events())


def test_a_position_whose_leverage_the_venue_refuses_is_closed_again(world: Any) -> None:
    """The venue's limit is lower than its table said, and the entry fills all the same."""
    lower = msgspec.structs.replace(world.instruments[0], max_leverage=Decimal(3))
    world.venue._floor.instruments["BTCUSDT"] = lower
    world.open_long()
    world.wait(500)

    assert world.rows("FILL")[0]["qty"] == 0.1
    assert (world.position(), world.core.trades) == (0, {})
    assert world.rows("TRADE")[-1]["exitReason"] == "LEVERAGE_REFUSED"


def test_a_leverage_above_the_largest_of_the_instrument_is_refused_before_the_entry(
    world: Any,
) -> None:
    world.ask(plan=world.plan(leverage=101.0))

    assert world.live() == {}
    assert "RISK_LEVERAGE: 101x (the venue gives 100x)" in str(world.rows("ORDER")[-1]["lastError"])
