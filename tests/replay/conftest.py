"""Markets and configs that the replay tests share."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec
import numpy as np
import pytest

from execution.domain.config import ExecutionConfig
from execution.domain.synthetic_instruments import synthetic_instruments
from execution.domain.synthetic_market import synthetic_chunks
from market.domain.config import MarketConfig
from market.domain.events import EventChunk
from market.domain.instruments import Instrument
from replay.services.simulate import Simulated, simulate
from strategy.domain.config import DecisionConfig, RiskConfig, StrategyConfig

SYMBOLS = ("ETHUSDT", "AI16ZUSDT")

# Trades early and often: what is proved here is the machinery, not the judgement.
EAGER = DecisionConfig(
    market=MarketConfig(warmup_s=10),
    strategy=StrategyConfig(edge_coef=3.0, cooldown_s=1.0, retry_cooldown_s=1.0),
    risk=RiskConfig(loss_streak=1000, max_trades_per_hour=10_000),
    version="eager",
)

Runner = Callable[..., Simulated]


def joined(chunks: Sequence[EventChunk]) -> EventChunk:
    """One chunk of all messages."""
    entries = np.cumsum([0, *(chunk.side.size for chunk in chunks)])
    offsets = [
        chunk.level_offset[:-1] + first for chunk, first in zip(chunks, entries, strict=False)
    ]
    columns = {
        name: np.concatenate([getattr(chunk, name) for chunk in chunks])
        for name in EventChunk.__slots__
        if name != "level_offset"
    }
    return EventChunk(level_offset=np.concatenate([*offsets, entries[-1:]]), **columns)


@pytest.fixture(scope="session")
def instruments() -> list[Instrument]:
    return synthetic_instruments(SYMBOLS)


@pytest.fixture(scope="session")
def market() -> EventChunk:
    """40 s of two synthetic symbols as one chunk."""
    return joined(list(synthetic_chunks(5, 40.0, SYMBOLS)))


@pytest.fixture(scope="session")
def run(instruments: list[Instrument]) -> Runner:
    """Run chunks through the pipeline with the eager config; keyword arguments go to `simulate`."""

    def run_chunks(
        chunks: Sequence[EventChunk],
        decision: DecisionConfig = EAGER,
        execution: ExecutionConfig | None = None,
        **options: object,
    ) -> Simulated:
        return simulate(instruments, chunks, decision, execution or ExecutionConfig(), **options)  # type: ignore[arg-type]

    return run_chunks


@pytest.fixture(scope="session")
def reference(run: Runner, market: EventChunk) -> Simulated:
    """The run over the whole market as one chunk."""
    return run([market])


@pytest.fixture(scope="session")
def eager() -> DecisionConfig:
    return EAGER


@pytest.fixture(scope="session")
def eager_document() -> bytes:
    """The eager config as a document for `--config`."""
    sections = {"market": EAGER.market, "strategy": EAGER.strategy, "risk": EAGER.risk}
    return msgspec.json.encode(sections)
