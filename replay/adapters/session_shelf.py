"""Sessions on disk: found, read, written and deleted under `data/replay/sessions`.

A folder is a session once it holds a manifest. One that is being made or removed has a name that begins
with a dot, so whatever is killed half-way leaves nothing that looks like a session. What is inside a session
is `session_store`'s: that reads with compiled code, which a page that lists sessions need not load.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import msgspec

from failover.adapters.archive import write_manifest
from failover.adapters.files import storage_error, sync_folder
from failover.domain.errors import StorageError
from replay.adapters.session_errors import refusal_of
from replay.domain.sessions import ReplayManifest, SessionRefused, is_session_id, manifest_bytes

MANIFEST, EVENTS, COLUMNS = "manifest.json", "events.jsonl", "columns"

_decode_manifest = msgspec.json.Decoder(ReplayManifest).decode


class SessionShelf:
    """The sessions under one data folder. Nothing is cached: what is on disk is what there is."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        self.root = data_dir / "replay" / "sessions"

    def list_sessions(self) -> list[ReplayManifest]:
        """Every session that can be read, newest first; `broken_sessions` has the others."""
        found = [manifest for manifest in map(self._read, self._names()) if manifest is not None]
        return sorted(found, key=lambda one: (one.created_at, one.session_id), reverse=True)

    def broken_sessions(self) -> dict[str, str]:
        """Folders that look like a session but have no readable manifest: why, by name."""
        broken = {}
        for name in self._names():
            try:
                if self._manifest(name) is None:
                    broken[name] = f"has no {MANIFEST}"
            except SessionRefused as refused:
                broken[name] = refused.message
        return broken

    def get_session(self, session_id: str) -> ReplayManifest | None:
        """None where there is none of that name. Raises: SessionRefused (BROKEN)."""
        return self._manifest(session_id) if is_session_id(session_id) else None

    def require(self, session_id: str) -> ReplayManifest:
        """Raises: SessionRefused (NOT_FOUND, BROKEN)."""
        manifest = self.get_session(session_id)
        if manifest is None:
            raise SessionRefused("NOT_FOUND", f"there is no session {session_id!r}")
        return manifest

    def save_session(self, manifest: ReplayManifest) -> None:
        """Write its manifest, replacing an older one. Raises: SessionRefused (BAD_ID, DISK_FULL, STORAGE)."""
        folder = self.folder(manifest.session_id)
        try:
            write_manifest(folder, manifest_bytes(manifest))
        except StorageError as error:
            raise refusal_of(error) from error

    def delete_session(self, session_id: str) -> bool:
        """Remove it with all its files; False where there is none. Raises: SessionRefused (STORAGE)."""
        if not is_session_id(session_id) or not self.folder(session_id).is_dir():
            return False
        folder = self.folder(session_id)
        doomed = self.hidden(f"deleted-{session_id}")
        try:
            shutil.rmtree(doomed, ignore_errors=True)
            folder.rename(doomed)
            sync_folder(self.root)
            shutil.rmtree(doomed)
        except OSError as error:
            raise refusal_of(storage_error(folder, error)) from error
        return True

    def exists(self, session_id: str) -> bool:
        return self.folder(session_id).exists()

    def folder(self, session_id: str) -> Path:
        """Raises: SessionRefused (BAD_ID) for what would lead out of the folder."""
        if not is_session_id(session_id):
            raise SessionRefused("BAD_ID", f"{session_id!r} is no name of a session")
        return self.root / session_id

    def hidden(self, name: str) -> Path:
        """A place beside the sessions that is none."""
        return self.root / f".{name}"

    def _names(self) -> Iterator[str]:
        if self.root.is_dir():
            for folder in sorted(self.root.iterdir()):
                if folder.is_dir() and is_session_id(folder.name):
                    yield folder.name

    def _read(self, name: str) -> ReplayManifest | None:
        try:
            return self._manifest(name)
        except SessionRefused:
            return None

    def _manifest(self, name: str) -> ReplayManifest | None:
        path = self.root / name / MANIFEST
        try:
            manifest = _decode_manifest(path.read_bytes())
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise refusal_of(storage_error(path, error)) from error
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise SessionRefused("BROKEN", f"{path.name} of {name}: {error}") from error
        if manifest.session_id != name:
            raise SessionRefused("BROKEN", f"{path.name} of {name} names {manifest.session_id!r}")
        return manifest
