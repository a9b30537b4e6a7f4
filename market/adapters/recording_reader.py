"""Reads our own raw recording back into the chunks it was written from.

The files of one run are merged by `seq` in windows, so memory does not grow with the recording. Reading
a run from its start gives the recorded stream bit for bit. Reading from a later time starts each book
at its last snapshot or checkpoint before it. What cannot be read is never passed over in silence:
it is counted in `Recording.problems`, and a book that misses a line has a FEED_GAP.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec

from market.adapters.recording_cursor import CursorSettings, FileCursor
from market.adapters.recording_files import BadIndex, files_in, is_day, read_index
from market.adapters.recording_lines import BLOCK_BYTES, FileRead, LineParser
from market.domain.chunks import merge_by_seq
from market.domain.events import ChunkBuilder, EventChunk, EventKind
from market.domain.instruments import Instrument
from market.domain.lined_chunks import LinedChunk, RecordedWindow, lined, merged_window
from market.domain.raw_events import RawEventDecoder, RawEventEncoder, RawFile

_WARM_START = timedelta(minutes=2)  # a checkpoint is at most one minute old; twice that for safety
_ALL_BLOCKS_BYTES = 32 << 20
_SMALLEST_BLOCK = 128 << 10
_USUAL_COMPRESSION = 10

_decode_instruments = msgspec.json.Decoder(list[Instrument]).decode


class NotARecording(ValueError):
    """The path holds nothing to replay; the text says what was looked for and where."""


class SymbolNotRecorded(NotARecording):
    """There is a recording, without these `symbols`: name others."""

    def __init__(self, text: str, symbols: Sequence[str]) -> None:
        super().__init__(text)
        self.symbols = list(symbols)


class Recording:
    """One or more runs found under a path. `instruments[i]` has symbol index i in every chunk.

    After reading: `problems` counts what could not be read, `files_read` what was read of each file.
    """

    def __init__(
        self,
        path: Path,
        *,
        symbols: Sequence[str] | None = None,
        run: str | None = None,
        from_ns: int | None = None,
        to_ns: int | None = None,
        kinds: Collection[RawFile] = tuple(RawFile),
        on_read: Callable[[], None] = lambda: None,
    ) -> None:
        """`path`: `data/market`, one day of it, or one file of a day.

        `from_ns` and `to_ns` (exclusive) are core times. `on_read` is called after each block, when
        `bytes_read` has grown. Raises NotARecording.
        """
        self.bytes_read = 0  # uncompressed; a file of several runs is read once for each
        self._on_read = on_read
        self.problems: Counter[str] = Counter()
        self.files_read: dict[Path, FileRead] = {}
        self.disorder: dict[
            int, int
        ] = {}  # seq -> the higher one that stands before it in its file
        self._from_ns, self._to_ns = from_ns, to_ns
        self._kinds = kinds
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
        self._files = self._found_files()
        self._parsers = {
            instrument.symbol: LineParser([instrument], [index])
            for index, instrument in enumerate(self.instruments)
        }

    @property
    def paths(self) -> list[Path]:
        """The files that are read, in no special order."""
        return [path for paths in self._files.values() for path in paths]

    @property
    def bytes_total(self) -> int:
        """About how many `bytes_read` will come to."""
        return sum(
            _uncompressed_bytes(path)
            for run in self.runs
            for path in self.paths
            if _may_hold(path, run, self._to_ns)
        )

    def chunks(self) -> Iterator[EventChunk]:
        """Yield the messages in order of (run, seq). A chunk never spans two runs."""
        for number, run in enumerate(self.runs):
            if number and (gap := self._gap_of_all(run)) is not None:
                yield gap
            for parts in self._run_parts(run, None):
                yield merge_by_seq([part.chunk for part in parts])

    def windows(self) -> Iterator[RecordedWindow]:
        """As `chunks`, with the lines; the files are hashed on the way."""
        for number, run in enumerate(self.runs):
            encoder = RawEventEncoder(self.instruments, run)
            if number and (gap := self._gap_of_all(run)) is not None:
                yield encoded_window(run, gap, encoder)
            for parts in self._run_parts(run, encoder):
                yield merged_window(run, parts)

    def _found_files(self) -> dict[tuple[str, RawFile], list[Path]]:
        """The files of each symbol and kind, oldest day first."""
        found: dict[tuple[str, RawFile], list[Path]] = {}
        for instrument in self.instruments:
            for kind in (kind for kind in RawFile if kind in self._kinds):
                paths = [
                    path
                    for day in self._days
                    for path in files_in(day, instrument.symbol, kind)
                    if self._only_file is None or path == self._only_file
                ]
                if paths:
                    found[instrument.symbol, kind] = paths
        return found

    def _gap_of_all(self, run: str) -> EventChunk | None:
        """Between two runs nothing was seen: every book is unknown until its next snapshot.

        None where the run has no message in the range.
        """
        cursors = self._cursors(run, None, Counter())
        starts = [cursor.first_core_ns() for cursor in cursors if cursor.fill()]
        for cursor in cursors:
            cursor.close()
        if not starts:
            return None
        builder = ChunkBuilder()
        for symbol in range(len(self.instruments)):
            builder.add(
                EventKind.FEED_GAP,
                symbol=symbol,
                seq=0,
                core_ts_ns=min(starts),
                exchange_ts_ns=min(starts),
            )
        return builder.take()

    def _cursors(
        self, run: str, encoder: RawEventEncoder | None, problems: Counter[str]
    ) -> list[FileCursor]:
        block_bytes = max(
            _SMALLEST_BLOCK, min(BLOCK_BYTES, _ALL_BLOCKS_BYTES // max(1, len(self._files)))
        )
        decoder = RawEventDecoder(self.instruments)
        return [
            FileCursor(
                [path for path in paths if _may_hold(path, run, self._to_ns)],
                kind,
                CursorSettings(
                    run=run,
                    parser=self._parsers[symbol],
                    decoder=decoder,
                    problems=problems,
                    encoder=encoder,
                    from_ns=self._from_ns,
                    to_ns=self._to_ns,
                    block_bytes=block_bytes,
                    on_bytes=self._note_bytes,
                    on_file=self._note_file if encoder is not None else None,
                    on_disorder=self._note_disorder,
                ),
            )
            for (symbol, kind), paths in self._files.items()
        ]

    def _note_bytes(self, count: int) -> None:
        self.bytes_read += count
        self._on_read()

    def _note_disorder(self, seq: int, before: int) -> None:
        self.disorder.setdefault(seq, before)

    def _note_file(self, read: FileRead) -> None:
        """A file of several runs is read once for each: the pass that got farthest counts."""
        known = self.files_read.get(read.path)
        if known is None or read.bytes > known.bytes:
            self.files_read[read.path] = read

    def _run_parts(self, run: str, encoder: RawEventEncoder | None) -> Iterator[list[LinedChunk]]:
        cursors = self._cursors(run, encoder, self.problems)
        try:
            yield from _parts_by_seq(cursors)
        finally:
            for cursor in cursors:
                cursor.close()


def _parts_by_seq(cursors: list[FileCursor]) -> Iterator[list[LinedChunk]]:
    """Windows of all cursors: each one holds everything between the ones before and after it."""
    while True:
        cursors = [cursor for cursor in cursors if cursor.fill()]
        if not cursors:
            return
        # Every cursor still in the race has shown its next messages: before the smallest last seq of
        # a cursor with more to come nothing unseen can belong. That seq itself may go on: lines that
        # are no messages of their own repeat it.
        horizon = min((c.last_seq() for c in cursors if not c.is_at_end), default=None)
        parts = [part for cursor in cursors if len(part := cursor.take_before(horizon))]
        if parts:
            yield parts
            continue
        for cursor in cursors:
            if not cursor.is_at_end and cursor.last_seq() == horizon:
                cursor.extend()


def encoded_window(run: str, chunk: EventChunk, encoder: RawEventEncoder) -> RecordedWindow:
    """Messages that no line was recorded for, with the lines they would have; in order of seq."""
    lines = [line.encode() + b"\n" for _, _, line in encoder.lines(chunk)]
    return merged_window(run, [lined(chunk, lines)])


def _uncompressed_bytes(path: Path) -> int:
    try:
        index = read_index(path)
    except BadIndex:
        index = None
    if path.suffix == ".jsonl" or index is None:
        return path.stat().st_size * (1 if path.suffix == ".jsonl" else _USUAL_COMPRESSION)
    return index.bytes


def _may_hold(path: Path, run: str, to_ns: int | None) -> bool:
    """False where the index beside a finished file says that the run (before `to_ns`) is not in it."""
    try:
        index = read_index(path)
    except BadIndex:
        return True
    if index is None or (path.suffix == ".jsonl" and path.stat().st_size != index.bytes):
        return True
    if sum(part.bytes for part in index.parts) != index.bytes:
        return True  # a killed run wrote the rest, and no word of it
    return any(
        span.recorder_run == run and (to_ns is None or span.first_ts < to_ns) for span in index.runs
    )


def _days_of(path: Path, from_ns: int | None, to_ns: int | None) -> list[Path]:
    if path.is_file():
        return [path.parent]
    if not path.is_dir():
        raise NotARecording(f"{path}: no such file or directory")
    days = sorted(day for day in path.iterdir() if day.is_dir() and is_day(day.name)) or [path]
    if days == [path]:
        return days
    first = "" if from_ns is None else f"{_utc(from_ns) - _WARM_START:%Y-%m-%d}"
    last = "9999" if to_ns is None else f"{_utc(to_ns):%Y-%m-%d}"
    return [day for day in days if first <= day.name <= last]


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
        text = f"{path}: {', '.join(missing)} not recorded (has {', '.join(common)})"
        raise SymbolNotRecorded(text, missing)
    return tuple(common[symbol] for symbol in common if symbol in symbols)
