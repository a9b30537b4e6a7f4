"""How late the venue's words reach us, and how long a frame takes to leave: the market's own stages."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

import numpy as np

from failover.domain.latency import ClockOffset, ClockSample, LatencyTable, Summary
from market.domain.events import EventChunk, EventKind
from market.domain.frames import Frames
from market.ports import VenueUnreachable

logger = logging.getLogger(__name__)

EXCHANGE_TO_RECEIVE = "exchangeToReceive"
RECEIVE_TO_FRAME = "receiveToFrame"
_SAMPLES_AT_START, _EVERY_S, _RETRY_S = 3, 60.0, 10.0
# Told by our own clock: the venue said nothing of when they happened.
_OURS = (EventKind.FEED_GAP, EventKind.LIVENESS)

Clock = Callable[[], int]


class MarketLatency:
    """A `ChunkSink` and a `FrameSink`; as the last of the frame sinks it sees frames that have left.

    Nothing is said of the way from the venue before its clock is known: a stopped watch is right twice a
    day, a wrong offset never.
    """

    def __init__(self, clock: Clock = time.time_ns) -> None:
        self.offset = ClockOffset()
        self._clock = clock
        self._table = LatencyTable((EXCHANGE_TO_RECEIVE, RECEIVE_TO_FRAME))

    def take_chunk(self, chunk: EventChunk) -> None:
        best = self.offset.best
        if best is None:
            return
        is_theirs = ~np.isin(chunk.kind, _OURS)
        late_ns = (chunk.core_ts_ns - chunk.exchange_ts_ns)[is_theirs] + best.offset_ns
        self._table.add_many(EXCHANGE_TO_RECEIVE, late_ns, self._clock())

    def take_frames(self, frames: Frames) -> None:
        now_ns = self._clock()
        self._table.add_many(RECEIVE_TO_FRAME, now_ns - frames["ts_ns"], now_ns)

    def details(self) -> dict[str, dict[str, dict[str, Summary]] | dict[str, float] | None]:
        """For the heartbeat: `latency` by stage, and what is known of the venue's clock."""
        best = self.offset.best
        clock = None
        if best is not None:
            clock = {
                "offsetMs": round(best.offset_ns / 1e6, 3),
                "errorMs": round(best.round_trip_ns / 2e6, 3),
            }
        return {"latency": self._table.summary(self._clock()), "venueClock": clock}


async def follow_clock(offset: ClockOffset, ask: Callable[[], ClockSample]) -> None:
    """Ask the venue's time now and then, until cancelled; `ask` blocks and runs in a thread."""
    taken, is_failing = 0, False
    while True:
        try:
            offset.add(await asyncio.to_thread(ask))
            taken, is_failing, wait_s = taken + 1, False, _EVERY_S
        except VenueUnreachable as error:
            if not is_failing:
                logger.warning("venue_time_unknown", extra={"reason": str(error)})
            is_failing, wait_s = True, _RETRY_S
        await asyncio.sleep(0.2 if taken < _SAMPLES_AT_START and not is_failing else wait_s)
