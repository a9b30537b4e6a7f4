"""`export_market`: a recording, one file a symbol, as others read it: Parquet or hftbacktest's npz."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from market.adapters.foreign.hftbacktest_files import HftMarket
from market.adapters.hftbacktest_export import write_hftbacktest
from market.adapters.parquet_export import write_parquet
from market.domain.events import EventChunk
from market.domain.hftbacktest_order import BackTooFar
from market.domain.imports import ExportRefused
from market.domain.recordings import MarketData

SUFFIXES = {"parquet": ".parquet", "hftbacktest": ".npz"}


def target_of(folder: Path, symbol: str, form: str) -> Path:
    """The file of a symbol. Raises: ExportRefused where something is there already."""
    path = folder / f"{symbol}{SUFFIXES[form]}"
    if path.exists():
        raise ExportRefused(f"{path}: is there already; name another folder with --out")
    return path


def export_market(
    data: MarketData, path: Path, form: str, *, on_progress: Callable[[], None] = lambda: None
) -> int:
    """Write `data`, fresh from `open_market_data` with one symbol; returns the number of rows.

    The file appears whole or not at all. Raises: ExportRefused, BadRecording, OSError.
    """
    (instrument,) = data.instruments
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    chunks = _watched(data.chunks, on_progress)
    try:
        if form == "hftbacktest":
            market = HftMarket(
                instrument=instrument, exchange_ahead_ns=data.exchange_ahead_ns, notes=data.notes
            )
            rows = write_hftbacktest(chunks, part, market)
        else:
            rows = write_parquet(chunks, part, instrument, _facts(data))
        part.replace(path)
    except BackTooFar as error:
        raise ExportRefused(f"{', '.join(data.paths)}: {error}; export a part of it") from None
    finally:
        part.unlink(missing_ok=True)
    return rows


def _watched(chunks: Iterator[EventChunk], on_progress: Callable[[], None]) -> Iterator[EventChunk]:
    for chunk in chunks:
        yield chunk
        on_progress()


def _facts(data: MarketData) -> dict[str, Any]:
    notes: Sequence[str] = data.notes
    return {
        "recording": data.description,
        "exchangeAheadNs": data.exchange_ahead_ns,
        "notes": list(notes),
    }
