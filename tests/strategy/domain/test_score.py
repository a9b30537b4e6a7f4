"""The score against its definition, and its independence from batching."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from market.domain.config import MarketConfig
from market.domain.frames import FRAME_DTYPE, BookState, FrameReason, Frames
from strategy.domain.config import DecisionConfig, ScoreWeights, StrategyConfig
from strategy.domain.numeric_kernel import Z_CAP
from strategy.domain.numeric_layout import SCALE_FLOORS, SCORE_FEATURES
from strategy.domain.numeric_path import NumericPath
from strategy.domain.scorer import weights_by_name
from tests.strategy.builders import STRONG_LONG, STRONG_SHORT, Feed, balanced

CONFIG = StrategyConfig(weights=ScoreWeights(imb20=0.3, ret5s=-0.2, basis=0.1))
COLUMNS = ("imb5", "imb20", "ofi1s", "ofi5s", "flow_ratio5s", "ret5s", "basis_bps")


def a_path(symbols: tuple[str, ...], strategy: StrategyConfig, warmup_s: int = 1) -> NumericPath:
    market = MarketConfig(warmup_s=warmup_s)
    return NumericPath(symbols, DecisionConfig(market=market, strategy=strategy))


def reference_scores(frames: Frames, config: StrategyConfig) -> list[tuple[float, float, float]]:
    """(pressure, long, E) of one symbol, written from the formula in plain Python."""
    w = config.weights
    weights = [
        w.microprice_gap,
        w.imb5,
        w.imb20,
        w.ofi1s,
        w.ofi5s,
        w.flow_ratio5s,
        w.ret5s,
        w.basis,
    ]
    total, mass, before, rows = [0.0] * 8, [0.0] * 8, None, []
    for frame in frames:
        values = [(frame["microprice"] / frame["mid"] - 1) * 1e4, *(frame[c] for c in COLUMNS)]
        p = 0.0
        for i, value in enumerate(values):
            scale = max(total[i] / mass[i] if mass[i] else 0.0, SCALE_FLOORS[i])
            if not math.isnan(value):
                p += weights[i] * max(-Z_CAP, min(Z_CAP, value / scale))
        if frame["reason"] == FrameReason.BOUNDARY and frame["book_state"] == BookState.OK:
            span = 0.0 if before is None else min((int(frame["ts_ns"]) - before) / 1e9, 1.0)
            keep = math.exp(-math.log(2) * span / config.scale_half_life_s)
            for i, value in enumerate(values):
                if not math.isnan(value) and before is not None:
                    total[i] = keep * total[i] + (1 - keep) * abs(value)
                    mass[i] = keep * mass[i] + (1 - keep)
            before = int(frame["ts_ns"])
        penalty = config.toxicity_penalty * max(0.0, frame["vpin"] - config.toxicity_floor)
        penalty += config.spread_penalty * frame["spread_bps"] / config.max_spread_bps
        nearness = min(1.0, frame["spread_bps"] / config.max_spread_bps)  # its book is deep
        penalty += config.regime_penalty * max(0.0, 2.0 * (nearness - 0.5))
        long = 100 / (1 + math.exp(-(config.score_gain * p - penalty)))
        move = config.edge_coef * abs(p) * frame["rv10s"] * math.sqrt(config.horizon_s)
        rows.append((p, long, move))
    return rows


def random_frames(seed: int, count: int) -> Frames:
    rng = np.random.default_rng(seed)
    frames = Feed().frames(count)
    for name in COLUMNS:
        frames[name] = rng.normal(0, rng.uniform(0.05, 3), count)
        frames[name][rng.random(count) < 0.1] = np.nan
    frames["microprice"] = frames["mid"] * (1 + rng.normal(0, 1e-6, count))
    frames["vpin"] = rng.uniform(0, 1, count)
    frames["spread_bps"] = rng.uniform(0, 20, count)
    frames["rv10s"] = rng.uniform(0.1, 10, count)
    frames["reason"] = np.where(rng.random(count) < 0.2, FrameReason.TRIGGER, FrameReason.BOUNDARY)
    return frames


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_scores_equal_the_formula_written_out_slowly(seed: int) -> None:
    frames = random_frames(seed, 400)

    scores = a_path(("BTCUSDT",), CONFIG).evaluate(frames)

    expected = np.array(reference_scores(frames, CONFIG))
    np.testing.assert_allclose(scores.pressure, expected[:, 0], rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(scores.score_long, expected[:, 1], rtol=1e-6)
    np.testing.assert_allclose(scores.expected_move_bps, expected[:, 2], rtol=1e-6, atol=1e-6)
    weights = weights_by_name(CONFIG.weights)
    for row in (0, 200, 399):
        parts = scores.contributions(row, weights)
        assert tuple(parts) == SCORE_FEATURES
        assert sum(parts.values()) == scores.pressure[row]


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 1000), st.lists(st.integers(1, 40), min_size=1, max_size=8))
def test_scores_do_not_depend_on_how_frames_are_batched(seed: int, cuts: list[int]) -> None:
    frames = random_frames(seed, 120)

    whole = a_path(("BTCUSDT",), CONFIG).evaluate(frames)
    path, parts, start = a_path(("BTCUSDT",), CONFIG), [], 0
    for size in [*cuts, len(frames)]:
        parts.append(path.evaluate(frames[start : start + size]))
        start += size

    for name in ("pressure", "score_long", "score_short", "expected_move_bps", "warm"):
        joined = np.concatenate([getattr(part, name) for part in parts])
        np.testing.assert_array_equal(joined, getattr(whole, name))


def test_long_and_short_frames_mirror_each_other() -> None:
    feed = Feed()
    path = a_path(("BTCUSDT",), StrategyConfig())
    path.evaluate(balanced(feed, 10))

    long = path.evaluate(feed.frame(**STRONG_LONG))
    feed.now_ns += 1
    short = path.evaluate(feed.frame(**STRONG_SHORT))

    assert long.score_long[0] > 70 > 50 > long.score_short[0]
    assert short.score_short[0] == pytest.approx(long.score_long[0], rel=1e-3)


def test_toxic_flow_and_wide_spreads_lower_both_scores() -> None:
    feed = Feed()
    path = a_path(("BTCUSDT",), StrategyConfig())
    path.evaluate(balanced(feed, 10))

    calm, toxic, wide = (
        path.evaluate(feed.frame(reason=FrameReason.TRIGGER, **values))
        for values in ({}, {"vpin": 1.0}, {"spread_bps": 15.0})
    )

    assert calm.score_long[0] > max(toxic.score_long[0], wide.score_long[0])
    assert calm.score_short[0] > max(toxic.score_short[0], wide.score_short[0])


def test_a_frame_seen_twice_is_dropped_and_moves_no_scale() -> None:
    frames = random_frames(5, 50)
    once, twice = (a_path(("BTCUSDT",), CONFIG) for _ in range(2))
    once.evaluate(frames)

    twice.evaluate(frames[:30])
    again = twice.evaluate(frames[20:])

    assert again.accepted.tolist() == [False] * 10 + [True] * 20
    assert twice.state() == once.state()


def test_nothing_is_warm_before_the_scales_have_seen_the_warm_up() -> None:
    """The frame may be warm (market ran for long) while a strategy just started is not."""
    path = a_path(("BTCUSDT",), StrategyConfig(), 5)

    scores = path.evaluate(Feed().frames(60))

    assert scores.warm.argmax() == 50
    assert scores.warm[50:].all()


def test_a_gap_in_the_feed_does_not_count_as_data() -> None:
    feed = Feed()
    path = a_path(("BTCUSDT",), StrategyConfig(), 5)
    path.evaluate(feed.frames(2))
    feed.now_ns += 3600 * 1_000_000_000

    assert not path.evaluate(feed.frames(2)).warm.any()


def test_restored_scales_score_as_if_nothing_had_happened() -> None:
    frames = random_frames(7, 100)
    kept = a_path(("BTCUSDT",), CONFIG)
    kept.evaluate(frames[:60])

    restarted = a_path(("ETHUSDT", "BTCUSDT"), CONFIG)
    assert restarted.restore(kept.state())
    rest = frames[60:].copy()
    rest["symbol"] = 1

    first = restarted.evaluate(rest[:1])
    assert first.pressure[0] == kept.evaluate(frames[60:61]).pressure[0]
    assert first.warm[0]


def test_a_new_symbol_table_keeps_what_is_known_of_symbols_that_stay() -> None:
    frames = random_frames(9, 80)
    kept, moved = (a_path(("BTCUSDT",), CONFIG) for _ in range(2))
    kept.evaluate(frames[:60])
    moved.evaluate(frames[:60])
    rest = frames[60:].copy()
    rest["symbol"] = 1

    moved.remap(("ETHUSDT", "BTCUSDT"))

    np.testing.assert_array_equal(
        moved.evaluate(rest).score_long, kept.evaluate(frames[60:]).score_long
    )


def test_features_without_a_value_contribute_nothing() -> None:
    frames = np.zeros(3, FRAME_DTYPE)
    frames["ts_ns"], frames["frame_seq"] = [1, 2, 3], [1, 2, 3]
    for name in (*COLUMNS, "microprice", "mid", "vpin", "spread_bps", "rv10s"):
        frames[name] = np.nan

    scores = a_path(("BTCUSDT",), CONFIG).evaluate(frames)

    assert scores.pressure.tolist() == [0.0] * 3
    assert scores.expected_move_bps.tolist() == [0.0] * 3
    assert scores.z.shape == (3, len(SCORE_FEATURES))
    assert not scores.z.any()
