"""The service on a real bus: streams in, streams, files and rows out."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from redis.asyncio import Redis

from failover.adapters.archive import Archive
from failover.adapters.files import read_json_snapshot, read_jsonl
from failover.adapters.heartbeats import read_heartbeats
from failover.adapters.streams import StreamWriter
from failover.services.host import ServiceContext
from market.domain.frames import Frames, pack_frames
from strategy.adapters.state_event_rows import StateEventRows
from strategy.domain.config import DecisionConfig
from strategy.domain.messages import (
    ExecutionEvent,
    ExecutionSnapshot,
    OrderRequest,
    RepriceHint,
    RiskSnapshot,
    ScoreUpdate,
    StateEvent,
)
from strategy.models import StateEventRecord
from strategy.services.decision_loop import DecisionLoop, Streams
from tests.strategy.builders import (
    STRONG_LONG,
    Feed,
    S,
    a_config,
    a_position,
    a_snapshot,
    an_instrument,
    balanced,
)

STREAMS = Streams.with_prefix("t:")
ROOT = Path(__file__).parents[2]
DECODE_WISH = msgspec.msgpack.Decoder(OrderRequest | RepriceHint).decode
DECODE_NEWS = msgspec.msgpack.Decoder(list[StateEvent | ScoreUpdate | RiskSnapshot]).decode


async def until(condition: Callable[[], Any], within_s: float = 60.0) -> Any:
    async with asyncio.timeout(within_s):
        while True:
            found = condition()
            if asyncio.iscoroutine(found):
                found = await found
            if found:
                return found
            await asyncio.sleep(0.01)


class Bus:
    """Market and execution, as the strategy sees them on the bus."""

    def __init__(self, client: Redis, streams: Streams = STREAMS) -> None:
        self.client = client
        self.streams = streams
        self.feed = Feed(2, start_ns=(time.time_ns() // S - 60) * S)
        self.symbols = StreamWriter(client, streams.symbols, 100)
        self.frames = StreamWriter(client, streams.frames, 10_000)
        self.news = StreamWriter(client, streams.news, 10_000)

    async def table(self, *names: str) -> None:
        self.symbols.append(msgspec.msgpack.encode([an_instrument(name) for name in names]))
        assert await self.symbols.flush()

    async def send_frames(self, frames: Frames) -> None:
        self.frames.append(pack_frames(frames), len(frames))
        assert await self.frames.flush()

    async def send_news(self, *messages: ExecutionEvent | ExecutionSnapshot) -> None:
        self.news.append(msgspec.msgpack.encode(list(messages)), len(messages))
        assert await self.news.flush()

    async def wishes(self) -> list[OrderRequest | RepriceHint]:
        entries: Any = await self.client.xrange(self.streams.requests)
        return [DECODE_WISH(fields[b"d"]) for _, fields in entries]

    async def opens(self) -> list[OrderRequest]:
        return [w for w in await self.wishes() if isinstance(w, OrderRequest) and w.plan]

    async def told(self) -> list[StateEvent | ScoreUpdate | RiskSnapshot]:
        entries: Any = await self.client.xrange(self.streams.events)
        return [message for _, fields in entries for message in DECODE_NEWS(fields[b"d"])]

    async def close(self) -> None:
        for writer in (self.symbols, self.frames, self.news):
            await writer.close()


@pytest.fixture
async def bus(redis_client: Redis) -> AsyncIterator[Bus]:
    market = Bus(redis_client)
    yield market
    await market.close()


@asynccontextmanager
async def running(
    client: Redis,
    data_dir: Path,
    *,
    run_id: str = "s1",
    only: tuple[str, ...] = (),
    rows: bool = False,
    config: DecisionConfig | None = None,
) -> AsyncIterator[tuple[DecisionLoop, ServiceContext]]:
    loop = DecisionLoop(
        client,
        STREAMS,
        config or a_config(),
        Archive(data_dir, state_event_sinks=[StateEventRows()] if rows else []),
        run_id=run_id,
        data_dir=data_dir,
        only_symbols=frozenset(only),
    )
    context = ServiceContext(name="strategy")
    task = asyncio.create_task(loop.run(context))
    try:
        await until(lambda: context.phase == "RUNNING" or task.done())
        yield loop, context
    finally:
        context.stop("test over")
        loop.stop()
        await asyncio.wait_for(task, 10)
        await loop.close()


async def warm_and_adopted(bus: Bus, loop: DecisionLoop) -> None:
    frames = balanced(bus.feed, 3.0)
    await bus.send_frames(frames)
    await bus.send_news(a_snapshot(bus.feed.now_ns))
    await until(lambda: loop.counts["frames"] >= len(frames) and loop._core.adopted)  # type: ignore[union-attr]


@pytest.mark.django_db(transaction=True)
async def test_a_signal_on_the_bus_becomes_a_request_and_leaves_its_records(
    bus: Bus, tmp_path: Path
) -> None:
    await bus.table("BTCUSDT", "ETHUSDT")
    async with running(bus.client, tmp_path, rows=True) as (loop, _):
        await warm_and_adopted(bus, loop)
        await bus.send_frames(bus.feed.frames(12, **STRONG_LONG))
        opened = await until(bus.opens)
        risk_path = tmp_path / "system" / "risk_snapshot.json"
        await until(risk_path.exists)

    assert {request.symbol for request in opened} == {"BTCUSDT", "ETHUSDT"}
    told = await bus.told()
    moves = [(e.from_state, e.to_state) for e in told if isinstance(e, StateEvent)]
    records = list(read_jsonl(tmp_path / "events" / "BTCUSDT.jsonl"))
    assert [r["toState"] for r in records] == ["WATCH", "ARM", "ENTRY_PENDING"]
    assert set(records[0]) >= {
        "timestamp", "symbol", "fromState", "toState", "eventType", "reason", "extra",
    }  # fmt: skip
    assert records[-1]["extra"]["requestId"] == opened[0].request_id
    assert len(moves) == 6
    count = await asyncio.to_thread(StateEventRecord.objects.count)
    assert count == 6
    risk = read_json_snapshot(risk_path)
    assert risk["account"]["equity"] == 10_000.0
    assert risk["riskFlags"]["riskAllowNewPositions"] is True


async def test_a_restarted_strategy_waits_for_its_old_requests_and_then_adopts(
    bus: Bus, tmp_path: Path
) -> None:
    await bus.table("BTCUSDT", "ETHUSDT")
    async with running(bus.client, tmp_path) as (loop, _):
        await warm_and_adopted(bus, loop)
        await bus.send_frames(bus.feed.frames(4, **STRONG_LONG))
        first = await until(bus.opens)
    entries: Any = await bus.client.xrange(STREAMS.requests)
    last_id = entries[-1][0].decode()

    async with running(bus.client, tmp_path, run_id="s2") as (loop, _):
        await bus.send_news(a_snapshot(bus.feed.now_ns))
        await bus.send_frames(bus.feed.frames(5, **STRONG_LONG))
        await until(lambda: loop.counts["frames"] == 10)
        assert not loop._core.adopted  # type: ignore[union-attr]
        held = {request.symbol: request.request_id for request in first}
        await bus.send_news(
            a_snapshot(bus.feed.now_ns, requests_stream_id=last_id, pending_entries=held)
        )
        await until(lambda: loop._core.adopted)  # type: ignore[union-attr]
        await bus.send_frames(bus.feed.frames(5, **STRONG_LONG))
        await until(lambda: loop.counts["frames"] == 20)

    assert await bus.opens() == first


async def test_scales_survive_a_restart(bus: Bus, tmp_path: Path) -> None:
    """Without them the second run would be blind for the warm-up."""
    await bus.table("BTCUSDT", "ETHUSDT")
    async with running(bus.client, tmp_path) as (loop, _):
        await warm_and_adopted(bus, loop)

    async with running(bus.client, tmp_path, run_id="s2") as (second, _):
        await bus.send_news(a_snapshot(bus.feed.now_ns))
        await bus.send_frames(bus.feed.frames(5, **STRONG_LONG))

        assert await until(bus.opens)

    assert re.fullmatch(r"restored state [0-9a-f]{12} of [0-9: -]+ UTC", second.state_outcome)
    told = [event for event in await bus.told() if isinstance(event, StateEvent)]
    assert second.state_outcome in [event.reason for event in told if event.symbol == "GLOBAL"]


async def test_a_state_too_old_is_not_used_and_that_is_said(bus: Bus, tmp_path: Path) -> None:
    await bus.table("BTCUSDT", "ETHUSDT")
    async with running(bus.client, tmp_path) as (loop, _):
        await warm_and_adopted(bus, loop)

    short = a_config(strategy={"checkpoint_max_age_s": 1.0})
    async with running(bus.client, tmp_path, run_id="s2", config=short) as (loop, _):
        await until(lambda: loop.state_outcome.startswith("checkpoint is"))

        assert "limit 1 s" in loop.state_outcome


async def test_missed_news_stops_entries_until_the_next_snapshot(bus: Bus, tmp_path: Path) -> None:
    await bus.table("BTCUSDT", "ETHUSDT")
    async with running(bus.client, tmp_path) as (loop, _):
        await warm_and_adopted(bus, loop)
        bus.news._next_number += 5  # five records that the bus lost
        await bus.send_news(ExecutionEvent(type="EXECUTION_ORDER_PLACED", symbol="X", ts_ns=1))  # type: ignore[arg-type]
        await until(lambda: loop.counts["gaps"] == 1)
        sent = loop.counts["frames"]
        await bus.send_frames(bus.feed.frames(10, **STRONG_LONG))
        await until(lambda: loop.counts["frames"] == sent + 20)
        assert await bus.opens() == []

        await bus.send_news(a_snapshot(bus.feed.now_ns))
        await bus.send_frames(bus.feed.frames(2, **STRONG_LONG))

        assert await until(bus.opens)


async def test_a_restarted_market_with_another_table_is_followed(bus: Bus, tmp_path: Path) -> None:
    await bus.table("BTCUSDT", "ETHUSDT")
    async with running(bus.client, tmp_path) as (loop, _):
        await warm_and_adopted(bus, loop)
        held = a_position("BTCUSDT")
        await bus.send_news(a_snapshot(bus.feed.now_ns, positions=(held,)))
        await bus.table("ETHUSDT", "BTCUSDT")
        bus.feed.restart()
        sent = loop.counts["frames"]
        await bus.send_frames(bus.feed.frames(10, **STRONG_LONG))
        await until(lambda: loop.counts["frames"] == sent + 20)
        opened = await until(bus.opens)

    assert [request.symbol for request in opened] == ["ETHUSDT"]


async def test_a_shard_decides_for_its_own_symbols_only(bus: Bus, tmp_path: Path) -> None:
    await bus.table("BTCUSDT", "ETHUSDT")
    async with running(bus.client, tmp_path, only=("ETHUSDT",)) as (loop, _):
        await warm_and_adopted(bus, loop)
        await bus.send_news(a_snapshot(bus.feed.now_ns, positions=(a_position("BTCUSDT"),)))
        await bus.send_frames(bus.feed.frames(5, **STRONG_LONG))
        opened = await until(bus.opens)

    assert [request.symbol for request in opened] == ["ETHUSDT"]
    assert {m.symbol for m in await bus.told() if isinstance(m, StateEvent)} == {"ETHUSDT"}


async def test_entries_that_cannot_be_read_are_counted_and_passed_over(
    bus: Bus, tmp_path: Path
) -> None:
    await bus.table("BTCUSDT", "ETHUSDT")
    async with running(bus.client, tmp_path) as (loop, _):
        bus.frames.append(b"torn", 1)
        bus.news.append(b"\xc1", 1)
        bus.symbols.append(b"\xc1", 1)
        for writer in (bus.frames, bus.news, bus.symbols):
            assert await writer.flush()
        await warm_and_adopted(bus, loop)
        await bus.send_frames(bus.feed.frames(5, **STRONG_LONG))

        assert await until(bus.opens)
        assert sum(loop._bad_entries.counts.values()) == 3


async def test_the_command_beats_and_ends_cleanly(redis_client: Redis, tmp_path: Path) -> None:
    from django.conf import settings

    data_dir = tmp_path / "data"
    environment = os.environ | {
        "DATA_DIR": str(data_dir),
        "REDIS_URL": settings.REDIS_URL,
        "SERVICE_CLUSTER_ID": "t-strategy",
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "manage.py", "run_strategy", cwd=ROOT, env=environment,
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
    )  # fmt: skip
    try:
        beats = await until(
            lambda: read_heartbeats(redis_client, "t-strategy:bus:", ["strategy"]), 60.0
        )
        assert beats["strategy"].phase in ("STARTING", "RUNNING")
        process.send_signal(signal.SIGTERM)
        _, errors = await asyncio.wait_for(process.communicate(), 60)
    finally:
        if process.returncode is None:
            process.kill()

    assert process.returncode == 0, errors.decode()


def test_a_wrong_config_ends_the_command_with_one_clear_line() -> None:
    done = subprocess.run(
        [sys.executable, "manage.py", "run_strategy", "--config", "nope"],
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip

    assert done.returncode != 0
    assert "config nope is refused" in done.stderr.strip().splitlines()[-1]
