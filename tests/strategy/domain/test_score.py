"""The score against its definition, and its independence from batching."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from market.domain.frames import FRAME_DTYPE, BookState, FrameReason, Frames
from strategy.domain.config import ScoreWeights, StrategyConfig
from strategy.domain.score import SCALE_FLOORS, SCORE_FEATURES, Z_CAP, Scorer
from tests.strategy.builders import STRONG_LONG, STRONG_SHORT, Feed, balanced

CONFIG = StrategyConfig(weights=ScoreWeights(imb20=0.3, ret5s=-0.2, basis=0.1))
COLUMNS = ("imb5", "imb20", "ofi1s", "ofi5s", "flow_ratio5s", "ret5s", "basis_bps")


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

    scores = Scorer(("BTCUSDT",), CONFIG, 1.0).score(frames)

    expected = np.array(reference_scores(frames, CONFIG))
    np.testing.assert_allclose(scores.pressure, expected[:, 0], rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(scores.score_long, expected[:, 1], rtol=1e-6)
    np.testing.assert_allclose(scores.expected_move_bps, expected[:, 2], rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(scores.contributions.sum(axis=1), scores.pressure, atol=1e-12)


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 1000), st.lists(st.integers(1, 40), min_size=1, max_size=8))
def test_scores_do_not_depend_on_how_frames_are_batched(seed: int, cuts: list[int]) -> None:
    frames = random_frames(seed, 120)

    whole = Scorer(("BTCUSDT",), CONFIG, 1.0).score(frames)
    scorer, parts, start = Scorer(("BTCUSDT",), CONFIG, 1.0), [], 0
    for size in [*cuts, len(frames)]:
        parts.append(scorer.score(frames[start : start + size]))
        start += size

    for name in ("pressure", "score_long", "score_short", "expected_move_bps", "warm"):
        joined = np.concatenate([getattr(part, name) for part in parts])
        np.testing.assert_array_equal(joined, getattr(whole, name))


def test_long_and_short_frames_mirror_each_other() -> None:
    feed = Feed()
    scorer = Scorer(("BTCUSDT",), StrategyConfig(), 1.0)
    scorer.score(balanced(feed, 10))

    long = scorer.score(feed.frame(**STRONG_LONG))
    feed.now_ns += 1
    short = scorer.score(feed.frame(**STRONG_SHORT))

    assert long.score_long[0] > 70 > 50 > long.score_short[0]
    assert short.score_short[0] == pytest.approx(long.score_long[0], rel=1e-3)


def test_toxic_flow_and_wide_spreads_lower_both_scores() -> None:
    feed = Feed()
    scorer = Scorer(("BTCUSDT",), StrategyConfig(), 1.0)
    scorer.score(balanced(feed, 10))

    calm, toxic, wide = (
        scorer.score(feed.frame(reason=FrameReason.TRIGGER, **values))
        for values in ({}, {"vpin": 1.0}, {"spread_bps": 15.0})
    )

    assert calm.score_long[0] > max(toxic.score_long[0], wide.score_long[0])
    assert calm.score_short[0] > max(toxic.score_short[0], wide.score_short[0])


def test_a_frame_seen_twice_is_dropped_and_moves_no_scale() -> None:
    frames = random_frames(5, 50)
    once, twice = (Scorer(("BTCUSDT",), CONFIG, 1.0) for _ in range(2))
    once.score(frames)

    twice.score(frames[:30])
    again = twice.score(frames[20:])

    assert again.accepted.tolist() == [False] * 10 + [True] * 20
    assert twice.state() == once.state()


def test_nothing_is_warm_before_the_scales_have_seen_the_warm_up() -> None:
    """The frame may be warm (market ran for long) while a strategy just started is not."""
    scorer = Scorer(("BTCUSDT",), StrategyConfig(), 5.0)

    scores = scorer.score(Feed().frames(60))

    assert scores.warm.argmax() == 50
    assert scores.warm[50:].all()


def test_a_gap_in_the_feed_does_not_count_as_data() -> None:
    feed = Feed()
    scorer = Scorer(("BTCUSDT",), StrategyConfig(), 5.0)
    scorer.score(feed.frames(2))
    feed.now_ns += 3600 * 1_000_000_000

    assert not scorer.score(feed.frames(2)).warm.any()


def test_restored_scales_score_as_if_nothing_had_happened() -> None:
    frames = random_frames(7, 100)
    kept = Scorer(("BTCUSDT",), CONFIG, 1.0)
    kept.score(frames[:60])

    restarted = Scorer(("ETHUSDT", "BTCUSDT"), CONFIG, 1.0)
    assert restarted.restore(kept.state())
    rest = frames[60:].copy()
    rest["symbol"] = 1

    first = restarted.score(rest[:1])
    assert first.pressure[0] == kept.score(frames[60:61]).pressure[0]
    assert first.warm[0]


def test_scales_of_other_features_are_refused() -> None:
    scorer = Scorer(("BTCUSDT",), CONFIG, 1.0)
    foreign = scorer.state().__class__(features=("x",), scales={})

    assert not scorer.restore(foreign)


def test_a_new_symbol_table_keeps_the_scales_of_symbols_that_stay() -> None:
    scorer = Scorer(("BTCUSDT",), CONFIG, 1.0)
    scorer.score(random_frames(9, 60))
    before = scorer.state().scales["BTCUSDT"]

    scorer.remap(("ETHUSDT", "BTCUSDT"))

    assert scorer.state().scales["BTCUSDT"] == before
    assert set(scorer.state().scales["ETHUSDT"]) == {0.0}


def test_features_without_a_value_contribute_nothing() -> None:
    frames = np.zeros(3, FRAME_DTYPE)
    frames["ts_ns"], frames["frame_seq"] = [1, 2, 3], [1, 2, 3]
    for name in (*COLUMNS, "microprice", "mid", "vpin", "spread_bps", "rv10s"):
        frames[name] = np.nan

    scores = Scorer(("BTCUSDT",), CONFIG, 1.0).score(frames)

    assert scores.pressure.tolist() == [0.0] * 3
    assert scores.expected_move_bps.tolist() == [0.0] * 3
    assert scores.contributions.shape == (3, len(SCORE_FEATURES))
