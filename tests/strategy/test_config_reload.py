"""Another config while the strategy decides: over a real bus, and each decision goes by one of them."""

from __future__ import annotations

import asyncio
from itertools import groupby
from pathlib import Path
from typing import Any

import msgspec
import pytest
from asgiref.sync import sync_to_async
from redis.asyncio import Redis

from failover import wiring
from failover.adapters.streams import StreamWriter
from failover.models import AuditSource, ConfigVersion
from failover.services import config_store as store
from failover.services.audit import Actor
from failover.services.host import ServiceContext
from market.domain.frames import pack_frames
from strategy.domain.messages import (
    OrderRequest,
    RepriceHint,
    RiskSnapshot,
    ScoreUpdate,
    StateEvent,
)
from strategy.wiring import start_strategy
from tests.strategy.builders import STRONG_LONG, Feed, a_snapshot, an_instrument, balanced

pytestmark = pytest.mark.django_db(transaction=True)

PREFIX = "t:"
DECIDING = {"market": {"warmupS": 1}, "strategy": {"edgeCoef": 5.0, "scoreUpdateMs": 100}}
DECODE_NEWS = msgspec.msgpack.Decoder(list[StateEvent | ScoreUpdate | RiskSnapshot]).decode
DECODE_WISH = msgspec.msgpack.Decoder(OrderRequest | RepriceHint).decode


@sync_to_async
def activated(document: dict[str, Any]) -> ConfigVersion:
    actor = Actor(name="anna", source=AuditSource.CLI)
    version = store.save_version(msgspec.json.encode(document), actor=actor)
    store.activate(version.pk, actor=actor)
    return version


async def running(context: ServiceContext) -> None:
    while True:
        if context.phase == "RUNNING":
            return
        await asyncio.sleep(0.01)


async def told(bus: Redis) -> list[Any]:
    entries: Any = await bus.xrange(PREFIX + "strategy.events")
    return [message for _, fields in entries for message in DECODE_NEWS(fields[b"d"])]


async def wishes(bus: Redis) -> list[Any]:
    entries: Any = await bus.xrange(PREFIX + "strategy.requests")
    return [DECODE_WISH(fields[b"d"]) for _, fields in entries]


class Market:
    """Symbols, frames and execution's word, as the strategy hears them."""

    def __init__(self, bus: Redis) -> None:
        self.feed = Feed(2)
        self._symbols = StreamWriter(bus, PREFIX + "market.symbols", 100)
        self._frames = StreamWriter(bus, PREFIX + "market.frames", 10_000)
        self._news = StreamWriter(bus, PREFIX + "execution.events", 10_000)

    async def table(self) -> None:
        names = ("BTCUSDT", "ETHUSDT")
        self._symbols.append(msgspec.msgpack.encode([an_instrument(name) for name in names]))
        assert await self._symbols.flush()

    async def send(self, frames: Any) -> None:
        self._frames.append(pack_frames(frames), len(frames))
        self._news.append(msgspec.msgpack.encode([a_snapshot(self.feed.now_ns)]))
        assert await self._frames.flush()
        assert await self._news.flush()
        await asyncio.sleep(0.02)  # a market leaves the strategy time, too

    async def close(self) -> None:
        for writer in (self._symbols, self._frames, self._news):
            await writer.close()


async def test_every_decision_carries_one_version_and_they_change_once(
    redis_client: Redis, settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wiring, "LOOK_EVERY_S", 3600.0)
    settings.DATA_DIR, settings.BUS_PREFIX = tmp_path, PREFIX
    first = await activated(DECIDING)
    follower = await asyncio.to_thread(wiring.open_config, "strategy", settings)
    market, context = Market(redis_client), ServiceContext(name="strategy")
    await market.table()
    task = asyncio.create_task(
        start_strategy(context, redis_client, settings, follower, frozenset())
    )
    try:
        async with asyncio.timeout(60):
            await running(context)
            while not await told(redis_client):
                await market.send(balanced(market.feed, 1.0))
            second = await activated(
                DECIDING | {"strategy": {"edgeCoef": 5.0, "scoreUpdateMs": 100, "armFrames": 4}}
            )
            while not any(w.config_version == second.content for w in await wishes(redis_client)
                          if isinstance(w, OrderRequest)):  # fmt: skip
                await market.send(market.feed.frames(3, **STRONG_LONG))
    finally:
        context.stop("test over")
        await asyncio.wait_for(task, 20)
        for close in reversed(context._closers):
            await close()
        await market.close()

    versions = [
        m.config_version for m in await told(redis_client) if not isinstance(m, RiskSnapshot)
    ]
    requests = [w for w in await wishes(redis_client) if isinstance(w, OrderRequest)]
    assert [version for version, _ in groupby(versions)] == [first.content, second.content]
    # The activation is under way for a moment: what is asked meanwhile carries the first version.
    asked = [version for version, _ in groupby(w.config_version for w in requests)]
    assert asked in ([second.content], [first.content, second.content])
    assert context.beat(0.0).details["configNumber"] == second.pk
