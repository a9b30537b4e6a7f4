"""Sessions on disk: found, read, written and deleted under `data/replay/sessions`.

A folder is a session once it holds a manifest. One that is being made or removed has a name that begins
with a dot, so whatever is killed half-way leaves nothing that looks like a session.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path

import msgspec

from failover.adapters.archive import write_manifest
from failover.adapters.files import storage_error, sync_folder
from failover.domain.errors import StorageError
from market.adapters.import_receipts import read_receipts
from market.adapters.recording_files import day_folders
from market.adapters.recording_reader import NotARecording, Recording, SymbolNotRecorded
from market.domain.instruments import Instrument
from market.domain.raw_events import RawFile
from market.domain.recordings import BadRecording, MarketData
from replay.adapters.session_columns import CacheFacts, file_digest, file_stamp
from replay.adapters.session_draft import EVENTS, MANIFEST, SessionDraft
from replay.adapters.session_errors import refusal_of
from replay.adapters.session_opening import open_session_folder, rebuilt_cache
from replay.domain.sessions import (
    ReplayManifest,
    SessionRefused,
    is_session_id,
    manifest_bytes,
)

_decode_manifest = msgspec.json.Decoder(ReplayManifest).decode


class SessionStore:
    """The sessions under one data folder. Nothing is cached: what is on disk is what there is."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        self.root = data_dir / "replay" / "sessions"
        self.market_dir = data_dir / "market"

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

    def recording(
        self, symbols: Sequence[str], kinds: Collection[RawFile], from_ns: int, to_ns: int,
        on_read: Callable[[], None],
    ) -> Recording:  # fmt: skip
        """What was recorded of them. Raises: SessionRefused (UNKNOWN_SYMBOL, NO_DATA, BAD_RECORDING)."""
        try:
            return Recording(
                self.market_dir, symbols=symbols, kinds=kinds, from_ns=from_ns, to_ns=to_ns, on_read=on_read,
            )  # fmt: skip
        except SymbolNotRecorded as error:
            named = ", ".join(error.symbols)
            raise SessionRefused(
                "UNKNOWN_SYMBOL",
                f"{named} not recorded in that range",
                {"symbols": f"{named} unknown"},
            ) from error
        except NotARecording as error:
            days = next(iter(day_folders(self.market_dir, from_ns, to_ns)), None)
            code = "NO_DATA" if days is None else "BAD_RECORDING"
            raise SessionRefused(code, f"nothing to build from: {error}") from error
        except OSError as error:
            raise refusal_of(storage_error(self.market_dir, error)) from error

    def exchange_ahead_ns(self, runs: Sequence[str]) -> int:
        """By how much the exchange's clock ran ahead, where the receipt of an import says so."""
        try:
            receipts = list(read_receipts(self.market_dir, runs))
        except BadRecording as error:
            raise SessionRefused("BAD_RECORDING", str(error)) from error
        return max((receipt.exchange_ahead_ns for receipt in receipts), default=0)

    def draft(self, session_id: str, instruments: tuple[Instrument, ...]) -> SessionDraft:
        """The session to be, hidden until it is committed."""
        return SessionDraft(self.root, self.folder(session_id), instruments)

    def open(self, session_id: str, start_ns: int | None = None) -> MarketData:
        """See `services.session_open.open_session`."""
        manifest = self.require(session_id)
        return open_session_folder(self.folder(session_id), manifest, start_ns)

    def verify(self, session_id: str) -> CacheFacts:
        """Read events.jsonl whole and compare. Raises: SessionRefused (NOT_FOUND, BROKEN, STORAGE)."""
        manifest = self.require(session_id)
        folder = self.folder(session_id)
        try:
            found = file_digest(folder / EVENTS)
            if manifest.events is not None and found != manifest.events.sha256:
                raise SessionRefused("BROKEN", f"{EVENTS} of {session_id} has another checksum")
            facts = rebuilt_cache(folder, manifest, file_stamp(folder / EVENTS)[1])
        except StorageError as error:
            raise refusal_of(error) from error
        except OSError as error:
            raise refusal_of(storage_error(folder, error)) from error
        if facts.faults or facts.digest != manifest.digest:
            raise SessionRefused(
                "BROKEN",
                f"{session_id}: digest {facts.digest}, the manifest says {manifest.digest}",
            )
        return facts

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
