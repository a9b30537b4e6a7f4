"""Records of a foreign recording through the market hub: the same numbering, grid and gap rules as live."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from market.domain.events import EventChunk
from market.domain.frames import FRAME_DTYPE, Frames
from market.domain.instruments import Instrument
from market.domain.recordings import FaultLog, RawRecord
from market.services.hub import BadPayload, MarketHub

_NO_FRAMES: Frames = np.zeros(0, FRAME_DTYPE)


class _Collector:
    """Stands where the hub expects a kernel: takes the chunks; frames are its reader's business."""

    def __init__(self) -> None:
        self.chunks: list[EventChunk] = []

    def process(self, chunk: EventChunk) -> Frames:
        self.chunks.append(chunk)
        return _NO_FRAMES

    def advance(self, now_ns: int) -> Frames:
        del now_ns
        return _NO_FRAMES


def hub_chunks(
    records: Iterator[RawRecord],
    instruments: Sequence[Instrument],
    faults: FaultLog,
    chunk_messages: int,
) -> Iterator[EventChunk]:
    """Records through the market hub, as chunks of at most about `chunk_messages`."""
    collector = _Collector()
    hub = MarketHub(instruments, collector, clock=_no_clock)
    takes = {
        "trade": hub.on_raw_trade,
        "orderbook": hub.on_raw_orderbook,
        "ticker": hub.on_raw_ticker,
    }
    flush_at = chunk_messages
    for record in records:
        try:
            takes[record.kind](record.symbol, record.payload, record.received_ns)
        except BadPayload as error:
            faults.add(error.kind, record.path, record.line, error.detail)
        if hub.seq >= flush_at:
            hub.flush()
            flush_at = hub.seq + chunk_messages
            yield from collector.chunks
            collector.chunks.clear()
    hub.flush()
    yield from collector.chunks


def _no_clock() -> int:
    raise AssertionError("a replay has no clock: every record brings its receive time")
