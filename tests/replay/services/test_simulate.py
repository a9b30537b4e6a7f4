"""The two honest tests of the simulation: with an edge it trades, without one it earns nothing."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from replay.services.simulate import Simulated, simulate_synthetic
from replay.wiring import load_settings
from strategy.domain.config import DecisionConfig

DEFAULT_SEED = 1  # of run_exchange
THIN_ALTS = ("AI16ZUSDT", "GRIFFAINUSDT")
ONE_SIDED_95 = 1.645


@pytest.mark.parametrize("seed", [DEFAULT_SEED, 2, 3, 4])
def test_the_demo_profile_trades_within_two_minutes_of_any_market(seed: int) -> None:
    """A first start takes another minute to get there: three in all."""
    decision, settings = load_settings("demo")
    execution = settings.config

    done = simulate_synthetic(seed, 120.0, decision, execution)

    assert done.figures.counts["fills"] >= 1
    assert (execution.maker_fee_bps, execution.taker_fee_bps) == (2.0, 5.5)
    assert done.figures.crossed_frames == 0


def eager(decision: DecisionConfig) -> DecisionConfig:
    """The demo's judgement with its gate wide open and no limit in the way: more trades, same ones."""
    strategy = msgspec.structs.replace(
        decision.strategy, edge_coef=1.0, cooldown_s=1.0, retry_cooldown_s=1.0
    )
    risk = msgspec.structs.replace(
        decision.risk,
        loss_streak=1000,
        max_trades_per_hour=10_000,
        daily_loss_limit_pct=90.0,
        daily_loss_close_pct=95.0,
        max_drawdown_pct=90.0,
    )
    return msgspec.structs.replace(decision, strategy=strategy, risk=risk)


def results_bps(runs: list[Simulated], *, gross: bool) -> NDArray[np.float64]:
    """Result of each closed trade, bps of its entry value."""
    return np.array(
        [
            (trade["realizedPnl"] + (trade["fees"] if gross else 0.0))
            / (trade["qty"] * trade["entryPrice"])
            * 1e4
            for run in runs
            for trade in run.figures.trades
        ]
    )


def test_without_predictability_nothing_is_earned() -> None:
    """Free money in the venue (fills too early, stale prices, forgotten fees) would show here.

    Net of real fees the average trade loses; before fees there is no significant gain (one-sided 95 %).
    """
    decision, settings = load_settings("demo")
    execution = settings.config
    config = eager(decision)

    runs = [
        simulate_synthetic(seed, 300.0, config, execution, symbols=THIN_ALTS, predictability=0.0)
        for seed in (1, 2, 3)
    ]

    net, gross = results_bps(runs, gross=False), results_bps(runs, gross=True)
    assert net.size >= 25
    assert net.mean() <= 0.0
    assert gross.mean() - ONE_SIDED_95 * gross.std(ddof=1) / np.sqrt(gross.size) <= 0.0


def test_no_fee_is_forgotten(reference: Simulated) -> None:
    """Fees of closed trades and of the open ones are what the venue took."""
    figures, core = reference.figures, reference.pipeline.execution

    open_fees = sum(float(trade.fees_usdt) for trade in core.trades.values())

    assert all(trade["fees"] > 0 for trade in figures.trades)
    assert abs(figures.closed_fees_usdt + open_fees - float(figures.fees_usdt)) < 1e-6
    assert float(figures.fees_usdt) > 0


def test_what_the_account_realised_is_what_the_trades_say(reference: Simulated) -> None:
    realized = float(reference.pipeline.execution.book.realized_usdt)

    assert realized != 0.0
    assert abs(realized - reference.figures.net_usdt) < 1e-6
