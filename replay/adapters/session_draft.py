"""A session that is being made: events, columns and manifest in a hidden folder, then renamed.

The folder is locked while its maker lives. What a killed maker left is removed by the next one.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import uuid
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from failover.adapters.archive import open_replay_events, write_manifest
from failover.adapters.files import storage_error, sync_folder
from failover.domain.errors import StorageError
from market.domain.event_lines import event_line
from market.domain.events import EventChunk
from market.domain.instruments import Instrument
from market.domain.lined_chunks import RecordedWindow
from market.domain.raw_events import RawEventEncoder
from replay.adapters.session_columns import (
    CacheFacts,
    ColumnWriter,
    file_stamp,
    write_cache_facts,
)
from replay.adapters.session_errors import refusal_of
from replay.adapters.session_shelf import COLUMNS, EVENTS
from replay.domain.sessions import ReplayManifest, SessionFile, SessionRefused, manifest_bytes

_PREFIX = ".building-"
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


class SessionDraft:
    """A context: what is not committed is removed. All raise SessionRefused where the disk fails."""

    def __init__(self, root: Path, final: Path, instruments: tuple[Instrument, ...]) -> None:
        """`final`: the folder under `root` that it is to become."""
        self._root = root
        self._instruments = instruments
        self._final = final
        self._folder = draft_folder(root, final.name)
        self._sha256 = hashlib.sha256()
        self._lock: int | None = None
        self._events: IO[bytes] | None = None
        self._columns: ColumnWriter | None = None

    def __enter__(self) -> Self:
        try:
            self._root.mkdir(parents=True, exist_ok=True)
            remove_abandoned(self._root)
            self._lock = locked_folder(self._folder)
            self._events = open_replay_events(self._folder)
            self._columns = ColumnWriter(self._folder / COLUMNS, self._instruments)
        except OSError as error:
            self._discard()
            raise refusal_of(storage_error(self._folder, error)) from error
        except StorageError as error:
            self._discard()
            raise refusal_of(error) from error
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._discard()

    @property
    def events(self) -> int:
        """How many were added."""
        return self._columns.messages if self._columns is not None else 0

    def add(self, window: RecordedWindow) -> None:
        """Add a stretch with its lines."""
        self._write(window.lines.data, window.chunk)

    def add_statement(self, chunk: EventChunk, run: str) -> None:
        """Add messages that were not recorded as such, under the run whose state they state."""
        encoder = RawEventEncoder(self._instruments, run)
        lines = b"".join(event_line(line.encode()) for _, _, line in encoder.lines(chunk))
        self._write(memoryview(lines), chunk)

    def _write(self, lines: memoryview, chunk: EventChunk) -> None:
        assert self._events is not None
        assert self._columns is not None
        self._sha256.update(lines)
        try:
            self._events.write(lines)
            self._columns.add(chunk)
        except OSError as error:
            raise refusal_of(storage_error(self._folder / EVENTS, error)) from error
        except StorageError as error:
            raise refusal_of(error) from error

    def seal(self) -> tuple[SessionFile, str]:
        """End of the events: what events.jsonl is, and the digest of the columns."""
        assert self._events is not None
        assert self._columns is not None
        try:
            self._events.flush()
            os.fsync(self._events.fileno())
            self._events.close()
            digest = self._columns.finish()
            events_bytes, mtime_ns = file_stamp(self._folder / EVENTS)
            facts = CacheFacts(
                events_bytes=events_bytes,
                events_mtime_ns=mtime_ns,
                events_sha256=self._sha256.hexdigest(),
                messages=self._columns.messages,
                entries=self._columns.entries,
                digest=digest,
                seek=self._columns.seek,
            )
            write_cache_facts(self._folder / COLUMNS, facts)
        except OSError as error:
            raise refusal_of(storage_error(self._folder, error)) from error
        except StorageError as error:
            raise refusal_of(error) from error
        events = SessionFile(
            path=EVENTS, rows=facts.messages, sha256=facts.events_sha256, bytes=events_bytes
        )
        return events, digest

    def commit(self, manifest: ReplayManifest) -> None:
        """Make it a session. Raises: SessionRefused (EXISTS, DISK_FULL, STORAGE)."""
        try:
            write_manifest(self._folder, manifest_bytes(manifest))
            publish_folder(self._folder, self._final)
        except StorageError as error:
            raise refusal_of(error) from error

    def _discard(self) -> None:
        if self._columns is not None:
            self._columns.close()
        if self._events is not None:
            try:
                self._events.close()
            except OSError:  # a full disk: the file goes anyway
                self._events = None
        shutil.rmtree(self._folder, ignore_errors=True)
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def draft_folder(root: Path, session_id: str) -> Path:
    """A hidden place for a session that is being made."""
    return root / f"{_PREFIX}{session_id}-{uuid.uuid4().hex[:8]}"


def locked_folder(folder: Path) -> int:
    """Make it and lock it for as long as the returned handle is open. Raises: OSError."""
    while True:
        folder.mkdir()
        handle = os.open(folder, _FOLDER)
        fcntl.flock(handle, fcntl.LOCK_EX)
        if folder.exists():  # else another maker swept it away before it was locked
            return handle
        os.close(handle)


def publish_folder(made: Path, final: Path) -> None:
    """Give a finished folder its name. Raises: SessionRefused (EXISTS), StorageError."""
    try:
        if final.exists():
            raise SessionRefused(
                "EXISTS", f"there is a session {final.name!r} already", {"sessionId": "is taken"}
            )
        sync_folder(made)
        made.rename(final)
        sync_folder(final.parent)
    except OSError as error:
        if final.exists():
            raise SessionRefused("EXISTS", f"there is a session {final.name!r} already") from None
        raise storage_error(final, error) from error


def remove_abandoned(root: Path) -> None:
    """Remove drafts whose maker is gone: its lock went with it."""
    for folder in root.glob(f"{_PREFIX}*"):
        try:
            handle = os.open(folder, _FOLDER)
        except OSError:
            continue  # it was just given its name
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            continue
        else:
            shutil.rmtree(folder, ignore_errors=True)
        finally:
            os.close(handle)
