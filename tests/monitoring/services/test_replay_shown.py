"""While the system is in REPLAY the view is made of the replay's streams, and of them alone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import msgspec
import pytest
from redis.asyncio import Redis

from execution.domain.synthetic_instruments import synthetic_instruments
from failover.adapters.heartbeats import write_heartbeat
from failover.adapters.streams import StreamWriter
from failover.domain.heartbeat import Heartbeat
from failover.domain.run_mode import RunMode
from market.domain.instruments import Instrument
from monitoring.domain.times import iso_of_ms
from monitoring.domain.view import OVERVIEW, DashboardView, LimitsSeen
from monitoring.services import history, live
from monitoring.services.bus_view import BusView
from monitoring.services.fanout import Fanout
from monitoring.services.live import _Switch, now_ms
from replay.adapters.replay_bus import REPLAY_NAMESPACE
from tests.monitoring.domain.builders import a_score

PREFIX = "test:bus:"
REPLAY = RunMode(run_mode="REPLAY", epoch=1, session_id="S", speed_factor=4.0)


async def until(condition: Callable[[], bool], within_s: float = 60.0) -> None:
    async with asyncio.timeout(within_s):
        while not condition():  # noqa: ASYNC110  (the view has no event)
            await asyncio.sleep(0.01)


def order(client_order_id: str) -> bytes:
    now = iso_of_ms(now_ms())
    row = {
        "record": "ORDER", "timestamp": now, "updatedAt": now, "clientOrderId": client_order_id,
        "symbol": "ETHUSDT", "side": "BUY", "type": "LIMIT", "status": "NEW", "qty": 0.01,
    }  # fmt: skip
    return msgspec.msgpack.encode([row])


class Told:
    """One writer's streams of a market: a symbol table and an order."""

    def __init__(self, client: Redis, namespace: str, run_id: str) -> None:
        name = PREFIX + namespace
        self.symbols = StreamWriter(client, f"{name}market.symbols", 16, run_id=run_id)
        self.records = StreamWriter(client, f"{name}execution.records", 100, run_id=run_id)

    async def tell(self, instruments: list[Instrument], client_order_id: str) -> None:
        self.symbols.append(msgspec.msgpack.encode(instruments))
        await self.symbols.close()
        self.records.append(order(client_order_id))
        await self.records.close()


def limits_of(version: str) -> LimitsSeen:
    return LimitsSeen({"entryScore": {"of-live": 70, "of-replay": 81}[version]})


class Shown:
    def __init__(self, url: str) -> None:
        self.fanout = Fanout(DashboardView(mode="SIM", bybit_env="LOCAL"))
        bus = BusView(self.fanout, url=url, prefix=PREFIX, read_limits=limits_of)
        self.switch = _Switch(self.fanout, bus)

    def state(self) -> dict[str, object]:
        return self.fanout.state(OVERVIEW) or {}

    def orders(self) -> set[str]:
        return set(self.state()["orders"])  # type: ignore[call-overload]


@pytest.fixture
async def shown(valkey: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Shown]:
    monkeypatch.setattr(history, "remembered", list)
    shown = Shown(valkey)
    task = asyncio.create_task(shown.switch.run())
    yield shown
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_the_view_follows_the_run_mode_and_mixes_nothing(
    shown: Shown, redis_client: Redis
) -> None:
    table = synthetic_instruments(("ETHUSDT",))
    await Told(redis_client, "", "live").tell(table, "live-order")
    await until(lambda: shown.orders() == {"live-order"})

    await Told(redis_client, REPLAY_NAMESPACE, "lap1").tell(table, "replayed-order")
    shown.switch.on_run_mode(REPLAY)
    await until(lambda: shown.orders() == {"replayed-order"})
    system = shown.state()["system"]
    assert (system["mode"], system["sessionId"], system["speedFactor"]) == ("REPLAY", "S", 4.0)  # type: ignore[index]
    assert not shown.fanout.measures_age

    await Told(redis_client, REPLAY_NAMESPACE, "lap2").tell(table, "order-of-the-next-lap")
    await until(lambda: shown.orders() == {"order-of-the-next-lap"})

    shown.switch.on_run_mode(RunMode(epoch=2))
    await until(lambda: shown.orders() == {"live-order"})
    assert shown.state()["system"]["mode"] == live.fanout().state(OVERVIEW)["system"]["mode"]  # type: ignore[index]


async def test_config_and_thresholds_are_those_of_the_market_that_is_shown(
    shown: Shown, redis_client: Redis
) -> None:
    async def live_strategy_beats() -> None:
        while True:
            beat = Heartbeat(
                service="strategy", boot_id="b", pid=1, phase="RUNNING", lag_ms=0.1, message="",
                details={"configVersion": "of-live"}, ts=iso_of_ms(now_ms()),
            )  # fmt: skip
            await write_heartbeat(redis_client, PREFIX, beat)
            await asyncio.sleep(0.1)

    def decides_with() -> tuple[object, object]:
        config, limits = shown.state().get("config"), shown.state().get("limits")
        return (config or {}).get("version"), (limits or {}).get("entryScore")  # type: ignore[attr-defined]

    beats = asyncio.create_task(live_strategy_beats())
    await until(lambda: decides_with() == ("of-live", 70))

    for lap in ("lap1", "lap2"):
        table = synthetic_instruments(("ETHUSDT",))
        await Told(redis_client, REPLAY_NAMESPACE, lap).tell(table, f"order of {lap}")
        scores = StreamWriter(
            redis_client, f"{PREFIX}{REPLAY_NAMESPACE}strategy.events", 16, run_id=lap
        )
        shown.switch.on_run_mode(REPLAY)
        await until(lambda lap=lap: shown.orders() == {f"order of {lap}"})  # type: ignore[misc]
        scores.append(
            msgspec.msgpack.encode([a_score(symbol="ETHUSDT", config_version="of-replay")])
        )
        await scores.close()
        await until(lambda: decides_with() == ("of-replay", 81))

    shown.switch.on_run_mode(RunMode(epoch=2))
    await until(lambda: decides_with() == ("of-live", 70))
    beats.cancel()
    await asyncio.gather(beats, return_exceptions=True)


async def test_a_watcher_gets_a_whole_picture_of_the_other_market(
    shown: Shown, redis_client: Redis
) -> None:
    watcher = shown.fanout.join(OVERVIEW)
    shown.fanout.beat()
    first = msgspec.json.decode(await watcher.next_message())
    assert (first["type"], first["state"]["system"]["runMode"]) == ("snapshot", "LIVE")

    shown.switch.on_run_mode(REPLAY)
    async with asyncio.timeout(60):
        while True:
            message = msgspec.json.decode(await watcher.next_message())
            if message["type"] == "snapshot":
                break
    assert message["state"]["system"]["runMode"] == "REPLAY"
