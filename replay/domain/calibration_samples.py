"""What calibration keeps of the frames: a few columns of boundary frames on a coarse time grid.

One sample takes about 60 bytes; at the default grid of 500 ms a day of one symbol is 10 MB, whatever the
message rate was.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from market.domain.frames import FrameReason, Frames

NS_PER_S = 1_000_000_000
_FIRST_ROWS = 1024


def sample_dtype(features: int) -> np.dtype[np.void]:
    """Core time, mid, rv10s in bps per sqrt(s), spread, whether a label may start here, z by feature."""
    return np.dtype(
        [
            ("ts_ns", np.int64),
            ("mid", np.float64),
            ("rv10s", np.float32),
            ("spread_bps", np.float32),
            ("usable", np.bool_),
            ("z", np.float32, (features,)),
        ]
    )


Samples = NDArray[np.void]


class SampleStore:
    """Collects the samples of each symbol; memory grows with market time, not with messages.

    Args:
        symbols: how many; the `symbol` column of the frames counts them.
        features: columns of z.
        step_ns: boundary frames at whole multiples of it are kept.
    """

    def __init__(self, *, symbols: int, features: int, step_ns: int) -> None:
        self._step_ns = step_ns
        self._rows = [np.zeros(_FIRST_ROWS, sample_dtype(features)) for _ in range(symbols)]
        self._counts = [0] * symbols

    def take(self, frames: Frames, z: NDArray[np.float64], fit: NDArray[np.bool_]) -> None:
        """Keep what is on the grid and has a price. z f8[n, features]; fit bool[n]: may be acted upon."""
        kept = (
            (frames["reason"] == FrameReason.BOUNDARY)
            & (frames["ts_ns"] % self._step_ns == 0)
            & (frames["mid"] > 0.0)
        )
        for symbol in np.unique(frames["symbol"][kept]).tolist():
            mine = np.flatnonzero(kept & (frames["symbol"] == symbol))
            self._append(symbol, frames, z, fit, mine)

    def samples(self, symbol: int) -> Samples:
        """Those of one symbol so far, in order of time."""
        return self._rows[symbol][: self._counts[symbol]]

    def _append(
        self,
        symbol: int,
        frames: Frames,
        z: NDArray[np.float64],
        fit: NDArray[np.bool_],
        mine: NDArray[Any],
    ) -> None:
        first, stop = self._counts[symbol], self._counts[symbol] + mine.size
        rows = self._rows[symbol]
        if stop > rows.size:
            rows = np.zeros(max(stop, rows.size + rows.size // 2), rows.dtype)
            rows[:first] = self._rows[symbol][:first]
            self._rows[symbol] = rows
        new = rows[first:stop]
        for name in ("ts_ns", "mid", "rv10s", "spread_bps"):
            new[name] = frames[name][mine]
        new["z"] = z[mine]
        new["usable"] = fit[mine] & (new["rv10s"] > 0.0) & (new["spread_bps"] >= 0.0)
        self._counts[symbol] = stop


def forward_moves_bps(samples: Samples, horizon_ns: int) -> NDArray[np.float64]:
    """Move of the mid from each sample to the one exactly `horizon_ns` later; NaN where there is none."""
    ts, mid = samples["ts_ns"], samples["mid"]
    moves = np.full(ts.size, np.nan)
    if not ts.size:
        return moves
    later = np.minimum(np.searchsorted(ts, ts + horizon_ns), ts.size - 1)
    exact = ts[later] == ts + horizon_ns
    moves[exact] = (mid[later[exact]] / mid[exact] - 1.0) * 1e4
    return moves
