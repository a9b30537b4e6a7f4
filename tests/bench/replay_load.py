"""What the replay benchmark replays: configs that trade more or less, and a long market."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

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


def _with(**strategy: Any) -> DecisionConfig:
    own = msgspec.structs.replace(DECISION.strategy, **strategy)
    return msgspec.structs.replace(DECISION, strategy=own)


# How often a run trades, the peers' some 200 round trips (100 per million messages) beside it: DENSE makes
# about 90 round trips per million messages (one in 40 s of this market), REALISTIC 10, CALM none ever.
CASES = {
    "no signal": _with(entry_score=100.0, watch_score=100.0),
    "realistic": _with(cooldown_s=240.0, retry_cooldown_s=60.0),
    "dense": DECISION,
}
EXECUTION = ExecutionConfig(quality=QualityConfig(quality_block=0.0))

CHUNK_MESSAGES = 65_536
HOUR_MESSAGES = (
    1_000_000  # at the pace of the 2,000,000 messages in two hours that the rates are taken on
)
_HOUR_NS = 3_600_000_000_000


def long_market(millions: int) -> Iterator[EventChunk]:
    """So many hours of a million messages each, as a reader would hand them out.

    One generated hour again and again, later each time: making them is not what is measured.
    """
    hour = bench_stream(HOUR_MESSAGES, seconds=3_600.0)
    for number in range(millions):
        later_ns = number * _HOUR_NS
        for start in range(0, HOUR_MESSAGES, CHUNK_MESSAGES):
            chunk = hour.slice(start, min(start + CHUNK_MESSAGES, HOUR_MESSAGES))
            yield dataclasses.replace(
                chunk,
                seq=chunk.seq + number * HOUR_MESSAGES,
                core_ts_ns=chunk.core_ts_ns + later_ns,
                exchange_ts_ns=chunk.exchange_ts_ns + later_ns,
            )
