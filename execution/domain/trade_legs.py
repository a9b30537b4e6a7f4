"""The exits and averaging orders of a trade: each leg as it should be against its order as it is."""

from __future__ import annotations

from execution.domain.orders import Order, OrderState
from execution.domain.trade import (
    CLOSE,
    ENTRY,
    STOP,
    Action,
    Amend,
    Cancel,
    ManagedTrade,
    Place,
    dca_leg,
    tp_leg,
)
from execution.domain.trade_prices import first_target_reached
from execution.domain.trade_scene import AT_REST, Scene, has_failed, may_amend, may_place
from execution.domain.venue import OrderType, TimeInForce

STOP_MOVE = "STOP_MOVE"  # key of the pause after a refused move of the stop


def stop_has_failed(trade: ManagedTrade, scene: Scene) -> bool:
    """The stop was triggered and took what there was, yet a position is left."""
    order = scene.orders.get(trade.orders.get(STOP, ""))
    return order is not None and order.state is OrderState.CANCELED and order.filled_lots > 0


def stop_actions(trade: ManagedTrade, stop: Order | None, scene: Scene) -> list[Action]:
    """One stop for the whole position, as far as one order carries it: placed, or amended in place.

    `stop` is the live one.
    """
    if stop is None:
        if not may_place(trade, STOP, scene) or stop_has_failed(trade, scene):
            return []
        return [_stop_order(trade, min(trade.position_lots, scene.most_lots))]
    if stop.amending or stop.state is not OrderState.OPEN:
        return []
    wanted_qty = min(trade.entered_lots - trade.exited_lots + stop.filled_lots, scene.most_lots)
    qty = wanted_qty if wanted_qty != stop.qty_lots else None
    may_move = scene.now_ns >= trade.retry_at_ns.get(STOP_MOVE, 0)
    trigger = trade.stop_ticks if trade.stop_ticks != stop.trigger_ticks and may_move else None
    if (qty is None and trigger is None) or not may_amend(trade, STOP, scene.now_ns):
        return []
    return [Amend(client_order_id=stop.client_order_id, qty_lots=qty, trigger_ticks=trigger)]


def _stop_order(trade: ManagedTrade, lots: int) -> Place:
    return Place(
        leg=STOP,
        side=trade.entry_side.opposite,
        type=OrderType.STOP_MARKET,
        time_in_force=TimeInForce.IOC,
        qty_lots=lots,
        trigger_ticks=trade.stop_ticks,
        trigger_by=trade.trigger_by,
        reduce_only=True,
        close_on_trigger=True,
    )


def take_profit_actions(trade: ManagedTrade, scene: Scene) -> list[Action]:
    """Take-profits rest side by side; their sum never exceeds the position."""
    actions: list[Action] = []
    for level in range(1, len(trade.plan.take_profits) + 1):
        _give_up_if_failed(trade, tp_leg(level), "its share goes to the next target", scene)
    room = trade.entered_lots - trade.exited_lots
    for level, target in enumerate(trade.tp_targets(), start=1):
        leg, price = tp_leg(level), trade.tp_price_ticks(level)
        wanted = max(min(target - trade.tp_filled_lots.get(leg, 0), room), 0)
        room -= wanted
        order = trade.order_of(leg, scene.orders)
        if order is not None:
            actions += _fit(trade, order, wanted, price, scene)
        elif wanted and may_place(trade, leg, scene):
            actions.append(_take_profit(trade, leg, price, wanted))
    return actions


def _take_profit(trade: ManagedTrade, leg: str, price_ticks: int, lots: int) -> Place:
    """A maker limit; where the price is already through, the retry takes (it is a profit either way)."""
    first = trade.attempts.get(leg, 0) == 0
    return Place(
        leg=leg,
        side=trade.entry_side.opposite,
        type=OrderType.LIMIT,
        time_in_force=TimeInForce.POST_ONLY if first else TimeInForce.GTC,
        qty_lots=lots,
        price_ticks=price_ticks,
        reduce_only=True,
    )


def averaging_actions(trade: ManagedTrade, scene: Scene) -> list[Action]:
    """Averaging orders rest from the end of the entry until the first target is reached.

    While nothing may be added they are taken back, and come again afterwards.
    """
    actions: list[Action] = []
    if not trade.plan.dca_levels:
        return actions
    is_over = not scene.may_add or trade.break_even_moved or first_target_reached(trade)
    for level in range(1, len(trade.plan.dca_levels) + 1):
        _give_up_if_failed(trade, dca_leg(level), "its size goes to the next one", scene)
    for level, target in enumerate(trade.dca_targets(), start=1):
        leg, price = dca_leg(level), trade.plan.dca_levels[level - 1].price_ticks
        wanted = 0 if is_over else max(target - trade.dca_filled_lots.get(leg, 0), 0)
        order = trade.order_of(leg, scene.orders)
        if order is not None:
            actions += _fit(trade, order, wanted, price, scene)
        elif wanted and may_place(trade, leg, scene):
            actions.append(_averaging_order(trade, leg, price, wanted))
    return actions


def _averaging_order(trade: ManagedTrade, leg: str, price_ticks: int, lots: int) -> Place:
    return Place(
        leg=leg,
        side=trade.entry_side,
        type=OrderType.LIMIT,
        time_in_force=TimeInForce.GTC,
        qty_lots=lots,
        price_ticks=price_ticks,
    )


def _give_up_if_failed(trade: ManagedTrade, leg: str, then: str, scene: Scene) -> None:
    """A leg the venue refuses again and again is left out, and people are told."""
    if leg in trade.given_up or leg not in trade.orders or not has_failed(trade, leg, scene):
        return
    last = scene.orders[trade.orders[leg]]
    trade.given_up[leg] = last.last_error or last.state.value
    scene.alerts.append(
        f"{leg} given up after {trade.attempts[leg]} orders ({trade.given_up[leg]}): {then}"
    )


def _fit(
    trade: ManagedTrade, order: Order, wanted: int, price_ticks: int, scene: Scene
) -> list[Action]:
    """Bring a live limit to the quantity and price it should have."""
    if order.canceling or order.amending or order.state is OrderState.INTENT:
        return []
    if wanted == 0:
        return [Cancel(client_order_id=order.client_order_id, reason="NOT_NEEDED")]
    if order.state not in AT_REST:
        return []
    qty = wanted + order.filled_lots if wanted != order.leaves_lots else None
    price = price_ticks if price_ticks != order.price_ticks else None
    if (qty is None and price is None) or not may_amend(trade, order.leg, scene.now_ns):
        return []
    return [Amend(client_order_id=order.client_order_id, qty_lots=qty, price_ticks=price)]


def closing_actions(trade: ManagedTrade, scene: Scene) -> list[Action]:
    """Everything that could add or rest goes; market orders, one by one, take the position out."""
    actions: list[Action] = []
    if trade.order_of(CLOSE, scene.orders) is None and may_place(trade, CLOSE, scene):
        actions.append(_closing_order(trade, scene))
        if has_failed(trade, CLOSE, scene):
            last = scene.orders[trade.orders[CLOSE]]
            scene.alerts.append(
                f"close order {trade.attempts[CLOSE]} ended without a fill "
                f"({last.last_error or last.state.value}): trying again"
            )
    return actions + [
        Cancel(client_order_id=order.client_order_id, reason=trade.close_reason)
        for leg in trade.orders
        if leg not in (STOP, CLOSE)
        and (order := trade.order_of(leg, scene.orders)) is not None
        and not order.canceling
    ]


def _closing_order(trade: ManagedTrade, scene: Scene) -> Place:
    # Only beside a holding of the other side may the close of a stray make the venue's position larger.
    has_opponent = trade.is_stray and scene.others_lots * trade.plan.side.sign < 0
    return Place(
        leg=CLOSE,
        side=trade.entry_side.opposite,
        type=OrderType.MARKET,
        time_in_force=TimeInForce.IOC,
        qty_lots=min(trade.position_lots, scene.most_lots),
        reduce_only=not has_opponent,
    )


def sweep(trade: ManagedTrade, scene: Scene) -> list[Action]:
    """Flat: no stop or take-profit may stay behind, nor a close that could open (see `entry_actions`)."""
    return [
        Cancel(client_order_id=order.client_order_id, reason="FLAT")
        for leg in trade.orders
        if leg != ENTRY
        and (order := trade.order_of(leg, scene.orders)) is not None
        and not order.canceling
        and not (order.type is OrderType.MARKET and order.reduce_only)
    ]
