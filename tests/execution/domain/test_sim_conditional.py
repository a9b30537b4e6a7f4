"""Conditional and reduce-only orders of the simulated venue."""

from __future__ import annotations

from typing import Any

from execution.domain.venue import OrderType, TimeInForce, TriggerBy, VenueCode
from market.domain.events import BUY, SELL


def test_a_stop_by_mark_price_ignores_the_last_price(venue: Any) -> None:
    venue.mark(10_000)
    venue.place("BUY", 5)
    venue.settle()
    stop = venue.a_stop(9_995, TriggerBy.MARK)
    venue.settle()

    venue.trade(SELL, 9_990, 1)
    assert venue.fills(stop) == []
    venue.mark(9_995)

    assert venue.fills(stop) == [(10_000, 5)]
    assert venue.position == 0


def test_a_stop_by_last_price_is_triggered_by_a_trade(venue: Any) -> None:
    venue.trade(BUY, 10_001, 1)
    venue.place("BUY", 5)
    venue.settle()
    stop = venue.a_stop(9_999, TriggerBy.LAST)
    venue.settle()

    venue.trade(SELL, 9_999, 1)

    assert venue.fills(stop) == [(10_000, 5)]


def test_a_stop_on_the_wrong_side_of_the_market_is_refused(venue: Any) -> None:
    venue.mark(10_000)
    venue.place("BUY", 5)
    venue.settle()

    stop = venue.a_stop(10_010, TriggerBy.MARK)
    venue.settle()

    assert (venue.last(stop).status, venue.last(stop).code) == ("REJECTED", 110093)


def test_a_reduce_only_order_never_flips_the_position(venue: Any) -> None:
    venue.place("BUY", 5)
    venue.settle()

    order = venue.place("SELL", 20, reduce_only=True)
    venue.settle()

    assert sum(lots for _, lots in venue.fills(order)) == 5
    assert venue.position == 0


def test_a_reduce_only_order_without_a_position_is_refused(venue: Any) -> None:
    order = venue.place("SELL", 5, reduce_only=True)
    venue.settle()

    assert venue.last(order).code == VenueCode.REDUCE_ONLY


def test_resting_reduce_only_orders_go_when_the_position_is_gone(venue: Any) -> None:
    venue.mark(10_000)
    venue.place("BUY", 5)
    venue.settle()
    target = venue.place("SELL", 5, 10_020, reduce_only=True)
    stop = venue.a_stop(9_990, TriggerBy.MARK)
    venue.settle()

    venue.place("SELL", 5, reduce_only=True)
    venue.settle()

    assert venue.last(target).status == "CANCELED"
    assert venue.last(stop).status == "CANCELED"
    assert venue.exchange.open_orders() == ()


def test_a_stop_by_index_price_ignores_mark_and_last(venue: Any) -> None:
    venue.index(10_000)
    venue.place("BUY", 5)
    venue.settle()
    stop = venue.a_stop(9_995, TriggerBy.INDEX)
    venue.settle()

    venue.trade(SELL, 9_990, 1)
    venue.mark(9_990)
    assert venue.fills(stop) == []
    venue.index(9_994)

    assert venue.fills(stop) == [(10_000, 5)]


def test_without_a_mark_price_the_last_price_stands_in_until_one_comes(venue: Any) -> None:
    venue.trade(BUY, 10_001, 1)
    venue.place("BUY", 5)
    venue.settle()
    stop = venue.a_stop(9_999, TriggerBy.MARK)
    venue.settle()

    venue.mark(9_998)

    assert venue.fills(stop) == [(10_000, 5)]


def test_a_conditional_limit_rests_at_its_price_once_triggered(venue: Any) -> None:
    venue.mark(10_000)
    order = venue.place(
        "BUY", 4, 10_000, type=OrderType.STOP_LIMIT, trigger_ticks=10_005, trigger_by=TriggerBy.MARK,
        time_in_force=TimeInForce.GTC,
    )  # fmt: skip
    venue.settle()
    venue.trade(SELL, 9_999, 50)
    assert venue.fills(order) == []

    venue.mark(10_005)
    assert venue.last(order).triggered
    venue.trade(SELL, 9_999, 3)

    assert venue.fills(order) == [(10_000, 3)]


def test_a_take_profit_that_buys_waits_below_the_market(venue: Any) -> None:
    venue.mark(10_000)
    order = venue.place(
        "BUY", 5, type=OrderType.TAKE_PROFIT_MARKET, trigger_ticks=9_990, trigger_by=TriggerBy.MARK
    )
    venue.settle()

    venue.mark(9_990)

    assert venue.fills(order) == [(10_001, 5)]


def test_a_conditional_order_locks_no_margin_and_dies_at_its_trigger_without_any(
    make_venue: Any,
) -> None:
    venue = make_venue(sim_balance_usdt=100.0)
    venue.mark(10_000)
    order = venue.place(
        "BUY", 2_000, type=OrderType.STOP_MARKET, trigger_ticks=10_010, trigger_by=TriggerBy.MARK
    )
    venue.settle()
    assert venue.last(order).status == "NEW"
    assert venue.exchange.account().available_usdt == 100

    venue.mark(10_010)

    assert venue.last(order).status == "CANCELED"
    assert str(VenueCode.INSUFFICIENT_BALANCE) in venue.last(order).reason
    assert venue.fills(order) == []


def test_a_closing_stop_without_a_size_closes_whatever_there_is(venue: Any) -> None:
    venue.mark(10_000)
    venue.place("BUY", 7)
    venue.settle()
    stop = venue.a_stop(9_990, TriggerBy.MARK, lots=0)
    venue.settle()

    venue.mark(9_989)

    assert venue.fills(stop) == [(10_000, 5), (9_999, 2)]
    assert venue.position == 0


def test_a_closing_stop_larger_than_the_position_only_closes_it(venue: Any) -> None:
    venue.mark(10_000)
    venue.place("BUY", 3)
    venue.settle()
    stop = venue.a_stop(9_990, TriggerBy.MARK, lots=20)
    venue.settle()

    venue.mark(9_989)

    assert venue.fills(stop) == [(10_000, 3)]
    assert (venue.position, venue.exchange.open_orders()) == (0, ())


def test_the_trigger_of_a_waiting_stop_may_be_moved(venue: Any) -> None:
    venue.mark(10_000)
    venue.place("BUY", 5)
    venue.settle()
    stop = venue.a_stop(9_990, TriggerBy.MARK)
    venue.settle()
    venue.amend(stop, trigger_ticks=9_995)
    venue.settle()

    venue.mark(9_995)

    assert venue.fills(stop) == [(10_000, 5)]
