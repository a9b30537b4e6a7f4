"""The one live view of this process: pages, sockets and API all look at it."""

from __future__ import annotations

import asyncio
import logging
import time
from functools import lru_cache
from typing import Any

from django.conf import settings

from failover.domain.run_mode import LIVE, RunMode
from failover.services.run_mode import follow_run_mode
from monitoring.domain.view import OVERVIEW, DashboardView, RunModeSeen
from monitoring.services import history
from monitoring.services.bus_view import BusView
from monitoring.services.fanout import Fanout
from monitoring.services.trading_config import limits_in_force
from replay.adapters.replay_bus import REPLAY_NAMESPACE

logger = logging.getLogger(__name__)

_task: asyncio.Task[None] | None = None


def _empty_view() -> DashboardView:
    environment = settings.ENVIRONMENT
    return DashboardView(mode=environment.execution_mode, bybit_env=environment.bybit_env)


@lru_cache(maxsize=1)
def fanout() -> Fanout:
    return Fanout(_empty_view())


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
    """Show the live market, and while the system is in REPLAY the recorded one."""
    switch = _Switch(fanout(), bus_view())
    tasks = [
        asyncio.create_task(follow_run_mode(_sleep, switch.on_run_mode), name="dashboard-run-mode"),
        asyncio.create_task(switch.run(), name="dashboard-market"),
    ]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()  # none of them ends but by an error
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _sleep(seconds: float) -> bool:
    await asyncio.sleep(seconds)
    return False


class _Switch:
    """Which market the view is made of. A replay begins with an empty view, and so does LIVE after it."""

    def __init__(self, shown: Fanout, bus: BusView) -> None:
        self._fanout, self._bus = shown, bus
        self._mode = LIVE
        self._changed = asyncio.Event()

    def on_run_mode(self, mode: RunMode) -> None:
        if (mode.is_replay, mode.session_id) != (self._mode.is_replay, self._mode.session_id):
            self._changed.set()
        self._mode = mode
        self._fanout.apply(RunModeSeen(mode))

    async def run(self) -> None:
        while True:
            self._changed.clear()
            following = asyncio.create_task(self._show(self._mode), name="dashboard-bus")
            changed = asyncio.create_task(self._changed.wait())
            try:
                await asyncio.wait({following, changed}, return_when=asyncio.FIRST_COMPLETED)
                if following.done():
                    following.result()
                    return
            finally:
                changed.cancel()
                following.cancel()
                await asyncio.gather(following, changed, return_exceptions=True)
            self._begin_anew()

    async def _show(self, mode: RunMode) -> None:
        self._fanout.measures_age = not mode.is_replay
        if mode.is_replay:
            await self._bus.run(namespace=REPLAY_NAMESPACE, on_new_run=self._begin_anew)
        else:
            await self._bus.run(await asyncio.to_thread(history.remembered))

    def _begin_anew(self) -> None:
        self._fanout.replace_view(_empty_view())
        self._fanout.apply(RunModeSeen(self._mode))


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
