"""What the market services need from the outside."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

from market.domain.events import EventChunk
from market.domain.frames import Frames
from market.domain.instruments import Instrument

Clock = Callable[[], int]
"""Nanoseconds since the epoch, UTC; never goes back."""


class Kernel(Protocol):
    """`market.domain.kernel.MarketKernel`: books and features of all symbols."""

    def process(self, chunk: EventChunk) -> Frames:
        """Consume all messages; return the frames made, in emission order."""

    def advance(self, now_ns: int) -> Frames:
        """Let core time reach `now_ns`; return the boundary frames that passed."""


class ChunkSink(Protocol):
    """Takes the raw stream, in order. Called on the feed's path: must neither block nor raise."""

    def take_chunk(self, chunk: EventChunk) -> None: ...


class FrameSink(Protocol):
    """Takes frames, in order. Called on the feed's path: must neither block nor raise."""

    def take_frames(self, frames: Frames) -> None: ...


class RawMarketSink(Protocol):
    """Where a connector puts what it hears: `market.services.hub.MarketHub`.

    The `on_raw_*` methods raise BadPayload for a message that cannot be taken.
    """

    def on_raw_trade(self, symbol: str, payload: Mapping[str, Any]) -> None: ...

    def on_raw_orderbook(self, symbol: str, payload: Mapping[str, Any]) -> None: ...

    def on_raw_ticker(self, symbol: str, payload: Mapping[str, Any]) -> None: ...

    def on_gap(self, symbol: str) -> None: ...

    def on_liveness(self, symbol: str) -> None: ...


class LineFile(Protocol):
    """Appends whole lines to one file: `failover.adapters.jsonl.JsonlAppender`."""

    def append_lines(self, lines: Iterable[bytes]) -> None:
        """Write records (no line feeds inside) with one write(). Raises StorageError, DiskFull."""

    def sync(self) -> None:
        """Wait until the disk has what was written. Raises StorageError."""

    def close(self) -> None: ...


class VenueUnreachable(Exception):
    """The venue gave no usable answer: keep what you have, say so, try again later."""


class StoreUnavailable(Exception):
    """The database did not answer: the feed goes on without it, say so, try again later."""


class InstrumentStore(Protocol):
    """Where the last known rules are kept. Both methods block and raise StoreUnavailable."""

    def load(self) -> list[Instrument]: ...

    def save(self, instruments: Sequence[Instrument]) -> int: ...
