"""The columns in which the simulated venue keeps a book say what a plain dictionary of it says."""

from __future__ import annotations

import random

import pytest

from execution.domain.sim_book import SimBooks
from market.domain.events import ASK, BID, ChunkBuilder, EventKind
from market.domain.kernel_state import BOOK_CAPACITY as LEVELS
from market.domain.kernel_state import WINDOW

FAR_NS = 1 << 62
Entry = tuple[int, int, int]


class Both:
    """One symbol's book twice: in columns, and as {tick: lots} a side; the deepest levels fall out."""

    def __init__(self) -> None:
        self.books = SimBooks(2)
        self.plain: dict[int, dict[int, int]] = {BID: {}, ASK: {}}

    def show(self, kind: EventKind, levels: list[Entry]) -> None:
        builder = ChunkBuilder()
        builder.add(kind, symbol=1, seq=1, core_ts_ns=1, exchange_ts_ns=1, levels=levels)
        self.books.run(builder.take(), 0, 0, FAR_NS)
        if kind is EventKind.BOOK_SNAPSHOT:
            self.plain = {BID: {}, ASK: {}}
        for side, tick, lots in levels:
            self._set(side, tick, lots)

    def _set(self, side: int, tick: int, lots: int) -> None:
        levels = self.plain[side]
        if not lots:
            levels.pop(tick, None)
            return
        worst = (min if side == BID else max)([*levels, tick])
        if tick in levels or len(levels) < LEVELS:
            levels[tick] = lots
        elif tick != worst:
            del levels[worst]
            levels[tick] = lots

    def check(self, books: SimBooks) -> None:
        for side, limit in ((BID, 0), (ASK, FAR_NS)):
            best_first = sorted(self.plain[side].items(), reverse=side == BID)
            assert books.takeable(1, side, limit) == best_first
            assert books.best(1, side) == (best_first[0][0] if best_first else None)
            for tick, lots in best_first[:: max(len(best_first) // 7, 1)]:
                assert books.displayed(1, side, tick) == lots


@pytest.mark.parametrize(
    ("spread", "drift"), [(40, 0), (40, 3), (4_000, 0), (3 * LEVELS, 40)],
    ids=["dense", "a sliding window", "gaps", "more levels than there is room for"],
)  # fmt: skip
def test_any_changes_give_the_same_book(spread: int, drift: int) -> None:
    """Enough of them to fill the room at either end again and again."""
    rng, both, middle = random.Random(spread + drift), Both(), 1_000_000
    for step in range(40):
        middle += rng.randint(0, drift)
        levels = []
        for _ in range(150):
            side, away = rng.randint(0, 1), rng.randint(1, spread)
            tick = middle - away if side == BID else middle + away
            levels.append((side, tick, 0 if rng.random() < 0.3 else rng.randint(1, 9)))
        both.show(EventKind.BOOK_SNAPSHOT if step % 20 == 0 else EventKind.BOOK_DELTA, levels)
        both.check(both.books)

    copy = SimBooks(2)
    copy.restore(both.books.state())
    both.check(copy)


def test_a_book_that_only_ever_rises_stays_inside_its_room() -> None:
    both = Both()
    for tick in range(1, 2 * WINDOW):
        both.show(EventKind.BOOK_DELTA, [(BID, tick, 1), (BID, tick - 5, 0), (ASK, tick + 9, 2)])
        both.show(EventKind.BOOK_DELTA, [(ASK, tick + 4, 0)])

    both.check(both.books)
    assert len(both.plain[BID]) == 5


def test_what_our_fills_took_comes_back_only_with_another_size() -> None:
    """Over any messages: the rows of marks against a plain dictionary of what was taken."""
    rng, both, middle = random.Random(3), Both(), 1_000_000
    taken: dict[tuple[int, int], int] = {}
    for step in range(400):
        sizes = {side: dict(levels) for side, levels in both.plain.items()}
        kind = EventKind.BOOK_SNAPSHOT if step % 25 == 0 else EventKind.BOOK_DELTA
        places = [(rng.randint(0, 1), rng.randint(1, 12)) for _ in range(30)]
        levels = [
            (side, middle + (away if side else -away), rng.randint(0, 2)) for side, away in places
        ]
        levels = [*{entry[:2]: entry for entry in levels if entry[2] or step % 25}.values()]
        both.show(kind, levels)
        taken = {
            (side, tick): lots
            for (side, tick), lots in taken.items()
            if both.plain[side].get(tick) == sizes[side][tick]
        }
        for side, limit in ((BID, 0), (ASK, FAR_NS)):
            left = {
                tick: lots - taken.get((side, tick), 0) for tick, lots in both.plain[side].items()
            }
            offered = both.books.takeable(1, side, limit)
            assert dict(offered) == {tick: lots for tick, lots in left.items() if lots}
            for tick, lots in offered[: rng.randint(0, 3)]:
                took = rng.randint(1, lots)
                both.books.take(1, side, tick, took)
                taken[side, tick] = taken.get((side, tick), 0) + took
        if step % 50 == 7:
            state, both.books = both.books.state(), SimBooks(2)
            both.books.restore(state)
            assert both.books.state() == state
