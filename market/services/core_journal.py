"""What the kernel consumes and gives, into the journal: a proof feeds it to another kernel.

The hub hands a chunk out after the kernel has had it and before its frames, all without a pause in between,
so the order in the journal is the order in which the kernel saw things.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from failover.adapters.journal import JournalWriter
from market.domain.config import MarketConfig
from market.domain.events import EventChunk
from market.domain.frames import Frames, pack_frames
from market.domain.instruments import Instrument
from market.domain.journal_words import (
    RAW_STREAM,
    InputKind,
    MarketBegun,
    MarketStood,
    encode,
)


class MarketJournal:
    """A `ChunkSink` and a `FrameSink`; the first of each kind that the hub is given."""

    def __init__(
        self,
        writer: JournalWriter,
        instruments: Sequence[Instrument],
        config: MarketConfig,
        now_ns: int,
    ) -> None:
        self._writer = writer
        self._config = config
        self._seq = self._frames = 0
        self._at_ns = now_ns
        begun = MarketBegun(instruments=list(instruments), config=config)
        writer.begin(now_ns, encode(begun))

    def take_chunk(self, chunk: EventChunk) -> None:
        if len(chunk):
            first, self._seq = int(chunk.seq[0]), int(chunk.seq[-1])
            self._at_ns = int(chunk.core_ts_ns[-1])
            self._writer.take_range(
                InputKind.RAW, self._at_ns, RAW_STREAM, self._writer.run_id, first, len(chunk), b""
            )

    def take_frames(self, frames: Frames) -> None:
        self._frames += len(frames)
        self._writer.made(pack_frames(frames))

    def take_time(self, now_ns: int) -> None:
        """Time alone makes frames: told before they are handed out."""
        self._at_ns = now_ns
        self._writer.take(InputKind.TIME, now_ns)

    def take_config(self, config: MarketConfig) -> None:
        """The kernel goes on under another config; told before it does."""
        self._config = config
        self._writer.take(InputKind.CONFIG, self._at_ns, encode(config))

    def keep_state(self, kernel_state: Callable[[], bytes]) -> None:
        """Write the whole state when it is due; between two inputs."""
        if self._writer.wants_checkpoint():
            stood = MarketStood(
                seq=self._seq, frames=self._frames, config=self._config, kernel=kernel_state()
            )
            self._writer.stood(self._at_ns, encode(stood))

    def details(self) -> dict[str, Any]:
        """For the heartbeat."""
        return self._writer.details()

    def close(self) -> None:
        """Write what is queued; blocks for some seconds at most."""
        self._writer.close(self._at_ns)
