"""A small recording of two synthetic symbols, and sessions built from it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from failover.domain.days import iso_ms
from market.domain.events import EventChunk
from market.domain.instruments import Instrument
from replay.adapters.session_store import SessionStore
from replay.domain.sessions import BuildReplayOptions, SessionFacts
from tests.market.recorded_files import lay_down

RUN = "20260131T100000.000000Z-aaaa"
FACTS = SessionFacts(created_at="2026-02-01T00:00:00.000Z", speed_factor=4.0, config_version="v1")


def recorded_store(
    data_dir: Path, instruments: Sequence[Instrument], chunk: EventChunk, run: str = RUN
) -> SessionStore:
    """A data folder in which `chunk` was recorded."""
    lay_down(data_dir / "market", instruments, chunk, run)
    return SessionStore(data_dir)


def options_of(chunk: EventChunk, symbols: Sequence[str], **changes: object) -> BuildReplayOptions:
    """The whole of a recording, to the millisecond."""
    values: dict[str, object] = {
        "from_": iso_ms(int(chunk.core_ts_ns[0])),
        "to": iso_ms(int(chunk.core_ts_ns[-1]) + 1_000_000),
        "symbols": list(symbols),
        "created_by": "TEST",
    }
    return BuildReplayOptions(**{**values, **changes})  # type: ignore[arg-type]
