"""A session taken in from one file, as `session_export` writes it.

What comes in is not trusted: only these two names are taken, nothing is unpacked by path, no more bytes are
written than the manifest announces and the disk has room for, no more are unpacked into memory than a header
or a manifest takes, and checksum, rows and digest must be what it says.
"""

from __future__ import annotations

import os
import shutil
import tarfile
from pathlib import Path
from typing import IO

import msgspec
import zstandard

from failover.adapters.archive import write_manifest
from failover.adapters.files import storage_error
from failover.domain.errors import StorageError
from replay.adapters.session_draft import (
    draft_folder,
    locked_folder,
    publish_folder,
    remove_abandoned,
)
from replay.adapters.session_errors import refusal_of
from replay.adapters.session_export import HashedFile
from replay.adapters.session_opening import rebuilt_cache
from replay.adapters.session_shelf import EVENTS, MANIFEST, SessionShelf
from replay.domain.session_checks import manifest_problem
from replay.domain.sessions import ReplayManifest, SessionRefused, is_session_id, manifest_bytes

_MOST_MANIFEST_BYTES = 16 << 20
_MOST_HEADER_BYTES = 1 << 20  # of a member; tarfile holds its extended headers in memory
_PLAIN_TYPES = (tarfile.REGTYPE, tarfile.AREGTYPE)  # no sparse file: a few bytes could be any size
_ROOM_FACTOR = 2  # events.jsonl and its columns, which are no larger
_COPY_BYTES = 1 << 20
_BROKEN = (tarfile.TarError, zstandard.ZstdError, EOFError)


def import_session(
    store: SessionShelf, source: IO[bytes], *, session_id: str | None = None
) -> ReplayManifest:
    """Take in an archive, under another id where one is given.

    Raises: SessionRefused (BAD_ARCHIVE, BAD_ID, EXISTS, STORAGE, DISK_FULL); nothing is left then.
    """
    if session_id is not None and not is_session_id(session_id):
        raise SessionRefused("BAD_ID", f"{session_id!r} is no name of a session")
    try:
        packed = zstandard.ZstdDecompressor().stream_reader(source, closefd=False)
        unpacked = _Allowed(packed, _MOST_HEADER_BYTES)
        with tarfile.open(fileobj=unpacked, mode="r|") as archive:  # type: ignore[call-overload]
            manifest = _manifest(archive, unpacked)
            if session_id is not None:
                manifest = msgspec.structs.replace(manifest, session_id=session_id)
            _refuse_taken(store, manifest)
            return _take_in(store, manifest, archive, unpacked)
    except _BROKEN as error:
        raise SessionRefused("BAD_ARCHIVE", f"the archive is damaged: {error}") from error
    except StorageError as error:
        raise refusal_of(error) from error
    except OSError as error:
        raise refusal_of(storage_error(store.root, error)) from error


def _manifest(archive: tarfile.TarFile, unpacked: _Allowed) -> ReplayManifest:
    member = _next(archive, MANIFEST)
    if member.size > _MOST_MANIFEST_BYTES:
        raise SessionRefused("BAD_ARCHIVE", f"{MANIFEST} has {member.size} bytes")
    unpacked.allow(member.size + _MOST_HEADER_BYTES)
    file = archive.extractfile(member)
    assert file is not None
    try:
        manifest = msgspec.json.decode(file.read(), type=ReplayManifest)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise SessionRefused("BAD_ARCHIVE", f"{MANIFEST}: {error}") from error
    if not is_session_id(manifest.session_id) or manifest.events is None:
        raise SessionRefused(
            "BAD_ARCHIVE", f"{MANIFEST} has no usable id, or says nothing of {EVENTS}"
        )
    if problem := manifest_problem(manifest):
        raise SessionRefused("BAD_ARCHIVE", f"{MANIFEST}: {problem}")
    return manifest


def _next(archive: tarfile.TarFile, name: str) -> tarfile.TarInfo:
    """The next member, which must be the plain file `name`, in the archive's root."""
    member = archive.next()
    if member is None or member.name != name or member.type not in _PLAIN_TYPES:
        found = "its end" if member is None else repr(member.name)
        raise SessionRefused("BAD_ARCHIVE", f"{name} expected as a plain file, found {found}")
    return member


def _refuse_taken(store: SessionShelf, manifest: ReplayManifest) -> None:
    if store.exists(manifest.session_id):
        raise SessionRefused(
            "EXISTS", f"there is a session {manifest.session_id!r} already; give another id",
            {"sessionId": "is taken"},
        )  # fmt: skip


def _refuse_too_large(store: SessionShelf, manifest: ReplayManifest) -> None:
    """A few bytes may unpack to any number, and live trading writes to the same disk."""
    assert manifest.events is not None
    free = shutil.disk_usage(store.root).free
    if manifest.events.bytes * _ROOM_FACTOR > free:
        raise SessionRefused(
            "DISK_FULL", f"{EVENTS} has {manifest.events.bytes} bytes, and its columns take as many; "
            f"{free} are free",
        )  # fmt: skip


def _take_in(
    store: SessionShelf, manifest: ReplayManifest, archive: tarfile.TarFile, unpacked: _Allowed
) -> ReplayManifest:
    store.root.mkdir(parents=True, exist_ok=True)
    _refuse_too_large(store, manifest)
    remove_abandoned(store.root)
    folder = draft_folder(store.root, manifest.session_id)
    lock = locked_folder(folder)
    try:
        _unpack_events(archive, unpacked, manifest, folder / EVENTS)
        facts = rebuilt_cache(folder, manifest, (folder / EVENTS).stat().st_mtime_ns)
        if facts.faults or (facts.messages, facts.digest) != (
            manifest.total_events,
            manifest.digest,
        ):
            raise SessionRefused(
                "BAD_ARCHIVE", f"{EVENTS} holds {facts.messages} events with digest {facts.digest}; "
                f"the manifest says {manifest.total_events} with {manifest.digest}",
            )  # fmt: skip
        write_manifest(folder, manifest_bytes(manifest))
        publish_folder(folder, store.folder(manifest.session_id))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)
    return manifest


def _unpack_events(
    archive: tarfile.TarFile, unpacked: _Allowed, manifest: ReplayManifest, path: Path
) -> None:
    assert manifest.events is not None
    member = _next(archive, EVENTS)
    if member.size != manifest.events.bytes:
        raise SessionRefused(
            "BAD_ARCHIVE", f"{EVENTS} has {member.size} bytes, not {manifest.events.bytes}"
        )
    unpacked.allow(member.size + _MOST_HEADER_BYTES)
    packed = archive.extractfile(member)
    assert packed is not None
    source = HashedFile(packed)
    with path.open("wb") as file:
        shutil.copyfileobj(source, file, _COPY_BYTES)
        file.flush()
        os.fsync(file.fileno())
    if source.sha256 != manifest.events.sha256:
        raise SessionRefused("BAD_ARCHIVE", f"the checksum of {EVENTS} is not that of the manifest")


class _Allowed:
    """A stream of which so much may be read as was allowed: more is no archive of ours."""

    def __init__(self, file: IO[bytes] | zstandard.ZstdDecompressionReader, most: int) -> None:
        self._file = file
        self._left = most

    def allow(self, count: int) -> None:
        """From here on."""
        self._left = count

    def read(self, size: int) -> bytes:
        data = self._file.read(size)
        self._left -= len(data)
        if self._left < 0:
            raise tarfile.ReadError("more bytes than its members have")
        return data
