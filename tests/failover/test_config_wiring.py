"""From an activation to a running service: over a real bus, and past a dead one."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.db import OperationalError
from redis.asyncio import Redis

from failover import wiring
from failover.adapters.bus import connect_bus
from failover.domain.config_versions import (
    ActiveConfig,
    StoredVersion,
    built_in_defaults,
    text_digest,
)
from failover.models import AuditSource, ConfigVersion
from failover.services import config_store as store
from failover.services.audit import Actor
from failover.services.config_follower import ConfigFollower
from failover.services.host import ServiceContext
from failover.wiring import follow_config, open_config

ANNA = Actor(name="anna", source=AuditSource.CLI)


async def until(condition: Callable[[], Any]) -> None:
    async with asyncio.timeout(60):
        while True:
            if condition():
                return
            await asyncio.sleep(0.01)


@sync_to_async
def activate(document: bytes) -> ConfigVersion:
    version = store.save_version(document, actor=ANNA)
    store.activate(version.pk, actor=ANNA)
    return version


async def ended(context: ServiceContext) -> None:
    context.stop("test over")
    await until(lambda: not context._tasks)


@pytest.fixture
def here(settings: Any, tmp_path: Path) -> Any:
    settings.DATA_DIR = tmp_path
    settings.BUS_PREFIX = "t:"
    return settings


@pytest.mark.django_db(transaction=True)
async def test_an_activation_reaches_a_service_over_the_bus(
    here: Any, redis_client: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wiring, "LOOK_EVERY_S", 3600.0)
    follower = await asyncio.to_thread(open_config, "strategy", here)
    context, applied = ServiceContext(name="strategy"), list[ActiveConfig]()
    await follow_config(context, redis_client, here, follower, applied.append)
    version = await activate(b'{"risk":{"maxPositions":2}}')
    await until(lambda: applied)
    await ended(context)

    assert [config.number for config in applied] == [version.pk]
    assert context.beat(0.0).details["configVersion"] == version.content


@pytest.mark.django_db(transaction=True)
async def test_a_service_without_a_bus_finds_the_activation_in_the_database(
    here: Any, tmp_path: Path
) -> None:
    here.REDIS_URL = f"unix://{tmp_path}/nothing.sock"
    follower = await asyncio.to_thread(open_config, "strategy", here)
    version = await activate(b'{"risk":{"maxPositions":2}}')
    context, applied = ServiceContext(name="strategy"), list[ActiveConfig]()
    bus = connect_bus(here.REDIS_URL)

    await follow_config(context, bus, here, follower, applied.append)
    await until(lambda: applied)
    await ended(context)
    await bus.aclose()

    assert [config.number for config in applied] == [version.pk]


@pytest.mark.django_db(transaction=True)
def test_the_first_start_writes_version_one_and_later_ones_read_it(here: Any) -> None:
    first = open_config("market", here)
    second = open_config("strategy", here)

    assert first.config == second.config
    assert first.config.number == ConfigVersion.objects.get().pk
    assert first.config.document["market"].warmup_s == 30


@pytest.mark.django_db
def test_without_a_database_a_service_starts_on_what_it_last_ran_on(
    here: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = store.save_version(b'{"risk":{"maxPositions":2}}', actor=ANNA)
    store.activate(version.pk, actor=ANNA)
    open_config("execution", here)

    def dead(*_: Any) -> None:
        raise OperationalError("the database is away")

    monkeypatch.setattr(wiring, "ensure_first_version", dead)

    remembered, never_ran = open_config("execution", here), open_config("market", here)

    assert remembered.config.document["risk"].max_positions == 2
    assert never_ran.config.number == 0
    assert never_ran.config.document["market"].warmup_s == 30


async def test_a_document_that_takes_long_to_judge_does_not_stop_the_service(here: Any) -> None:
    """Judging may import a trader's scorer. News and look offer the same: it is applied once."""
    is_free = threading.Event()

    class Slow(ConfigFollower):
        def offer(self, stored: StoredVersion | None) -> ActiveConfig | None:
            assert is_free.wait(10), "the loop was blocked"
            return super().offer(stored)

    follower = Slow(ActiveConfig(document=built_in_defaults()))
    stored = StoredVersion(sequence=1, number=1, document="{}", digest=text_digest("{}"))
    applied: list[ActiveConfig] = []
    following = wiring._Following(ServiceContext(name="market"), here, follower, applied.append)

    offers = asyncio.gather(following._offer(stored), following._offer(stored))
    await asyncio.sleep(0)
    is_free.set()
    await offers

    assert [config.number for config in applied] == [1]


@pytest.mark.django_db
def test_a_pinned_service_runs_on_its_own_document(here: Any) -> None:
    follower = open_config("strategy", here, pinned="default")

    assert follower.pinned
    assert follower.config.document["market"].warmup_s == 600
    assert not ConfigVersion.objects.exists()
