"""Calibration finds an edge that is there, finds none in noise, and is not fooled by leaks."""

from __future__ import annotations

import math

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from replay.domain.calibration import calibrate
from replay.domain.calibration_folds import walk_forward
from replay.domain.calibration_horizon import Yardstick, judge_horizon
from replay.domain.calibration_results import CalibrationSettings, Interval, SymbolCalibration
from replay.domain.calibration_samples import Samples, sample_dtype

STEP_NS = 500_000_000
FEATURES = ("a", "b", "c")
TRUE_WEIGHTS = np.array([0.6, -0.4, 0.0])
FREE = Yardstick(fixed_bps=0.0, spread_share=0.0, fee_multiple=1.0)
QUICK = CalibrationSettings(horizons_s=(0.5, 2.0), resamples=400)
NOISE = CalibrationSettings(horizons_s=(0.5, 2.0), resamples=250)
USUAL = 2.0  # rv10s, bps per sqrt(s)


def features_of(count: int, rng: np.random.Generator, memory: float = 4.0) -> NDArray[np.float64]:
    """Three features of unit variance that remember for about `memory` samples."""
    keep = math.exp(-1.0 / memory)
    shocks = rng.standard_normal((count, 3)) * math.sqrt(1.0 - keep * keep)
    values = np.zeros((count, 3))
    for i in range(1, count):
        values[i] = keep * values[i - 1] + shocks[i]
    return values


def samples_of(z: NDArray[np.float64], moves_bps: NDArray[np.float64]) -> Samples:
    """A price that moves by `moves_bps[i]` from sample i to the next."""
    count = len(z)
    samples = np.zeros(count, sample_dtype(z.shape[1]))
    samples["ts_ns"] = (np.arange(count) + 1) * STEP_NS
    samples["mid"] = 100.0 * np.exp(np.concatenate([[0.0], np.cumsum(moves_bps[:-1])]) * 1e-4)
    samples["rv10s"], samples["spread_bps"], samples["usable"] = USUAL, 1.0, True
    samples["z"] = z
    return samples


def a_market(seed: int, *, edge: float, count: int = 4000) -> Samples:
    """Each step moves by edge * p * rv * sqrt(0.5 s) and noise of rv * sqrt(0.5 s)."""
    rng = np.random.default_rng(seed)
    z = features_of(count, rng)
    usual = USUAL * math.sqrt(0.5)
    moves = usual * (edge * (z @ TRUE_WEIGHTS) + rng.standard_normal(count))
    return samples_of(z, moves)


def calibrated(
    samples: Samples, settings: CalibrationSettings = QUICK, yardstick: Yardstick = FREE
) -> SymbolCalibration:
    return calibrate("TESTUSDT", samples, FEATURES, settings, yardstick)


def test_a_planted_edge_is_found_with_its_size() -> None:
    """The rank correlation of p with the move is known: that of two normals of correlation
    edge * sd / sqrt(edge^2 * sd^2 + 1).
    """
    spread_of_p = float(np.sqrt((TRUE_WEIGHTS**2).sum()))
    plain = 0.3 * spread_of_p / math.sqrt((0.3 * spread_of_p) ** 2 + 1.0)
    true_ic = 6.0 / math.pi * math.asin(plain / 2.0)
    settings = CalibrationSettings(horizons_s=(0.5,), resamples=300)
    firsts = [calibrated(a_market(seed, edge=0.3), settings).horizons[0] for seed in range(1, 9)]

    values = [bounds(first.information_coefficient) for first in firsts]
    assert sum(low < true_ic < high for _, low, high in values) >= 7
    assert all(low > 0.05 for _, low, _ in values)
    assert np.mean([value for value, _, _ in values]) == pytest.approx(true_ic, abs=0.015)
    coefs = [bounds(first.edge_coef) for first in firsts]
    assert sum(low < 0.3 < high for _, low, high in coefs) >= 7


def bounds(interval: Interval) -> tuple[float, float, float]:
    assert interval.value is not None
    assert interval.low is not None
    assert interval.high is not None
    return interval.value, interval.low, interval.high


def test_the_weights_of_a_planted_edge_are_found_and_proposed() -> None:
    found = calibrated(a_market(1, edge=0.3))

    first = found.horizons[0]
    weights = {name: figures.weight for name, figures in first.weights.items()}
    assert weights["a"] == pytest.approx(0.6, abs=0.15)
    assert weights["b"] == pytest.approx(-0.4, abs=0.15)
    assert abs(weights["c"]) < 0.15
    assert (first.weights["a"].t_value or 0.0) > 4.0
    assert abs(first.weights["c"].t_value or 0.0) < 3.0
    assert found.found is not None
    assert sum(map(abs, found.found.weights.values())) == pytest.approx(1.0, abs=1e-3)


def test_an_edge_that_does_not_pay_its_cost_is_said_to_be_none() -> None:
    dear = Yardstick(fixed_bps=6.0, spread_share=0.25, fee_multiple=1.5)

    found = calibrated(a_market(1, edge=0.3), yardstick=dear)

    assert found.found is None
    assert found.horizons[0].information_coefficient_all_horizons.low is not None
    assert (found.horizons[0].information_coefficient_all_horizons.low or 0.0) > 0.0
    assert "no edge after cost" in found.verdict
    assert "no expected move reaches its cost" in found.verdict
    assert found.horizons[0].net_edge.signals == 0
    assert found.horizons[0].strongest.cost_bps == pytest.approx(6.25)


def test_a_large_edge_pays_a_small_cost_and_the_net_edge_is_what_was_realised_less_cost() -> None:
    cheap = Yardstick(fixed_bps=0.2, spread_share=0.25, fee_multiple=1.2)

    found = calibrated(a_market(2, edge=1.0), yardstick=cheap)

    assert found.found is not None
    net = found.horizons[0].net_edge
    assert net.net_bps.value is not None
    assert net.realised_bps is not None
    assert net.cost_bps == pytest.approx(0.45, abs=1e-4)
    assert net.net_bps.value == pytest.approx(net.realised_bps - 0.45, abs=1e-3)
    assert (net.net_bps.low or 0.0) > 0.0
    assert net.expected_bps == pytest.approx(net.realised_bps, rel=0.2)


def test_noise_is_not_taken_for_an_edge() -> None:
    """Intervals cover 0 about as often as they say. Where trading is free luck may look like an edge in
    2.5 % of all worlds; against any cost worth the name it never does here.
    """
    worlds = [a_market(100 + seed, edge=0.0, count=1200) for seed in range(14)]
    small_cost = Yardstick(fixed_bps=0.5, spread_share=0.0, fee_multiple=1.0)
    free = [calibrated(world, NOISE) for world in worlds]

    intervals = [each.information_coefficient for one in free for each in one.horizons]
    covers = [(i.low or 0.0) <= 0.0 <= (i.high or 0.0) for i in intervals]
    assert np.mean(covers) >= 0.85
    assert sum(one.found is not None for one in free) <= 1
    assert not any(calibrated(world, NOISE, small_cost).found for world in worlds)


def test_a_feature_that_peeks_across_the_embargo_boundary_is_not_rewarded() -> None:
    """Labels of 60 s before a judged block hold its first moves. A feature that is on only about there
    learns them by heart and tells the block's start, on pure noise, if those rows may teach.
    """
    count, horizon_s = 2000, 60.0
    rows = round(horizon_s / 0.5)
    edge = (count - rows) // 2  # between the second and the third of four blocks
    feature = np.zeros((count, 3))
    feature[edge - 20 : edge + 10, 0] = 1.0
    feature[edge - rows - 5 : edge - rows, 0] = 1.0  # what honest training may still see of it
    rng = np.random.default_rng(3)
    nearly_free = Yardstick(fixed_bps=1e-6, spread_share=0.0, fee_multiple=1.0)
    gains: dict[float, list[float]] = {0.0: [], -horizon_s: []}
    for _ in range(40):
        samples = samples_of(feature, 2.0 * rng.standard_normal(count))
        for embargo_s, realised in gains.items():
            settings = CalibrationSettings(
                horizons_s=(horizon_s,), folds=3, embargo_s=embargo_s, resamples=100
            )
            judged = judge_horizon(samples, FEATURES, horizon_s, settings, nearly_free)
            assert judged.net_edge.signals >= 10
            realised.append(judged.net_edge.realised_bps or 0.0)

    # an embargo that takes the label's length back lets the leak in: it pays in 40 worlds of noise
    leaked, honest = (np.array(gains[e]) for e in (-horizon_s, 0.0))
    error = leaked.std() / math.sqrt(40)
    assert leaked.mean() > 3.0 * error
    assert abs(honest.mean()) < 2.0 * error
    assert honest.mean() < 0.5 * leaked.mean()


@pytest.mark.parametrize("embargo_s", [0.0, 7.0, 60.0])
def test_no_label_that_teaches_ends_within_the_embargo_of_the_block_it_is_judged_on(
    embargo_s: float,
) -> None:
    """Also where the recording has holes."""
    rng = np.random.default_rng(8)
    ts_ns = np.cumsum(rng.choice([1, 1, 1, 40], size=900)) * STEP_NS
    horizon_ns, embargo_ns = 10 * 10**9, round(embargo_s * 1e9)

    folds = walk_forward(ts_ns, folds=4, horizon_ns=horizon_ns, embargo_ns=embargo_ns, min_train=50)

    assert len(folds) == 4
    for fold in folds:
        assert ts_ns[fold.train_stop - 1] + horizon_ns + embargo_ns <= ts_ns[fold.test_start]
        assert ts_ns[fold.train_stop] + horizon_ns + embargo_ns > ts_ns[fold.test_start]
    assert [f.test_stop for f in folds[:-1]] == [f.test_start for f in folds[1:]]
    assert folds[-1].test_stop == ts_ns.size


def test_the_same_samples_give_the_same_report_to_the_last_digit() -> None:
    samples = a_market(5, edge=0.2, count=1500)

    once, again = (msgspec.json.encode(calibrated(samples)) for _ in range(2))
    other = msgspec.json.encode(calibrated(samples, msgspec.structs.replace(QUICK, seed=2)))

    assert once == again
    assert once != other


def test_too_little_data_is_said_to_be_too_little() -> None:
    short = calibrated(a_market(1, edge=1.0, count=90))
    nothing = calibrated(a_market(1, edge=1.0, count=2)[:0])

    assert short.found is None
    assert "too short" in short.verdict
    assert nothing.found is None
    assert nothing.samples == 0


def test_a_feature_that_never_moves_gets_no_weight_and_breaks_nothing() -> None:
    samples = a_market(1, edge=0.3, count=1500)
    samples["z"][:, 2] = 0.0

    figures = calibrated(samples, msgspec.structs.replace(QUICK, ridge=0.0)).horizons[0].weights

    assert figures["c"].weight == 0.0
    assert figures["c"].t_value is None
    assert figures["a"].weight > 0.3
