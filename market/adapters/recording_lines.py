"""Blocks of our own recorded lines: read from files, parsed by compiled code, handed out as columns.

The files of one symbol and kind follow each other as one run of lines. Lines in the shape the recorder
writes are parsed where they lie (`market.domain.raw_line_parser`); the others are handed on as they are.
"""

from __future__ import annotations

import errno
import hashlib
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from market.adapters.recording_files import open_lines
from market.domain.events import EventChunk
from market.domain.grid import MAX_UNITS, fraction_of_ten
from market.domain.instruments import Instrument
from market.domain.line_scanning import NEWLINE
from market.domain.raw_events import RawFile
from market.domain.raw_line_parser import (
    BOOK_FILE,
    CORE_NS,
    ENTRIES_END,
    EVENTS_FILE,
    EXCHANGE_NS,
    FLAGS,
    KIND,
    MOST_RUN_BYTES,
    PADDING,
    ROW_FIELDS,
    RULE_FIELDS,
    SEQ,
    SHORTEST_LINE,
    SPECIAL,
    START,
    STOP,
    SYMBOL,
    TICKER_FILE,
    TRADES_FILE,
    parse_lines,
)

BLOCK_BYTES = 1 << 20
_SHORTEST_ENTRY = 6
_SCRATCH = 24
_LONGEST_LINE = 64 << 20

FILE_CODES: dict[RawFile | None, int] = {
    RawFile.TRADES: TRADES_FILE,
    RawFile.ORDERBOOK: BOOK_FILE,
    RawFile.TICKER: TICKER_FILE,
    None: EVENTS_FILE,
}


@dataclass(slots=True)
class LineBlock:
    """Whole lines text[0:stop]; `rest` is a last line of a file that has no newline."""

    text: NDArray[np.uint8]
    stop: int
    rest: bytes = b""


@dataclass(slots=True)
class FileRead:
    """What was read of a file so far: its uncompressed beginning and, where asked for, its hash."""

    path: Path
    rows: int = 0
    bytes: int = 0
    sha256: str = ""
    is_whole: bool = False


class BlockReader:
    """The lines of files that follow each other, a block of whole lines at a time."""

    def __init__(
        self,
        paths: Sequence[Path],
        *,
        block_bytes: int = BLOCK_BYTES,
        reuses_memory: bool = True,
        on_bytes: Callable[[int], None] = lambda count: None,
        on_file: Callable[[FileRead], None] | None = None,
    ) -> None:
        """`reuses_memory`: a block is valid until the next one is asked for. `on_bytes` is told how
        many more were read. `on_file` makes the reader
        hash what it reads, and is told of each file at its end or when the reader is closed."""
        self._paths = paths
        self._size = block_bytes
        self._reuses_memory = reuses_memory
        self._on_bytes = on_bytes
        self._on_file = on_file
        self._blocks = self._read()

    def next(self) -> LineBlock | None:
        """Raises: OSError, EOFError, zstandard.ZstdError where a file is broken."""
        return next(self._blocks, None)

    def close(self) -> None:
        self._blocks.close()

    def _read(self) -> Generator[LineBlock, None, None]:
        memory = bytearray(self._size + PADDING)
        for path in self._paths:
            read, digest = FileRead(path), hashlib.sha256()
            try:
                with open_lines(path) as file:
                    carried = b""
                    while True:
                        if not self._reuses_memory:
                            memory = bytearray(max(self._size, 2 * len(carried)) + PADDING)
                        elif len(memory) - PADDING < 2 * len(carried):
                            memory = bytearray(2 * len(carried) + PADDING)
                        size, start = len(memory) - PADDING, len(carried)
                        memory[:start] = carried
                        with memoryview(memory) as view:
                            got = file.readinto(view[start:size])  # type: ignore[attr-defined]
                            if self._on_file is not None:
                                digest.update(view[start : start + got])
                        read.bytes += got
                        self._on_bytes(got)
                        text = np.frombuffer(memory, np.uint8)
                        if not got:
                            read.is_whole = True
                            if carried:
                                read.rows += 1
                                yield LineBlock(text, 0, bytes(carried))
                            break
                        stop = memory.rfind(b"\n", start, start + got) + 1
                        carried = bytes(memory[stop : start + got])
                        if len(carried) > _LONGEST_LINE:
                            raise OSError(
                                errno.EFBIG, f"a line of more than {_LONGEST_LINE} bytes", path
                            )
                        if stop:
                            read.rows += int(np.count_nonzero(text[:stop] == NEWLINE))
                            yield LineBlock(text, stop)
            finally:
                if self._on_file is not None:
                    read.sha256 = digest.hexdigest()
                    self._on_file(read)


@dataclass(slots=True)
class ParsedLines:
    """A block in columns: one row a line (`raw_line_parser.ROW_FIELDS`), entries as in `EventChunk`."""

    rows: NDArray[np.int64]
    side: NDArray[np.uint8]
    tick: NDArray[np.int64]
    lot: NDArray[np.int64]
    place: int  # first byte not walked over

    def __len__(self) -> int:
        return int(self.rows.shape[1])

    @property
    def special(self) -> NDArray[np.int64]:
        special: NDArray[np.int64] = self.rows[SPECIAL]
        return special

    def chunk(self, first: int, last: int) -> EventChunk:
        """Rows first..last, all of them NORMAL (or checkpoints), as messages."""
        rows = self.rows
        begin = int(rows[ENTRIES_END, first - 1]) if first else 0
        offset = np.empty(last - first + 1, np.int64)
        offset[0] = 0
        np.subtract(rows[ENTRIES_END, first:last], begin, out=offset[1:])
        end = begin + int(offset[-1])
        return EventChunk(
            kind=rows[KIND, first:last].astype(np.uint8),
            flags=rows[FLAGS, first:last].astype(np.uint8),
            symbol=rows[SYMBOL, first:last].astype(np.uint16),
            seq=rows[SEQ, first:last],
            core_ts_ns=rows[CORE_NS, first:last],
            exchange_ts_ns=rows[EXCHANGE_NS, first:last],
            level_offset=offset,
            side=self.side[begin:end],
            tick=self.tick[begin:end],
            lot=self.lot[begin:end],
        )

    def bounds(self, first: int, last: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Where the lines of rows first..last begin and end in the text."""
        return self.rows[START, first:last], self.rows[STOP, first:last]


class LineParser:
    """Parses blocks of lines of some symbols. One parser serves any number of files in turn."""

    def __init__(self, instruments: Sequence[Instrument], indexes: Sequence[int]) -> None:
        """`indexes[k]` is the symbol index of `instruments[k]`; lines of other symbols are not parsed."""
        count = max(indexes, default=-1) + 1
        self._rules = np.zeros((count, RULE_FIELDS), np.int64)
        names: list[bytes] = [b""] * count
        for instrument, index in zip(instruments, indexes, strict=True):
            names[index] = instrument.symbol.encode()
            self._rules[index] = (*_rule(instrument.tick_size), *_rule(instrument.qty_step))
        self._names = np.frombuffer(b"".join(names) or b"\0", np.uint8)
        self._name_ends = np.cumsum([0, *map(len, names)], dtype=np.int64)
        self._slots = _slots([(names[index], index) for index in indexes])
        self._out = np.zeros(_SCRATCH, np.int64)
        self._room = 0

    def parse(self, block: LineBlock, start: int, file: RawFile | None, run: bytes) -> ParsedLines:
        """The lines text[start:block.stop]; see `parse_lines`. `file` None: the events of a session.

        Raises: ValueError for a run so long that it would be looked for beyond the padding.
        """
        if len(run) > MOST_RUN_BYTES:
            raise ValueError(f"a recorder run of {len(run)} bytes, more than {MOST_RUN_BYTES}")
        self._make_room(block.stop - start)
        rows, entries, place = parse_lines(
            block.text, start, block.stop, FILE_CODES[file], self._names, self._name_ends, self._slots,
            self._rules, np.frombuffer(run, np.uint8), self._rows, self._sides, self._ticks, self._lots,
            self._out,
        )  # fmt: skip
        return ParsedLines(
            self._rows[:, :rows].copy(),
            self._sides[:entries].copy(),
            self._ticks[:entries].copy(),
            self._lots[:entries].copy(),
            int(place),
        )

    def _make_room(self, size: int) -> None:
        if size <= self._room:
            return
        self._room = size
        self._rows = np.empty((ROW_FIELDS, size // SHORTEST_LINE + 2), np.int64)
        self._sides = np.empty(size // _SHORTEST_ENTRY + 2, np.uint8)
        self._ticks = np.empty(size // _SHORTEST_ENTRY + 2, np.int64)
        self._lots = np.empty(size // _SHORTEST_ENTRY + 2, np.int64)


def _rule(unit: Decimal) -> tuple[int, int, int]:
    numerator, decimals = fraction_of_ten(unit)
    return numerator, decimals, MAX_UNITS // numerator


def _slots(names: Sequence[tuple[bytes, int]]) -> NDArray[np.int64]:
    """Open addressing by the hash of `raw_line_parser`, at most a quarter full."""
    size = 16
    while size < 4 * len(names):
        size *= 2
    slots = np.full(size, -1, np.int64)
    for name, index in names:
        code = 0
        for letter in name:
            code = (code * 31 + letter) & 0x7FFFFFFF
        slot = code & (size - 1)
        while slots[slot] >= 0:
            slot = (slot + 1) & (size - 1)
        slots[slot] = index
    return slots
