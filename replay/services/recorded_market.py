"""What market published, had again: raw messages from the recording, frames from them and its journal.

One object serves one consumer; ranges that rise cost one pass, one that goes back begins anew. What a killed
market had published and not recorded comes from the consumer's own journal (`Tail`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from failover.adapters.journal_reader import JournalReader
from failover.domain.journal import Begun, Ended, Missing, Numbered, Stood, Tail, Taken, TakenRange
from failover.ports import JournalRun
from market.adapters.recording_reader import NotARecording, Recording
from market.domain.chunks import concat_chunks, pick_messages
from market.domain.events import EventChunk, EventKind, unpack_chunk
from market.domain.frames import Frames, pack_frames, unpack_frames
from market.domain.journal_words import CORE, RAW_STREAM, decode_stood
from replay.domain.verify_core import InputDiffers, NotRecorded
from replay.domain.verify_market import KernelDesk
from strategy.domain.journal_words import FRAMES_STREAM

# Of a killed run: its files may end at different messages.
LAST_MOMENT_NS = 5_000_000_000
_WARM_NS = 5_000_000_000

Tails = dict[tuple[str, str], dict[int, bytes]]  # (stream, run) -> payload by its first number


def add_tails(found: Tails, records: Iterator[Numbered]) -> None:
    """Take in the evidence that a consumer's journal keeps of market runs that ended."""
    for _, record in records:
        if isinstance(record, Tail):
            pieces = found.setdefault((record.stream, record.run_id), {})
            pieces.update({first: payload for first, _, payload in record.pieces})


class RecordedMarket:
    """A `MarketSource` over `data/market` and the market's journals."""

    def __init__(self, market_dir: Path, runs: dict[str, JournalRun], tails: Tails) -> None:
        """`runs` are the market's journals by run id."""
        self._market_dir, self._runs, self._tails = market_dir, runs, tails
        self._frames: dict[str, FrameCursor] = {}
        self._raw: dict[str, RawCursor] = {}

    def frames(self, run_id: str, first: int, count: int) -> Frames:
        """Raises: NotRecorded."""
        cursor = self._frames.get(run_id)
        if cursor is None or first < cursor.first:
            if run_id not in self._runs:
                raise NotRecorded(f"market run {run_id} has no journal")
            cursor = FrameCursor(self._market_dir, self._runs[run_id], first)
            self._frames = {run_id: cursor}
        try:
            return cursor.take(first, count)
        except NotRecorded as error:
            kept = self._kept_frames(run_id, first, count)
            if kept is None:
                raise NotRecorded(str(error), is_tail=error.is_tail) from error
            return kept

    def messages(self, run_id: str, first: int, count: int) -> EventChunk:
        """Raises: NotRecorded."""
        cursor = self._raw.get(run_id)
        if cursor is None or first < cursor.first:
            cursor = RawCursor(self._market_dir, run_id, is_ended=self._is_ended(run_id))
            self._raw = {run_id: cursor}
        try:
            return cursor.take(first, count)
        except NotRecorded as error:
            kept = self._kept_messages(run_id, first, count)
            if kept is None:
                raise NotRecorded(str(error), is_tail=error.is_tail) from error
            return kept

    def _is_ended(self, run_id: str) -> bool:
        run = self._runs.get(run_id)
        return run is not None and is_ended(run)

    def _kept_frames(self, run_id: str, first: int, count: int) -> Frames | None:
        pieces = [
            unpack_frames(payload)[max(0, first - number) : max(0, first + count - number)]
            for number, payload in sorted(self._tails.get((FRAMES_STREAM, run_id), {}).items())
        ]
        rows = _joined(pieces)
        return rows if len(rows) == count else None

    def _kept_messages(self, run_id: str, first: int, count: int) -> EventChunk | None:
        pieces = self._tails.get((RAW_STREAM, run_id), {})
        chunks = [unpack_chunk(payload) for _, payload in sorted(pieces.items())]
        if not chunks:
            return None
        whole = concat_chunks(chunks)
        rows = np.flatnonzero((whole.seq >= first) & (whole.seq < first + count))
        return pick_messages(whole, rows) if len(rows) == count else None


class RawCursor:
    """`RawMessages` of one run, from the files under `data/market`."""

    def __init__(
        self,
        market_dir: Path,
        run_id: str,
        *,
        is_ended: bool,
        from_ns: int | None = None,
        is_strict: bool = False,
    ) -> None:
        """`from_ns`: core time of the first message that will be asked for. `is_ended`: not killed.

        `is_strict`: messages that stand in another order than they came are no input, though their
        numbers put them right.
        """
        self._run_id, self._is_ended, self._is_strict = run_id, is_ended, is_strict
        self.first = 0  # messages before this one are passed over
        self._held: deque[EventChunk] = deque()
        self._why_not = ""
        self._recording: Recording | None = None
        self._chunks: Iterator[EventChunk] = iter(())
        try:
            start_ns = None if from_ns is None else from_ns - _WARM_NS
            self._recording = Recording(market_dir, run=run_id, from_ns=start_ns)
            self._chunks = self._recording.chunks()
        except NotARecording as error:
            self._why_not = str(error)

    def take(self, first: int, count: int) -> EventChunk:
        """Messages `first` .. by seq; those before are passed over. Raises: NotRecorded."""
        self.first, stop = first, first + count
        while not self._held or int(self._held[-1].seq[-1]) < stop:
            chunk = next(self._chunks, None)
            if chunk is None:
                break
            if len(own := _own_messages(chunk)):
                self._held.append(own)
        while self._held and int(self._held[0].seq[-1]) < first:
            self._held.popleft()
        found = self._between(first, stop)
        if self._is_strict:
            self._check_order(first, stop)
        if len(found) != count or (count and int(found.seq[-1]) - int(found.seq[0]) != count - 1):
            raise self._hole(first, stop, found)
        return found

    def recorded_until_ns(self) -> int:
        """Core time of the last message behind those taken; 0 when there is none. Ends the cursor."""
        times = [int(chunk.core_ts_ns[-1]) for chunk in self._held if len(chunk)]
        times += [int(chunk.core_ts_ns[-1]) for chunk in self._chunks if len(chunk)]
        return max(times, default=0)

    def _check_order(self, first: int, stop: int) -> None:
        disorder = self._recording.disorder if self._recording is not None else {}
        for seq in sorted(seq for seq in disorder if first <= seq < stop):
            raise InputDiffers(
                f"message {seq} stands behind message {disorder[seq]} in its file: out of order"
            )

    def _between(self, first: int, stop: int) -> EventChunk:
        parts = []
        for chunk in self._held:
            if int(chunk.seq[0]) >= stop:
                break
            begin, end = np.searchsorted(chunk.seq, (first, stop)).tolist()
            parts.append(chunk.slice(begin, end))
        return concat_chunks(parts)

    def _hole(self, first: int, stop: int, found: EventChunk) -> NotRecorded:
        wanted = np.arange(first, stop)
        missing = np.setdiff1d(wanted, found.seq)
        problems = dict(self._recording.problems) if self._recording is not None else {}
        words = [
            f"the recording of run {self._run_id} lacks {len(missing)} messages from {missing[0]} on"
        ]
        if problems:
            told = ", ".join(f"{name} x{count}" for name, count in sorted(problems.items()))
            words.append(f"its files say: {told}")
        if self._why_not:
            words.append(self._why_not)
        is_tail = not self._is_ended and self._is_last_moment(int(missing[0]))
        return NotRecorded("; ".join(words), is_tail=is_tail)

    def _is_last_moment(self, missing: int) -> bool:
        """Whether all that was recorded after message `missing` is of the last moment of the run."""
        if self._recording is None:
            return False
        self._held.extend(own for chunk in self._chunks if len(own := _own_messages(chunk)))
        times = [chunk.core_ts_ns[chunk.seq > missing] for chunk in self._held]
        after = np.concatenate(times) if times else np.zeros(0, np.int64)
        return not len(after) or int(after[-1]) - int(after[0]) <= LAST_MOMENT_NS


def _own_messages(chunk: EventChunk) -> EventChunk:
    """Without what a reader adds for lines that are missing: it repeats a seq."""
    seqs, places, times = np.unique(chunk.seq, return_index=True, return_counts=True)
    if len(seqs) == len(chunk):
        return chunk
    is_gap = chunk.kind[places] == EventKind.FEED_GAP
    return pick_messages(chunk, places[(times == 1) | ~is_gap])


class FrameCursor:
    """The frames of one market run, made again by another kernel from its journal and the recording."""

    def __init__(self, market_dir: Path, run: JournalRun, first: int) -> None:
        """`first`: number of the first frame that will be asked for."""
        self._run = run
        self._is_ended = is_ended(run)
        start, from_ns = _start_for_frame(run, first)
        self._raw = RawCursor(market_dir, run.run_id, is_ended=self._is_ended, from_ns=from_ns)
        self._desk = KernelDesk(self._raw)
        self._records = JournalReader(run).records()
        self._start = start
        self._has_begun = False
        self._is_lost = start > 1
        self._why_lost = "its journal has no state before it"
        self._is_tail = False
        self.first = first  # frames before this one are passed over
        self._held: deque[tuple[int, Frames]] = deque()  # number of the first row, rows

    def take(self, first: int, count: int) -> Frames:
        """Rows `first` ..; those before are passed over. Raises: NotRecorded."""
        self.first, stop = first, first + count
        while self._desk.frames < stop - 1 and self._feed_next():
            pass
        while self._held and self._held[0][0] + len(self._held[0][1]) <= first:
            self._held.popleft()
        found = _joined(
            [
                rows[max(0, first - number) : stop - number]
                for number, rows in self._held
                if number < stop
            ]
        )
        if len(found) != count:
            reason = f"frames {first} to {stop - 1} of market run {self._run.run_id}"
            raise NotRecorded(f"{reason} cannot be made: {self._why_lost}", is_tail=self._is_tail)
        return found

    def _feed_next(self) -> bool:
        """Take one record; False at the end of the journal."""
        numbered = next(self._records, None)
        if numbered is None:
            self._is_tail = not self._is_ended
            self._why_lost = "its journal ends before" if not self._is_lost else self._why_lost
            return False
        number, record = numbered
        if isinstance(record, Begun):
            if not self._has_begun:  # each day's file tells it anew
                self._desk.begin(record)
            self._has_begun = True
        elif isinstance(record, Missing):
            self._lose(record.reason)
        elif isinstance(record, Stood):
            if self._is_lost and self._has_begun and number >= self._start:
                self._desk.restore(record.payload)
                self._is_lost = self._is_tail = False
        elif isinstance(record, Taken | TakenRange) and not self._is_lost:
            self._feed(record)
        return True

    def _feed(self, record: Taken | TakenRange) -> None:
        before = self._desk.frames
        is_range = isinstance(record, TakenRange)
        try:
            frames = self._desk.take_range(record) if is_range else self._desk.take(record)  # type: ignore[arg-type]
        except NotRecorded as error:
            self._lose(str(error), is_tail=error.is_tail)
            return
        except ValueError:  # a config that the kernel cannot go on under: it did not then either
            return
        if len(frames):
            self._held.append((before + 1, frames))

    def _lose(self, reason: str, *, is_tail: bool = False) -> None:
        self._is_lost, self._why_lost, self._is_tail = True, reason, is_tail


def _joined(parts: list[Frames]) -> Frames:
    """As bytes: numpy puts structured arrays together field by field."""
    parts = [part for part in parts if len(part)]
    if len(parts) == 1:
        return parts[0].copy()
    return unpack_frames(b"".join(map(pack_frames, parts))).copy()


def is_ended(run: JournalRun) -> bool:
    """Whether the run ended in order: then everything it took was recorded too."""
    records = JournalReader(run._replace(paths=run.paths[-1:])).records()
    return any(isinstance(record, Ended) for _, record in records)


def market_runs(runs: list[JournalRun]) -> dict[str, JournalRun]:
    """The market's journals by run id."""
    return {run.run_id: run for run in runs if run.core == CORE}


def _start_for_frame(run: JournalRun, first: int) -> tuple[int, int | None]:
    """(record, core time) of the last state before frame `first`; (1, None) is the run's start."""
    best: tuple[int, int | None] = (1, None)
    for number, record in JournalReader(run).records():
        if isinstance(record, Stood):
            if decode_stood(record.payload).frames >= first:
                break
            best = (number, record.at_ns)
    return best
