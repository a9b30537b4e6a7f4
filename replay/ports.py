"""What the services of replay need of files: `replay.adapters.session_shelf` and `session_store` have it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from market.domain.events import EventChunk
from market.domain.instruments import Instrument
from market.domain.lined_chunks import RecordedWindow
from market.domain.raw_events import RawFile
from market.domain.recordings import MarketData
from replay.domain.sessions import ReplayManifest, SessionFile


class RecordedFile(Protocol):
    """What was read of a recorded file."""

    @property
    def path(self) -> Path: ...
    @property
    def rows(self) -> int: ...
    @property
    def bytes(self) -> int: ...
    @property
    def sha256(self) -> str: ...


class RecordedMarket(Protocol):
    """A stretch of our own recording."""

    @property
    def instruments(self) -> tuple[Instrument, ...]: ...
    @property
    def runs(self) -> tuple[str, ...]: ...
    @property
    def paths(self) -> list[Path]: ...
    @property
    def problems(self) -> Mapping[str, int]: ...
    @property
    def files_read(self) -> Mapping[Path, RecordedFile]: ...
    @property
    def bytes_read(self) -> int: ...
    @property
    def bytes_total(self) -> int: ...
    def windows(self) -> Iterator[RecordedWindow]: ...


class SessionInTheMaking(Protocol):
    """A context; what is not committed leaves nothing behind."""

    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
        /,
    ) -> None: ...
    @property
    def events(self) -> int: ...
    def add(self, window: RecordedWindow) -> None: ...
    def add_statement(self, chunk: EventChunk, run: str) -> None: ...
    def seal(self) -> tuple[SessionFile, str]: ...
    def commit(self, manifest: ReplayManifest) -> None: ...


class SessionFiles(Protocol):
    """The sessions under one data folder."""

    @property
    def data_dir(self) -> Path: ...
    def exists(self, session_id: str) -> bool: ...
    def recording(
        self,
        symbols: Sequence[str],
        kinds: Collection[RawFile],
        from_ns: int,
        to_ns: int,
        on_read: Callable[[], None],
    ) -> RecordedMarket: ...
    def exchange_ahead_ns(self, runs: Sequence[str]) -> int: ...
    def draft(self, session_id: str, instruments: tuple[Instrument, ...]) -> SessionInTheMaking: ...
    def open(self, session_id: str, start_ns: int | None) -> MarketData: ...
