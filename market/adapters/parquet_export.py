"""Writes one symbol of a market as Parquet: a row per level, trade or ticker field, in order.

The writer is arro3-io (Rust's Arrow): 12 MB to download where pyarrow is 55. It is not needed to run the
system, so `requirements/parquet.txt` has it apart and it is imported only here.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from market.domain.events import EventChunk, EventKind, TickerField
from market.domain.hftbacktest_events import Units, decimal_numbers
from market.domain.imports import ExportRefused
from market.domain.instruments import Instrument
from market.domain.raw_events import TICKER_NAMES

_ROW_GROUP = 1 << 20


def write_parquet(
    chunks: Iterator[EventChunk], path: Path, instrument: Instrument, facts: dict[str, Any]
) -> int:
    """Write chunks of one symbol; returns the number of rows. Raises OSError, ExportRefused.

    Columns: seq, kind (name of the `EventKind`), recv_ts and exchange_ts (ns since the epoch, UTC), side (BID
    and ASK of a level, BUY and SELL of a trade's taker, else null), price and qty (NaN where there is none),
    tick and lot (the exact integers; of a ticker lot is the value in its field's unit), field (a ticker's,
    else null), flags (see `market.domain.events`).
    Instrument and `facts` are the file's key-value metadata `instrument` and `market`, as JSON.
    """
    try:
        from arro3.core import RecordBatchReader
        from arro3.io import write_parquet as write
    except ImportError:
        raise ExportRefused(
            "Parquet needs arro3-io: .venv/bin/uv pip install -r requirements/parquet.txt"
        ) from None
    rows = _Rows(instrument)
    reader = RecordBatchReader.from_batches(rows.schema, rows.batches(chunks))
    write(
        reader,
        str(path),
        compression="zstd(3)",
        max_row_group_size=_ROW_GROUP,
        key_value_metadata={
            "instrument": msgspec.json.encode(instrument).decode(),
            "market": msgspec.json.encode(facts).decode(),
        },
    )
    return rows.written


class _Rows:
    """Chunks as record batches of one schema."""

    def __init__(self, instrument: Instrument) -> None:
        from arro3.core import Array, DataType, Field, Schema

        self.written = 0
        self._units = Units.of(instrument)
        words, whole, number = DataType.utf8(), DataType.int64(), DataType.float64()
        columns = {
            "seq": whole, "kind": words, "recv_ts": whole, "exchange_ts": whole, "side": words,
            "price": number, "qty": number, "tick": whole, "lot": whole, "field": words,
            "flags": DataType.uint8(),
        }  # fmt: skip
        self.schema = Schema([Field(name, type_) for name, type_ in columns.items()])
        self._kinds = Array([None, *(kind.name for kind in EventKind)], words)
        self._sides = Array([None, "BID", "ASK", "BUY", "SELL"], words)
        names = (TICKER_NAMES[field][0] for field in sorted(TickerField))
        self._fields = Array([None, *names], words)

    def batches(self, chunks: Iterator[EventChunk]) -> Iterator[Any]:
        for chunk in chunks:
            yield self._batch(chunk)

    def _batch(self, chunk: EventChunk) -> Any:
        """A message without entries has one row."""
        from arro3.core import Array, RecordBatch

        counts = np.diff(chunk.level_offset)
        row = np.repeat(np.arange(len(chunk)), np.maximum(counts, 1))
        has_entry = counts[row] > 0
        side, tick, lot = (_spread(c, has_entry) for c in (chunk.side, chunk.tick, chunk.lot))
        kind = chunk.kind[row].astype(np.int64)
        is_ticker = kind == EventKind.TICKER
        is_priced = has_entry & ~is_ticker
        price = np.where(is_priced, decimal_numbers(tick, self._units.tick), np.nan)
        qty = np.where(is_priced, decimal_numbers(lot, self._units.lot), np.nan)
        sides = np.where(is_priced, 1 + side + 2 * (kind == EventKind.TRADE), 0)
        self.written += row.size
        columns = [
            Array.from_numpy(chunk.seq[row]),
            self._kinds.take(Array.from_numpy(kind)),
            Array.from_numpy(chunk.core_ts_ns[row]),
            Array.from_numpy(chunk.exchange_ts_ns[row]),
            self._sides.take(Array.from_numpy(sides)),
            Array.from_numpy(price),
            Array.from_numpy(qty),
            Array.from_numpy(np.where(is_priced, tick, 0)),
            Array.from_numpy(lot),
            self._fields.take(Array.from_numpy(np.where(is_ticker & has_entry, tick, 0))),
            Array.from_numpy(chunk.flags[row]),
        ]
        return RecordBatch(columns, schema=self.schema)


def _spread(column: NDArray[Any], has_entry: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Entries at their rows, 0 where a message has none."""
    spread = np.zeros(has_entry.size, np.int64)
    spread[has_entry] = column
    return spread
