"""`open_market_data`: any recording we can read, ours or another's, as one stream of chunks.

Wires the readers of `adapters/foreign` to the hub of `services`; replay, execution's local exchange and the
importer all open recordings here.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from market.adapters.foreign.detection import RecordingFormat
from market.adapters.foreign.opening import CHUNK_MESSAGES, open_recorded_files
from market.domain.recordings import BadRecording, MarketData
from market.services.recorded_chunks import hub_chunks

__all__ = ["BadRecording", "MarketData", "RecordingFormat", "open_market_data"]


def open_market_data(
    paths: Sequence[Path | str],
    *,
    symbols: Sequence[str] | None = None,
    from_ns: int | None = None,
    to_ns: int | None = None,
    instruments_file: Path | None = None,
    chunk_messages: int = CHUNK_MESSAGES,
    as_linear: bool = False,
    expected: RecordingFormat | None = None,
) -> MarketData:
    """Open recordings of one market; see `open_recorded_files`. Raises: BadRecording."""
    return open_recorded_files(
        paths,
        symbols=symbols,
        from_ns=from_ns,
        to_ns=to_ns,
        instruments_file=instruments_file,
        chunk_messages=chunk_messages,
        as_linear=as_linear,
        expected=expected,
        hub_chunks=hub_chunks,
    )
