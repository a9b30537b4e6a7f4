"""What is inside the sessions of a shelf, and the recordings they are made from."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from pathlib import Path

from failover.adapters.files import storage_error
from failover.domain.errors import StorageError
from market.adapters.import_receipts import read_receipts
from market.adapters.recording_files import day_folders
from market.adapters.recording_reader import NotARecording, Recording, SymbolNotRecorded
from market.domain.instruments import Instrument
from market.domain.raw_events import RawFile
from market.domain.recordings import BadRecording, MarketData
from replay.adapters.session_columns import CacheFacts, file_digest, file_stamp
from replay.adapters.session_draft import SessionDraft
from replay.adapters.session_errors import refusal_of
from replay.adapters.session_opening import open_session_folder, rebuilt_cache
from replay.adapters.session_shelf import EVENTS, SessionShelf
from replay.domain.sessions import SessionRefused


class SessionStore(SessionShelf):
    """A shelf whose sessions can be built, opened and verified."""

    @property
    def market_dir(self) -> Path:
        return self.data_dir / "market"

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
