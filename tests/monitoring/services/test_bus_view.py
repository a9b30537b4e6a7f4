"""The view follows a real bus: what services write is what it shows, through restarts and rubbish."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import msgspec
import pytest
from redis.asyncio import Redis

from failover.adapters.bus import connect_bus
from failover.adapters.heartbeats import write_heartbeat
from failover.adapters.streams import StreamWriter
from failover.domain.heartbeat import Heartbeat
from failover.services.valkey import ValkeyServer
from monitoring.domain.times import iso_of_ms
from monitoring.domain.view import OVERVIEW, DashboardView
from monitoring.services.bus_view import BusView
from monitoring.services.fanout import Fanout
from monitoring.services.live import now_ms

PREFIX = "test:bus:"


async def until(condition: Callable[[], bool], within_s: float = 60.0) -> None:
    async with asyncio.timeout(within_s):
        while not condition():  # noqa: ASYNC110  (the state of another process has no event)
            await asyncio.sleep(0.01)


def an_order_row(client_order_id: str) -> bytes:
    now = iso_of_ms(now_ms())
    row = {
        "record": "ORDER", "timestamp": now, "updatedAt": now, "clientOrderId": client_order_id,
        "symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT", "status": "NEW", "qty": 0.01,
    }  # fmt: skip
    return msgspec.msgpack.encode([row])


class Followed:
    def __init__(self, url: str) -> None:
        self.fanout = Fanout(DashboardView(mode="SIM", bybit_env="LOCAL"))
        self.bus_view = BusView(self.fanout, url=url, prefix=PREFIX)

    def orders(self) -> set[str]:
        return set((self.fanout.state(OVERVIEW) or {})["orders"])

    def lamp(self, name: str) -> str:
        return str((self.fanout.state(OVERVIEW) or {})["services"].get(name, {}).get("status"))


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[ValkeyServer]:
    server = ValkeyServer(tmp_path / "v.sock")
    await asyncio.to_thread(server.start)
    yield server
    await asyncio.to_thread(server.stop)


@pytest.fixture
async def client(server: ValkeyServer) -> AsyncIterator[Redis]:
    client = connect_bus(server.url)
    yield client
    await client.aclose()


@pytest.fixture
async def followed(server: ValkeyServer) -> AsyncIterator[Followed]:
    followed = Followed(server.url)
    task = asyncio.create_task(followed.bus_view.run())
    yield followed
    assert not task.done(), "the view must outlive everything"
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_what_was_said_before_the_start_is_seen_too(
    server: ValkeyServer, client: Redis
) -> None:
    writer = StreamWriter(client, PREFIX + "execution.records", 100)
    writer.append(an_order_row("before"))
    assert await writer.flush()

    followed = Followed(server.url)
    task = asyncio.create_task(followed.bus_view.run())

    await until(lambda: followed.orders() == {"before"})
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await writer.close()


async def test_rubbish_on_a_stream_is_counted_and_passed_over(
    followed: Followed, client: Redis
) -> None:
    writer = StreamWriter(client, PREFIX + "execution.records", 100)
    for payload in (b"\xc1rubbish", msgspec.msgpack.encode([{"record": "ORDER"}]), b""):
        writer.append(payload)
    writer.append(an_order_row("after"))

    await until(lambda: followed.orders() == {"after"})

    assert followed.bus_view.unreadable["execution.records"] == 3
    await writer.close()


async def test_the_view_goes_on_after_the_bus_was_killed_and_came_back(
    followed: Followed, client: Redis, server: ValkeyServer
) -> None:
    writer = StreamWriter(client, PREFIX + "execution.records", 100)
    writer.append(an_order_row("first"))
    await until(lambda: followed.orders() == {"first"} and followed.lamp("bus") == "OK")

    await asyncio.to_thread(server.kill)
    await until(lambda: followed.lamp("bus") == "ERROR")
    await asyncio.to_thread(server.start)
    writer.append(an_order_row("second"))

    await until(lambda: followed.orders() == {"first", "second"})
    await until(lambda: followed.lamp("bus") == "OK")
    await writer.close()


async def test_a_service_is_green_while_it_beats(followed: Followed, client: Redis) -> None:
    beat = Heartbeat(
        service="market", boot_id="b", pid=1, phase="RUNNING", lag_ms=0.1, message="", details={},
        ts=iso_of_ms(now_ms()),
    )  # fmt: skip
    await write_heartbeat(client, PREFIX, beat)

    await until(lambda: followed.lamp("market") == "OK")

    assert followed.lamp("strategy") == "ERROR"
    await until(lambda: followed.lamp("market") == "ERROR")  # it beat only once
