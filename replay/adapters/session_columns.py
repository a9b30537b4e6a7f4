"""The columnar cache of a session: the events of events.jsonl as files that are mapped, not read.

    columns/<column>.npy    one per column of `EventChunk`, in numpy's own format
    columns/seek.bin        what the books were, every few minutes: where a replay may begin
    columns/cache.json      what events.jsonl was when they were made, and what they hold

The cache is made anew whenever events.jsonl is another file than it was made from. Each chunk that is
handed out maps its own stretch of the files: its memory is given back with it, whatever the length.
"""

from __future__ import annotations

import hashlib
import mmap
import os
import weakref
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from failover.adapters.files import storage_error, write_atomically
from market.domain.events import EventChunk
from market.domain.instruments import Instrument
from market.domain.priming import Primer

CACHE = "cache.json"
CACHE_VERSION = 2
CHUNK_MESSAGES = 65_536

_PER_MESSAGE: dict[str, Any] = {
    "kind": np.uint8,
    "flags": np.uint8,
    "symbol": np.uint16,
    "seq": np.int64,
    "core_ts_ns": np.int64,
    "exchange_ts_ns": np.int64,
}
_PER_ENTRY: dict[str, Any] = {"side": np.uint8, "tick": np.int64, "lot": np.int64}
COLUMNS: dict[str, Any] = {**_PER_MESSAGE, "level_offset": np.int64, **_PER_ENTRY}
SEEK = "seek.bin"
SEEK_EVERY_NS = 300 * 1_000_000_000
SEEK_EVERY_MESSAGES = 250_000
_HEADER_BYTES = 128
_WRITE_BUFFER = 1 << 20


class SeekPoint(Struct, frozen=True, kw_only=True, array_like=True):
    """What all books were before a message: `size` bytes at `offset` of seek.bin (`Primer.state`)."""

    message: int
    offset: int
    size: int


class CacheFacts(Struct, frozen=True, kw_only=True, rename="camel"):
    """What cache.json says; `digest` is of the content, whatever the sizes of the chunks it came in."""

    events_bytes: int
    events_mtime_ns: int
    events_sha256: str
    messages: int
    entries: int
    digest: str
    faults: dict[str, int] = {}
    seek: list[SeekPoint] = []
    version: int = CACHE_VERSION


class ColumnWriter:
    """Writes the columns of one session into a new folder; a context that leaves no file open."""

    def __init__(self, folder: Path, instruments: Sequence[Instrument]) -> None:
        """Raises: StorageError."""
        self._folder = folder
        self._messages = self._entries = 0
        self._hashes = {name: hashlib.blake2b(digest_size=32) for name in COLUMNS}
        self._instruments = msgspec.json.encode(list(instruments))
        self._files: dict[str, IO[bytes]] = {}
        self._primer = Primer(len(instruments))
        self._seek: list[SeekPoint] = []
        self._seek_from = (0, 0)  # message and core time of the last point
        try:
            folder.mkdir(parents=True)
            self._files[SEEK] = (folder / SEEK).open("wb")
            for name, dtype in COLUMNS.items():
                self._files[name] = (folder / f"{name}.npy").open("wb", buffering=_WRITE_BUFFER)
                self._files[name].write(_npy_header(dtype, 0))
            self._put("level_offset", np.zeros(1, np.int64))
        except OSError as error:
            self.close()
            raise storage_error(folder, error) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def add(self, chunk: EventChunk) -> None:
        """Raises: StorageError (DiskFull)."""
        if not len(chunk):
            return
        try:
            self._add_seek_point(int(chunk.core_ts_ns[0]))
            for name in (*_PER_MESSAGE, *_PER_ENTRY):
                self._put(name, getattr(chunk, name))
            self._put(
                "level_offset", chunk.level_offset[1:] + (self._entries - chunk.level_offset[0])
            )
        except OSError as error:
            raise storage_error(self._folder, error) from error
        self._messages += len(chunk)
        self._entries += chunk.side.size
        self._primer.skip(chunk)

    def _add_seek_point(self, core_ts_ns: int) -> None:
        """Before a chunk, where the last point is far enough behind."""
        message, since_ns = self._seek_from
        if not self._messages:
            self._seek_from = (0, core_ts_ns)
        elif (
            core_ts_ns - since_ns >= SEEK_EVERY_NS
            or self._messages - message >= SEEK_EVERY_MESSAGES
        ):
            state = self._primer.state()
            offset = self._seek[-1].offset + self._seek[-1].size if self._seek else 0
            self._seek.append(SeekPoint(message=self._messages, offset=offset, size=len(state)))
            self._files[SEEK].write(state)
            self._seek_from = (self._messages, core_ts_ns)

    def finish(self) -> str:
        """State the lengths, sync, and return the digest. Raises: StorageError (DiskFull)."""
        counts = {"level_offset": self._messages + 1} | dict.fromkeys(_PER_ENTRY, self._entries)
        whole = hashlib.blake2b(self._instruments, digest_size=32)
        try:
            self._files[SEEK].flush()
            os.fsync(self._files[SEEK].fileno())
            for name, dtype in COLUMNS.items():
                file = self._files[name]
                file.seek(0)
                file.write(_npy_header(dtype, counts.get(name, self._messages)))
                file.flush()
                os.fsync(file.fileno())
                whole.update(self._hashes[name].digest())
        except OSError as error:
            raise storage_error(self._folder, error) from error
        self.close()
        return whole.hexdigest()

    @property
    def messages(self) -> int:
        return self._messages

    @property
    def entries(self) -> int:
        return self._entries

    @property
    def seek(self) -> list[SeekPoint]:
        return self._seek

    def close(self) -> None:
        for file in self._files.values():
            try:
                file.close()
            except OSError:  # a full disk: the columns are given up anyway
                continue

    def _put(self, name: str, values: NDArray[Any]) -> None:
        data = np.ascontiguousarray(values, COLUMNS[name]).view(np.uint8).data
        self._hashes[name].update(data)
        self._files[name].write(data)


def write_cache_facts(folder: Path, facts: CacheFacts) -> None:
    """Raises: StorageError (DiskFull)."""
    write_atomically(folder / CACHE, msgspec.json.format(msgspec.json.encode(facts), indent=2))


def read_cache_facts(folder: Path) -> CacheFacts | None:
    """None when there is no cache that this version reads, whole: every column has its length."""
    try:
        facts = msgspec.json.decode((folder / CACHE).read_bytes(), type=CacheFacts)
        whole = all(
            (folder / f"{name}.npy").stat().st_size == _HEADER_BYTES + _bytes_of(name, facts)
            for name in COLUMNS
        ) and (folder / SEEK).stat().st_size == sum(point.size for point in facts.seek)
    except (OSError, msgspec.MsgspecError):
        return None
    return facts if whole and facts.version == CACHE_VERSION else None


def _bytes_of(name: str, facts: CacheFacts) -> int:
    counts = {"level_offset": facts.messages + 1} | dict.fromkeys(_PER_ENTRY, facts.entries)
    return int(counts.get(name, facts.messages) * np.dtype(COLUMNS[name]).itemsize)


class SessionColumns:
    """The columns of one session, opened for reading."""

    def __init__(self, folder: Path, facts: CacheFacts) -> None:
        """Raises: StorageError."""
        self.messages = facts.messages
        self._seek = facts.seek
        self._handles: dict[str, int] = {}
        # Chunks outlive this object, their mappings the handles: closed when nobody can ask for more.
        weakref.finalize(self, _close_all, self._handles)
        try:
            for name in COLUMNS:
                self._handles[name] = os.open(folder / f"{name}.npy", os.O_RDONLY | os.O_CLOEXEC)
            self._handles[SEEK] = os.open(folder / SEEK, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise storage_error(folder, error) from error

    def chunks(
        self, first: int = 0, stop: int | None = None, *, most_ns: int | None = None
    ) -> Iterator[EventChunk]:
        """Messages first..stop, to the end when None, in chunks of at most CHUNK_MESSAGES.

        most_ns: core time a chunk may span. Who reads ahead holds a frame of each symbol for every
        boundary in it, so that a quiet market would take more memory than a busy one.
        """
        end = self.messages if stop is None else stop
        while first < end:
            chunk = self.chunk(first, min(first + CHUNK_MESSAGES, end))
            if most_ns is not None:
                core = chunk.core_ts_ns
                within = max(1, int(core.searchsorted(core[0] + most_ns)))
                if within < len(chunk):
                    chunk = chunk.slice(0, within)
            yield chunk
            first += len(chunk)

    def chunk(self, first: int, stop: int) -> EventChunk:
        """Messages first..stop. The arrays may be written to; nothing of it reaches the files."""
        offset = self._mapped("level_offset", first, stop + 1)
        begin, end = int(offset[0]), int(offset[-1])
        columns = {name: self._mapped(name, first, stop) for name in _PER_MESSAGE}
        columns |= {name: self._mapped(name, begin, end) for name in _PER_ENTRY}
        return EventChunk(level_offset=offset - begin, **columns)

    def message_at(self, core_ts_ns: int) -> int:
        """Index of the first message at or after a core time, by bisection: core time never falls back
        but between two recorder runs."""
        low, high = 0, self.messages
        while low < high:
            middle = (low + high) // 2
            if int(self._mapped("core_ts_ns", middle, middle + 1)[0]) < core_ts_ns:
                low = middle + 1
            else:
                high = middle
        return low

    def state_before(self, message: int) -> tuple[int, bytes | None]:
        """The last seek point at or before a message: its number, and the state there (None: nothing).

        Raises: OSError.
        """
        point = next((p for p in reversed(self._seek) if p.message <= message), None)
        if point is None:
            return 0, None
        return point.message, os.pread(self._handles[SEEK], point.size, point.offset)

    def _mapped(self, name: str, first: int, stop: int) -> NDArray[Any]:
        dtype = np.dtype(COLUMNS[name])
        if stop <= first:
            return np.zeros(0, dtype)
        begin = _HEADER_BYTES + first * dtype.itemsize
        base = begin - begin % mmap.ALLOCATIONGRANULARITY
        length = _HEADER_BYTES + stop * dtype.itemsize - base
        mapped = mmap.mmap(self._handles[name], length, access=mmap.ACCESS_COPY, offset=base)
        return np.frombuffer(mapped, dtype, stop - first, begin - base)


def _close_all(handles: dict[str, int]) -> None:
    for handle in handles.values():
        os.close(handle)


def _npy_header(dtype: Any, count: int) -> bytes:
    """Version 1 of numpy's format, always 128 bytes, so that the count can be filled in at the end."""
    text = f"{{'descr': '{np.dtype(dtype).str}', 'fortran_order': False, 'shape': ({count},), }}"
    body = text.encode().ljust(_HEADER_BYTES - 11) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(body).to_bytes(2, "little") + body


def file_stamp(path: Path) -> tuple[int, int]:
    """(bytes, mtime in ns) of a file. Raises: StorageError."""
    try:
        found = path.stat()
    except OSError as error:
        raise storage_error(path, error) from error
    return found.st_size, found.st_mtime_ns


def file_digest(path: Path) -> str:
    """sha256 of a file. Raises: StorageError."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise storage_error(path, error) from error
