"""The order book under the synthetic market."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from execution.domain.synthetic_book import (
    ASK,
    BID,
    FREE,
    LOTS,
    NO_ASK,
    NO_BID,
    SIDE,
    SIDE_ORDERS,
    TICK,
    Book,
    add_order,
    best_levels,
    drop_far_orders,
    empty_book,
    remove_order,
    take_from_best,
)
from execution.domain.synthetic_replica import apply_levels
from execution.domain.synthetic_window import empty_windows, update_window


def a_book() -> Book:
    return empty_book(ring=256, capacity=64)


def levels(book: Book, side: int, depth: int = 50) -> list[tuple[int, int]]:
    out = np.zeros((depth, 2), np.int64)
    count = best_levels(book, side, depth, out)
    return [(tick, lots) for tick, lots in out[:count].tolist()]


def test_the_older_order_at_a_price_trades_first() -> None:
    book = a_book()
    older, newer = add_order(book, ASK, 100, 5), add_order(book, ASK, 100, 7)

    assert take_from_best(book, ASK, 6) == 6

    assert book.orders[newer, LOTS] == 6
    assert older in book.orders[: book.counts[0], FREE]
    assert levels(book, ASK) == [(100, 6)]


def test_a_taker_never_gets_more_than_the_best_price_holds() -> None:
    book = a_book()
    add_order(book, BID, 100, 5)
    add_order(book, BID, 99, 5)

    assert take_from_best(book, BID, 50) == 5

    assert book.best[BID] == 99


def test_an_emptied_side_has_no_best_price() -> None:
    book = a_book()
    for side, none in ((BID, NO_BID), (ASK, NO_ASK)):
        order = add_order(book, side, 100 + side, 1)
        remove_order(book, order)
        assert book.best[side] == none
        assert levels(book, side) == []


def test_a_full_pool_refuses_the_order() -> None:
    book = empty_book(ring=256, capacity=2)
    add_order(book, BID, 10, 1)
    add_order(book, BID, 11, 1)

    assert add_order(book, BID, 12, 1) == -1

    assert levels(book, BID) == [(11, 1), (10, 1)]


def test_orders_out_of_reach_are_dropped() -> None:
    book = a_book()
    for tick in (60, 95, 100):
        add_order(book, BID, tick, 1)

    drop_far_orders(book, 100, 10)

    assert levels(book, BID) == [(100, 1), (95, 1)]


actions = st.lists(
    st.tuples(st.integers(0, 2), st.integers(0, 1), st.integers(0, 12), st.integers(1, 9)),
    max_size=120,
)


@settings(max_examples=60, deadline=None)
@given(actions)
def test_the_book_equals_a_plain_list_of_orders(
    steps: list[tuple[int, int, int, int]],
) -> None:
    """The same adds, cancels and takes on a sorted Python list give the same levels and the same queue."""
    book, plain = a_book(), []  # plain: (side, tick, lots, slot) by age
    for kind, side, where, lots in steps:
        if kind == 0:
            tick = 100 - where if side == BID else 101 + where
            slot = add_order(book, side, tick, lots)
            if slot >= 0:
                plain.append([side, tick, lots, slot])
        elif kind == 1 and plain:
            victim = plain.pop(where % len(plain))
            remove_order(book, victim[3])
        elif kind == 2:
            resting = [o for o in plain if o[0] == side]
            if resting:
                best = max(o[1] for o in resting) if side == BID else min(o[1] for o in resting)
                left = lots
                for order in [o for o in resting if o[1] == best]:
                    taken = min(left, order[2])
                    order[2] -= taken
                    left -= taken
                assert take_from_best(book, side, lots) == lots - left
                plain = [o for o in plain if o[2]]
        for each in (BID, ASK):
            sums: dict[int, int] = {}
            for order in plain:
                if order[0] == each:
                    sums[order[1]] = sums.get(order[1], 0) + order[2]
            assert levels(book, each) == sorted(sums.items(), reverse=each == BID)
    for side, tick, lots, slot in plain:
        assert book.orders[slot, [SIDE, TICK, LOTS]].tolist() == [side, tick, lots]


@settings(max_examples=60, deadline=None)
@given(st.lists(actions, max_size=6))
def test_a_receiver_of_the_window_changes_holds_exactly_the_best_levels(
    rounds: list[list[tuple[int, int, int, int]]],
) -> None:
    """Levels that leave the window are deleted, levels that come back are sent again."""
    depth = 3
    book, window = a_book(), empty_windows((depth,))
    entries = np.zeros((64, 3), np.int64)
    received: tuple[dict[int, int], dict[int, int]] = ({}, {})
    for steps in rounds:
        for kind, side, where, lots in steps:
            tick = 100 - where if side == BID else 101 + where
            if kind == 0:
                add_order(book, side, tick, lots)
            elif book.counts[SIDE_ORDERS + side]:
                take_from_best(book, side, lots)
        stop = update_window(book, window, 0, entries, 0)
        for side, tick, lots in entries[:stop].tolist():
            if lots:
                received[side][tick] = lots
            else:
                del received[side][tick]
        for each in (BID, ASK):
            assert sorted(received[each].items(), reverse=each == BID) == levels(book, each, depth)


def test_a_recorded_level_replaces_what_it_would_cross() -> None:
    book = a_book()
    side = np.array([BID, ASK, ASK], np.uint8)
    apply_levels(book, side, np.array([99, 100, 101], np.int64), np.array([5, 6, 7], np.int64))

    apply_levels(book, side[:1], np.array([100], np.int64), np.array([2], np.int64))

    assert levels(book, BID) == [(100, 2), (99, 5)]
    assert levels(book, ASK) == [(101, 7)]
