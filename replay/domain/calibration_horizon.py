"""Judges one horizon of the expected move: learns walk-forward, measures out of sample."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from replay.domain.calibration_bootstrap import (
    UNKNOWN,
    Estimate,
    bootstrap_sums,
    correlation_columns,
    correlations,
    interval,
    ranks,
    ratios,
)
from replay.domain.calibration_fit import hac_t_values, ridge_coefficients, unit_weights
from replay.domain.calibration_folds import Fold, walk_forward
from replay.domain.calibration_results import (
    CalibrationSettings,
    FoldFigures,
    HorizonFigures,
    Interval,
    NetEdge,
    StrongestSignals,
    WeightFigures,
    rounded,
)
from replay.domain.calibration_samples import NS_PER_S, Samples, forward_moves_bps

Floats = NDArray[np.float64]
_SMALLEST_TRAINING = 50  # rows a fold must learn from
_TREMOR_S = 5.0  # features remember for about so long: added to the blocks of the bootstrap


class Yardstick(NamedTuple):
    """What a signal must earn: the planned orders' cost, a line in the spread, and how often over it
    (pipeline §3)."""

    fixed_bps: float
    spread_share: float
    fee_multiple: float

    def cost_bps(self, spread_bps: Floats) -> Floats:
        """Round trip at each spread."""
        return self.fixed_bps + self.spread_share * spread_bps


class _Rows(NamedTuple):
    """Samples with a label, as plain columns: usual = rv10s * sqrt(horizon), bps."""

    ts_ns: NDArray[np.int64]
    z: Floats
    move_bps: Floats
    usual_bps: Floats
    spread_bps: Floats

    def scaled_moves(self, cap: float) -> Floats:
        return np.clip(self.move_bps / self.usual_bps, -cap, cap)


class _Judged(NamedTuple):
    """Rows judged out of sample, folds one after the other: places in `_Rows`, pressure with unit weights
    and the expected move in bps, signed, both as the fold's own training has it."""

    places: NDArray[np.int64]
    pressure: Floats
    expected_bps: Floats


def judge_horizon(
    samples: Samples,
    features: Sequence[str],
    horizon_s: float,
    settings: CalibrationSettings,
    yardstick: Yardstick,
) -> HorizonFigures:
    """All figures of one horizon. Same input, same figures."""
    horizon_ns = round(horizon_s * NS_PER_S)
    rows = _labelled_rows(samples, horizon_s)
    folds = walk_forward(
        rows.ts_ns,
        folds=settings.folds,
        horizon_ns=horizon_ns,
        embargo_ns=round(settings.embargo_s * NS_PER_S),
        min_train=_SMALLEST_TRAINING,
    )
    judged = _walk(rows, folds, settings)
    mean_block_s = 2.0 * horizon_s + _TREMOR_S
    mean_block = mean_block_s * 1000.0 / settings.step_ms
    bootstrap = _Bootstrap(mean_block, judged.places.size, settings)
    moves, pressure = rows.move_bps[judged.places], judged.pressure
    usual = rows.usual_bps[judged.places]
    ic, ic_of_all = bootstrap.correlation(judged.expected_bps, moves)
    y = np.clip(moves / usual, -settings.move_cap, settings.move_cap)
    return HorizonFigures(
        horizon_s=horizon_s,
        samples=int(judged.places.size),
        blocks=round(bootstrap.blocks, 1),
        mean_block_s=mean_block_s,
        information_coefficient=_as_interval(ic),
        information_coefficient_all_horizons=_as_interval(ic_of_all),
        edge_coef=_as_interval(bootstrap.ratio(pressure * y, pressure * pressure)),
        weights=_weights(rows, features, horizon_s, settings),
        folds=_fold_figures(rows, folds, judged),
        net_edge=_net_edge(rows, judged, horizon_ns, bootstrap, yardstick),
        strongest=_strongest(rows, judged, yardstick),
    )


def _labelled_rows(samples: Samples, horizon_s: float) -> _Rows:
    moves = forward_moves_bps(samples, round(horizon_s * NS_PER_S))
    kept = samples["usable"] & np.isfinite(moves)
    own = samples[kept]
    return _Rows(
        ts_ns=own["ts_ns"].copy(),
        z=own["z"].astype(np.float64),
        move_bps=moves[kept],
        usual_bps=own["rv10s"].astype(np.float64) * float(np.sqrt(horizon_s)),
        spread_bps=own["spread_bps"].astype(np.float64),
    )


def _walk(rows: _Rows, folds: Sequence[Fold], settings: CalibrationSettings) -> _Judged:
    """Learn before each fold's block, judge in it."""
    y = rows.scaled_moves(settings.move_cap)
    places: list[NDArray[np.int64]] = [np.zeros(0, np.int64)]
    pressures, expected = [np.zeros(0)], [np.zeros(0)]
    for fold in folds:
        learnt = ridge_coefficients(rows.z[: fold.train_stop], y[: fold.train_stop], settings.ridge)
        weights, scale = unit_weights(learnt)
        test = slice(fold.test_start, fold.test_stop)
        pressure = rows.z[test] @ weights
        places.append(np.arange(fold.test_start, fold.test_stop))
        pressures.append(pressure)
        expected.append(scale * pressure * rows.usual_bps[test])
    return _Judged(np.concatenate(places), np.concatenate(pressures), np.concatenate(expected))


class _Bootstrap:
    """Intervals for figures of the judged rows, all from the same blocks."""

    def __init__(self, mean_block: float, count: int, settings: CalibrationSettings) -> None:
        self.blocks = count / mean_block
        self._mean_block = mean_block
        self._count = count
        self._settings = settings
        # Bonferroni: the best of several horizons is chosen later
        self._of_all = 1.0 - (1.0 - settings.confidence) / len(settings.horizons_s)

    def correlation(self, x: Floats, y: Floats) -> tuple[Estimate, Estimate]:
        """Rank correlation of x and y: with an interval for itself, and one that holds for all horizons."""
        if not self._count:
            return UNKNOWN, UNKNOWN
        columns = correlation_columns(ranks(x), ranks(y))
        value = float(correlations(columns.sum(axis=0)[None], self._count)[0])
        resampled = correlations(self._sums(columns), self._count)
        first, second = (
            _within_one(interval(value, resampled, confidence, blocks=self.blocks))
            for confidence in (self._settings.confidence, self._of_all)
        )
        return first, second

    def ratio(self, above: Floats, below: Floats, *, of_blocks: float = math.inf) -> Estimate:
        """Sum of `above` over sum of `below`; the interval holds for all horizons at once.

        `of_blocks`: how many stretches speak at all, where `below` is mostly 0.
        """
        if not self._count or not below.any():
            return UNKNOWN
        resampled = ratios(self._sums(np.column_stack([above, below])))
        value = float(above.sum() / below.sum())
        return interval(value, resampled, self._of_all, blocks=min(self.blocks, of_blocks))

    def _sums(self, columns: Floats) -> Floats:
        return bootstrap_sums(
            columns,
            mean_block=self._mean_block,
            resamples=self._settings.resamples,
            seed=self._settings.seed,
        )


def _within_one(estimate: Estimate) -> Estimate:
    """A correlation is no more than 1, however wide the interval was made."""
    return Estimate(estimate.value, *(float(each) for each in np.clip(estimate[1:], -1.0, 1.0)))


def _weights(
    rows: _Rows, features: Sequence[str], horizon_s: float, settings: CalibrationSettings
) -> dict[str, WeightFigures]:
    """Of all samples: what would be proposed."""
    if len(rows.ts_ns) < _SMALLEST_TRAINING:
        return {}
    y = rows.scaled_moves(settings.move_cap)
    coefficients = ridge_coefficients(rows.z, y, settings.ridge)
    weights, _ = unit_weights(coefficients)
    lags = int(horizon_s * 1000 / settings.step_ms)
    t_values = hac_t_values(rows.z, y, coefficients, lags, settings.ridge)
    return {
        name: WeightFigures(weight=rounded(weight, 4) or 0.0, t_value=rounded(t_value, 3))
        for name, weight, t_value in zip(features, weights, t_values, strict=True)
    }


def _fold_figures(rows: _Rows, folds: Sequence[Fold], judged: _Judged) -> tuple[FoldFigures, ...]:
    figures, first = [], 0
    for fold in folds:
        stop = first + fold.test_stop - fold.test_start
        x, y = (
            ranks(judged.expected_bps[first:stop]),
            ranks(rows.move_bps[judged.places[first:stop]]),
        )
        ic = correlations(correlation_columns(x, y).sum(axis=0)[None], x.size)[0]
        figures.append(
            FoldFigures(
                train_from_ns=int(rows.ts_ns[0]),
                train_to_ns=int(rows.ts_ns[fold.train_stop - 1]),
                train_samples=fold.train_stop,
                test_from_ns=int(rows.ts_ns[fold.test_start]),
                test_to_ns=int(rows.ts_ns[fold.test_stop - 1]),
                test_samples=stop - first,
                information_coefficient=rounded(float(ic), 4),
            )
        )
        first = stop
    return tuple(figures)


def _net_edge(
    rows: _Rows,
    judged: _Judged,
    horizon_ns: int,
    bootstrap: _Bootstrap,
    yardstick: Yardstick,
) -> NetEdge:
    cost_bps = yardstick.cost_bps(rows.spread_bps[judged.places])
    realised = np.sign(judged.expected_bps) * rows.move_bps[judged.places]
    pays = np.abs(judged.expected_bps) >= yardstick.fee_multiple * cost_bps
    trades = _apart(rows.ts_ns[judged.places[pays]], horizon_ns)
    net = bootstrap.ratio((realised - cost_bps) * pays, pays.astype(float), of_blocks=trades)
    return NetEdge(
        signals=int(np.count_nonzero(pays)),
        signal_share=rounded(float(pays.mean()), 4) or 0.0 if pays.size else 0.0,
        trades=trades,
        expected_bps=_mean(np.abs(judged.expected_bps[pays])),
        realised_bps=_mean(realised[pays]),
        cost_bps=_mean(cost_bps[pays]),
        net_bps=_as_interval(net),
    )


def _strongest(rows: _Rows, judged: _Judged, yardstick: Yardstick) -> StrongestSignals:
    size = np.abs(judged.expected_bps)
    top = np.argsort(-size, kind="stable")[: -(-size.size // 10)]
    cost_bps = yardstick.cost_bps(rows.spread_bps[judged.places[top]])
    realised = np.sign(judged.expected_bps[top]) * rows.move_bps[judged.places[top]]
    return StrongestSignals(
        expected_bps=_mean(size[top]), realised_bps=_mean(realised), cost_bps=_mean(cost_bps)
    )


def _apart(ts_ns: NDArray[np.int64], horizon_ns: int) -> int:
    """How many of the instants can be taken one after the other, a horizon apart."""
    count, place = 0, 0
    while place < ts_ns.size:
        count += 1
        place = int(np.searchsorted(ts_ns, ts_ns[place] + horizon_ns))
    return count


def _mean(values: Floats) -> float | None:
    return rounded(float(values.mean()), 5) if values.size else None


def _as_interval(estimate: Estimate) -> Interval:
    value, low, high = (rounded(each, 5) for each in estimate)
    return Interval(value=value, low=low, high=high)
