"""Samples, bootstrap and least squares, each for itself."""

from __future__ import annotations

import numpy as np

from execution.domain.synthetic_instruments import synthetic_instruments
from execution.domain.synthetic_market import synthetic_chunks
from market.domain.config import MarketConfig
from market.domain.frames import FrameReason, Frames
from market.domain.kernel import MarketKernel
from replay.domain.calibration_bootstrap import (
    bootstrap_sums,
    correlation_columns,
    correlations,
    interval,
    ranks,
)
from replay.domain.calibration_features import FEATURES, FeatureReader
from replay.domain.calibration_fit import hac_t_values, ridge_coefficients
from replay.domain.calibration_samples import SampleStore, forward_moves_bps
from strategy.domain.config import DecisionConfig

SYMBOLS = ("SYN01USDT", "SYN02USDT")
CONFIG = DecisionConfig(market=MarketConfig(warmup_s=10))
STEP_NS = 500_000_000


def frames_of(seconds: int) -> Frames:
    kernel = MarketKernel(synthetic_instruments(SYMBOLS), CONFIG.market)
    return np.concatenate([kernel.process(c) for c in synthetic_chunks(3, seconds, SYMBOLS)])


def stored(frames: Frames, cut: int) -> SampleStore:
    reader = FeatureReader(SYMBOLS, CONFIG)
    store = SampleStore(symbols=2, features=len(FEATURES), step_ns=STEP_NS)
    for first in range(0, len(frames), cut):
        part = frames[first : first + cut]
        store.take(part, *reader.read(part))
    return store


def test_samples_are_boundary_frames_on_the_grid_whatever_the_chunks_were() -> None:
    frames = frames_of(40)
    pieces, whole = stored(frames, 37), stored(frames, len(frames))

    for symbol in range(2):
        rows = pieces.samples(symbol)
        mine = frames[(frames["symbol"] == symbol) & (frames["reason"] == FrameReason.BOUNDARY)]
        on_grid = mine[(mine["ts_ns"] % STEP_NS == 0) & (mine["mid"] > 0)]
        assert rows.tobytes() == whole.samples(symbol).tobytes()
        assert np.array_equal(rows["ts_ns"], on_grid["ts_ns"])
        assert np.array_equal(rows["mid"], on_grid["mid"])
        assert not rows["usable"][0]
        assert rows["usable"][-1]
        assert np.abs(rows["z"]).max() > 0.5


def test_a_sample_is_small_so_that_a_day_is() -> None:
    """172,800 samples a day at 500 ms; growing leaves at most half as much unused."""
    store = stored(frames_of(40), 50)

    assert store.samples(0).itemsize * 172_800 < 12e6


def test_a_move_is_known_only_where_a_sample_lies_exactly_a_horizon_later() -> None:
    rows = stored(frames_of(40), 10_000).samples(0)
    holed = np.delete(rows, [30, 31])

    moves = forward_moves_bps(holed, 2 * STEP_NS)

    assert np.isnan(moves[[28, 29]]).all()
    assert np.isnan(moves[-2:]).all()
    assert np.count_nonzero(np.isnan(moves)) == 4
    assert moves[5] == (rows["mid"][7] / rows["mid"][5] - 1) * 1e4


def test_a_resample_has_as_many_rows_as_the_series_and_uses_all_of_it_alike() -> None:
    columns = np.column_stack([np.ones(500), np.arange(500.0)])

    sums = bootstrap_sums(columns, mean_block=20.0, resamples=2000, seed=1)

    assert (sums[:, 0] == 500).all()
    expected = columns[:, 1].sum()
    assert abs(sums[:, 1].mean() / expected - 1) < 0.01
    # blocks of 20 of a slope: the mean's spread is that of about 25 independent draws
    spread = sums[:, 1].std() / 500
    assert 0.6 < spread / (np.arange(500).std() / np.sqrt(25)) < 1.6


def test_few_blocks_widen_the_interval_and_two_give_none() -> None:
    resampled = np.random.default_rng(1).standard_normal(4000)

    many, few, two = (interval(0.0, resampled, 0.95, blocks=b) for b in (1000.0, 6.0, 2.0))

    assert abs(many.high - 1.96) < 0.12
    assert few.high > 1.3 * many.high
    assert np.isnan(two.high)
    assert two.value == 0.0


def test_equal_values_share_their_rank_and_the_correlation_is_spearmans() -> None:
    x = np.array([1.0, 2.0, 2.0, 9.0, 3.0])
    y = np.array([0.1, 0.5, 0.4, 0.2, 0.3])

    found = correlations(correlation_columns(ranks(x), ranks(y)).sum(axis=0)[None], 5)[0]

    assert ranks(x)[1] == ranks(x)[2]
    # ranks 1, 2.5, 2.5, 5, 4 and 1, 5, 4, 2, 3 by hand
    expected = np.corrcoef([1, 2.5, 2.5, 5, 4], [1, 5, 4, 2, 3])[0, 1]
    assert abs(found - expected) < 1e-12


def test_overlapping_labels_do_not_make_a_slow_feature_look_significant() -> None:
    """Noise summed over 40 rows on a feature that changes slowly: plain t values are several times too
    large, those by Newey-West are not.
    """
    rng = np.random.default_rng(2)
    plain, robust = [], []
    for _ in range(40):
        z = np.convolve(rng.standard_normal(2100), np.ones(60) / np.sqrt(60), "valid")[:2000, None]
        y = np.convolve(rng.standard_normal(2100), np.ones(40), "valid")[:2000]
        beta = ridge_coefficients(z, y, 0.0)
        plain.append(hac_t_values(z, y, beta, 0, 0.0)[0])
        robust.append(hac_t_values(z, y, beta, 100, 0.0)[0])

    assert np.std(plain) > 3.0
    assert np.std(robust) < 1.8
