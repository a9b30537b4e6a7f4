"""Resting orders: when a print, a book or a queue fills them, and in what order."""

from __future__ import annotations

from typing import Any

from execution.domain.venue import OrderFilled
from market.domain.events import BID, SELL, ChunkBuilder, EventKind


def test_a_resting_order_waits_for_the_size_displayed_before_it(venue: Any) -> None:
    order = venue.place("BUY", 4, 10_000)
    venue.settle()

    venue.trade(SELL, 10_000, 3)
    assert venue.fills(order) == []
    venue.trade(SELL, 10_000, 3)  # two were still ahead: one is left for us

    assert venue.fills(order) == [(10_000, 1)]


def test_a_cancel_ahead_of_us_does_not_advance_the_queue(venue: Any) -> None:
    order = venue.place("BUY", 4, 10_000)
    venue.settle()

    venue.level(BID, 10_000, 1)
    venue.trade(SELL, 10_000, 4)
    assert venue.fills(order) == []
    venue.trade(SELL, 10_000, 2)

    assert venue.fills(order) == [(10_000, 1)]


def test_a_price_that_trades_through_fills_up_to_what_traded(venue: Any) -> None:
    order = venue.place("BUY", 10, 10_000)
    venue.settle()

    venue.trade(SELL, 9_999, 6)

    assert venue.fills(order) == [(10_000, 6)]


def test_outside_the_window_an_order_queues_behind_the_first_size_displayed(venue: Any) -> None:
    order = venue.place("BUY", 3, 9_990)
    venue.settle()
    venue.trade(SELL, 9_990, 100)  # nobody knows who was ahead
    assert venue.fills(order) == []

    venue.level(BID, 9_990, 8)
    venue.trade(SELL, 9_990, 8)
    assert venue.fills(order) == []
    venue.trade(SELL, 9_990, 2)

    assert venue.fills(order) == [(9_990, 2)]


def test_block_and_retail_trades_fill_nobody(venue: Any) -> None:
    order = venue.place("BUY", 3, 10_000)
    venue.settle()

    venue.trade(SELL, 9_990, 100, flags=1)
    venue.trade(SELL, 9_990, 100, flags=2)
    assert venue.fills(order) == []
    venue.trade(SELL, 9_990, 100)

    assert venue.fills(order) == [(10_000, 3)]


def test_the_better_price_and_then_the_earlier_order_is_filled_first(venue: Any) -> None:
    early = venue.place("BUY", 2, 9_999)
    second = venue.place("BUY", 2, 9_999)
    late_better = venue.place("BUY", 2, 10_000)
    venue.settle()

    venue.trade(SELL, 9_990, 5)

    assert venue.fills(late_better) == [(10_000, 2)]
    assert venue.fills(early) == [(9_999, 2)]
    assert venue.fills(second) == [(9_999, 1)]


def test_an_amended_price_loses_its_place_and_a_smaller_size_keeps_it(venue: Any) -> None:
    kept = venue.place("BUY", 4, 10_000)
    moved = venue.place("BUY", 4, 9_999)
    venue.settle()
    venue.trade(SELL, 10_000, 5)  # the queue ahead of `kept` is gone
    venue.amend(kept, qty_lots=2)
    venue.amend(moved, price_ticks=10_000)
    venue.settle()

    venue.trade(SELL, 10_000, 3)

    assert venue.fills(kept) == [(10_000, 2)]
    assert venue.fills(moved) == []


def test_a_larger_size_loses_its_place(venue: Any) -> None:
    order = venue.place("BUY", 2, 10_000)
    venue.settle()
    venue.trade(SELL, 10_000, 5)  # the queue ahead is gone
    venue.amend(order, qty_lots=3)
    venue.settle()

    venue.trade(SELL, 10_000, 5)  # behind the five displayed again
    assert venue.fills(order) == []
    venue.trade(SELL, 10_000, 1)

    assert venue.fills(order) == [(10_000, 1)]


def test_a_later_order_of_ours_never_stands_before_an_earlier_one(venue: Any) -> None:
    """The level shrank between the two: what is shown is not the whole truth of the older queue."""
    early = venue.place("BUY", 2, 10_000)
    venue.settle()
    venue.level(BID, 10_000, 1)
    late = venue.place("BUY", 2, 10_000)
    venue.settle()

    venue.trade(SELL, 10_000, 6)

    assert venue.fills(early) == [(10_000, 1)]
    assert venue.fills(late) == []


def test_a_proportional_queue_loses_its_share_of_a_cancel(make_venue: Any) -> None:
    """Cancels come from ahead and from behind alike, in proportion to what stands there."""
    venue = make_venue(queue_model="proportional")
    venue.level(BID, 10_000, 10)
    order = venue.place("BUY", 2, 10_000)
    venue.settle()
    venue.level(BID, 10_000, 20)  # ten more came behind us
    venue.level(BID, 10_000, 12)  # eight went: half of the shown was ahead, so four of them

    venue.trade(SELL, 10_000, 6)
    assert venue.fills(order) == []
    venue.trade(SELL, 10_000, 1)

    assert venue.fills(order) == [(10_000, 1)]


def test_a_proportional_queue_does_not_take_a_trade_for_a_cancel(make_venue: Any) -> None:
    venue = make_venue(queue_model="proportional")
    venue.level(BID, 10_000, 10)
    order = venue.place("BUY", 2, 10_000)
    venue.settle()

    venue.trade(SELL, 10_000, 4)
    venue.level(BID, 10_000, 6)  # the book shows the trade: nobody cancelled
    venue.trade(SELL, 10_000, 6)
    assert venue.fills(order) == []
    venue.trade(SELL, 10_000, 1)

    assert venue.fills(order) == [(10_000, 1)]


def test_a_level_that_leaves_the_window_is_unknown_not_cancelled(make_venue: Any) -> None:
    venue = make_venue(queue_model="proportional")
    order = venue.place("BUY", 2, 9_996)
    venue.settle()

    venue.snapshot(bid=10_010)
    venue.snapshot(bid=10_000)
    venue.trade(SELL, 9_996, 5)
    assert venue.fills(order) == []
    venue.trade(SELL, 9_996, 1)

    assert venue.fills(order) == [(9_996, 1)]


def test_a_print_that_only_advances_a_queue_does_not_wake_the_venue(venue: Any) -> None:
    """Speed: the kernel moves the queue itself and returns where a fill is possible."""
    venue.place("BUY", 4, 10_000)
    venue.settle()
    builder = ChunkBuilder()
    for i in range(7):
        builder.add(
            EventKind.TRADE, symbol=0, seq=i, core_ts_ns=venue.now + i, exchange_ts_ns=venue.now + i,
            levels=[(SELL, 10_000, 1)],
        )  # fmt: skip

    woken_at, updates = venue.exchange.process_until(builder.take(), 0)

    assert woken_at == 6  # five were ahead
    assert [u.qty_lots for u in updates if isinstance(u, OrderFilled)] == [1]


def test_that_also_holds_where_the_later_price_was_not_displayed_at_first(venue: Any) -> None:
    early = venue.place("BUY", 2, 10_000)
    venue.settle()
    venue.snapshot(bid=10_010)  # 10000 is outside the window now
    late = venue.place("BUY", 2, 10_000)
    venue.settle()
    venue.snapshot(bid=10_000, lots=1)

    venue.trade(SELL, 10_000, 6)  # five were ahead of the older one

    assert venue.fills(early) == [(10_000, 1)]
    assert venue.fills(late) == []
