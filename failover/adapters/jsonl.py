"""Append-only line files: one write() per append, torn tails set aside, the disk's errors typed.

A record counts as written when `append` returns: its bytes are then with the operating system and
survive `kill -9`. With `sync=True` a thread also makes them survive a power cut within `SYNC_WITHIN_MS`.
"""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import msgspec

from failover.adapters.files import storage_error, sync_folder
from failover.domain.days import utc_day
from failover.domain.errors import FileInUse, StorageError

SYNC_WITHIN_MS = 20
_OPEN_DAYS = 2  # around midnight records of both days arrive
_BLOCK_BYTES = 65_536
_TRUNCATED_HEAD_CHARS = 2_000


class TornTail(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What a crash left at the end of a file, cut off and kept: report it as DATA_CORRUPTION."""

    path: str
    aside_path: str
    offset: int
    size_bytes: int


class JsonlAppender:
    """Appends records to one fixed file, or to the file of each record's own UTC day.

    `target` is a path, or a function from `YYYY-MM-DD` to a path. Folders are made as needed.

    Args:
        sync: fdatasync in groups, in a thread, within `SYNC_WITHIN_MS` of an append.
        exclusive: hold a lock, so that a second writer is refused (FileInUse). Without it several
            processes may append to one file: each append is one write().
        max_line_bytes: log kinds only: a longer record is replaced by one that says so and shows its
            beginning. None (market records, order log): whatever is given is written whole.
        on_torn: told of each torn tail found on opening; `torn` lists them too.

    Not for use by several threads at once. Raises from `append…`, `sync`: StorageError, DiskFull.
    """

    def __init__(
        self,
        target: Path | Callable[[str], Path],
        *,
        sync: bool = False,
        exclusive: bool = False,
        max_line_bytes: int | None = None,
        on_torn: Callable[[TornTail], None] | None = None,
    ) -> None:
        self.torn: list[TornTail] = []
        self._target = target
        self._exclusive = exclusive
        self._max_line_bytes = max_line_bytes
        self._on_torn = on_torn
        self._encoder = msgspec.json.Encoder()
        self._files: dict[str, _LineFile] = {}
        self._sync = _GroupSync() if sync else None

    def append(self, record: Any, *, ts_ns: int | None = None) -> None:
        """Append one record (anything msgspec encodes, or ready JSON bytes without a line feed)."""
        self.append_lines((self.encode(record),), ts_ns=ts_ns)

    def append_many(self, records: Iterable[Any], *, ts_ns: int | None = None) -> None:
        """Append records of one day with one write()."""
        self.append_lines([self.encode(record) for record in records], ts_ns=ts_ns)

    def append_lines(self, lines: Iterable[bytes], *, ts_ns: int | None = None) -> None:
        """Append encoded records (no line feeds inside) of one day with one write()."""
        data = b"".join(line + b"\n" for line in map(self._bounded, lines))
        if not data:
            return
        if self._sync is not None:
            self._sync.raise_failure()
        file = self._file("" if ts_ns is None else utc_day(ts_ns))
        file.write(data)
        if self._sync is not None:
            self._sync.request(file)

    def encode(self, record: Any) -> bytes:
        """One record as a line without its line feed."""
        return record if isinstance(record, bytes) else self._encoder.encode(record)

    def open(self, day: str = "") -> Path:
        """Open now instead of at the first append, so that a torn tail is known at start."""
        return self._file(day).path

    def sync(self) -> None:
        """Wait until all that was appended would survive a power cut."""
        for file in self._files.values():
            file.sync()

    def close(self) -> None:
        """Sync and close; a later append opens again."""
        if self._sync is not None:
            self._sync.close()
            self._sync = _GroupSync()
        for file in self._files.values():
            file.close()
        self._files.clear()

    def _bounded(self, line: bytes) -> bytes:
        if self._max_line_bytes is None or len(line) <= self._max_line_bytes:
            return line
        head = line[: min(_TRUNCATED_HEAD_CHARS, self._max_line_bytes)].decode("utf-8", "replace")
        return self._encoder.encode({"truncated": True, "sizeBytes": len(line), "head": head})

    def _file(self, day: str) -> _LineFile:
        file = self._files.get(day)
        if file is None:
            while len(self._files) >= _OPEN_DAYS:
                self._files.pop(min(self._files)).close()
            file = _LineFile(self._path(day), exclusive=self._exclusive)
            self._files[day] = file
            if file.torn is not None:
                self.torn.append(file.torn)
                if self._on_torn is not None:
                    self._on_torn(file.torn)
        return file

    def _path(self, day: str) -> Path:
        if isinstance(self._target, Path):
            return self._target
        if not day:
            raise ValueError("a file per day needs the record's ts_ns")
        return self._target(day)


class _LineFile:
    """One open line file. Its lock is shared, or exclusive; nobody repairs a file another one writes."""

    def __init__(self, path: Path, *, exclusive: bool) -> None:
        self.path = path
        self.torn: TornTail | None = None
        self._closing = threading.Lock()
        self._needs_line_feed = False
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            is_new = not path.exists()
            self._handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise storage_error(path, error) from error
        try:
            self._lock_and_repair(exclusive=exclusive)
            if is_new:
                sync_folder(path.parent)
        except OSError as error:
            os.close(self._handle)
            raise storage_error(path, error) from error
        except StorageError:
            os.close(self._handle)
            raise

    def write(self, data: bytes) -> None:
        """One write(); what a full disk cuts short is taken back, so that no half line stays."""
        if self._needs_line_feed:
            data = b"\n" + data
        try:
            written = os.write(self._handle, data)
            while written < len(data):
                try:
                    written += os.write(self._handle, data[written:])
                except OSError:
                    self._take_back(written)
                    raise
        except OSError as error:
            raise storage_error(self.path, error) from error
        self._needs_line_feed = False

    def sync(self) -> None:
        with self._closing:
            if self._handle < 0:
                return
            try:
                os.fdatasync(self._handle)
            except OSError as error:
                raise storage_error(self.path, error) from error

    def close(self) -> None:
        try:
            self.sync()
        finally:
            with self._closing:
                os.close(self._handle)
                self._handle = -1

    def _take_back(self, written: int) -> None:
        size = os.fstat(self._handle).st_size
        if os.pread(self._handle, 1, size - 1) == b"\n":
            return  # another writer has closed the line since; a reader reports it
        try:
            os.ftruncate(self._handle, size - written)
        except OSError:
            self._needs_line_feed = True

    def _lock_and_repair(self, *, exclusive: bool) -> None:
        try:
            fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            if exclusive:
                raise FileInUse(str(self.path), "another process is writing it") from error
            try:
                fcntl.flock(self._handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                raise FileInUse(str(self.path), "another process holds it alone") from error
            return  # its other writer looked at the tail when it opened it
        self.torn = _set_torn_tail_aside(self._handle, self.path)
        if not exclusive:
            fcntl.flock(self._handle, fcntl.LOCK_SH)


class _GroupSync:
    """A thread that syncs the files written in the last `SYNC_WITHIN_MS`, all appends of it at once."""

    def __init__(self) -> None:
        self._dirty: set[_LineFile] = set()
        self._wake = threading.Condition()
        self._failure: StorageError | None = None
        self._stopping = False
        self._thread: threading.Thread | None = None

    def request(self, file: _LineFile) -> None:
        with self._wake:
            self._dirty.add(file)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="group-sync", daemon=True)
                self._thread.start()
            self._wake.notify()

    def raise_failure(self) -> None:
        """Tell the writer once that an earlier append may not have reached the disk."""
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure

    def close(self) -> None:
        with self._wake:
            self._stopping = True
            self._wake.notify()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        while True:
            with self._wake:
                while not self._dirty and not self._stopping:
                    self._wake.wait()
                if not self._dirty:
                    return
                # A short wait gathers the appends of a burst into one sync, well inside the bound.
                if not self._stopping:
                    self._wake.wait(SYNC_WITHIN_MS / 4_000)
                dirty, self._dirty = self._dirty, set()
            for file in dirty:
                try:
                    file.sync()
                except StorageError as error:
                    self._failure = error


def _set_torn_tail_aside(handle: int, path: Path) -> TornTail | None:
    """Cut what follows the last good line feed into `<file>.torn-<n>`; None when the file ends well."""
    size = os.fstat(handle).st_size
    end = _end_of_last_good_line(handle, size)
    if end == size:
        return None
    tail = os.pread(handle, size - end, end)
    aside = _write_aside(path, tail)
    os.ftruncate(handle, end)
    os.fsync(handle)
    return TornTail(path=str(path), aside_path=str(aside), offset=end, size_bytes=len(tail))


def _end_of_last_good_line(handle: int, size: int) -> int:
    """A line may also end well and be zeros: a power cut can lose the pages and keep the length."""
    end = _line_start(handle, size)
    if end == 0:
        return 0
    start = _line_start(handle, end - 1)
    last = os.pread(handle, end - start, start)
    if not last.strip():
        return end
    try:
        msgspec.json.decode(last)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return start
    return end


def _line_start(handle: int, end: int) -> int:
    """Where the line that ends before `end` begins: one past the last line feed in front of `end`."""
    position = end
    while position > 0:
        start = max(0, position - _BLOCK_BYTES)
        found = os.pread(handle, position - start, start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        position = start
    return 0


def _write_aside(path: Path, tail: bytes) -> Path:
    number = 1
    while True:
        aside = path.with_name(f"{path.name}.torn-{number}")
        try:
            handle = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        except FileExistsError:
            number += 1
            continue
        with os.fdopen(handle, "wb") as file:
            file.write(tail)
            file.flush()
            os.fsync(file.fileno())
        sync_folder(path.parent)
        return aside
