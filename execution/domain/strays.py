"""Fills that belong to no trade under way: the venue's position is the truth, so they are undone.

A stray trade exists to be closed: it books the fill, sends one market order the other way and ends. Beside
a live trade of the same symbol it leaves that trade exactly what it believes to hold. Without one its
closing order only reduces.

What fills do not tell, the venue's own position does: a difference between it and all that is held here,
when it stays, is taken off what is held too much, and the rest becomes a stray.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

import msgspec

from execution.domain.trade import ManagedTrade, TradePhase
from execution.domain.venue import OrderFilled, OrderSide
from strategy.domain.messages import EntryPlan, Side, StopPlan, TradePlan

LATE_FILL, FOREIGN_FILL = "LATE_FILL", "FOREIGN_FILL"


def foreign_trade(fill: OrderFilled) -> ManagedTrade:
    """A trade made up for an execution of an order that we do not know (any more)."""
    side = Side.LONG if fill.side is OrderSide.BUY else Side.SHORT
    plan_id = f"stray-{fill.exec_id}"
    plan = TradePlan(
        plan_id=plan_id,
        profile="stray",
        symbol=fill.symbol,
        side=side,
        qty_lots=fill.qty_lots,
        leverage=1.0,
        entry=EntryPlan(
            type="MARKET", price_ticks=None, time_in_force="IOC", timeout_ms=0, max_reprices=0
        ),
        stop=StopPlan(price_ticks=fill.price_ticks),
        take_profits=(),
        break_even_after_tp=None,
    )
    return ManagedTrade(
        request_id=plan_id,
        plan=plan,
        qty_lots=fill.qty_lots,
        decision_ts_ns=fill.venue_ts_ns,
        entry_deadline_ns=0,
        phase=TradePhase.CLOSING,
        source="RECOVERY",
        entry_reason=f"fill of unknown order {fill.client_order_id or fill.exchange_order_id}",
        stop_ticks=fill.price_ticks,
        close_reason=FOREIGN_FILL,
        is_stray=True,
    )


class PositionDoubt(msgspec.Struct, frozen=True, kw_only=True):
    """The venue's signed position of a symbol, while it is another than what is held here."""

    symbol: str
    lots: int
    average_entry_ticks: float
    venue_ts_ns: int
    since_ns: int


def bust_parts(
    bust: OrderFilled, held: Sequence[ManagedTrade]
) -> list[tuple[ManagedTrade, OrderFilled]]:
    """What a liquidation took of each holding of its symbol, fees in proportion.

    The venue knows one position. Took it all of it, every holding is gone, those of the other side too;
    else those of its side lose in turn.
    """
    sums_up = sum(t.position_lots * t.entry_side.sign for t in held)
    if sums_up == -bust.side.sign * bust.qty_lots:
        taken = [(trade, trade.position_lots) for trade in held]
    else:
        taken = _in_turn([t for t in held if t.entry_side is not bust.side], bust.qty_lots)
    gross = max(sum(lots for _, lots in taken), bust.qty_lots)
    return [(t, part_of(bust, lots, bust.fee_usdt * lots / gross)) for t, lots in taken]


def taken_off(held: Sequence[ManagedTrade], difference: int) -> list[tuple[ManagedTrade, int]]:
    """What of the holdings the venue does not have, by a signed `difference` of it to them."""
    opposed = [trade for trade in held if trade.entry_side.sign * difference < 0]
    strays_first = sorted(opposed, key=lambda trade: not trade.is_stray)
    return _in_turn(strays_first, abs(difference))


def _in_turn(held: Sequence[ManagedTrade], lots: int) -> list[tuple[ManagedTrade, int]]:
    taken = []
    for trade in held:
        part = min(trade.position_lots, lots)
        lots -= part
        if part > 0:
            taken.append((trade, part))
    return taken


def part_of(fill: OrderFilled, lots: int, fee_usdt: Decimal | None = None) -> OrderFilled:
    """`lots` of an execution, with its share of the fee."""
    fee = fill.fee_usdt * lots / fill.qty_lots if fee_usdt is None else fee_usdt
    return msgspec.structs.replace(fill, qty_lots=lots, fee_usdt=fee)


def unseen_fill(symbol: str, signed_lots: int, price_ticks: int, now_ns: int) -> OrderFilled:
    """The execution that a difference must come from, at the price of now: nothing better is known."""
    return OrderFilled(
        exec_id=f"unseen-{symbol}-{now_ns}",
        client_order_id="",
        exchange_order_id="that only the venue's position shows",
        symbol=symbol,
        side=OrderSide.BUY if signed_lots > 0 else OrderSide.SELL,
        price_ticks=price_ticks,
        qty_lots=abs(signed_lots),
        leaves_lots=0,
        fee_usdt=Decimal(0),
        is_maker=False,
        venue_ts_ns=now_ns,
        deliver_at_ns=now_ns,
    )
