"""What the market measures of itself: from the venue's clock to ours, and from event to frame."""

from __future__ import annotations

import asyncio

import numpy as np

from failover.domain.latency import ClockSample
from market.domain.events import BUY, ChunkBuilder, EventChunk, EventKind
from market.domain.frames import FRAME_DTYPE
from market.ports import VenueUnreachable
from market.services.latency import MarketLatency, follow_clock

MS = 1_000_000
NOW_NS = 1_760_000_000_000 * MS


def a_chunk(kind: EventKind, late_ms: int) -> EventChunk:
    builder = ChunkBuilder()
    builder.add(
        kind,
        symbol=0,
        seq=1,
        core_ts_ns=NOW_NS,
        exchange_ts_ns=NOW_NS - late_ms * MS,
        levels=[(BUY, 1, 1)] if kind is EventKind.TRADE else [],
    )
    return builder.take()


def minute(latency: MarketLatency, stage: str) -> dict[str, float | int | None]:
    return latency._table.summary(NOW_NS)[stage]["minute"]


def test_the_venues_delay_is_told_on_its_own_clock_and_not_before_it_is_known() -> None:
    latency = MarketLatency(lambda: NOW_NS)
    latency.take_chunk(a_chunk(EventKind.TRADE, 500))
    assert minute(latency, "exchangeToReceive")["n"] == 0

    latency.offset.add(ClockSample(0, -470 * MS, 0))  # the venue's clock is 470 ms behind
    latency.take_chunk(a_chunk(EventKind.TRADE, 500))

    assert minute(latency, "exchangeToReceive")["maxMs"] == 30.0


def test_what_we_said_ourselves_has_no_way_behind_it() -> None:
    latency = MarketLatency(lambda: NOW_NS)
    latency.offset.add(ClockSample(0, 0, 0))

    latency.take_chunk(a_chunk(EventKind.LIVENESS, 0))

    assert minute(latency, "exchangeToReceive")["n"] == 0


def test_a_frame_is_measured_from_its_core_time_to_its_leaving() -> None:
    latency = MarketLatency(lambda: NOW_NS)
    frames = np.zeros(2, FRAME_DTYPE)
    frames["ts_ns"] = [NOW_NS - 3 * MS, NOW_NS - 5 * MS]

    latency.take_frames(frames)

    summary = minute(latency, "receiveToFrame")
    assert (summary["n"], summary["maxMs"]) == (2, 5.0)


async def test_a_venue_that_does_not_answer_is_asked_again() -> None:
    latency, asked = MarketLatency(lambda: NOW_NS), 0

    def ask() -> ClockSample:
        nonlocal asked
        asked += 1
        if asked == 2:
            raise VenueUnreachable("gone")
        return ClockSample(0, 7, 0)

    task = asyncio.create_task(follow_clock(latency.offset, ask))
    async with asyncio.timeout(60):
        while asked < 2:  # noqa: ASYNC110  (a thread counts)
            await asyncio.sleep(0.01)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)

    assert latency.offset.best is not None
    assert latency.offset.best.offset_ns == 7
