"""What a recorded market is, once opened: instruments, chunks, and an honest account of its defects."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from market.domain.events import EventChunk, EventKind
from market.domain.instruments import Instrument

_EXAMPLES_KEPT = 20


class BadRecording(ValueError):
    """The recording cannot be replayed (further). The text says where, why and what to do."""

    def __init__(self, path: object, line: int, reason: str, hint: str) -> None:
        place = f"{path}, line {line}" if line else f"{path}"
        super().__init__(f"{place}: {reason}; {hint}")


@dataclass(slots=True)
class FaultLog:
    """Defects found while reading: each one counted by kind, the first few kept with their position."""

    counts: Counter[str] = field(default_factory=Counter)
    examples: list[str] = field(default_factory=list)

    def add(self, kind: str, path: object, line: int, detail: str) -> None:
        self.counts[kind] += 1
        if len(self.examples) < _EXAMPLES_KEPT:
            self.examples.append(f"{path}, line {line}: {kind}: {detail[:200]}")


class RawRecord(NamedTuple):
    """One message of a foreign recording in the payload shape of `MarketHub`, with its place."""

    received_ns: int
    kind: str  # trade | orderbook | ticker
    symbol: str
    payload: Mapping[str, Any]
    path: str
    line: int


@dataclass(slots=True)
class ReadProgress:
    """Bytes of the files on disk: compressed ones count as they lie there."""

    bytes_read: int = 0
    bytes_total: int = 0


@dataclass(slots=True, kw_only=True)
class MarketData:
    """An opened recording. `chunks` streams once; faults, progress and counts grow as it is consumed.

    `exchange_ahead_ns`: how far the recorded exchange clock runs ahead of the receive clock. Taking it
    off exchange times makes the two comparable; the chunks keep the times as they were recorded.
    """

    instruments: tuple[Instrument, ...]
    chunks: Iterator[EventChunk]
    description: str
    paths: tuple[str, ...]
    faults: FaultLog
    progress: ReadProgress
    line_counts: Counter[str] = field(default_factory=Counter)
    message_counts: Counter[str] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)
    exchange_ahead_ns: int = 0
    is_own: bool = False  # recorded (or imported) by us
    first_event_index: int = 0  # of its session: events before the first chunk
    source: str = ""  # what lines of an import of it name as their source

    @property
    def symbols(self) -> tuple[str, ...]:
        return tuple(i.symbol for i in self.instruments)


def count_kinds(counts: Counter[str], chunk: EventChunk) -> None:
    """Add the messages of `chunk` to `counts` by the name of their kind."""
    for kind, n in enumerate(np.bincount(chunk.kind)):
        if n:
            counts[EventKind(kind).name] += int(n)


def chosen_symbols(present: Sequence[str], wanted: Sequence[str] | None, path: object) -> list[str]:
    """`wanted` in the recording's order, or all. Raises BadRecording for one that is not there."""
    if not wanted:
        return list(present)
    missing = [symbol for symbol in wanted if symbol not in present]
    if missing:
        raise BadRecording(
            path, 0, f"holds no {', '.join(missing)}", f"it has {', '.join(present) or 'no symbol'}"
        )
    return [symbol for symbol in present if symbol in wanted]
