"""Walks the recorded lines of one symbol and kind that belong to one run.

Lines in the recorder's own shape go by in columns, a block at a time. What needs a decision of its own
(checkpoints, what was dropped, lines of any other shape) is read line by line in between.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import msgspec
import numpy as np

from market.adapters.recording_lines import (
    BLOCK_BYTES,
    BlockReader,
    FileRead,
    LineBlock,
    LineParser,
    ParsedLines,
)
from market.domain.event_lines import event_line
from market.domain.events import ChunkBuilder, EventChunk, EventKind, TickerField
from market.domain.lined_chunks import LinedChunk, joined, lined
from market.domain.raw_events import (
    LINE_TYPES,
    BookLine,
    RawEventDecoder,
    RawEventEncoder,
    RawFile,
    RawLine,
    TickerLine,
    TradeLine,
)
from market.domain.raw_line_parser import CHECKPOINT, CORE_NS, NORMAL, START, STOP

_DECODERS = {file: msgspec.json.Decoder(type_) for file, type_ in LINE_TYPES.items()}
_ALL_FIELDS = frozenset(map(int, TickerField))


@dataclass(frozen=True, slots=True, kw_only=True)
class CursorSettings:
    """What the cursors of one run share. `encoder` set: the lines are kept beside the messages."""

    run: str
    parser: LineParser
    decoder: RawEventDecoder
    problems: Counter[str]
    encoder: RawEventEncoder | None = None
    from_ns: int | None = None
    to_ns: int | None = None
    block_bytes: int = BLOCK_BYTES
    on_bytes: Callable[[int], None] = lambda count: None
    on_file: Callable[[FileRead], None] | None = None
    on_disorder: Callable[[int, int], object] | None = None  # seq, and the higher one before it


class FileCursor:
    """`held` are the messages at hand, in order of the files."""

    def __init__(self, paths: Sequence[Path], kind: RawFile, settings: CursorSettings) -> None:
        self.held = LinedChunk(ChunkBuilder().take())
        self.is_at_end = False
        self._kind = kind
        self._settings = settings
        self._run = settings.run.encode()
        self._run_mark = b'"recorderRun":"' + self._run + b'"'
        self._keeps_lines = settings.encoder is not None
        self._blocks = BlockReader(
            paths,
            block_bytes=settings.block_bytes,
            reuses_memory=not self._keeps_lines,
            on_bytes=settings.on_bytes,
            on_file=settings.on_file,
        )
        self._builder = ChunkBuilder()
        self._texts: list[bytes | None] = []  # of the messages in the builder; None: to be encoded
        self._parts: list[LinedChunk] = []
        self._before_start: deque[LinedChunk | tuple[RawLine, bytes]] = deque()
        self._needs_snapshot = True
        self._ticker_fields_seen: set[int] = set()
        self._last_at: tuple[int, int, int] | None = None  # symbol, seq, core time

    def fill(self) -> bool:
        """Make sure that messages are at hand; False when there are no more."""
        while not len(self.held) and not self.is_at_end:
            self.held = self._next_block()
        return bool(len(self.held))

    def extend(self) -> None:
        """Put one more block behind what is at hand."""
        if not self.is_at_end:
            self.held = joined(
                [part for part in (self.held, self._next_block()) if len(part)] or [self.held]
            )

    def first_core_ns(self) -> int:
        return int(self.held.chunk.core_ts_ns[0])

    def last_seq(self) -> int:
        return int(self.held.chunk.seq[-1])

    def take_before(self, seq: int | None) -> LinedChunk:
        """Remove and return the messages before `seq`; all when None."""
        stop = len(self.held) if seq is None else int(np.searchsorted(self.held.chunk.seq, seq))
        taken = self.held.slice(0, stop)
        self.held = self.held.slice(stop, len(self.held))
        return taken

    def close(self) -> None:
        self._blocks.close()

    def _next_block(self) -> LinedChunk:
        block = self._blocks.next()
        if block is None:
            self.is_at_end = True
            return LinedChunk(ChunkBuilder().take())
        place = 0
        while place < block.stop and not self.is_at_end:
            parsed = self._settings.parser.parse(block, place, self._kind, self._run)
            self._take_parsed(block, parsed)
            place = parsed.place
        if block.rest and not self.is_at_end:
            self._take_text(block.rest)
        self._flush()
        if self.is_at_end:
            self._blocks.close()
        parts, self._parts = self._parts, []
        return joined(parts or [LinedChunk(ChunkBuilder().take())])

    def _take_parsed(self, block: LineBlock, parsed: ParsedLines) -> None:
        first = 0
        for row in np.flatnonzero(parsed.special != NORMAL).tolist():
            self._take_rows(block, parsed, first, row)
            if not self.is_at_end:
                self._take_special(block, parsed, row)
            if self.is_at_end:
                return
            first = row + 1
        self._take_rows(block, parsed, first, len(parsed))

    def _take_special(self, block: LineBlock, parsed: ParsedLines, row: int) -> None:
        if parsed.special[row] == CHECKPOINT and not self._needs_to_see(parsed, row):
            self._is_late(int(parsed.rows[CORE_NS, row]))
            return
        begin, end = int(parsed.rows[START, row]), int(parsed.rows[STOP, row])
        self._take_text(block.text[begin:end].tobytes())

    def _needs_to_see(self, parsed: ParsedLines, row: int) -> bool:
        """Whether a checkpoint could matter: it does before the start, or while its state is unknown."""
        from_ns = self._settings.from_ns
        if self._before_start or (from_ns is not None and parsed.rows[CORE_NS, row] < from_ns):
            return True
        if self._kind is RawFile.TICKER:
            return not self._ticker_fields_seen.issuperset(parsed.chunk(row, row + 1).tick.tolist())
        return self._needs_snapshot

    def _take_rows(self, block: LineBlock, parsed: ParsedLines, first: int, last: int) -> None:
        """Rows that are plain messages of the run."""
        core, to_ns, from_ns = parsed.rows[CORE_NS], self._settings.to_ns, self._settings.from_ns
        if to_ns is not None and last > first and (late := core[first:last] >= to_ns).any():
            last = first + int(late.argmax())
            self.is_at_end = True
        if last <= first:
            return
        if from_ns is None:
            self._add_lined(self._rows(block, parsed, first, last))
            return
        early = core[first:last] < from_ns
        edges = [0, *(np.flatnonzero(np.diff(early)) + 1).tolist(), last - first]
        for begin, end in pairwise(edges):
            part = self._rows(block, parsed, first + begin, first + end)
            if early[begin]:
                self._remember_rows(part)
            else:
                self._release()
                self._add_lined(part)

    def _rows(self, block: LineBlock, parsed: ParsedLines, first: int, last: int) -> LinedChunk:
        chunk = parsed.chunk(first, last)
        if not self._keeps_lines:
            return LinedChunk(chunk)
        return LinedChunk(chunk, block.text, *parsed.bounds(first, last))

    def _remember_rows(self, part: LinedChunk) -> None:
        """As `_remember_for_warm_start`."""
        if self._kind is RawFile.TRADES:
            return
        snapshots = np.flatnonzero(part.chunk.kind == EventKind.BOOK_SNAPSHOT)
        if snapshots.size:
            self._before_start.clear()
            part = part.slice(int(snapshots[-1]), len(part))
        if self._before_start or snapshots.size:
            self._before_start.append(part)

    def _add_lined(self, part: LinedChunk) -> None:
        self._flush()
        self._parts.append(part)
        chunk = part.chunk
        self._look_at_order(chunk)
        self._last_at = int(chunk.symbol[-1]), int(chunk.seq[-1]), int(chunk.core_ts_ns[-1])
        if self._kind is RawFile.ORDERBOOK:
            if self._needs_snapshot and (chunk.kind == EventKind.BOOK_SNAPSHOT).any():
                self._needs_snapshot = False
        elif self._kind is RawFile.TICKER and len(self._ticker_fields_seen) < len(_ALL_FIELDS):
            self._ticker_fields_seen.update(np.unique(chunk.tick).tolist())

    def _look_at_order(self, chunk: EventChunk) -> None:
        """`seq` puts lines right that stand in another order; nobody of ours wrote them so."""
        before = self._last_at[1] if self._last_at is not None else 0
        seqs = np.concatenate(([before], chunk.seq))
        for row in np.flatnonzero(np.diff(seqs) < 0).tolist():
            self._settings.problems["out_of_order"] += 1
            if self._settings.on_disorder is not None:
                self._settings.on_disorder(int(seqs[row + 1]), int(seqs[row]))

    # --- line by line

    def _take_text(self, text: bytes) -> None:
        line = self._decoded(text) if self._run_mark in text else None
        if line is None:
            # A line of another run is whole and not ours; a torn one has lost its run.
            if self._run_mark in text or not text.endswith(b"}\n"):
                self._note_damage("unreadable_line")
        elif line.recorder_run == self._settings.run and not self._is_late(line.recv_ts):
            from_ns = self._settings.from_ns
            if from_ns is not None and line.recv_ts < from_ns:
                self._remember_for_warm_start(line, text)
            else:
                self._release()
                self._add(line, text)

    def _is_late(self, core_ts_ns: int) -> bool:
        to_ns = self._settings.to_ns
        self.is_at_end = to_ns is not None and core_ts_ns >= to_ns
        return self.is_at_end

    def _decoded(self, text: bytes) -> RawLine | None:
        try:
            line: RawLine = _DECODERS[self._kind].decode(text)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return None
        return line

    def _release(self) -> None:
        while self._before_start:
            item = self._before_start.popleft()
            if isinstance(item, LinedChunk):
                self._add_lined(item)
            else:
                self._add(*item)

    def _remember_for_warm_start(self, line: RawLine, text: bytes) -> None:
        """Keep what rebuilds the state at the start: the last whole state and what came after it."""
        if isinstance(line, TradeLine):
            return
        if _is_whole_state(line):
            self._before_start.clear()
        if self._before_start or _is_whole_state(line):
            self._before_start.append((line, text))

    def _add(self, line: RawLine, text: bytes) -> None:
        if line.type == "RECORDER_GAP":
            self._note_gap(line)
            return
        if _is_checkpoint(line) and not self._is_wanted_checkpoint(line):
            return
        try:
            self._settings.decoder.add(line, self._builder)
        except (ValueError, KeyError):
            self._note_damage("bad_line")
            return
        self._texts.append(None if _is_checkpoint(line) else text)
        self._last_at = self._settings.decoder.index_of(line.symbol), line.seq, line.recv_ts
        if isinstance(line, BookLine) and line.payload.subtype in ("SNAPSHOT", "CHECKPOINT"):
            self._needs_snapshot = False
        elif isinstance(line, TickerLine):
            self._ticker_fields_seen.update(line.fields())

    def _is_wanted_checkpoint(self, line: RawLine) -> bool:
        if isinstance(line, TickerLine):
            return not self._ticker_fields_seen.issuperset(line.fields())
        return self._needs_snapshot

    def _note_gap(self, line: RawLine) -> None:
        self._settings.problems["recorder_gap"] += 1
        if self._kind is RawFile.ORDERBOOK:
            self._needs_snapshot = True
            symbol = self._settings.decoder.index_of(line.symbol)
            self._add_feed_gap(symbol, line.seq, line.recv_ts)

    def _note_damage(self, problem: str) -> None:
        self._settings.problems[problem] += 1
        if self._kind is RawFile.ORDERBOOK and self._last_at is not None:
            self._needs_snapshot = True
            self._add_feed_gap(*self._last_at)

    def _add_feed_gap(self, symbol: int, seq: int, core_ts_ns: int) -> None:
        self._builder.add(
            EventKind.FEED_GAP,
            symbol=symbol,
            seq=seq,
            core_ts_ns=core_ts_ns,
            exchange_ts_ns=core_ts_ns,
        )
        self._texts.append(None)

    def _flush(self) -> None:
        """What was read line by line becomes a part of its own."""
        if not len(self._builder):
            return
        chunk, texts = self._builder.take(), self._texts
        self._texts = []
        encoder = self._settings.encoder
        if encoder is None:
            self._parts.append(LinedChunk(chunk))
            return
        made = [line.encode() + b"\n" for _, _, line in encoder.lines(chunk)]
        kept = [event_line(text) if text is not None else made[i] for i, text in enumerate(texts)]
        self._parts.append(lined(chunk, kept))


def _is_checkpoint(line: RawLine) -> bool:
    return isinstance(line, (BookLine, TickerLine)) and line.payload.subtype == "CHECKPOINT"


def _is_whole_state(line: RawLine) -> bool:
    return _is_checkpoint(line) or (
        isinstance(line, BookLine) and line.payload.subtype == "SNAPSHOT"
    )
