"""Rows in both orders that hftbacktest asks for: its exchange sees them by exchange time, we by receive time.

Rows come as they were received. Where exchange times go back among neighbours, each row of the disorder is
written twice: once for the exchange alone, in order of exchange time, and once for the receiver alone.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from market.domain.hftbacktest_events import EVENT_DTYPE, EXCH_EVENT, LOCAL_EVENT, Rows

MAX_BACK_NS = 10 * 1_000_000_000

_NO_TIME = np.iinfo(np.int64)


class BackTooFar(ValueError):
    """An exchange time lies more than `MAX_BACK_NS` before one that is written: the clock was set."""


class EventOrder:
    """Takes rows block by block; holds back what later rows may still come before."""

    def __init__(self) -> None:
        self._held = np.zeros(0, EVENT_DTYPE)
        self._written_ns = int(_NO_TIME.min)

    def take(self, rows: Rows) -> Rows:
        """What may be written now. Raises BackTooFar."""
        held = np.concatenate([self._held, rows])
        seen = _exchange_times(held, nothing=_NO_TIME.min)
        if seen.size and int(_exchange_times(held, nothing=_NO_TIME.max).min()) < self._written_ns:
            raise BackTooFar(f"exchange times go back more than {MAX_BACK_NS // 10**9} s")
        settled_ns = int(seen.max(initial=_NO_TIME.min + MAX_BACK_NS)) - MAX_BACK_NS
        cuts = _cuts(held)
        may_end = cuts & (np.maximum.accumulate(seen) <= settled_ns)
        stop = int(np.flatnonzero(may_end)[-1]) + 1 if may_end.any() else 0
        self._held = held[stop:]
        return self._ordered(held[:stop], cuts[:stop])

    def finish(self) -> Rows:
        """The rest."""
        held, self._held = self._held, np.zeros(0, EVENT_DTYPE)
        return self._ordered(held, _cuts(held))

    def _ordered(self, rows: Rows, cuts: NDArray[np.bool_]) -> Rows:
        if not rows.size:
            return rows
        times = _exchange_times(rows, nothing=_NO_TIME.min)
        self._written_ns = max(self._written_ns, int(times.max()))
        group = np.cumsum(np.concatenate([[0], cuts[:-1]]))
        is_market = _is_market(rows)
        sizes = np.bincount(group[is_market], minlength=int(group[-1]) + 1)
        is_split = is_market & (sizes[group] > 1)
        for_exchange, for_us = rows[is_split].copy(), rows.copy()
        for_exchange["ev"] &= ~np.uint64(LOCAL_EVENT)
        for_us["ev"][is_split] &= ~np.uint64(EXCH_EVENT)
        numbers = np.arange(rows.size)
        order = np.lexsort(
            (
                np.concatenate([numbers[is_split], numbers]),
                np.concatenate([times[is_split], np.zeros(rows.size, np.int64)]),
                np.concatenate([np.zeros(int(is_split.sum())), np.ones(rows.size)]),
                np.concatenate([group[is_split], group]),
            )
        )
        return np.concatenate([for_exchange, for_us])[order]


def _is_market(rows: Rows) -> NDArray[np.bool_]:
    return (rows["ev"] & np.uint64(EXCH_EVENT)) != 0


def _exchange_times(rows: Rows, *, nothing: int) -> NDArray[np.int64]:
    return np.where(_is_market(rows), rows["exch_ts"], nothing)


def _cuts(rows: Rows) -> NDArray[np.bool_]:
    """After which rows no row is of an earlier exchange time than any before."""
    cuts = np.ones(rows.size, np.bool_)
    if rows.size > 1:
        highest = np.maximum.accumulate(_exchange_times(rows, nothing=_NO_TIME.min))[:-1]
        later = _exchange_times(rows, nothing=_NO_TIME.max)[::-1]
        cuts[:-1] = highest <= np.minimum.accumulate(later)[::-1][1:]
    return cuts
