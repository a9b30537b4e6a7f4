"""Following the run mode while the database is not to be relied on."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

import pytest
from django.db import InterfaceError, OperationalError

from failover.domain.run_mode import LIVE, RunMode
from failover.services import run_mode
from failover.services.host import ServiceContext
from failover.services.run_mode import RunModeWatch, begin_to_follow, follow_run_mode

REPLAY = RunMode(run_mode="REPLAY", epoch=3, session_id="s", beats=7, heartbeat_timeout_s=10.0)


class Store:
    """Answers one after the other; the last one again and again."""

    def __init__(self, *answers: RunMode | Exception | Callable[[], RunMode]) -> None:
        self._answers = list(answers)

    def read(self) -> RunMode:
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer() if callable(answer) else answer

    def give_up(self, seen: RunMode) -> bool:
        del seen
        return False


async def followed(store: Store, looks: int, seconds_each: float = 1.0) -> list[tuple[float, str]]:
    """(second, mode) of each change."""
    now_s, told = [0.0], list[tuple[float, str]]()

    async def sleep(seconds: float) -> bool:
        del seconds
        now_s[0] += seconds_each
        return now_s[0] >= looks * seconds_each

    await follow_run_mode(
        sleep,
        lambda mode: told.append((now_s[0], mode.run_mode)),
        RunModeWatch(store, lambda: now_s[0]),
        clock_s=lambda: now_s[0],
    )
    return told


@pytest.mark.parametrize("error", [OperationalError("gone"), InterfaceError("closed")])
async def test_nobody_stays_in_a_replay_that_cannot_be_seen(error: Exception) -> None:
    """Its engine cannot beat either, and ends; a closed market looks after nothing."""
    assert await followed(Store(REPLAY, error), 30) == [(0.0, "REPLAY"), (12.0, "LIVE")]


async def test_a_short_absence_of_the_database_changes_nothing() -> None:
    store = Store(REPLAY, *[OperationalError("gone")] * 5, REPLAY)

    assert await followed(store, 9) == [(0.0, "REPLAY")]


async def test_what_is_seen_again_holds_again() -> None:
    store = Store(REPLAY, *[OperationalError("gone")] * 14, REPLAY)

    assert [mode for _, mode in await followed(store, 17)] == ["REPLAY", "LIVE", "REPLAY"]


async def test_without_a_database_a_service_starts_in_live() -> None:
    assert await followed(Store(OperationalError("gone")), 30) == [(0.0, LIVE.run_mode)]


async def test_a_database_that_does_not_answer_holds_nobody_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(run_mode, "ANSWER_WITHIN_S", 0.01)
    answered = threading.Event()

    def hang() -> RunMode:
        answered.wait(30)
        return LIVE

    told = await followed(Store(REPLAY, hang), 30)
    answered.set()

    assert told == [(0.0, "REPLAY"), (12.0, "LIVE")]


async def test_a_service_that_waits_for_the_mode_does_nothing_before_it_is_known() -> None:
    """Execution, started again during a replay, would else take what is on the bus meanwhile."""
    context, told, looked = ServiceContext(name="execution"), list[str](), threading.Event()

    def look() -> RunMode:
        assert looked.wait(30)
        return REPLAY

    beginning = asyncio.create_task(
        begin_to_follow(context, lambda mode: told.append(mode.run_mode), RunModeWatch(Store(look)))
    )
    done, _ = await asyncio.wait({beginning}, timeout=0.05)
    assert not done
    looked.set()
    await asyncio.wait_for(beginning, 10)

    assert told == ["REPLAY"]
    context.stopping.set()
    await asyncio.gather(*context._tasks, return_exceptions=True)
