"""Reads the events.jsonl of a session back into chunks, in the order of its lines.

Damage is counted; as a line that cannot be read has lost its symbol, no book is to be trusted behind it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
import numpy as np

from market.adapters.recording_lines import (
    BlockReader,
    FileRead,
    LineBlock,
    LineParser,
    ParsedLines,
)
from market.domain.chunks import concat_chunks
from market.domain.events import ChunkBuilder, EventChunk, EventKind
from market.domain.instruments import Instrument
from market.domain.raw_events import LINE_TYPES, RawEventDecoder, RawLine
from market.domain.raw_line_parser import NORMAL, START, STOP
from replay.domain.sessions import FILE_OF_TYPE

# No longer than what the compiled parser takes for a run; lines of others go one by one.
_RUN = re.compile(rb'"recorderRun":"([^"\\]{0,63})"')
_LINE_TYPES = {name: LINE_TYPES[file] for name, file in FILE_OF_TYPE.items()}


class _Head(msgspec.Struct):
    type: str


class EventsReader:
    """After reading, `problems` counts what could not be read and `file` says what was."""

    def __init__(self, path: Path, instruments: Sequence[Instrument]) -> None:
        self.problems: Counter[str] = Counter()
        self.file: FileRead | None = None
        self._symbols = len(instruments)
        self._parser = LineParser(instruments, range(len(instruments)))
        self._decoder = RawEventDecoder(instruments)
        self._blocks = BlockReader([path], on_file=self._note_file)
        self._run = b""
        self._last_at = (0, 0)  # seq and core time

    def chunks(self) -> Iterator[EventChunk]:
        """Raises: OSError where the file cannot be read."""
        try:
            while (block := self._blocks.next()) is not None:
                parts = [*self._block_parts(block), *self._line(block.rest)]
                if parts:
                    yield concat_chunks(parts)
        finally:
            self._blocks.close()

    def _note_file(self, read: FileRead) -> None:
        self.file = read

    def _block_parts(self, block: LineBlock) -> Iterator[EventChunk]:
        place = 0
        while place < block.stop:
            parsed = self._parser.parse(block, place, None, self._run)
            yield from self._parts(block, parsed)
            if parsed.place < block.stop:  # another run begins there, or the rows were full
                end = block.text[parsed.place : block.stop].tobytes()
                found = _RUN.search(end[: end.index(b"\n")])
                self._run = found[1] if found else self._run
            place = parsed.place

    def _parts(self, block: LineBlock, parsed: ParsedLines) -> Iterator[EventChunk]:
        first = 0
        for row in np.flatnonzero(parsed.special != NORMAL).tolist():
            yield from self._rows(parsed, first, row)
            begin, end = int(parsed.rows[START, row]), int(parsed.rows[STOP, row])
            yield from self._line(block.text[begin:end].tobytes())
            first = row + 1
        yield from self._rows(parsed, first, len(parsed))

    def _rows(self, parsed: ParsedLines, first: int, last: int) -> Iterator[EventChunk]:
        if last > first:
            chunk = parsed.chunk(first, last)
            self._last_at = int(chunk.seq[-1]), int(chunk.core_ts_ns[-1])
            yield chunk

    def _line(self, text: bytes) -> Iterator[EventChunk]:
        """One line of any shape."""
        if not text:
            return
        builder = ChunkBuilder()
        try:
            kind = _LINE_TYPES[msgspec.json.decode(text, type=_Head).type]
            line: RawLine = msgspec.json.decode(text, type=kind)
            self._decoder.add(line, builder)
            self._last_at = line.seq, line.recv_ts
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ValueError, KeyError):
            self.problems["unreadable_line"] += 1
            seq, core_ts_ns = self._last_at
            for symbol in range(self._symbols):
                builder.add(
                    EventKind.FEED_GAP,
                    symbol=symbol,
                    seq=seq,
                    core_ts_ns=core_ts_ns,
                    exchange_ts_ns=core_ts_ns,
                )
        yield builder.take()
