"""Run the whole pipeline over any stream of chunks in this process, as fast as it goes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from execution.domain.config import ExecutionConfig
from execution.domain.synthetic_instruments import synthetic_instruments
from execution.domain.synthetic_market import synthetic_chunks
from execution.domain.synthetic_profile import DEFAULT_SYMBOLS
from market.domain.events import EventChunk
from market.domain.instruments import Instrument
from replay.domain.digest import RunDigest
from replay.domain.figures import DigestObserver, RunFigures
from replay.domain.pipeline import Pipeline
from strategy.domain.config import DecisionConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class Simulated:
    """A finished run: its figures, its digest, and the pipeline as it stood at the end."""

    figures: RunFigures
    digest: str
    pipeline: Pipeline


def simulate(
    instruments: Sequence[Instrument],
    chunks: Iterable[EventChunk],
    decision: DecisionConfig,
    execution: ExecutionConfig,
    *,
    exchange_ahead_ns: int = 0,
    run_id: str = "replay",
) -> Simulated:
    """Feed all chunks, end the session, and return what came of it."""
    figures = RunFigures()
    digest = RunDigest(list(instruments), decision, execution)
    pipeline = Pipeline(
        instruments,
        decision,
        execution,
        (DigestObserver(digest), figures),
        run_id=run_id,
        exchange_ahead_ns=exchange_ahead_ns,
        records=False,
    )
    for chunk in chunks:
        pipeline.feed(chunk)
    pipeline.finish()
    return Simulated(figures=figures, digest=digest.hexdigest(), pipeline=pipeline)


def simulate_synthetic(
    seed: int,
    seconds: float,
    decision: DecisionConfig,
    execution: ExecutionConfig,
    *,
    symbols: Sequence[str] = DEFAULT_SYMBOLS,
    predictability: float = 1.0,
) -> Simulated:
    """`seconds` of the synthetic market through the pipeline."""
    chunks = synthetic_chunks(seed, seconds, symbols, predictability)
    return simulate(synthetic_instruments(symbols), chunks, decision, execution)
