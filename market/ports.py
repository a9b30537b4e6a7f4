"""What the market services need from the outside."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol

from market.domain.events import EventChunk
from market.domain.frames import Frames

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


class LineFile(Protocol):
    """Appends whole lines to one file: `failover.adapters.jsonl.JsonlAppender`."""

    def append_lines(self, lines: Iterable[bytes]) -> None:
        """Write records (no line feeds inside) with one write(). Raises StorageError, DiskFull."""

    def sync(self) -> None:
        """Wait until the disk has what was written. Raises StorageError."""

    def close(self) -> None: ...
