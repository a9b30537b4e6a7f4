"""What the replay benchmark replays: a config that really trades the bench stream, and long days of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import msgspec

from execution.domain.config import ExecutionConfig
from execution.domain.quality_config import QualityConfig
from market.domain.config import MarketConfig
from market.domain.events import EventChunk
from strategy.domain.config import DecisionConfig, RiskConfig, ScoreWeights, StrategyConfig
from tests.bench.stream import bench_stream

# Real fees, real order flow: PostOnly entries that are re-priced and time out, a stop and a target from
# the first fill on, closed after 5 s, about two trades in 72 s as the peers make. The stream has no edge
# and cancels more than any market, so the gate is open wide and nothing that would pause trading is left.
DECISION = DecisionConfig(
    market=MarketConfig(warmup_s=60),
    strategy=StrategyConfig(
        weights=ScoreWeights(
            microprice_gap=0.0, imb5=0.0, imb20=1.5, ofi1s=0.0, ofi5s=0.0, flow_ratio5s=0.3
        ),
        edge_coef=400.0,
        watch_score=60.0,
        entry_score=75.0,
        score_hysteresis=15.0,
        arm_frames=1,
        cooldown_s=22.0,
        retry_cooldown_s=6.0,
        tp1_fraction=1.0,
        tp2_fraction=0.0,
        time_stop_s=5,
        flicker_max=1000.0,
    ),
    risk=RiskConfig(
        loss_streak=1000,
        max_trades_per_hour=10_000,
        daily_loss_limit_pct=95.0,
        daily_loss_close_pct=96.0,
        max_drawdown_pct=95.0,
    ),
    version="bench",
)
CALM = msgspec.structs.replace(
    DECISION,
    strategy=msgspec.structs.replace(DECISION.strategy, entry_score=100.0, watch_score=100.0),
)  # the same without a signal ever: what looking costs
EXECUTION = ExecutionConfig(quality=QualityConfig(quality_block=0.0))

CHUNK_MESSAGES = 65_536


def day_chunks(hours: int, messages_an_hour: int) -> Iterator[EventChunk]:
    """A day as a reader would hand it out: one hour after the other, each begins with a snapshot."""
    hour = bench_stream(messages_an_hour, seconds=3_600.0)
    for number in range(hours):
        later_ns = number * 3_600_000_000_000
        shifted = dataclasses.replace(
            hour,
            seq=hour.seq + number * messages_an_hour,
            core_ts_ns=hour.core_ts_ns + later_ns,
            exchange_ts_ns=hour.exchange_ts_ns + later_ns,
        )
        for start in range(0, messages_an_hour, CHUNK_MESSAGES):
            yield shifted.slice(start, min(start + CHUNK_MESSAGES, messages_an_hour))
