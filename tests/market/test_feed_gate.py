"""The live connector is open while the run mode is LIVE, and only then."""

from __future__ import annotations

import asyncio
from typing import Any

from failover.domain.run_mode import RunMode
from failover.services.host import ServiceContext
from market.services.runtime import FeedGate
from market.wiring import _follow


class CountedFeed:
    """Says how often it was opened and whether it is open."""

    def __init__(self) -> None:
        self.opened = 0
        self.is_connected = False
        self.turned = asyncio.Event()

    async def run(self, stopping: asyncio.Event) -> None:
        self.opened += 1
        self.is_connected = True
        self.turned.set()
        await stopping.wait()
        self.is_connected = False
        self.turned.set()

    async def turn(self) -> None:
        async with asyncio.timeout(60):
            await self.turned.wait()
        self.turned.clear()


REPLAY = RunMode(run_mode="REPLAY", epoch=3, session_id="s")


async def test_a_replay_closes_the_feed_and_its_end_opens_it_again() -> None:
    feed, gate, stopping = CountedFeed(), FeedGate(), asyncio.Event()
    context = ServiceContext(name="market")
    running = asyncio.create_task(gate.feed(feed, stopping))

    _follow(context, gate, RunMode())
    await feed.turn()
    assert feed.is_connected
    _follow(context, gate, REPLAY)
    await feed.turn()
    assert not feed.is_connected
    assert context.beat(0.0).details["runModeEpoch"] == 3
    assert "REPLAY of s" in context.message
    _follow(context, gate, RunMode(epoch=4))
    await feed.turn()

    assert (feed.opened, feed.is_connected, context.message) == (2, True, "")
    stopping.set()
    await asyncio.wait_for(running, 10)


async def test_a_service_that_starts_during_a_replay_opens_nothing() -> None:
    feed, gate, stopping = CountedFeed(), FeedGate(), asyncio.Event()
    running: asyncio.Task[Any] = asyncio.create_task(gate.feed(feed, stopping))
    _follow(ServiceContext(name="market"), gate, REPLAY)
    await asyncio.sleep(0)

    stopping.set()
    await asyncio.wait_for(running, 10)

    assert feed.opened == 0
