"""What the simulated venue refuses, and with which code."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from execution.domain.venue import OrderType, TriggerBy, VenueCode
from market.domain.events import SELL
from strategy.domain.margin import MarginTier


@pytest.mark.parametrize(
    ("lots", "price", "code"),
    [
        (0, 10_000, VenueCode.PARAMETER),
        (200_000, 10_000, VenueCode.PARAMETER),
        (5, 20_000_000, VenueCode.PRICE_OUT_OF_RANGE),
        (5, 10_501, VenueCode.PRICE_OUT_OF_RANGE),
        (4, 10_000, VenueCode.BELOW_MIN_NOTIONAL),
        (99_000, 10_400, VenueCode.INSUFFICIENT_BALANCE),
    ],
)
def test_an_order_against_the_rules_is_rejected_with_the_venues_code(
    make_venue: Any, lots: int, price: int, code: int
) -> None:
    venue = make_venue(sim_balance_usdt=1000.0, sim_leverage=1.0, min_notional_usdt=5)
    order = venue.place("BUY", lots, price)
    venue.settle()

    assert (venue.last(order).status, venue.last(order).code) == ("REJECTED", code)


def test_the_same_order_id_is_taken_once(venue: Any) -> None:
    venue.place("BUY", 5, client_order_id="same")
    venue.settle()
    venue.place("BUY", 5, client_order_id="same")
    venue.settle()

    assert venue.last("same").code == VenueCode.DUPLICATE_LINK_ID
    assert venue.position == 5


def test_cancelling_what_is_over_is_refused_and_changes_nothing(venue: Any) -> None:
    order = venue.place("BUY", 5)
    venue.settle()
    venue.cancel(order)
    venue.settle()

    assert venue.refusals() == [VenueCode.ORDER_NOT_FOUND]


def test_a_passive_price_may_be_far_away(venue: Any) -> None:
    order = venue.place("BUY", 20, 5_000)
    venue.settle()

    assert venue.last(order).status == "NEW"


def test_an_order_for_an_unknown_symbol_is_rejected(venue: Any) -> None:
    venue.place("BUY", 5, 10_000, client_order_id="there")
    command = venue.exchange._floor.memory.pending[0].command
    venue.exchange.submit(msgspec.structs.replace(command, symbol="XUSDT", client_order_id="x"))
    venue.settle()

    assert venue.last("x").code == VenueCode.PARAMETER
    assert venue.last("there").status == "NEW"


def test_only_so_many_orders_of_a_symbol_live_at_once(make_venue: Any) -> None:
    venue = make_venue(sim={"max_active_orders": 2, "max_conditional_orders": 1})
    venue.mark(10_000)
    resting = [venue.place("BUY", 5, 9_900) for _ in range(3)]
    waiting = [
        venue.place(
            "BUY", 5, type=OrderType.STOP_MARKET, trigger_ticks=10_100, trigger_by=TriggerBy.MARK
        )
        for _ in range(2)
    ]
    venue.settle()

    assert [venue.last(o).code for o in resting] == [0, 0, VenueCode.TOO_MANY_ORDERS]
    assert [venue.last(o).code for o in waiting] == [0, VenueCode.TOO_MANY_CONDITIONALS]


def test_the_last_order_allowed_may_still_be_amended(make_venue: Any) -> None:
    venue = make_venue(sim={"max_active_orders": 1})
    order = venue.place("BUY", 5, 9_900)
    venue.settle()

    venue.amend(order, price_ticks=9_901)
    venue.settle()

    assert venue.refusals() == []
    assert venue.last(order).price_ticks == 9_901


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"qty_lots": 2}, VenueCode.QTY_NOT_ABOVE_FILLED),
        ({"price_ticks": 10_000}, VenueCode.PARAMETER),
        ({"price_ticks": 20_000_000}, VenueCode.PRICE_OUT_OF_RANGE),
        ({"qty_lots": 99_000}, VenueCode.INSUFFICIENT_BALANCE),
    ],
)
def test_an_amend_against_the_rules_changes_nothing(
    venue: Any, changes: dict[str, int], code: int
) -> None:
    order = venue.place("BUY", 5, 10_000)
    venue.settle()
    venue.trade(SELL, 10_000, 8)  # three of it are ours
    venue.amend(order, **changes)
    venue.settle()

    assert venue.refusals() == [code]
    assert (venue.last(order).qty_lots, venue.last(order).price_ticks) == (5, 10_000)


def test_a_leverage_the_tier_does_not_allow_refuses_the_order(make_venue: Any) -> None:
    tiers = (
        MarginTier(up_to_usdt=100.0, maintenance_bps=50.0, max_leverage=50.0),
        MarginTier(up_to_usdt=1_000.0, maintenance_bps=100.0, max_leverage=10.0),
    )
    venue = make_venue(sim={"margin_tiers": tiers}, sim_leverage=20.0)
    small, large = venue.place("BUY", 99, 10_000), venue.place("BUY", 120, 10_000)
    venue.settle()

    assert venue.last(small).status == "NEW"
    assert venue.last(large).code == VenueCode.POSITION_ABOVE_TIER


@pytest.mark.parametrize(
    ("leverage", "code"),
    [
        (10.0, VenueCode.LEVERAGE_UNCHANGED),
        (101.0, VenueCode.PARAMETER),
        (0.5, VenueCode.PARAMETER),
    ],
)
def test_a_leverage_that_cannot_be_set_is_refused(venue: Any, leverage: float, code: int) -> None:
    venue.leverage(leverage)
    venue.settle()

    assert venue.refusals() == [code]


def test_a_lower_leverage_needs_the_margin_for_it(make_venue: Any) -> None:
    venue = make_venue(sim_balance_usdt=100.0)
    venue.snapshot(lots=500)
    venue.place("BUY", 500)
    venue.settle()
    assert venue.last_position().leverage == 10.0

    venue.leverage(2.0)  # would lock 250 of 100
    venue.settle()
    assert venue.refusals() == [VenueCode.INSUFFICIENT_BALANCE]
    venue.leverage(8.0)
    venue.settle()

    assert venue.last_position().leverage == 8.0
