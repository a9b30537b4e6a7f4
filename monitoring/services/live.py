"""The one live view of this process: pages, sockets and API all look at it."""

from __future__ import annotations

import asyncio
import logging
import time
from functools import lru_cache
from typing import Any

from django.conf import settings

from monitoring.domain.view import OVERVIEW, DashboardView
from monitoring.services import history
from monitoring.services.bus_view import BusView
from monitoring.services.fanout import Fanout
from monitoring.services.trading_config import limits_in_force

logger = logging.getLogger(__name__)

_task: asyncio.Task[None] | None = None


@lru_cache(maxsize=1)
def fanout() -> Fanout:
    environment = settings.ENVIRONMENT
    return Fanout(DashboardView(mode=environment.execution_mode, bybit_env=environment.bybit_env))


@lru_cache(maxsize=1)
def bus_view() -> BusView:
    return BusView(
        fanout(),
        url=settings.REDIS_URL,
        prefix=settings.BUS_PREFIX,
        recordings=settings.DATA_DIR / "market",
        read_limits=limits_in_force,
    )


def ensure_running() -> Fanout:
    """Start following the bus in the running event loop, if nothing does yet."""
    global _task  # noqa: PLW0603  (one per process, like the loop it lives in)
    loop = asyncio.get_running_loop()
    if _task is None or _task.done() or _task.get_loop() is not loop:
        _task = loop.create_task(_follow(), name="dashboard-bus-view")
        _task.add_done_callback(_announce_end)
    return fanout()


async def _follow() -> None:
    await bus_view().run(await asyncio.to_thread(history.remembered))


async def stop() -> None:
    if _task is not None and not _task.done():
        _task.cancel()
        await asyncio.gather(_task, return_exceptions=True)


def overview() -> dict[str, Any]:
    """The overview panel as it stands."""
    return fanout().state(OVERVIEW) or {}


def panel(name: str) -> dict[str, Any]:
    """A panel as it stands; empty when there is none of that name."""
    return fanout().state(name) or {}


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def _announce_end(task: asyncio.Task[None]) -> None:
    """It ends only by cancellation; anything else is a defect, and the next socket starts it again."""
    if not task.cancelled() and (error := task.exception()):
        logger.error("dashboard_view_died", exc_info=error)
