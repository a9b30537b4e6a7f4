"""Score of each frame (pipeline §3): direction pressure, two scores, expected move.

z_i = feature_i / max(scale_i, floor_i), cut at +-Z_CAP, where scale_i is the EMA (half-life
`scale_half_life_s`) of |feature_i| over boundary frames as it stood before this frame; p = sum w_i z_i;
finalScoreLong/Short = 100 * sigmoid(+-gain * p - penalty); E = edge_coef * |p| * rv10s * sqrt(horizon_s).

The rows run through one compiled loop, in order, so a batch gives what its rows give one by one. A feature
that has no value yet (NaN) adds nothing and leaves its scale alone.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import msgspec
import numpy as np
from numba import njit
from numpy.typing import NDArray

from market.domain.frames import BookState, FrameReason, Frames
from strategy.domain.config import StrategyConfig

SCORE_FEATURES: tuple[str, ...] = (
    "micropriceGap", "imb5", "imb20", "ofi1s", "ofi5s", "flowRatio5s", "ret5s", "basis",
)  # fmt: skip
# A scale below its floor is silence, not a yardstick: the least |feature| that counts as usual.
SCALE_FLOORS = np.array([0.005, 0.05, 0.05, 0.01, 0.01, 0.05, 0.1, 0.1])
Z_CAP = 6.0
# A gap in the feed is no evidence: one frame never stands for more time than this.
MAX_FRAME_SPAN_NS = 1_000_000_000

_FEATURES = len(SCORE_FEATURES)
_OBSERVED = 2 * _FEATURES  # column of `scales` after the sums and their weights
_LAST_TS, _LAST_SEQ, _LAST_SCALED_TS = range(3)
_ACCEPTED, _PRESSURE, _LONG, _SHORT, _MOVE, _OBSERVED_NS, _FIRST_PART = range(7)


@dataclass(slots=True, kw_only=True)
class Scores:
    """One row per frame. `accepted` is False for a frame already seen: it must not be used.

    Scores 0..100; `expected_move_bps` >= 0; `contributions` is shape (n, 8), w_i z_i by SCORE_FEATURES;
    `warm` says that both the frame's features and the scales rest on enough data.
    """

    accepted: NDArray[np.bool_]
    warm: NDArray[np.bool_]
    pressure: NDArray[np.float64]
    score_long: NDArray[np.float64]
    score_short: NDArray[np.float64]
    expected_move_bps: NDArray[np.float64]
    contributions: NDArray[np.float64]


class ScalesState(msgspec.Struct, frozen=True, kw_only=True):
    """Running scales by symbol name: sums, weights, then the ns of data they rest on."""

    features: tuple[str, ...]
    scales: dict[str, tuple[float, ...]]


class Scorer:
    """The built-in scorer: running scales of each symbol through time, and the scores from them."""

    def __init__(self, symbols: tuple[str, ...], config: StrategyConfig, warmup_s: float) -> None:
        self._symbols = symbols
        self._warmup_ns = warmup_s * 1e9
        self._params = _params(config)
        self._scales = np.zeros((len(symbols), _OBSERVED + 1))
        self._clocks = np.full((len(symbols), 3), -1, np.int64)

    def configure(self, config: StrategyConfig, warmup_s: float) -> None:
        """Score by other thresholds from the next frame on; the scales stay."""
        self._warmup_ns = warmup_s * 1e9
        self._params = _params(config)

    def score(self, frames: Frames) -> Scores:
        """Score `frames` (any symbols, in order of emission) and take their boundary rows into the scales."""
        keys = _keys(frames)
        out = np.zeros((len(frames), _FIRST_PART + _FEATURES))
        _score_rows(
            _features(frames), _context(frames), keys, self._scales, self._clocks, self._params, out
        )
        return Scores(
            accepted=out[:, _ACCEPTED] > 0,
            warm=(frames["warm"] > 0) & (out[:, _OBSERVED_NS] >= self._warmup_ns),
            pressure=out[:, _PRESSURE],
            score_long=out[:, _LONG],
            score_short=out[:, _SHORT],
            expected_move_bps=out[:, _MOVE],
            contributions=out[:, _FIRST_PART:],
        )

    def remap(self, symbols: tuple[str, ...]) -> None:
        """Follow a new symbol table; symbols that stay keep their scales."""
        held = self.state()
        self._symbols = symbols
        self._scales = np.zeros((len(symbols), _OBSERVED + 1))
        self._clocks = np.full((len(symbols), 3), -1, np.int64)
        self.restore(held)

    def state(self) -> ScalesState:
        return ScalesState(
            features=SCORE_FEATURES,
            scales={
                name: tuple(self._scales[index].tolist())
                for index, name in enumerate(self._symbols)
            },
        )

    def restore(self, state: ScalesState) -> bool:
        """Take over scales written by `state`; False (and nothing changed) if their features differ."""
        if state.features != SCORE_FEATURES:
            return False
        for index, name in enumerate(self._symbols):
            row = state.scales.get(name)
            if row is not None and len(row) == _OBSERVED + 1:
                self._scales[index] = row
        return True


def _params(config: StrategyConfig) -> NDArray[np.float64]:
    weights = config.weights
    return np.array(
        [
            weights.microprice_gap, weights.imb5, weights.imb20, weights.ofi1s, weights.ofi5s,
            weights.flow_ratio5s, weights.ret5s, weights.basis,
            *SCALE_FLOORS,
            config.score_gain, config.toxicity_penalty, config.toxicity_floor,
            config.spread_penalty / config.max_spread_bps,
            config.edge_coef * math.sqrt(config.horizon_s),
            math.log(2.0) / config.scale_half_life_s,
        ]
    )  # fmt: skip


def _features(frames: Frames) -> NDArray[np.float64]:
    gap_bps = (frames["microprice"] / frames["mid"] - 1.0) * 1e4
    columns = ("imb5", "imb20", "ofi1s", "ofi5s", "flow_ratio5s", "ret5s", "basis_bps")
    return np.column_stack([gap_bps, *(frames[name] for name in columns)])


def _context(frames: Frames) -> NDArray[np.float64]:
    return np.column_stack([frames["vpin"], frames["spread_bps"], frames["rv10s"]])


def _keys(frames: Frames) -> NDArray[np.int64]:
    steady = (frames["reason"] == FrameReason.BOUNDARY) & (frames["book_state"] == BookState.OK)
    return np.column_stack(
        [frames["symbol"].astype(np.int64), frames["ts_ns"], frames["frame_seq"], steady]
    )


@njit(cache=True)
def _score_rows(
    features: NDArray[np.float64],
    context: NDArray[np.float64],
    keys: NDArray[np.int64],
    scales: NDArray[np.float64],
    clocks: NDArray[np.int64],
    params: NDArray[np.float64],
    out: NDArray[np.float64],
) -> None:
    for row in range(features.shape[0]):
        symbol, ts, seq = keys[row, 0], keys[row, 1], keys[row, 2]
        # The bus delivers at least once: a frame seen before must not move a scale again.
        if ts < clocks[symbol, _LAST_TS] or (
            ts == clocks[symbol, _LAST_TS] and seq <= clocks[symbol, _LAST_SEQ]
        ):
            continue
        clocks[symbol, _LAST_TS], clocks[symbol, _LAST_SEQ] = ts, seq
        pressure = _pressure(row, features, scales[symbol], params, out)
        if keys[row, 3] == 1:
            _take_into_scales(features[row], ts, scales[symbol], clocks[symbol], params)
        _write_scores(pressure, context[row], scales[symbol], params, out[row])


@njit(cache=True)
def _pressure(
    row: int,
    features: NDArray[np.float64],
    scale: NDArray[np.float64],
    params: NDArray[np.float64],
    out: NDArray[np.float64],
) -> float:
    pressure = 0.0
    for i in range(_FEATURES):
        value = features[row, i]
        if math.isnan(value):
            continue
        weight = scale[_FEATURES + i]
        usual = scale[i] / weight if weight > 0.0 else 0.0
        z = value / max(usual, params[_FEATURES + i])
        part = params[i] * min(max(z, -Z_CAP), Z_CAP)
        out[row, _FIRST_PART + i] = part
        pressure += part
    return pressure


@njit(cache=True)
def _take_into_scales(
    features: NDArray[np.float64],
    ts_ns: int,
    scale: NDArray[np.float64],
    clock: NDArray[np.int64],
    params: NDArray[np.float64],
) -> None:
    before, clock[_LAST_SCALED_TS] = clock[_LAST_SCALED_TS], ts_ns
    if before < 0:
        return
    span_ns = min(ts_ns - before, MAX_FRAME_SPAN_NS)
    x = params[2 * _FEATURES + 5] * (span_ns / 1e9)
    # exp(-x) to third order in plain arithmetic: the same bits on every machine.
    keep = 1.0 / (1.0 + x + 0.5 * x * x)
    for i in range(_FEATURES):
        if not math.isnan(features[i]):
            scale[i] = keep * scale[i] + (1.0 - keep) * abs(features[i])
            scale[_FEATURES + i] = keep * scale[_FEATURES + i] + (1.0 - keep)
    scale[_OBSERVED] += span_ns  # whole numbers: the sum is exact


@njit(cache=True)
def _write_scores(
    pressure: float,
    context: NDArray[np.float64],
    scale: NDArray[np.float64],
    params: NDArray[np.float64],
    out: NDArray[np.float64],
) -> None:
    gain, toxicity, toxicity_floor, per_spread, edge = params[2 * _FEATURES : 2 * _FEATURES + 5]
    vpin, spread_bps, volatility = context
    penalty = 0.0 if math.isnan(vpin) else toxicity * max(0.0, vpin - toxicity_floor)
    penalty += 0.0 if math.isnan(spread_bps) else per_spread * spread_bps
    out[_ACCEPTED] = 1.0
    out[_PRESSURE] = pressure
    out[_LONG] = 100.0 / (1.0 + math.exp(-(gain * pressure - penalty)))
    out[_SHORT] = 100.0 / (1.0 + math.exp(gain * pressure + penalty))
    out[_MOVE] = 0.0 if math.isnan(volatility) else edge * abs(pressure) * volatility
    out[_OBSERVED_NS] = scale[_OBSERVED]
