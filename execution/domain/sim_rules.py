"""The simulated venue's rules for accepting an order, with the venue's own codes."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

import msgspec

from execution.domain.sim_orders import triggers_on_rise
from execution.domain.venue import OrderSide, PlaceOrder, VenueCode
from market.domain.instruments import Instrument


class Refusal(msgspec.Struct, frozen=True):
    code: int
    reason: str


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """What the rules are measured against, at the moment the order arrives.

    `reference_tick` is the price its notional is measured at, `band` the lowest price a sell and the
    highest a buy may name (None: no price known), `trigger_tick` the current price of the kind that
    triggers it.
    """

    reference_tick: int
    band: tuple[int, int] | None
    trigger_tick: int | None
    position_lots: int
    active_orders_left: int
    conditional_orders_left: int


class Money(msgspec.Struct, frozen=True, kw_only=True):
    """What an order that adds is measured against, USDT; `margin_usdt`: what it locks more than now."""

    available_usdt: Decimal
    margin_usdt: Decimal
    value_usdt: Decimal  # of the position were it filled
    largest_value_usdt: Decimal  # at the leverage in use


def refusal_of(
    command: PlaceOrder, instrument: Instrument, now: Standing, money: Callable[[], Money]
) -> Refusal | None:
    """The first reason, in the venue's own order, not to take `command`; None accepts it.

    `money` is asked only where the answer hangs on it.
    """
    reducing = command.reduce_only or command.close_on_trigger
    if command.qty_lots < 0 or (command.qty_lots == 0 and not reducing):
        return Refusal(VenueCode.PARAMETER, "quantity must be above zero")
    if (command.price_ticks is None) == command.type.has_price:
        return Refusal(VenueCode.PARAMETER, "a limit order needs a price, any other has none")
    return (
        _rule_refusal(command, instrument, now.reference_tick, reducing)
        or _band_refusal(command, now.band)
        or _trigger_refusal(command, now.trigger_tick)
        or _count_refusal(command, now)
        or _attached_refusal(command, now.reference_tick)
        or _money_refusal(command, now.position_lots, money, reducing)
    )


def _rule_refusal(
    command: PlaceOrder, instrument: Instrument, reference_tick: int, reducing: bool
) -> Refusal | None:
    price = command.price_ticks if command.price_ticks is not None else reference_tick
    if command.qty_lots == 0:
        return None
    reasons = instrument.refusals(
        price,
        command.qty_lots,
        is_market=not command.type.has_price,
        reduce_only=reducing,
    )
    if not reasons:
        return None
    if reasons[0].startswith("price"):
        return Refusal(VenueCode.PRICE_OUT_OF_RANGE, reasons[0])
    if reasons[0].startswith("notional"):
        return Refusal(VenueCode.BELOW_MIN_NOTIONAL, reasons[0])
    return Refusal(VenueCode.PARAMETER, reasons[0])


def _band_refusal(command: PlaceOrder, band: tuple[int, int] | None) -> Refusal | None:
    """A buy may not be priced far above the market, nor a sell far below it."""
    if band is None or command.price_ticks is None or command.type.is_conditional:
        return None
    lowest_sell, highest_buy = band
    if command.side is OrderSide.BUY and command.price_ticks > highest_buy:
        return Refusal(
            VenueCode.PRICE_OUT_OF_RANGE, f"buy price above the limit {highest_buy} ticks"
        )
    if command.side is OrderSide.SELL and command.price_ticks < lowest_sell:
        return Refusal(
            VenueCode.PRICE_OUT_OF_RANGE, f"sell price below the limit {lowest_sell} ticks"
        )
    return None


def _trigger_refusal(command: PlaceOrder, current: int | None) -> Refusal | None:
    if not command.type.is_conditional:
        return None
    if command.trigger_ticks is None:
        return Refusal(VenueCode.PARAMETER, "a conditional order needs a trigger price")
    if current is None:
        return None
    if triggers_on_rise(command):
        if current >= command.trigger_ticks:
            return Refusal(
                VenueCode.TRIGGER_NOT_ABOVE, "expect rising, but trigger_price <= current"
            )
    elif current <= command.trigger_ticks:
        return Refusal(VenueCode.TRIGGER_NOT_BELOW, "expect falling, but trigger_price >= current")
    return None


def _count_refusal(command: PlaceOrder, now: Standing) -> Refusal | None:
    if command.type.is_conditional and now.conditional_orders_left <= 0:
        return Refusal(
            VenueCode.TOO_MANY_CONDITIONALS, "too many conditional orders of this symbol"
        )
    if not command.type.is_conditional and now.active_orders_left <= 0:
        return Refusal(VenueCode.TOO_MANY_ORDERS, "too many active orders of this symbol")
    return None


def _attached_refusal(command: PlaceOrder, reference_tick: int) -> Refusal | None:
    if command.take_profit_ticks is None and command.stop_loss_ticks is None:
        return None
    if command.reduce_only or command.close_on_trigger:
        return Refusal(VenueCode.PARAMETER, "reduce-only excludes takeProfit and stopLoss")
    base = command.price_ticks or command.trigger_ticks or reference_tick
    return trading_stop_refusal(
        command.side.sign, base, command.take_profit_ticks, command.stop_loss_ticks
    )


def trading_stop_refusal(
    sign: int, base_ticks: int, take_profit: int | None, stop_loss: int | None
) -> Refusal | None:
    """A position of this sign gains on one side of `base_ticks` and loses on the other."""
    word = "Buy" if sign > 0 else "Sell"
    if take_profit and (take_profit - base_ticks) * sign <= 0:
        text = f"TakeProfit:{take_profit} of a {word} position on the wrong side of {base_ticks}"
        return Refusal(VenueCode.PARAMETER, text)
    if stop_loss and (base_ticks - stop_loss) * sign <= 0:
        text = f"StopLoss:{stop_loss} of a {word} position on the wrong side of {base_ticks}"
        return Refusal(VenueCode.PARAMETER, text)
    return None


def _money_refusal(
    command: PlaceOrder, position_lots: int, money: Callable[[], Money], reducing: bool
) -> Refusal | None:
    if reducing:
        if position_lots * command.side.sign >= 0 and not command.type.is_conditional:
            return Refusal(
                VenueCode.REDUCE_ONLY, "current position is zero or on this side: reduce-only rule"
            )
        return None
    if command.type.is_conditional:
        return None  # locks nothing before it triggers
    now = money()
    if now.margin_usdt > 0 and now.value_usdt > now.largest_value_usdt:
        return Refusal(
            VenueCode.POSITION_ABOVE_TIER,
            f"position value {now.value_usdt} above {now.largest_value_usdt} of this leverage",
        )
    if now.margin_usdt > 0 and now.margin_usdt > now.available_usdt:
        return Refusal(VenueCode.INSUFFICIENT_BALANCE, "ab not enough for new order")
    return None
