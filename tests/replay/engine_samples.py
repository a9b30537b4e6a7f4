"""An engine over the synthetic market of the replay tests, without sessions on disk."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from execution.domain.config import ExecutionConfig
from execution.domain.profile import ExecutionSettings
from market.domain.events import EventChunk
from market.domain.instruments import Instrument
from market.domain.recordings import FaultLog, MarketData, ReadProgress
from replay.adapters.run_files import RunFiles
from replay.domain.sessions import ReplayManifest, SessionRefused, SourceDateRange, iso_exact
from replay.services.engine import EngineParts, ReplayEngine
from replay.services.lap_runs import full_decision, scoring_only
from strategy.domain.config import DecisionConfig, RiskConfig

SESSION = "2025-11-18T00-01-ETHUSDT"


def manifest_of(market: EventChunk, instruments: Sequence[Instrument]) -> ReplayManifest:
    first, last = int(market.core_ts_ns[0]), int(market.core_ts_ns[-1])
    return ReplayManifest(
        session_id=SESSION,
        created_at="2025-11-18T01:00:00.000Z",
        created_by="TEST",
        source_date_range=SourceDateRange(from_=iso_exact(first), to=iso_exact(last + 1000)),
        symbols=[instrument.symbol for instrument in instruments],
        event_types=["MARKET_TRADE", "MARKET_ORDERBOOK"],
        speed_factor=4.0,
        total_events=len(market),
        instruments=list(instruments),
    )


class Sessions:
    """One session, opened from any instant."""

    def __init__(self, market: EventChunk, instruments: Sequence[Instrument]) -> None:
        self.market, self.instruments = market, tuple(instruments)
        self.manifest = manifest_of(market, instruments)

    def require(self, session_id: str) -> ReplayManifest:
        if session_id != SESSION:
            raise SessionRefused("NOT_FOUND", f"there is no session {session_id!r}")
        return self.manifest

    def open(self, session_id: str, start_ns: int | None) -> MarketData:
        first = int(self.market.core_ts_ns.searchsorted(start_ns)) if start_ns else 0
        size = 500
        chunks = (
            self.market.slice(start, min(start + size, len(self.market)))
            for start in range(first, len(self.market), size)
        )
        return MarketData(
            instruments=self.instruments,
            chunks=chunks,
            description=f"session {session_id}",
            paths=(session_id,),
            faults=FaultLog(),
            progress=ReadProgress(),
            message_counts=Counter(),
            first_event_index=first,
        )


def settings_of(decision: DecisionConfig) -> Callable[[], tuple[DecisionConfig, ExecutionSettings]]:
    execution = ExecutionSettings(
        config=ExecutionConfig(), symbols={}, limits=RiskConfig(), symbol_limits={}, version="eager"
    )
    return lambda: (decision, execution)


def make_engine(
    sessions: Sessions, decision: DecisionConfig, runs_dir: Path, **parts: Any
) -> ReplayEngine:
    numbers = itertools.count(1)
    load = settings_of(decision)
    return ReplayEngine(
        EngineParts(
            require_session=sessions.require,
            open_session=sessions.open,
            modes={
                "FULL_DECISION": full_decision(load, RunFiles),
                "SCORING_ONLY": scoring_only(load, lambda to, run: RunFiles(to, run, ("scores",))),
            },
            runs_dir=runs_dir,
            new_run_id=lambda: f"run{next(numbers)}",
            **parts,
        )
    )
