"""Visiting only the frames that can change something gives what visiting every frame gives."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import msgspec
import pytest

from execution.domain.config import ExecutionConfig
from execution.domain.synthetic_instruments import synthetic_instruments
from execution.domain.synthetic_market import synthetic_chunks
from execution.domain.venue import VenueUpdate
from market.domain.chunks import concat_chunks
from market.domain.config import MarketConfig
from market.domain.events import EventChunk
from market.domain.frames import Frames
from market.domain.instruments import Instrument
from replay.domain.digest import RunDigest
from replay.domain.figures import DigestObserver, RunFigures
from replay.domain.pipeline import Pipeline
from strategy.domain.config import DecisionConfig, RiskConfig, StrategyConfig
from strategy.domain.config_plan import LadderDca, LadderSettings, LadderTarget
from strategy.domain.messages import ExecutionSnapshot
from tests.replay.domain.frame_by_frame import FrameByFrame

SYMBOLS = ("ETHUSDT", "AI16ZUSDT", "GRIFFAINUSDT")


class Journal:
    """Everything decided, with its time, and the bytes of all frames."""

    def __init__(self) -> None:
        self.decided: list[tuple[int, Any]] = []
        self.frames = b""

    def on_frames(self, frames: Frames) -> None:
        self.frames += frames.tobytes()

    def on_strategy(self, outputs: Sequence[Any], now_ns: int) -> None:
        self.decided += [(now_ns, output) for output in outputs]

    def on_execution(self, outputs: Sequence[Any], now_ns: int) -> None:
        told = [output for output in outputs if not isinstance(output, ExecutionSnapshot)]
        self.decided += [(now_ns, output) for output in told]

    def on_venue(self, update: VenueUpdate, now_ns: int) -> None:
        self.decided.append((now_ns, update))


class Run:
    """A driver over chunks, with its journal, figures and digest."""

    def __init__(
        self,
        driver: Callable[..., Pipeline | FrameByFrame],
        instruments: Sequence[Instrument],
        chunks: Sequence[EventChunk],
        decision: DecisionConfig,
    ) -> None:
        self.journal, self.figures = Journal(), RunFigures()
        digest = RunDigest()
        observers = (self.journal, self.figures, DigestObserver(digest))
        self.pipeline = driver(instruments, decision, ExecutionConfig(), observers)
        for chunk in chunks:
            self.pipeline.feed(chunk)
        self.pipeline.finish()
        self.digest = digest.hexdigest()


def eager(**strategy: Any) -> DecisionConfig:
    """Many trades: the more is decided, the more can differ."""
    return DecisionConfig(
        market=MarketConfig(warmup_s=10),
        strategy=StrategyConfig(
            **({"edge_coef": 3.0, "cooldown_s": 1.0, "retry_cooldown_s": 1.0} | strategy)
        ),
        risk=RiskConfig(loss_streak=3, loss_streak_pause_s=20, max_trades_per_hour=10_000),
        version="eager",
    )


# Levels near enough to be met within a minute.
LADDER = LadderSettings(
    unit="PRICE",
    leverage=3.0,
    targets=(LadderTarget(distance_pct=0.06, fraction=0.5), LadderTarget(distance_pct=0.3, fraction=0.5)),
    dca_levels=(LadderDca(distance_pct=0.02), LadderDca(distance_pct=0.05)),
    stop_pct=0.5,
    time_stop_s=20,
)  # fmt: skip

CASES = {
    "eager": (24, eager()),
    "ladder": (12, eager(plan="ladder", ladder=LADDER)),
    "time stop and near trail": (13, eager(time_stop_s=4, trail_r=0.05, tp1_fraction=0.2)),
    "close on opposite": (12, eager(close_on_opposite=True, arm_frames=1)),
    "short waits": (14, eager(entry_timeout_ms=400, regime_exit_s=1.0, feed_silence_ms=500)),
}


@pytest.fixture(scope="module", params=CASES.items(), ids=[*CASES])
def case(request: pytest.FixtureRequest) -> tuple[EventChunk, DecisionConfig, Run]:
    """(market, config, what visiting every frame of it decided)."""
    seed, decision = request.param[1]
    market = concat_chunks(list(synthetic_chunks(seed, 36.0, SYMBOLS)))
    return market, decision, Run(FrameByFrame, synthetic_instruments(SYMBOLS), [market], decision)


def pieces(market: EventChunk, size: int) -> list[EventChunk]:
    return [market.slice(i, min(i + size, len(market))) for i in range(0, len(market), size)]


@pytest.mark.parametrize("size", [1, 7, 4096, 1 << 30])
def test_every_decision_is_the_same(
    case: tuple[EventChunk, DecisionConfig, Run], size: int
) -> None:
    market, decision, slow = case

    fast = Run(Pipeline, synthetic_instruments(SYMBOLS), pieces(market, size), decision)

    for ours, theirs in zip(fast.journal.decided, slow.journal.decided, strict=False):
        assert ours == theirs
    assert len(fast.journal.decided) == len(slow.journal.decided)
    assert fast.journal.frames == slow.journal.frames
    assert fast.digest == slow.digest


def test_these_markets_are_traded(case: tuple[EventChunk, DecisionConfig, Run]) -> None:
    """Else the test above would prove little."""
    _, _, slow = case

    assert len(slow.figures.trades) >= 1
    assert slow.figures.counts["fills"] >= 6


def test_the_account_ends_the_same_without_records(
    case: tuple[EventChunk, DecisionConfig, Run],
) -> None:
    market, decision, slow = case

    fast = Run(partial(Pipeline, records=False), synthetic_instruments(SYMBOLS), [market], decision)

    assert fast.digest == slow.digest
    end_ns = slow.pipeline.last_ns
    assert fast.pipeline.last_ns == end_ns
    assert fast.pipeline.execution.risk(end_ns) == slow.pipeline.execution.risk(end_ns)
    assert fast.pipeline.venue.account() == slow.pipeline.venue.account()
    assert fast.pipeline.strategy.states() == slow.pipeline.strategy.states()
    assert msgspec.msgpack.encode(fast.figures.trades) == msgspec.msgpack.encode(
        slow.figures.trades
    )
