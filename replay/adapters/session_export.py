"""A session as one file, `<sessionId>.tar.zst`: manifest.json and events.jsonl; columns are made anew."""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
from pathlib import Path
from typing import IO

import zstandard

from failover.adapters.files import storage_error
from replay.adapters.session_errors import refusal_of
from replay.adapters.session_shelf import EVENTS, MANIFEST, SessionShelf
from replay.domain.sessions import SessionRefused, manifest_bytes

SUFFIX = ".tar.zst"
_LEVEL = 3


def export_session(store: SessionShelf, session_id: str, target: IO[bytes]) -> None:
    """Write the session's archive. Raises: SessionRefused (NOT_FOUND, BROKEN, STORAGE, DISK_FULL).

    events.jsonl is checked on the way: an archive of a damaged session is not finished.
    """
    manifest = store.require(session_id)
    events = store.folder(session_id) / EVENTS
    try:
        with (
            zstandard.ZstdCompressor(level=_LEVEL).stream_writer(target, closefd=False) as packed,
            tarfile.open(fileobj=packed, mode="w|", format=tarfile.PAX_FORMAT) as archive,
            events.open("rb") as source,
        ):
            _add(archive, MANIFEST, io.BytesIO(content := manifest_bytes(manifest)), len(content))
            checked = HashedFile(source)
            _add(archive, EVENTS, checked, events.stat().st_size)
            if manifest.events is not None and checked.sha256 != manifest.events.sha256:
                raise SessionRefused(
                    "BROKEN", f"{EVENTS} of {session_id} is not what its manifest says"
                )
    except OSError as error:
        raise refusal_of(storage_error(events, error)) from error


def export_to_file(store: SessionShelf, session_id: str, path: Path) -> Path:
    """Into a folder (under its own name) or a file that is not there yet; returns the file."""
    target = path / f"{session_id}{SUFFIX}" if path.is_dir() else path
    if target.exists():
        raise SessionRefused("EXISTS", f"{target} is there already")
    part = target.with_name(f".{target.name}.part")
    try:
        with part.open("wb") as file:
            export_session(store, session_id, file)
            file.flush()
            os.fsync(file.fileno())
        part.rename(target)
    except OSError as error:
        raise refusal_of(storage_error(target, error)) from error
    finally:
        part.unlink(missing_ok=True)
    return target


def _add(
    archive: tarfile.TarFile,
    name: str,
    source: IO[bytes] | HashedFile,
    size: int,
) -> None:
    member = tarfile.TarInfo(name)
    member.size = size
    archive.addfile(member, source)


class HashedFile:
    """A file whose hash is known once it was read to its end."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._hash = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(size)
        self._hash.update(data)
        return data

    @property
    def sha256(self) -> str:
        return self._hash.hexdigest()
