"""The reader as it was before compiled parsing: what the present one must equal, line by line in Python.

Reads our own raw recording back into the chunks it was written from.

The files of one run are merged by `seq` in windows, so memory does not grow with the recording. Reading
a run from its start gives the recorded stream bit for bit. Reading from a later time starts each book
at its last snapshot or checkpoint before it. What cannot be read is never passed over in silence:
it is counted in `Recording.problems`, and a book that misses a line has a FEED_GAP.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import numpy as np

from market.adapters.recording_files import files_in, open_lines, symbol_and_kind
from market.domain.chunks import merge_by_seq
from market.domain.events import ChunkBuilder, EventChunk, EventKind
from market.domain.instruments import Instrument
from market.domain.raw_events import (
    LINE_TYPES,
    BookLine,
    RawEventDecoder,
    RawFile,
    RawLine,
    TickerLine,
    TradeLine,
)

_BLOCK_LINES = 4096
_WARM_START = timedelta(minutes=2)  # a checkpoint is at most one minute old; twice that for safety

_DECODERS = {file: msgspec.json.Decoder(type_) for file, type_ in LINE_TYPES.items()}
_decode_instruments = msgspec.json.Decoder(list[Instrument]).decode


class NotARecording(ValueError):
    """The path holds nothing to replay; the text says what was looked for and where."""


class Recording:
    """One or more runs found under a path. `instruments[i]` has symbol index i in every chunk."""

    def __init__(
        self,
        path: Path,
        *,
        symbols: Sequence[str] | None = None,
        run: str | None = None,
        from_ns: int | None = None,
        to_ns: int | None = None,
    ) -> None:
        """`path`: `data/market`, one day of it, or one file of a day.

        `from_ns` and `to_ns` (exclusive) are core times. Raises NotARecording.
        """
        self.problems: Counter[str] = Counter()
        self._from_ns, self._to_ns = from_ns, to_ns
        self._days = _days_of(path, from_ns, to_ns)
        tables = _instrument_tables(self._days)
        if run is not None:
            tables = {key: table for key, table in tables.items() if key == run}
        if not tables:
            wanted = f"run {run}" if run else "instruments-*.json"
            raise NotARecording(f"{path}: no {wanted} beside the recorded files")
        self.runs: tuple[str, ...] = tuple(sorted(tables))
        self.instruments = _common_table(tables, symbols, path)
        self._only_file = path if path.is_file() else None

    def chunks(self) -> Iterator[EventChunk]:
        """Yield the messages in order of (run, seq). A chunk never spans two runs."""
        files = self._files()
        for number, run in enumerate(self.runs):
            if number:
                yield _gap_of_all(len(self.instruments), self._run_start_ns(files, run))
            yield from self._run_chunks(files, run)

    def _files(self) -> dict[tuple[str, RawFile], list[Path]]:
        """The files of each symbol and kind, oldest day first."""
        found: dict[tuple[str, RawFile], list[Path]] = {}
        for instrument in self.instruments:
            for kind in RawFile:
                paths = [
                    path for day in self._days for path in files_in(day, instrument.symbol, kind)
                ]
                if self._only_file is not None:
                    is_it = symbol_and_kind(self._only_file) == (instrument.symbol, kind)
                    paths = [self._only_file] if is_it else []
                if paths:
                    found[instrument.symbol, kind] = paths
        return found

    def _run_start_ns(self, files: dict[tuple[str, RawFile], list[Path]], run: str) -> int:
        starts = [
            cursor.first_core_ns()
            for cursor in self._cursors(files, run)
            if cursor.fill() and len(cursor.chunk)
        ]
        return min(starts, default=0)

    def _cursors(self, files: dict[tuple[str, RawFile], list[Path]], run: str) -> list[_FileCursor]:
        return [
            _FileCursor(
                paths,
                kind,
                run,
                RawEventDecoder(self.instruments),
                self.problems,
                from_ns=self._from_ns,
                to_ns=self._to_ns,
            )
            for (_, kind), paths in files.items()
        ]

    def _run_chunks(
        self, files: dict[tuple[str, RawFile], list[Path]], run: str
    ) -> Iterator[EventChunk]:
        cursors = self._cursors(files, run)
        while True:
            cursors = [cursor for cursor in cursors if cursor.fill()]
            if not cursors:
                return
            # Every cursor still in the race has shown its next messages: up to the smallest last seq
            # of a cursor with more to come, nothing unseen can belong before what is in the buffers.
            horizon = min(
                (cursor.last_seq() for cursor in cursors if not cursor.is_at_end),
                default=np.iinfo(np.int64).max,
            )
            merged = merge_by_seq([cursor.take_until(horizon) for cursor in cursors])
            if len(merged):
                yield merged


class _FileCursor:
    """Walks the lines of one symbol and kind that belong to one run, a block at a time."""

    def __init__(
        self,
        paths: Sequence[Path],
        kind: RawFile,
        run: str,
        decoder: RawEventDecoder,
        problems: Counter[str],
        *,
        from_ns: int | None,
        to_ns: int | None,
    ) -> None:
        self.chunk = ChunkBuilder().take()
        self.is_at_end = False
        self._kind = kind
        self._run = run
        self._run_mark = f'"recorderRun":"{run}"'.encode()
        self._decoder = decoder
        self._problems = problems
        self._from_ns = from_ns
        self._to_ns = to_ns
        self._lines = _lines_of(paths)
        self._builder = ChunkBuilder()
        self._before_start: deque[RawLine] = deque()
        self._needs_snapshot = True
        self._ticker_fields_seen: set[int] = set()
        self._last_line: RawLine | None = None

    def fill(self) -> bool:
        """Make sure that messages are at hand; False when there are no more."""
        while not len(self.chunk) and not self.is_at_end:
            self._read_block()
        return bool(len(self.chunk))

    def first_core_ns(self) -> int:
        return int(self.chunk.core_ts_ns[0])

    def last_seq(self) -> int:
        return int(self.chunk.seq[-1])

    def take_until(self, seq: int) -> EventChunk:
        """Remove and return the messages up to `seq` (inclusive)."""
        stop = int(np.searchsorted(self.chunk.seq, seq, side="right"))
        taken = self.chunk.slice(0, stop)
        self.chunk = self.chunk.slice(stop, len(self.chunk))
        return taken

    def _read_block(self) -> None:
        for _ in range(_BLOCK_LINES):
            text = next(self._lines, None)
            if text is None:
                self.is_at_end = True
                break
            line = self._decoded(text) if self._run_mark in text else None
            if line is None:
                # A line of another run is whole and not ours; a torn one has lost its run.
                if self._run_mark in text or not text.endswith(b"}\n"):
                    self._note_damage("unreadable_line")
            elif line.recorder_run == self._run:
                if self._to_ns is not None and line.recv_ts >= self._to_ns:
                    self.is_at_end = True
                    break
                self._take(line)
        self.chunk = self._builder.take()

    def _decoded(self, text: bytes) -> RawLine | None:
        try:
            line: RawLine = _DECODERS[self._kind].decode(text)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return None
        return line

    def _take(self, line: RawLine) -> None:
        if self._from_ns is not None and line.recv_ts < self._from_ns:
            self._remember_for_warm_start(line)
            return
        while self._before_start:
            self._add(self._before_start.popleft())
        self._add(line)

    def _remember_for_warm_start(self, line: RawLine) -> None:
        """Keep what rebuilds the state at the start: the last whole state and what came after it."""
        if isinstance(line, TradeLine):
            return
        if _is_whole_state(line):
            self._before_start.clear()
        if self._before_start or _is_whole_state(line):
            self._before_start.append(line)

    def _add(self, line: RawLine) -> None:
        if line.type == "RECORDER_GAP":
            self._note_gap(line)
            return
        if _is_checkpoint(line) and not self._is_wanted_checkpoint(line):
            return
        try:
            self._decoder.add(line, self._builder)
        except (ValueError, KeyError):
            self._note_damage("bad_line")
            return
        self._last_line = line
        if isinstance(line, BookLine) and line.payload.subtype in ("SNAPSHOT", "CHECKPOINT"):
            self._needs_snapshot = False
        elif isinstance(line, TickerLine):
            self._ticker_fields_seen.update(line.fields())

    def _is_wanted_checkpoint(self, line: RawLine) -> bool:
        if isinstance(line, TickerLine):
            return not self._ticker_fields_seen.issuperset(line.fields())
        return self._needs_snapshot

    def _note_gap(self, line: RawLine) -> None:
        self._problems["recorder_gap"] += 1
        if self._kind is RawFile.ORDERBOOK:
            self._needs_snapshot = True
            self._add_feed_gap(line)

    def _note_damage(self, problem: str) -> None:
        self._problems[problem] += 1
        if self._kind is RawFile.ORDERBOOK and self._last_line is not None:
            self._needs_snapshot = True
            self._add_feed_gap(self._last_line)

    def _add_feed_gap(self, at: RawLine) -> None:
        self._builder.add(
            EventKind.FEED_GAP,
            symbol=self._decoder.index_of(at.symbol),
            seq=at.seq,
            core_ts_ns=at.recv_ts,
            exchange_ts_ns=at.recv_ts,
        )


def _is_checkpoint(line: RawLine) -> bool:
    return isinstance(line, (BookLine, TickerLine)) and line.payload.subtype == "CHECKPOINT"


def _is_whole_state(line: RawLine) -> bool:
    return _is_checkpoint(line) or (
        isinstance(line, BookLine) and line.payload.subtype == "SNAPSHOT"
    )


def _lines_of(paths: Sequence[Path]) -> Iterator[bytes]:
    for path in paths:
        with open_lines(path) as file:
            yield from file


def _days_of(path: Path, from_ns: int | None, to_ns: int | None) -> list[Path]:
    if path.is_file():
        return [path.parent]
    if not path.is_dir():
        raise NotARecording(f"{path}: no such file or directory")
    days = sorted(day for day in path.iterdir() if day.is_dir() and _is_day(day.name)) or [path]
    if days == [path]:
        return days
    first = "" if from_ns is None else f"{_utc(from_ns) - _WARM_START:%Y-%m-%d}"
    last = "9999" if to_ns is None else f"{_utc(to_ns):%Y-%m-%d}"
    return [day for day in days if first <= day.name <= last]


def _is_day(name: str) -> bool:
    try:
        datetime.strptime(name, "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError:
        return False
    return True


def _utc(ns: int) -> datetime:
    return datetime.fromtimestamp(ns // 1_000_000_000, UTC)


def _instrument_tables(days: Sequence[Path]) -> dict[str, list[Instrument]]:
    """Symbol tables by run."""
    tables = {}
    for day in days:
        for path in sorted(day.glob("instruments-*.json")):
            try:
                table = _decode_instruments(path.read_bytes())
            except msgspec.MsgspecError as error:
                raise NotARecording(f"{path}: not a table of instruments: {error}") from None
            tables[path.stem.removeprefix("instruments-")] = table
    return tables


def _common_table(
    tables: dict[str, list[Instrument]], symbols: Sequence[str] | None, path: Path
) -> tuple[Instrument, ...]:
    """One table for all runs: later runs add symbols, but may not change what a tick or lot is."""
    common: dict[str, Instrument] = {}
    for run in sorted(tables):
        for instrument in tables[run]:
            known = common.setdefault(instrument.symbol, instrument)
            if (known.tick_size, known.qty_step) != (instrument.tick_size, instrument.qty_step):
                raise NotARecording(
                    f"{path}: the tick or lot of {instrument.symbol} changed before run {run}; "
                    "replay the runs one by one"
                )
    if symbols is None:
        return tuple(common.values())
    missing = [symbol for symbol in symbols if symbol not in common]
    if missing:
        raise NotARecording(f"{path}: {', '.join(missing)} not recorded (has {', '.join(common)})")
    return tuple(common[symbol] for symbol in common if symbol in symbols)


def _gap_of_all(symbols: int, core_ts_ns: int) -> EventChunk:
    """Between two runs nothing was seen: every book is unknown until its next snapshot."""
    builder = ChunkBuilder()
    for symbol in range(symbols):
        builder.add(
            EventKind.FEED_GAP,
            symbol=symbol,
            seq=0,
            core_ts_ns=core_ts_ns,
            exchange_ts_ns=core_ts_ns,
        )
    return builder.take()
