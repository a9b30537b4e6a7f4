"""How a service learns the run mode, and how a dead replay engine is found out.

Whoever keeps the row (the replay app) registers its store when Django starts; every service looks at it twice
a second. While it says REPLAY its engine counts `beats`; a count that stands still for longer than the row's
own limit means that the engine is dead, and whoever sees that first puts the row back to LIVE: the change is
conditional on what was seen, so two who see it change it once, and an engine that was only slow finds that
the row is no longer its own and ends. Time is measured by each watcher's monotonic clock; no two clocks are
compared.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Protocol

from django.db import DatabaseError, InterfaceError, close_old_connections

from failover.domain.run_mode import LIVE, RunMode
from failover.services.host import ServiceContext

logger = logging.getLogger(__name__)

LOOK_EVERY_S = 0.5
ANSWER_WITHIN_S = 5.0


class RunModeStore(Protocol):
    """Where the row is. Both raise DatabaseError."""

    def read(self) -> RunMode: ...

    def give_up(self, seen: RunMode) -> bool:
        """Back to LIVE if the row is still as `seen`; False when somebody was faster."""
        ...


class _AlwaysLive:
    """Without a replay app there is nothing but LIVE."""

    def read(self) -> RunMode:
        return LIVE

    def give_up(self, seen: RunMode) -> bool:
        del seen
        return False


_store: RunModeStore = _AlwaysLive()


def register_run_mode_store(store: RunModeStore) -> None:
    global _store  # noqa: PLW0603  (one per process, set while Django starts)
    _store = store


class RunModeWatch:
    """Reads the row and judges its engine. `look` blocks: call it in a thread."""

    def __init__(
        self, store: RunModeStore | None = None, clock_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._store = store or _store
        self._clock_s = clock_s
        self._seen: tuple[int, int] = (-1, -1)
        self._seen_at_s = 0.0

    def look(self) -> RunMode:
        """The mode as it stands, after a dead engine was given up. Raises: DatabaseError."""
        mode = self._store.read()
        now_s = self._clock_s()
        if self._seen != (mode.epoch, mode.beats):
            self._seen, self._seen_at_s = (mode.epoch, mode.beats), now_s
        elif mode.is_replay and now_s - self._seen_at_s > mode.patience_s:
            if self._store.give_up(mode):
                logger.error("replay_engine_silent", extra={"sessionId": mode.session_id})
            return self._store.read()
        return mode


async def follow_run_mode(
    sleep: Callable[[float], Awaitable[bool]],
    apply: Callable[[RunMode], Awaitable[None] | None],
    watch: RunModeWatch | None = None,
    clock_s: Callable[[], float] = time.monotonic,
) -> None:
    """Call `apply` with the mode at once and on every change, until `sleep` says to stop.

    While the database is away the mode last known holds, REPLAY only for as long as its engine may be silent:
    it ends by itself then, and a market that stays closed looks after nothing. A service that starts without
    a database starts in LIVE: the live market must be readable without, and a replay touches nothing of it.
    """
    eyes = _Eyes(watch or RunModeWatch())
    before: RunMode | None = None
    blind_since_s: float | None = None
    try:
        while True:
            mode = await eyes.look()
            if mode is not None:
                blind_since_s = None
            else:
                blind_since_s = clock_s() if blind_since_s is None else blind_since_s
                mode = _believed(before or LIVE, clock_s() - blind_since_s)
            if mode != before:
                before = mode
                applied = apply(mode)
                if applied is not None:
                    await applied
            if await sleep(LOOK_EVERY_S):
                return
    finally:
        eyes.close()


async def begin_to_follow(
    context: ServiceContext,
    apply: Callable[[RunMode], None],
    watch: RunModeWatch | None = None,
) -> None:
    """Follow the run mode as a part of the service; returns once it has been applied for the first time.

    For a service that must do nothing before it is known.
    """
    known = asyncio.Event()

    def applied(mode: RunMode) -> None:
        apply(mode)
        known.set()

    following = context.spawn(follow_run_mode(context.sleep, applied, watch), name="run-mode")
    waiting = asyncio.create_task(known.wait())
    try:  # it ends first only where the service ends with it
        await asyncio.wait({following, waiting}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        waiting.cancel()


def _believed(known: RunMode, blind_s: float) -> RunMode:
    """The mode of whoever cannot look."""
    if known.is_replay and blind_s > known.patience_s:
        logger.error("replay_not_seen_for_too_long", extra={"sessionId": known.session_id})
        return LIVE
    return known


class _Eyes:
    """Looks in a thread; a database that does not even refuse is not waited for."""

    def __init__(self, watch: RunModeWatch) -> None:
        self._watch = watch
        self._looking: asyncio.Task[RunMode] | None = None
        self._is_blind = False

    async def look(self) -> RunMode | None:
        """None: not known now."""
        self._looking = self._looking or asyncio.create_task(
            asyncio.to_thread(_look, self._watch), name="run-mode-look"
        )
        done, _ = await asyncio.wait({self._looking}, timeout=ANSWER_WITHIN_S)
        if not done:
            self._note_blind(f"no answer within {ANSWER_WITHIN_S:g} s")
            return None
        looked, self._looking = self._looking, None
        try:
            mode = looked.result()
        except (DatabaseError, InterfaceError) as error:
            self._note_blind(str(error))
            return None
        self._is_blind = False
        return mode

    def close(self) -> None:
        if self._looking is not None:
            self._looking.cancel()

    def _note_blind(self, reason: str) -> None:
        if not self._is_blind:
            logger.warning("run_mode_unknown", extra={"reason": reason})
        self._is_blind = True


def _look(watch: RunModeWatch) -> RunMode:
    close_old_connections()
    return watch.look()
