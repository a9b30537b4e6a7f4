"""What an order takes from the displayed book, and what becomes of the rest."""

from __future__ import annotations

from typing import Any

from execution.domain.config import ExecutionConfig
from execution.domain.simulated_exchange import SimulatedExchange
from execution.domain.venue import OrderType, TimeInForce, TriggerBy
from market.domain.events import ASK, BID, BUY, SELL, EventKind


def test_a_market_order_walks_the_book_level_by_level_and_cancels_the_rest(venue: Any) -> None:
    order = venue.place("BUY", 100)

    venue.settle()

    assert venue.fills(order) == [(10_001, 5), (10_002, 5), (10_003, 5), (10_004, 5), (10_005, 5)]
    assert venue.last(order).status == "CANCELED"
    assert venue.last(order).filled_lots == 25


def test_liquidity_we_took_is_not_there_again_until_the_level_changes(venue: Any) -> None:
    first = venue.place("BUY", 5)
    venue.settle()
    second = venue.place("BUY", 5)
    venue.settle()
    venue.level(ASK, 10_001, 7)
    third = venue.place("BUY", 5)
    venue.settle()

    assert venue.fills(first) == [(10_001, 5)]
    assert venue.fills(second) == [(10_002, 5)]
    assert venue.fills(third) == [(10_001, 5)]


def test_an_order_takes_effect_one_latency_after_the_decision(venue: Any) -> None:
    order = venue.place("BUY", 5)
    for _ in range(19):
        venue.level(BID, 9_990, 3)
    assert venue.fills(order) == []

    venue.level(ASK, 10_001, 9)  # 20 ms: the order is there before this message is

    assert venue.fills(order) == [(10_001, 5)]


def test_an_update_is_heard_one_latency_after_it_happened(venue: Any) -> None:
    venue.place("BUY", 5)
    venue.settle()

    assert {u.deliver_at_ns - u.venue_ts_ns for u in venue.updates} == {20 * 1_000_000}


def test_a_fill_or_kill_order_that_cannot_fill_whole_fills_nothing(venue: Any) -> None:
    order = venue.place("BUY", 6, 10_001, time_in_force=TimeInForce.FOK)
    venue.settle()

    assert venue.fills(order) == []
    assert "EC_CancelForNoFullFill" in venue.last(order).reason


def test_an_immediate_or_cancel_order_takes_what_its_price_reaches(venue: Any) -> None:
    order = venue.place("BUY", 20, 10_002, time_in_force=TimeInForce.IOC)
    venue.settle()

    assert venue.fills(order) == [(10_001, 5), (10_002, 5)]
    assert venue.last(order).status == "CANCELED"


def test_a_post_only_order_that_would_take_is_accepted_and_then_cancelled(venue: Any) -> None:
    order = venue.place("BUY", 5, 10_001, time_in_force=TimeInForce.POST_ONLY)
    venue.settle()

    assert venue.fills(order) == []
    assert venue.last(order).status == "CANCELED"
    assert "EC_PostOnlyWillTakeLiquidity" in venue.last(order).reason


def test_a_limit_that_crosses_takes_and_rests_with_what_is_left(venue: Any) -> None:
    order = venue.place("BUY", 8, 10_001)
    venue.settle()
    assert venue.fills(order) == [(10_001, 5)]

    venue.trade(SELL, 10_001, 2)

    assert venue.fills(order) == [(10_001, 5), (10_001, 2)]


def test_nothing_is_matched_while_the_book_is_not_to_be_trusted(venue: Any) -> None:
    venue.feed(EventKind.FEED_GAP, [])
    order = venue.place("BUY", 5)
    venue.settle()
    assert venue.fills(order) == []

    venue.snapshot(bid=10_050)

    assert venue.fills(order) == [(10_051, 5)]


def test_a_stop_triggered_without_a_trusted_book_takes_from_the_next_snapshot(venue: Any) -> None:
    venue.place("BUY", 5)
    venue.settle()
    stop = venue.place(
        "SELL", 5, type=OrderType.STOP_MARKET, trigger_ticks=9_990,
        trigger_by=TriggerBy.MARK, reduce_only=True, close_on_trigger=True,
    )  # fmt: skip
    venue.mark(10_000)
    venue.settle()
    venue.feed(EventKind.FEED_GAP, [])

    venue.mark(9_980)
    venue.mark(10_000)  # the price coming back does not undo it
    venue.level(BID, 9_999, 7)
    assert venue.fills(stop) == []

    venue.snapshot(bid=9_900)

    assert venue.fills(stop) == [(9_900, 5)]
    assert venue.position == 0


def test_a_change_to_an_untrusted_book_fills_no_resting_order(venue: Any) -> None:
    order = venue.place("BUY", 5, 9_998)
    venue.settle()
    venue.trade(SELL, 10_000, 1)
    venue.feed(EventKind.FEED_GAP, [])

    venue.level(ASK, 9_998, 9)
    assert venue.fills(order) == []

    venue.snapshot(bid=9_990)

    assert venue.fills(order) == [(9_998, 5)]


def test_a_touch_only_feed_keeps_no_older_levels(make_venue: Any, an_instrument: Any) -> None:
    """Nobody knows whether they are still there, so nothing may be taken from them."""
    exchange = SimulatedExchange([an_instrument("BTCUSDT")], ExecutionConfig())
    venue = make_venue()
    venue.exchange = exchange

    venue.touch(9_990, 9_991, lots=10)
    venue.touch(10_000, 10_001, lots=10)
    order = venue.place("SELL", 15)
    venue.settle()

    assert venue.fills(order) == [(10_000, 10)]


def test_a_touch_beside_a_deep_feed_leaves_the_deeper_levels(venue: Any) -> None:
    venue.touch(9_999, 10_001)
    order = venue.place("SELL", 8)
    venue.settle()

    assert venue.fills(order) == [(9_999, 5), (9_998, 3)]


def test_a_market_order_walks_no_further_than_the_price_band(make_venue: Any) -> None:
    """Two bps of 10000 ticks are two ticks."""
    venue = make_venue(sim_price_band_bps=2.0)
    venue.trade(BUY, 10_000, 1)
    order = venue.place("BUY", 100)
    venue.settle()

    assert venue.fills(order) == [(10_001, 5), (10_002, 5)]
    assert venue.last(order).reason == "EC_NoImmediateQtyToFill"
