"""A venue that changes its lot or tick size while a trade is open."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec
import pytest

from execution.domain.orders import Order
from execution.domain.sim_ledger import SimPosition
from execution.domain.units import (
    close_unfit,
    in_new_units,
    position_in_new_units,
    unfit_symbols,
    unit_changes,
)
from execution.domain.workspace import CoreState
from strategy.domain.messages import Side

BTC = "BTCUSDT"


def told_anew(world: Any, **rules: Any) -> tuple[CoreState, set[str]]:
    """What the core holds under other rules of the instrument, and what they cannot say."""
    now = msgspec.structs.replace(world.instruments[0], **rules)
    changes = unit_changes(world.instruments, {BTC: now})
    state = world.core._work.state
    return in_new_units(state, changes), unfit_symbols(state, (), changes)


@pytest.mark.parametrize("step", ["0.002", "0.01", "0.02", "0.1"])
def test_a_position_that_fits_coarser_lots_goes_on_whatever_becomes_of_its_targets(
    world: Any, step: str
) -> None:
    """0.1 held, targets of 0.04 each: in lots of 0.1 they are none, and the stop takes all of it."""
    world.open_long()
    state, unfit = told_anew(world, qty_step=Decimal(step), min_qty=Decimal(step))

    trade, lots = state.trades[BTC], int(Decimal("0.1") / Decimal(step))
    assert unfit == set()
    assert (trade.position_lots, trade.plan.qty_lots, trade.phase) == (lots, lots, "OPEN")
    assert sum(trade.tp_targets()) <= lots
    assert [leg.qty_lots for leg in trade.plan.take_profits] == [lots * 4 // 10] * 2
    assert all(order.qty_lots for order in state.orders.values())


def test_the_least_order_is_the_venues_of_now_and_not_that_of_before_in_other_lots(
    world: Any,
) -> None:
    world.open_long()
    state, _ = told_anew(world, qty_step=Decimal("0.0001"), min_qty=Decimal("0.001"))
    assert state.trades[BTC].min_lots == 10
    state, _ = told_anew(world, qty_step=Decimal("0.01"), min_qty=Decimal("0.02"))
    assert (state.trades[BTC].min_lots, state.trades[BTC].min_value) == (2, 5_000)


@pytest.mark.parametrize(("side", "ticks"), [(Side.LONG, 3_317), (Side.SHORT, 3_350)])
def test_a_stop_between_two_new_ticks_goes_to_the_nearer_to_its_position(
    world: Any, side: Side, ticks: int
) -> None:
    """9950 / 3 is 3316.67 below a long, 10051 / 3 is 3350.33 above a short."""
    world.open_long() if side is Side.LONG else world.ask(plan=world.plan(type="MARKET", side=side))
    world.wait(150)
    state, _ = told_anew(world, tick_size=Decimal("0.3"))

    stops: list[Order] = [o for o in state.orders.values() if o.leg == "STOP"]
    assert [stop.trigger_ticks for stop in stops] == [ticks]
    assert state.trades[BTC].stop_ticks == state.trades[BTC].plan.stop.price_ticks == ticks


def test_a_position_that_new_lots_cannot_hold_keeps_its_whole_part_and_its_average_and_is_closed(
    world: Any,
) -> None:
    world.open_long()
    before = world.core.trades[BTC]
    state, unfit = told_anew(world, qty_step=Decimal("0.03"))
    close_unfit(state, unfit)

    trade = state.trades[BTC]
    assert unfit == {BTC}
    assert (trade.position_lots, trade.phase, trade.close_reason) == (
        3, "CLOSING", "LOTS_DO_NOT_FIT",
    )  # fmt: skip
    assert trade.average_entry_ticks == pytest.approx(before.average_entry_ticks, abs=0.2)


def test_a_position_of_less_than_one_new_lot_ends_flat_with_what_it_cost(world: Any) -> None:
    world.open_long(qty_lots=20, take_profits=())
    fees = world.core.trades[BTC].fees_usdt
    coarse = msgspec.structs.replace(world.instruments[0], qty_step=Decimal("0.1"))
    state, unfit = told_anew(world, qty_step=Decimal("0.1"))

    trade = state.trades[BTC]
    assert unfit == {BTC}
    assert (trade.position_lots, trade.realized_usdt(coarse)) == (0, -fees)


def test_the_venue_closes_what_new_lots_cannot_say_at_its_entry_price(world: Any) -> None:
    coarse = msgspec.structs.replace(world.instruments[0], qty_step=Decimal("0.03"))
    change = unit_changes(world.instruments, {BTC: coarse})[BTC]
    short = SimPosition(
        lots=-100, spent_tick_lots=-1_000_000, entry_numerator=-1_000_000, entry_denominator=1
    )

    kept = position_in_new_units(short, change)

    assert (kept.lots, kept.spent_tick_lots, kept.average_entry_ticks) == (-3, -30_000, 10_000.0)
