"""Another config while execution holds an account: over a real bus, in its order log and its word."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from asgiref.sync import sync_to_async
from redis.asyncio import Redis

from execution.domain.operator import OperatorAction, OperatorCommand
from execution.wiring import start_execution
from failover import wiring
from failover.adapters.config_bus import publish_activation
from failover.adapters.files import read_jsonl
from failover.adapters.streams import StreamWriter
from failover.domain.config_versions import StoredVersion
from failover.models import AuditSource, ConfigVersion
from failover.services import config_store as store
from failover.services.audit import Actor
from failover.services.host import ServiceContext
from market.domain.instruments import Instrument

pytestmark = pytest.mark.django_db(transaction=True)

PREFIX = "t:"


@sync_to_async
def activated(document: dict[str, Any]) -> ConfigVersion:
    actor = Actor(name="anna", source=AuditSource.CLI)
    version = store.save_version(msgspec.json.encode(document), actor=actor)
    store.activate(version.pk, actor=actor)
    return version


class Execution:
    """The running service as others see it: its news, its log, its heartbeat."""

    def __init__(self, bus: Redis, folder: Path, context: ServiceContext) -> None:
        self.bus, self.folder, self.context = bus, folder, context
        self.operators = StreamWriter(bus, PREFIX + "operator.commands", 100)

    @property
    def details(self) -> dict[str, Any]:
        return self.context.beat(0.0).details

    def activations_logged(self) -> list[str]:
        lines = [
            line for path in self.folder.glob("orders/day-*.jsonl") for line in read_jsonl(path)
        ]
        return [line["configVersion"] for line in lines if line.get("event") == "CONFIG_ACTIVATED"]

    @property
    def safe_mode(self) -> Any:
        """Reasons in the heartbeat; None before its first report."""
        return self.details.get("safeMode")

    async def end_safe_mode(self) -> None:
        command = OperatorCommand(
            command_id="c1", action=OperatorAction.SAFE_MODE_OFF, reason="seen", actor="anna",
            source="CLI", ts_ns=1,
        )  # fmt: skip
        self.operators.append(msgspec.msgpack.encode(command))
        assert await self.operators.flush()


async def until(condition: Callable[[], Any]) -> None:
    async with asyncio.timeout(60):
        while True:
            if condition():
                return
            await asyncio.sleep(0.01)


@pytest.fixture
def here(settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(wiring, "LOOK_EVERY_S", 3600.0)
    settings.DATA_DIR, settings.BUS_PREFIX = tmp_path, PREFIX
    return settings


@asynccontextmanager
async def running(bus: Redis, settings: Any, instrument: Instrument) -> AsyncIterator[Execution]:
    symbols = StreamWriter(bus, PREFIX + "market.symbols", 100)
    symbols.append(msgspec.msgpack.encode([instrument]))
    assert await symbols.flush()
    follower = await asyncio.to_thread(wiring.open_config, "execution", settings)
    context = ServiceContext(name="execution")
    execution = Execution(bus, settings.DATA_DIR, context)
    await start_execution(context, bus, settings, follower)
    try:
        yield execution
    finally:
        context.stop("test over")
        await until(lambda: not context._tasks)
        for close in reversed(context._closers):
            await close()
        await execution.operators.close()
        await symbols.close()


async def test_an_activation_reaches_the_account_once(
    here: Any, redis_client: Redis, an_instrument: Callable[[str], Instrument]
) -> None:
    await activated({})
    async with running(redis_client, here, an_instrument("BTCUSDT")) as execution:
        second = await activated(
            {"risk": {"maxPositions": 1}, "execution": {"simBalanceUsdt": 5.0}}
        )
        await until(execution.activations_logged)
        await until(lambda: execution.details.get("configNumber") == second.pk)

    # The deposit waits for a restart: what runs is named after its own content.
    assert execution.activations_logged() == [execution.details["configVersion"]]
    assert execution.details["configSavedAs"] == second.content
    assert execution.details["configNeedsRestart"] == ["execution.simBalanceUsdt"]


async def test_under_a_version_that_cannot_be_used_entries_are_refused_until_an_operator_says(
    here: Any, redis_client: Redis, an_instrument: Callable[[str], Instrument]
) -> None:
    await activated({})
    broken = StoredVersion(sequence=2, number=2, document='{"risk":{"leverage":0}}', digest="other")
    async with running(redis_client, here, an_instrument("BTCUSDT")) as execution:
        await asyncio.to_thread(publish_activation, here.REDIS_URL, PREFIX, broken)
        await until(lambda: execution.safe_mode == ["CONFIG_INVALID"])
        problem = execution.details["configProblem"]
        await execution.end_safe_mode()
        await until(lambda: execution.safe_mode == [])

    assert "risk.leverage" in problem


async def test_a_start_on_a_version_that_cannot_be_used_refuses_entries(
    here: Any, redis_client: Redis, an_instrument: Callable[[str], Instrument]
) -> None:
    """As after an update whose build knows a field of the active version no more."""
    version = await activated({})
    rows = ConfigVersion.objects.filter(pk=version.pk)
    await sync_to_async(rows.update)(document='{"risk":{"aFieldOfOld":1}}')

    async with running(redis_client, here, an_instrument("BTCUSDT")) as execution:
        await until(lambda: execution.safe_mode == ["CONFIG_INVALID"])

    assert "aFieldOfOld" in execution.details["configProblem"]


async def test_a_restart_on_a_sound_version_does_not_end_what_an_operator_must_end(
    here: Any, redis_client: Redis, an_instrument: Callable[[str], Instrument]
) -> None:
    await activated({})
    broken = StoredVersion(sequence=2, number=2, document="{", digest="other")
    async with running(redis_client, here, an_instrument("BTCUSDT")) as execution:
        await asyncio.to_thread(publish_activation, here.REDIS_URL, PREFIX, broken)
        await until(lambda: execution.safe_mode == ["CONFIG_INVALID"])

    async with running(redis_client, here, an_instrument("BTCUSDT")) as execution:
        await until(lambda: execution.safe_mode is not None)

    assert execution.safe_mode == ["CONFIG_INVALID"]
    assert execution.details["configProblem"] == ""
