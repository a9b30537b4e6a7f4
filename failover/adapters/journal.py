"""The decision journal: append-only files, one writer per run of a core, written by a thread.

`data/journal/YYYY-MM-DD/<core>-<run>.journal`, by the UTC day of the record; a file is a row of blocks
(`journal_blocks.py`) of records (`failover.domain.journal`), numbered from 1 within the run, without holes.

What was written survives `kill -9`: blocks go to the operating system every `WRITE_EVERY_S`, a range that
is still open after `RANGE_OPEN_S`, so a kill loses about a second at most. Files are synced every
`SYNC_EVERY_S` and at the end. The caller never waits: while the disk takes nothing records wait in memory,
up to `QUEUE_BYTES`; what finds no room is dropped, announced, and admitted in the file by `Missing`.
"""

from __future__ import annotations

import fcntl
import hashlib
import itertools
import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from failover.adapters.files import storage_error, sync_folder
from failover.adapters.journal_blocks import SUFFIX, sealed_block
from failover.adapters.journal_reader import set_torn_tails_aside
from failover.domain.days import utc_day
from failover.domain.journal import (
    FORMAT,
    Begun,
    Ended,
    JournalRecord,
    Made,
    Missing,
    Stood,
    Tail,
    Taken,
    TakenRange,
)

logger = logging.getLogger(__name__)

WRITE_EVERY_S = 0.1
RANGE_OPEN_S = 1.0
SYNC_EVERY_S = 10.0
CHECKPOINT_EVERY_S = 60.0
RETRY_AFTER_S = 2.0
QUEUE_BYTES = 64 * 1024 * 1024
_TAIL_NS = 10_000_000_000  # several times what a killed writer may have left unrecorded
_TAIL_BYTES = 16 * 1024 * 1024
_RECORD_BYTES = 200  # what a record takes beside its payload, about
_BLOCK_RECORDS = 4096
_DIGEST_BYTES = 16


class JournalStats(msgspec.Struct):
    """For the heartbeat; `problem` is empty while all is well."""

    records: int = 0
    written_bytes: int = 0
    dropped: int = 0
    problem: str = ""


class _OpenRange:
    """Neighbouring pieces of one stream that came with nothing in between."""

    __slots__ = (
        "at_ns", "count", "entries", "first", "kind", "opened_s", "run_id", "seal", "stream", "until_ns",
    )  # fmt: skip

    def __init__(self, kind: str, at_ns: int, stream: str, run_id: str, first: int) -> None:
        self.kind, self.stream, self.run_id, self.first = kind, stream, run_id, first
        self.at_ns = self.until_ns = at_ns
        self.count = self.entries = 0
        self.seal = hashlib.blake2b(digest_size=_DIGEST_BYTES)
        self.opened_s = time.monotonic()

    def goes_on_with(self, kind: str, stream: str, run_id: str, first: int) -> bool:
        return (kind, stream, run_id, first) == (
            self.kind, self.stream, self.run_id, self.first + self.count,
        )  # fmt: skip

    def add(self, at_ns: int, count: int, content: bytes) -> None:
        self.until_ns, self.count = at_ns, self.count + count
        self.entries += 1
        self.seal.update(content)

    def record(self) -> TakenRange:
        return TakenRange(
            self.kind, self.at_ns, self.until_ns, self.stream, self.run_id, self.first,
            self.count, self.entries, self.seal.digest(),
        )  # fmt: skip


class _LastPieces:
    """What was taken of one stream in the last seconds, from one run of its writer."""

    def __init__(self, run_id: str) -> None:
        self.run_id = run_id
        self.pieces: deque[tuple[int, int, int, bytes]] = deque()  # instant, first, count, payload
        self._bytes = 0

    def add(self, at_ns: int, first: int, count: int, content: bytes) -> None:
        self.pieces.append((at_ns, first, count, content))
        self._bytes += len(content)
        while self.pieces[0][0] < at_ns - _TAIL_NS or self._bytes > _TAIL_BYTES:
            self._bytes -= len(self.pieces.popleft()[3])
            if not self.pieces:
                return

    def record(self, stream: str) -> Tail:
        return Tail(stream, self.run_id, [piece[1:] for piece in self.pieces])


class JournalWriter:
    """One run of one core. Calls come from one thread (the deciding loop) and never wait.

    After `begin`, tell every input before it is handed to the core (`take`, `take_range`), then what it
    gave (`made`). Where `wants_checkpoint` says so, `stood` must be given the whole state.
    """

    def __init__(
        self,
        folder: Path,
        core: str,
        run_id: str,
        *,
        queue_bytes: int = QUEUE_BYTES,
        retry_after_s: float = RETRY_AFTER_S,
    ) -> None:
        """`folder` is `data/journal`."""
        self.stats = JournalStats()
        self.core, self.run_id = core, run_id
        self._queue: deque[JournalRecord] = deque()
        self._queue_bytes = queue_bytes
        self._queued_bytes = 0
        self._lost = 0  # dropped since the last record that was queued
        self._needs_state = True
        self._next_state_s = self._state_not_before_s = 0.0
        self._open: _OpenRange | None = None
        self._last_pieces: dict[str, _LastPieces] = {}
        self._turn = threading.Lock()  # of the open range and the order of the queue
        self._folder = folder
        self._file = _BlockFile(folder, core, run_id)
        self._retry_after_s = retry_after_s
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    # --- on the deciding thread

    def begin(self, at_ns: int, payload: bytes) -> None:
        """Start writing: `payload` holds what the core is made of."""
        self._thread = threading.Thread(target=self._run, name=f"journal-{self.core}", daemon=True)
        self._put(
            Begun(core=self.core, run_id=self.run_id, at_ns=at_ns, format=FORMAT, payload=payload)
        )
        self._thread.start()

    def take(self, kind: str, at_ns: int, payload: bytes = b"") -> None:
        """One input, handed to the core with the instant `at_ns`."""
        self._put(Taken(kind, at_ns, payload))

    def take_range(
        self,
        kind: str,
        at_ns: int,
        stream: str,
        run_id: str,
        first: int,
        count: int,
        content: bytes,
    ) -> None:
        """`count` records of a stream from number `first` on; `content` goes into the range's digest.

        Pieces that adjoin each other with nothing in between become one record. When the stream's writer
        is another run, the last seconds of the one before are kept as they came (`Tail`).
        """
        with self._turn:
            self._keep_last(at_ns, stream, run_id, first, count, content)
            if self._open is None or not self._open.goes_on_with(kind, stream, run_id, first):
                self._close_range()
                self._open = _OpenRange(kind, at_ns, stream, run_id, first)
            self._open.add(at_ns, count, content)

    def keep_last(
        self, at_ns: int, stream: str, run_id: str, first: int, count: int, content: bytes
    ) -> None:
        """As `take_range` keeps evidence for a `Tail`, for a core that journals its pieces itself."""
        with self._turn:
            self._keep_last(at_ns, stream, run_id, first, count, content)

    def made(self, payload: bytes) -> None:
        """What the inputs since the last call gave; leave it out where they gave nothing."""
        self._put(Made(payload))

    def wants_checkpoint(self) -> bool:
        """The whole state is due: at the start, each `CHECKPOINT_EVERY_S`, and after records were lost.

        Not before it would find room: to make one costs the deciding loop more than any input.
        """
        now_s = time.monotonic()
        if not self._needs_state and now_s < self._next_state_s:
            return False
        has_room = self._queued_bytes <= self._queue_bytes // 2
        return has_room and now_s >= self._state_not_before_s

    def stood(self, at_ns: int, payload: bytes) -> None:
        """The core's whole state, as it is after everything told so far."""
        self._next_state_s = time.monotonic() + CHECKPOINT_EVERY_S
        self._needs_state = False
        dropped = self.stats.dropped
        self._put(Stood(at_ns, payload))
        if self.stats.dropped > dropped:  # it is too large for the room there is
            self._state_not_before_s = self._next_state_s

    def close(self, at_ns: int, timeout_s: float = 5.0) -> bool:
        """Write what is queued and end the run; False when it did not within the time."""
        if self._thread is None:
            return True
        self._put(Ended(at_ns))
        self._stopping.set()
        self._thread.join(timeout_s)
        if self._thread.is_alive():
            logger.error("journal_stop_timeout", extra={"core": self.core})
        return not self._thread.is_alive()

    def details(self) -> dict[str, Any]:
        """For the heartbeat."""
        return {
            "records": self.stats.records,
            "writtenBytes": self.stats.written_bytes,
            "dropped": self.stats.dropped,
            "problem": self.stats.problem,
        }

    # --- the queue

    def _keep_last(
        self, at_ns: int, stream: str, run_id: str, first: int, count: int, content: bytes
    ) -> None:
        if not content:
            return
        last = self._last_pieces.get(stream)
        if last is None or last.run_id != run_id:
            if last is not None:
                self._close_range()
                self._enqueue(last.record(stream))
            last = self._last_pieces[stream] = _LastPieces(run_id)
        last.add(at_ns, first, count, content)

    def _put(self, record: JournalRecord) -> None:
        with self._turn:
            self._close_range()
            self._enqueue(record)

    def _close_range(self) -> None:
        if self._open is not None:
            record, self._open = self._open.record(), None
            self._enqueue(record)

    def _enqueue(self, record: JournalRecord) -> None:
        size = _size_of(record)
        if self._queued_bytes + size > self._queue_bytes:
            self._drop()
            return
        if self._lost:
            lost, self._lost = self._lost, 0
            self._queue.append(Missing(lost, "the journal's queue was full"))
            logger.warning("journal_goes_on", extra={"core": self.core, "lost": lost})
        self._queue.append(record)
        self._queued_bytes += size

    def _drop(self) -> None:
        """Announced once; the next record that finds room is preceded by `Missing`."""
        if not self._lost:
            logger.error("journal_queue_full", extra={"core": self.core})
        self._lost += 1
        self.stats.dropped += 1
        self._needs_state = True

    # --- on the journal's thread

    def _run(self) -> None:
        self._attempt(self._mend_earlier_runs)
        synced_s = time.monotonic()
        while not self._stopping.wait(WRITE_EVERY_S):
            with self._turn:
                if self._open and time.monotonic() - self._open.opened_s >= RANGE_OPEN_S:
                    self._close_range()
            self._attempt(self._write_queued)
            if time.monotonic() - synced_s >= SYNC_EVERY_S:
                synced_s = time.monotonic()
                self._attempt(self._file.sync)
        self._attempt(self._write_queued)
        self._attempt(self._file.close)

    def _mend_earlier_runs(self) -> None:
        for aside in set_torn_tails_aside(self._folder, self.core):
            logger.warning("journal_tail_set_aside", extra={"path": str(aside)})

    def _write_queued(self) -> None:
        """Records leave the queue once they are written: a full disk makes them wait, while there is room."""
        while self._queue:
            with self._turn:
                batch = list(itertools.islice(self._queue, _BLOCK_RECORDS))
            batch = batch[: _length_of_day(batch)]
            self._file.append(batch)
            with self._turn:
                for record in batch:
                    self._queue.popleft()
                    self._queued_bytes -= _size_of(record)
            self.stats.records += len(batch)
            self.stats.written_bytes = self._file.written_bytes
        if self.stats.problem:
            self.stats.problem = ""
            logger.warning("journal_written_again", extra={"core": self.core})

    def _attempt(self, work: Callable[[], None]) -> None:
        """Whatever the disk does, the thread lives on."""
        try:
            work()
        except Exception as error:
            if not self.stats.problem:
                logger.error("journal_write_failed", extra={"core": self.core}, exc_info=error)
            self.stats.problem = f"the journal cannot be written: {error}"
            self._stopping.wait(self._retry_after_s)


class _BlockFile:
    """The files of one run, day by day; each begins with `Begun`, so that it can be read without the others.

    A clock that is set back over midnight does not take the run back to the file of the day before.
    """

    def __init__(self, folder: Path, core: str, run_id: str) -> None:
        self._folder, self._name = folder, f"{core}-{run_id}{SUFFIX}"
        self._begun: list[JournalRecord] = []
        self._day = self._begun_day = ""
        self._handle = -1
        self._next_number = 1
        self.written_bytes = 0

    def append(self, records: list[JournalRecord]) -> None:
        """One block of records of one day, with one write(). Raises: StorageError (DiskFull)."""
        self._open(max(_day_of(records) or self._day, self._day))
        if isinstance(records[0], Begun):
            self._begun = records[:1]
        elif self._begun_day != self._day:
            records = [*self._begun, *records]
        block = sealed_block(records, self._next_number)
        self._write(block)
        self._begun_day = self._day
        self._next_number += len(records)
        self.written_bytes += len(block)

    def sync(self) -> None:
        if self._handle >= 0:
            os.fdatasync(self._handle)

    def close(self) -> None:
        if self._handle >= 0:
            handle, self._handle = self._handle, -1
            try:
                os.fdatasync(handle)
            finally:
                os.close(handle)

    def _open(self, day: str) -> None:
        if self._handle >= 0 and day == self._day:
            return
        self.close()
        path = self._folder / day / self._name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._handle = os.open(
                path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644
            )
            fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            sync_folder(path.parent)
        except OSError as error:
            raise storage_error(path, error) from error
        self._day, self._path = day, path

    def _write(self, block: bytes) -> None:
        """What a full disk cuts short is taken back, so that no half block stays in the middle."""
        try:
            size = os.fstat(self._handle).st_size
            try:
                written = 0
                while written < len(block):
                    written += os.write(self._handle, block[written:])
            except OSError:
                os.ftruncate(self._handle, size)
                raise
        except OSError as error:
            raise storage_error(self._path, error) from error


def _size_of(record: JournalRecord) -> int:
    """Bytes in memory, about."""
    if isinstance(record, Tail):
        return _RECORD_BYTES + sum(len(content) for *_, content in record.pieces)
    return _RECORD_BYTES + len(getattr(record, "payload", b""))


def _at_ns(record: JournalRecord) -> int | None:
    return record.until_ns if isinstance(record, TakenRange) else getattr(record, "at_ns", None)


def _day_of(records: list[JournalRecord]) -> str | None:
    """Day of the first record that has a time."""
    first = next((at_ns for record in records if (at_ns := _at_ns(record)) is not None), None)
    return None if first is None else utc_day(first)


def _length_of_day(records: list[JournalRecord]) -> int:
    """How many from the start are of one day; those without a time go with the one before."""
    day = _day_of(records)
    for place, record in enumerate(records):
        at_ns = _at_ns(record)
        if day is not None and at_ns is not None and utc_day(at_ns) != day:
            return place
    return len(records)
