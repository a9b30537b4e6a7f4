"""The raw recorder: every message of the run into `data/market/YYYY-MM-DD/SYMBOL-<file>.jsonl`.

The feed only appends to a bounded queue; a thread of our own turns chunks into lines and writes them
in batches, so neither a slow disk nor a full one can hold up the market.

* Every batch (`WRITE_EVERY_S`) is handed to the operating system: it survives `kill -9`.
* Files are synced every `SYNC_EVERY_S`, at the roll-over of the day (UTC midnight of receive time) and
  at the end: a power cut loses at most that much. Market data is no money; orders have their own log.
* A queue that is full, or a disk that is, drops whole chunks: counted, announced once, and admitted in
  every file by a RECORDER_GAP line, followed by fresh checkpoints from which a reader may go on.
* Every `CHECKPOINT_EVERY_S` the whole book and ticker of each symbol is written as a CHECKPOINT.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from failover.domain.errors import StorageError
from market.domain.events import EventChunk
from market.domain.instruments import Instrument
from market.domain.raw_events import RawEventEncoder, RawFile
from market.ports import LineFile
from market.services.book_mirror import BookMirror

WRITE_EVERY_S = 0.1
SYNC_EVERY_S = 10.0
CHECKPOINT_EVERY_S = 60
QUEUE_MESSAGES = 100_000
RETRY_AFTER_S = 2.0

_CHECKPOINT_EVERY_NS = CHECKPOINT_EVERY_S * 1_000_000_000
_DAY_NS = 86_400 * 1_000_000_000

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Checkpoint:
    symbol: int
    book: tuple[dict[int, int], dict[int, int]] | None
    ticker: dict[int, int]
    seq: int
    core_ts_ns: int
    exchange_ts_ns: int


@dataclass(frozen=True, slots=True)
class _Gap:
    dropped: int
    from_seq: int
    seq: int
    core_ts_ns: int


@dataclass(slots=True)
class RecorderStats:
    """What the recorder did so far; `problem` is empty while all is well."""

    queued_messages: int = 0
    written_lines: int = 0
    written_bytes: int = 0
    dropped_messages: int = 0
    problem: str = ""


_FileKey = tuple[int, str, RawFile]  # day number, symbol, file


class MarketRecorder:
    """A `ChunkSink`. `take_chunk` is called on the feed's thread, everything else happens on ours."""

    def __init__(
        self,
        directory: Path,
        instruments: Sequence[Instrument],
        recorder_run: str,
        *,
        open_file: Callable[[Path], LineFile],
        write_whole: Callable[[Path, bytes], None],
        queue_messages: int = QUEUE_MESSAGES,
        sync_every_s: float = SYNC_EVERY_S,
        retry_after_s: float = RETRY_AFTER_S,
    ) -> None:
        """`directory` is `data/market`; `write_whole` replaces a file so that no crash halves it."""
        self.stats = RecorderStats()
        self._directory = directory
        self._instruments = tuple(instruments)
        self._run = recorder_run
        self._open_file = open_file
        self._write_whole = write_whole
        self._queue_messages = queue_messages
        self._sync_every_s = sync_every_s
        self._retry_after_s = retry_after_s
        self._encoder = RawEventEncoder(instruments, recorder_run)
        self._mirror = BookMirror(len(self._instruments))
        self._queue: deque[EventChunk | _Checkpoint | _Gap] = deque()
        self._taken = 0  # messages put into the queue, written by the feed's thread only
        self._done = 0  # messages taken out of it, written by our thread only
        self._dropped_since = 0
        self._dropped_from = 0  # seq of the first of them
        self._failed_from = 0  # seq of the first message that a failing disk may not have taken
        self._failed_guard = threading.Lock()  # of `_failed_from`, which both threads change
        self._last_seen = (0, 0)  # seq and core time of the last message
        self._failing = threading.Event()  # set by our thread: the disk takes nothing
        self._resync = threading.Event()  # set by our thread: the files miss something
        self._next_checkpoint_ns = 0
        self._files: dict[_FileKey, LineFile] = {}
        self._described_day = -1
        self._synced_at = 0.0
        self._retry_at = 0.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run_thread, name="recorder", daemon=True)

    # --- on the feed's thread

    def start(self) -> None:
        self._thread.start()

    def stop(self, timeout_s: float = 5.0) -> None:
        """Write what is queued, sync, close. What does not fit into `timeout_s` is announced as lost."""
        if self._dropped_since or self._failed_from:
            self._admit_gap(*self._last_seen)
        self._stop.set()
        self._thread.join(timeout_s)
        if self._thread.is_alive():
            logger.error("recorder_stop_timeout", extra={"queued": self._taken - self._done})

    def take_chunk(self, chunk: EventChunk) -> None:
        messages = len(chunk)
        if not messages:
            return
        self._mirror.fold(chunk)
        seq, core_ts_ns = self._last_seen = int(chunk.seq[-1]), int(chunk.core_ts_ns[-1])
        if not self._has_room_for(messages):
            self._drop(chunk)
        elif self._dropped_since or self._resync.is_set():
            # The checkpoints below describe the stream after this chunk: it belongs to the gap.
            self._drop(chunk)
            self._admit_gap(seq, core_ts_ns)
        else:
            self._queue.append(chunk)
            self._taken += messages
            if core_ts_ns >= self._next_checkpoint_ns:
                self._checkpoint_all(seq, core_ts_ns)

    def _has_room_for(self, messages: int) -> bool:
        """Once full, the queue must be empty before recording goes on: few gaps instead of many."""
        if self._failing.is_set():
            return False
        queued = self._taken - self._done
        return queued + messages <= self._queue_messages and not (self._dropped_since and queued)

    def _drop(self, chunk: EventChunk) -> None:
        messages = len(chunk)
        if not self.stats.problem:
            self.stats.problem = "queue full: messages are being dropped"
            logger.error(
                "recorder_queue_full",
                extra={"queued": self._taken - self._done, "limit": self._queue_messages},
            )
        self._dropped_from = self._dropped_from or int(chunk.seq[0])
        self._dropped_since += messages
        self.stats.dropped_messages += messages

    def _admit_gap(self, seq: int, core_ts_ns: int) -> None:
        self._resync.clear()
        with self._failed_guard:
            failed_from, self._failed_from = self._failed_from, 0
        from_seq = min(filter(None, (self._dropped_from, failed_from)), default=seq)
        self._queue.append(_Gap(self._dropped_since, from_seq, seq, core_ts_ns))
        self._dropped_since = self._dropped_from = 0
        self._checkpoint_all(seq, core_ts_ns)

    def _checkpoint_all(self, seq: int, core_ts_ns: int) -> None:
        self._next_checkpoint_ns = (
            core_ts_ns // _CHECKPOINT_EVERY_NS * _CHECKPOINT_EVERY_NS + _CHECKPOINT_EVERY_NS
        )
        for symbol in range(len(self._instruments)):
            book = self._mirror.book(symbol)
            self._queue.append(
                _Checkpoint(
                    symbol=symbol,
                    book=None if book is None else (dict(book[0]), dict(book[1])),
                    ticker=dict(self._mirror.ticker(symbol)),
                    seq=seq,
                    core_ts_ns=core_ts_ns,
                    exchange_ts_ns=self._mirror.exchange_ts_ns(symbol),
                )
            )

    # --- on the recorder's thread

    def _run_thread(self) -> None:
        self._synced_at = time.monotonic()
        while not self._stop.wait(WRITE_EVERY_S):
            self._turn()
        self._turn()
        self._close_files(self._files.keys())

    def _turn(self) -> None:
        """Write one batch; whatever the disk does, the thread lives on."""
        try:
            self._write_batch()
            self.stats.queued_messages = self._taken - self._done
            if time.monotonic() - self._synced_at >= self._sync_every_s:
                self._sync_files()
        except Exception as error:  # noqa: BLE001
            # Also a bug in a line must not end the recording of all other symbols.
            self._announce_failure(error)

    def _write_batch(self) -> None:
        if self._failing.is_set():
            if time.monotonic() < self._retry_at:
                return
            self._resync.set()
            self._failing.clear()
        lines: dict[_FileKey, list[str]] = defaultdict(list)
        gaps = messages = first_seq = 0
        try:
            while self._queue:
                item = self._queue.popleft()
                gaps += isinstance(item, _Gap)
                if isinstance(item, EventChunk):
                    messages += len(item)
                    first_seq = first_seq or int(item.seq[0])
                elif isinstance(item, _Gap):
                    first_seq = first_seq or item.from_seq
                self._add_lines(item, lines)
            self._write_lines(lines)
        except Exception as error:  # noqa: BLE001
            # A bug in one line too: what went with it is counted and admitted, never lost in silence.
            with self._failed_guard:
                self._failed_from = self._failed_from or first_seq
            self._fail(error, messages)
        else:
            if gaps:
                logger.warning("recorder_goes_on", extra={"dropped": self.stats.dropped_messages})
                self.stats.problem = ""
        finally:
            self._done += messages

    def _add_lines(
        self, item: EventChunk | _Checkpoint | _Gap, lines: dict[_FileKey, list[str]]
    ) -> None:
        if isinstance(item, _Checkpoint):
            self._checkpoint_lines(item, lines)
        elif isinstance(item, _Gap):
            self._gap_lines(item, lines)
        else:
            days = (item.core_ts_ns // _DAY_NS).tolist()
            for day, (symbol, file, line) in zip(days, self._encoder.lines(item), strict=True):
                lines[day, symbol, file].append(line)

    def _checkpoint_lines(self, item: _Checkpoint, lines: dict[_FileKey, list[str]]) -> None:
        day, symbol = item.core_ts_ns // _DAY_NS, self._instruments[item.symbol].symbol
        if item.book is not None:
            lines[day, symbol, RawFile.ORDERBOOK].append(
                self._encoder.book_checkpoint(
                    item.symbol,
                    *item.book,
                    seq=item.seq,
                    core_ts_ns=item.core_ts_ns,
                    exchange_ts_ns=item.exchange_ts_ns,
                )
            )
        if item.ticker:
            lines[day, symbol, RawFile.TICKER].append(
                self._encoder.ticker_checkpoint(
                    item.symbol, item.ticker, seq=item.seq, core_ts_ns=item.core_ts_ns
                )
            )

    def _gap_lines(self, item: _Gap, lines: dict[_FileKey, list[str]]) -> None:
        day = item.core_ts_ns // _DAY_NS
        for index, instrument in enumerate(self._instruments):
            line = self._encoder.gap(
                index,
                item.dropped,
                seq=item.seq,
                core_ts_ns=item.core_ts_ns,
                from_seq=item.from_seq,
            )
            for file in RawFile:
                lines[day, instrument.symbol, file].append(line)

    def _write_lines(self, lines: dict[_FileKey, list[str]]) -> None:
        for key in sorted(lines, key=lambda key: key[0]):
            if key[0] > self._described_day:
                self._begin_day(key[0])
            records = [line.encode() for line in lines[key]]
            self._file(key).append_lines(records)
            self.stats.written_lines += len(records)
            self.stats.written_bytes += sum(map(len, records)) + len(records)

    def _begin_day(self, day: int) -> None:
        """Close the files of days gone by, and put the units of this run beside the new day's files."""
        self._close_files([key for key in self._files if key[0] < day])
        path = self._day_directory(day) / f"instruments-{self._run}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        self._write_whole(path, msgspec.json.encode(self._instruments))
        self._described_day = day

    def _file(self, key: _FileKey) -> LineFile:
        file = self._files.get(key)
        if file is None:
            day, symbol, name = key
            file = self._open_file(self._day_directory(day) / f"{symbol}-{name}.jsonl")
            self._files[key] = file
        return file

    def _day_directory(self, day: int) -> Path:
        return self._directory / f"{datetime.fromtimestamp(day * 86_400, UTC):%Y-%m-%d}"

    def _sync_files(self) -> None:
        self._synced_at = time.monotonic()
        for file in self._files.values():
            file.sync()

    def _close_files(self, keys: Iterable[_FileKey]) -> None:
        for key in list(keys):
            file = self._files.pop(key)
            try:
                file.sync()
                file.close()
            except (OSError, StorageError) as error:
                self._announce_failure(error)

    def _fail(self, error: Exception, messages: int) -> None:
        """Stop taking messages for a while; the files are opened afresh, which mends a half line."""
        self.stats.dropped_messages += messages
        self._retry_at = time.monotonic() + self._retry_after_s
        self._announce_failure(error)
        self._failing.set()
        self._close_files(self._files.keys())
        self._described_day = -1

    def _announce_failure(self, error: Exception) -> None:
        reason = str(error) or type(error).__name__
        problem = f"recording fails: {reason}"
        if self.stats.problem != problem:
            logger.error("recorder_write_failed", extra={"reason": reason}, exc_info=error)
        self.stats.problem = problem
