"""What a symbol is like, from a stream of frames and trades: quantiles of any length in a few kilobytes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from market.domain.events import EventChunk, EventKind
from market.domain.frames import BookState, FrameReason, Frames
from market.domain.instruments import Instrument

_SMALLEST, _LARGEST = 1e-6, 1e12
_PER_DOUBLING = 16  # a quantile is right within 2.2 %
_BUCKETS = int(np.log2(_LARGEST / _SMALLEST) * _PER_DOUBLING) + 2
_SECOND_NS = 1_000_000_000
_HOUR_NS = 3_600 * _SECOND_NS
_HOURS = 24


class SizeHistogram:
    """Counts of figures >= 0 by size, on a logarithmic scale."""

    __slots__ = ("_counts", "_total", "count")

    def __init__(self) -> None:
        self._counts: NDArray[np.int64] = np.zeros(_BUCKETS, np.int64)
        self._total = 0.0
        self.count = 0

    def add(self, values: NDArray[np.float64]) -> None:
        """Take those of `values` that are known."""
        known = values[np.isfinite(values) & (values >= 0.0)]
        sizes = np.log2(np.clip(known, _SMALLEST, _LARGEST) / _SMALLEST) * _PER_DOUBLING
        self._counts += np.bincount(np.ceil(sizes).astype(np.int64), minlength=_BUCKETS)
        self._total += float(known.sum())
        self.count += int(known.size)

    def quantile(self, share: float) -> float | None:
        """The figure that `share` of all did not exceed, to three digits; None without any."""
        if not self.count:
            return None
        rank = max(int(np.ceil(share * self.count)), 1)
        bucket = int(np.searchsorted(np.cumsum(self._counts), rank))
        if bucket == 0:
            return 0.0
        return float(f"{_SMALLEST * 2.0 ** ((bucket - 0.5) / _PER_DOUBLING):.3g}")

    def mean(self) -> float | None:
        return float(f"{self._total / self.count:.3g}") if self.count else None


class SymbolStatistics:
    """One symbol's figures, sampled once a second while its book is sound and its features are warm."""

    def __init__(self, instrument: Instrument) -> None:
        self._lot_tick_usd = float(instrument.tick_size) * float(instrument.qty_step)
        self.spread_bps = SizeHistogram()
        self.depth_usd = SizeHistogram()  # of the thinner side's best 20 levels
        self.rv300s = SizeHistogram()
        self.flicker = SizeHistogram()
        self.flow_usd_per_s = SizeHistogram()
        self.trade_usd = SizeHistogram()
        self.rv60s_by_hour = [SizeHistogram() for _ in range(_HOURS)]
        self._funding_total, self._funding_count = 0.0, 0
        self.input_hash = 0

    @property
    def seconds(self) -> int:
        """How many were looked at."""
        return self.spread_bps.count

    def take_frames(self, frames: Frames) -> None:
        """Frames of this symbol, in order."""
        if not len(frames):
            return
        self.input_hash = int(frames["input_hash"][-1])
        sound = (
            (frames["reason"] == FrameReason.BOUNDARY)
            & (frames["ts_ns"] % _SECOND_NS == 0)
            & (frames["book_state"] == BookState.OK)
            & (frames["warm"] == 1)
        )
        kept = frames[sound]
        if not len(kept):
            return
        self.spread_bps.add(kept["spread_bps"])
        self.depth_usd.add(np.minimum(kept["bid_depth_usd20"], kept["ask_depth_usd20"]))
        self.rv300s.add(kept["rv300s"])
        self.flicker.add(kept["flicker"])
        self.flow_usd_per_s.add(kept["notional_rate5s"])
        hours = kept["ts_ns"] // _HOUR_NS % _HOURS
        for hour in np.unique(hours).tolist():
            self.rv60s_by_hour[hour].add(kept["rv60s"][hours == hour])
        funding = kept["funding_rate"][np.isfinite(kept["funding_rate"])]
        self._funding_total += float(funding.sum())
        self._funding_count += int(funding.size)

    def take_trades(self, chunk: EventChunk, symbol: int) -> None:
        """Trades of this symbol that went through the book."""
        rows = np.flatnonzero(
            (chunk.kind == EventKind.TRADE) & (chunk.symbol == symbol) & (chunk.flags == 0)
        )
        entries = chunk.level_offset[rows]
        self.trade_usd.add(
            chunk.tick[entries].astype(np.float64) * chunk.lot[entries] * self._lot_tick_usd
        )

    def summary(self) -> dict[str, Any]:
        """JSON-ready; figures that nothing told are null."""
        usual = (0.5, 0.9, 0.99)
        return {
            "seconds": self.seconds,
            "spreadBps": _quantiles(self.spread_bps, usual),
            "depthUsd": _quantiles(self.depth_usd, (0.01, 0.05, 0.5)),
            "rv300s": _quantiles(self.rv300s, (0.05, 0.5, 0.95)),
            "rv60sByHour": [each.quantile(0.5) for each in self.rv60s_by_hour],
            "flicker": _quantiles(self.flicker, (*usual, 0.999)),
            "flowUsdPerSecond": _quantiles(self.flow_usd_per_s, (0.1, 0.5, 0.9)),
            "trades": self.trade_usd.count,
            "tradeUsd": _quantiles(self.trade_usd, usual) | {"mean": self.trade_usd.mean()},
            "fundingRate": (
                float(f"{self._funding_total / self._funding_count:.3g}")
                if self._funding_count
                else None
            ),
            "inputHash": f"{self.input_hash:016x}",
        }


def _quantiles(histogram: SizeHistogram, shares: tuple[float, ...]) -> dict[str, float | None]:
    return {f"p{share * 100:g}": histogram.quantile(share) for share in shares}
