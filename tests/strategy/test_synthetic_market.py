"""The demo profile on the synthetic market: signals come soon and mean something."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import NDArray

from execution.domain.synthetic_instruments import synthetic_instruments
from execution.domain.synthetic_market import DEFAULT_START_NS, synthetic_chunks
from execution.domain.synthetic_profile import DEFAULT_SYMBOLS
from failover.services.config_reader import load_config
from market.domain.frames import FrameReason, Frames
from market.domain.kernel import MarketKernel
from strategy.domain.core import StrategyCore
from strategy.domain.gate import planned_cost
from strategy.domain.messages import OrderRequest
from strategy.domain.numeric_path import NumericPath
from strategy.domain.profile import decision_config_of
from tests.strategy.builders import S, a_snapshot

DEMO = decision_config_of(load_config("demo"))


def frames_of(
    seed: int, seconds: float, predictability: float, symbols: tuple[str, ...] = DEFAULT_SYMBOLS
) -> Iterator[Frames]:
    kernel = MarketKernel(synthetic_instruments(symbols), DEMO.market)
    for chunk in synthetic_chunks(seed, seconds, symbols, predictability):
        frames = kernel.process(chunk)
        if len(frames):
            yield frames.copy()


@pytest.mark.parametrize("seed", [1, 7])
def test_the_first_entry_is_asked_for_within_three_minutes(seed: int) -> None:
    """Warm-up is the first of them. Fees are the real ones."""
    core = StrategyCore(synthetic_instruments(DEFAULT_SYMBOLS), DEMO, "s1")

    for frames in frames_of(seed, 180, 1.0):
        now_ns = int(frames["ts_ns"][-1])
        core.on_execution(a_snapshot(now_ns), now_ns)
        opened = [o for o in core.on_frames(frames) if isinstance(o, OrderRequest)]
        if opened:
            break

    assert opened
    assert opened[0].decision_ts_ns - DEFAULT_START_NS > 30 * S
    assert opened[0].plan is not None
    assert (opened[0].plan.required_hit_rate or 1.0) < 1.0


def realised_moves(predictability: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(expected, realised over the horizon in the direction of the pressure) of the two majors, bps."""
    horizon = round(DEMO.strategy.horizon_s * 10)
    expected, realised = [], []
    for symbol in ("BTCUSDT", "ETHUSDT"):
        frames = np.concatenate(list(frames_of(5, 900, predictability, (symbol,))))
        scores = NumericPath((symbol,), DEMO).evaluate(frames)
        steady = (frames["reason"] == FrameReason.BOUNDARY) & scores.warm
        mid = frames["mid"][steady]
        ahead_bps = (mid[horizon:] / mid[:-horizon] - 1) * 1e4
        expected.append(scores.expected_move_bps[steady][:-horizon])
        realised.append(np.sign(scores.pressure[steady][:-horizon]) * ahead_bps)
    return np.concatenate(expected), np.concatenate(realised)


def test_the_expected_move_is_borne_out_where_the_market_is_predictable() -> None:
    """Calibrated, not inflated: what comes is at least what was promised, on average."""
    expected, realised = realised_moves(1.0)
    strong = expected > 2.0

    assert strong.mean() > 0.05
    assert realised[strong].mean() > 0.8 * expected[strong].mean()


def test_without_predictability_no_expected_move_pays_its_cost() -> None:
    expected, realised = realised_moves(0.0)
    cost_bps = planned_cost(DEMO.strategy, DEMO.risk).fixed_bps
    passing = expected > DEMO.strategy.fee_multiple * cost_bps

    assert passing.mean() < 0.03
    assert realised[expected > 2.0].mean() < 0.5 * expected[expected > 2.0].mean()
    assert realised[expected > 2.0].mean() < cost_bps
