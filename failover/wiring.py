"""Brings the trading config to a service: at its start, and whenever another version is activated.

    follower = open_config("strategy", settings, pinned="")
    await follow_config(context, bus, settings, follower, apply)

`apply(config)` runs on the service's loop between two of its inputs. News come over the bus at once; a look
into the database twice a second finds what the bus has lost. Without either the service goes on as it is.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
from django.db import DatabaseError, close_old_connections, connections
from redis.asyncio import Redis
from redis.exceptions import RedisError

from failover.adapters.config_bus import CONFIG_CODEC, CONFIG_STREAM
from failover.adapters.files import read_json_snapshot, write_json_snapshot
from failover.adapters.streams import Entry, StreamReader
from failover.domain.config_versions import ActiveConfig, StoredVersion, use_stored
from failover.domain.errors import DataCorruption, StorageError
from failover.services.config_follower import ConfigFollower
from failover.services.config_reader import load_config
from failover.services.config_store import ensure_first_version, read_stored
from failover.services.host import ServiceContext
from failover.services.logs import OncePerKind

logger = logging.getLogger(__name__)

LOOK_EVERY_S = 0.5
Apply = Callable[[ActiveConfig], Awaitable[None] | None]


def open_config(service: str, settings: Any, *, pinned: str = "") -> ConfigFollower:
    """What `service` starts on: `pinned`, or the active version, which the first start makes.

    Without a database it starts on what it last ran on (`data/system/config_<service>.json`), or else on the
    document that TRADING_CONFIG names. Raises: BadConfigDocument.
    """
    if pinned:
        return ConfigFollower(ActiveConfig(document=load_config(pinned)), pinned=True)
    name, folder = settings.ENVIRONMENT.trading_config, settings.TRADING_PROFILES_DIR
    try:
        stored: StoredVersion | None = ensure_first_version(name, folder)
    except DatabaseError as error:
        logger.warning("config_store_unavailable", extra={"reason": str(error)})
        stored = _last_run_on(_memory(settings, service))
    finally:
        connections.close_all()
    if stored is None:
        return ConfigFollower(ActiveConfig(document=load_config(name)))
    _remember(_memory(settings, service), stored)
    return ConfigFollower(use_stored(stored), seen=stored)


async def follow_config(
    context: ServiceContext, bus: Redis, settings: Any, follower: ConfigFollower, apply: Apply
) -> None:
    """Keep `follower` and the service on the active version until the service stops."""
    follower.announce()
    context.report(details=follower.details())
    if follower.pinned:
        return
    following = _Following(context, settings, follower, apply)
    reader = StreamReader(bus, {settings.BUS_PREFIX + CONFIG_STREAM: "$"})
    with contextlib.suppress(RedisError, OSError, TimeoutError):
        await (
            reader.open()
        )  # from here on no news is missed; without a bus it opens by itself later
    context.spawn(following.listen(reader), name="config-news")
    context.spawn(following.look(), name="config-look")


class _Following:
    def __init__(
        self, context: ServiceContext, settings: Any, follower: ConfigFollower, apply: Apply
    ) -> None:
        self._context = context
        self._path = _memory(settings, context.name)
        self._follower = follower
        self._apply = apply
        self._bad = OncePerKind(logger, "bad_config_news")
        self._is_blind = False
        self._one_at_a_time = asyncio.Lock()  # the bus and the look may bring the same

    async def listen(self, reader: StreamReader) -> None:
        """Take activations off the bus."""
        stop = asyncio.ensure_future(self._context.stopping.wait())
        stop.add_done_callback(lambda _: reader.close())
        try:
            async for item in reader:
                if isinstance(item, Entry):
                    await self._take_news(item)
        finally:
            stop.cancel()

    async def look(self) -> None:
        """Look into the database, in a thread: a slow one keeps nobody waiting."""
        while not await self._context.sleep(LOOK_EVERY_S):
            try:
                stored = await asyncio.to_thread(_look)
            except DatabaseError as error:
                self._note_blindness(error)
                continue
            self._is_blind = False
            await self._offer(stored)

    async def _take_news(self, entry: Entry) -> None:
        try:
            stored = CONFIG_CODEC.decode(entry.payload)
        except msgspec.DecodeError as error:
            self._bad.note("undecodable", reason=str(error))
            return
        await self._offer(stored)

    async def _offer(self, stored: StoredVersion | None) -> None:
        """In a thread: judging a document may import a scorer, and a stranger's import takes its time."""
        async with self._one_at_a_time:
            config = await asyncio.to_thread(self._follower.offer, stored)
            if config is None or stored is None:
                return
            applied = self._apply(config)
            if applied is not None:
                await applied
            self._context.report(details=self._follower.details())
            await asyncio.to_thread(_remember, self._path, stored)

    def _note_blindness(self, error: DatabaseError) -> None:
        if not self._is_blind:
            logger.warning("config_store_unavailable", extra={"reason": str(error)})
        self._is_blind = True


def _look() -> StoredVersion | None:
    close_old_connections()
    return read_stored()


def _memory(settings: Any, service: str) -> Path:
    path: Path = settings.DATA_DIR / "system" / f"config_{service}.json"
    return path


def _remember(path: Path, stored: StoredVersion) -> None:
    try:
        write_json_snapshot(path, stored)
    except StorageError as error:
        logger.warning("config_not_remembered", extra={"reason": str(error)})


def _last_run_on(path: Path) -> StoredVersion | None:
    try:
        stored: StoredVersion | None = read_json_snapshot(path, StoredVersion)
    except (DataCorruption, StorageError) as error:
        logger.warning("config_not_remembered", extra={"reason": str(error)})
        return None
    return stored
