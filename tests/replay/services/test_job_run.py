"""A replay job from its order to its end: the run mode taken and given back, and what it may not touch."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.db import connections
from msgspec import structs

from failover.domain.heartbeat import Heartbeat
from failover.services.run_mode import RunModeWatch
from market.domain.events import EventChunk
from market.domain.instruments import Instrument
from replay.domain.config import ReplayConfig
from replay.models import JobState, ReplayJob, RunModeRow
from replay.services import job_rows, replay_jobs
from replay.services.job_run import JobParts, run_job
from replay.services.laps_kept import LapsKept
from replay.services.replay_jobs import ReplayNotNow, RunOrder
from replay.services.run_mode_rows import RunModeRows
from strategy.domain.config import DecisionConfig
from tests.replay.engine_samples import SESSION, Sessions, make_engine

pytestmark = pytest.mark.django_db(transaction=True)


def beat(service: str, **details: Any) -> Heartbeat:
    return Heartbeat(
        service=service, boot_id="b", pid=1, phase="RUNNING", lag_ms=0.0, message="",
        details=details, ts="2025-11-18T00:00:00.000Z",
    )  # fmt: skip


@pytest.fixture
def sessions(market: EventChunk, instruments: list[Instrument]) -> Sessions:
    return Sessions(market, instruments)


@pytest.fixture
def parts(sessions: Sessions, eager: DecisionConfig, tmp_path: Path) -> Callable[..., JobParts]:
    def make(**changes: Any) -> JobParts:
        given: dict[str, Any] = {
            "make_engine": lambda job: make_engine(sessions, eager, tmp_path),
            "heartbeats": dict,
            "execution_mode": "SIM",
            "switch_timeout_s": 0.3,
            "heartbeat_timeout_s": 10.0,
        }
        return JobParts(**(given | changes))

    return make


@pytest.fixture
def order(sessions: Sessions) -> Callable[..., ReplayJob]:
    """Order a replay as the API does; the queue is a list."""

    def give(**changes: Any) -> ReplayJob:
        given: dict[str, Any] = {
            "session_id": SESSION, "mode": "FULL_DECISION", "speed": None, "by": "operator",
        }  # fmt: skip
        return replay_jobs.start(RunOrder(**(given | changes)), sessions.manifest, lambda job: None)

    return give


@pytest.fixture
def in_thread() -> Iterator[Callable[..., threading.Thread]]:
    started = []

    def start(job: ReplayJob, parts: JobParts, stopping: threading.Event) -> threading.Thread:
        def work() -> None:
            run_job(job.pk, parts, stopping)
            connections.close_all()

        thread = threading.Thread(target=work)
        thread.start()
        started.append((thread, stopping))
        return thread

    yield start
    for thread, stopping in started:
        stopping.set()
        thread.join(30)


def wait_for(condition: Callable[[], Any]) -> None:
    tick = threading.Event()
    for _ in range(1500):
        if condition():
            return
        tick.wait(0.02)
    raise AssertionError("the condition did not come true")


def ended(job: ReplayJob) -> tuple[str, str]:
    job.refresh_from_db()
    return job.state, job.error


def test_a_shared_job_holds_the_run_mode_from_its_order_to_its_end(
    order: Callable[..., ReplayJob], parts: Callable[..., JobParts]
) -> None:
    job = order()
    held = RunModeRows().read()

    assert run_job(job.pk, parts()) == "DONE"

    assert (held.run_mode, held.session_id, held.by) == ("REPLAY", SESSION, "operator")
    assert (held.epoch, RunModeRows().read().epoch) == (job.epoch, job.epoch + 1)
    assert not RunModeRows().read().is_replay
    job.refresh_from_db()
    assert job.status["progressPct"] == 100.0


def test_an_isolated_job_leaves_the_run_mode_alone(
    order: Callable[..., ReplayJob], parts: Callable[..., JobParts]
) -> None:
    job = order(isolated=True)

    assert run_job(job.pk, parts()) == "DONE"

    assert not RunModeRow.objects.exists()


def test_a_second_shared_replay_is_refused_and_leaves_no_job(
    order: Callable[..., ReplayJob],
) -> None:
    order()

    with pytest.raises(ReplayNotNow, match="replayed already"):
        order()
    assert ReplayJob.objects.count() == 1


def test_a_job_delivered_twice_runs_once(
    order: Callable[..., ReplayJob], parts: Callable[..., JobParts]
) -> None:
    job = order()
    run_job(job.pk, parts())

    assert run_job(job.pk, parts()) == ""


def test_it_does_not_begin_while_a_service_has_not_left_live(
    order: Callable[..., ReplayJob], parts: Callable[..., JobParts], tmp_path: Path
) -> None:
    job = order()
    beats = {"market": beat("market", runModeEpoch=job.epoch, connected=True)}

    assert run_job(job.pk, parts(heartbeats=lambda: beats)) == "FAILED"

    assert "market did not leave LIVE" in ended(job)[1]
    assert not RunModeRows().read().is_replay
    assert list(tmp_path.iterdir()) == []


def test_a_live_position_opened_in_the_last_moment_stops_it(
    order: Callable[..., ReplayJob], parts: Callable[..., JobParts]
) -> None:
    job = order()
    open_now = beat("execution", runModeEpoch=job.epoch, openTrades=1, openOrders=2)

    state = run_job(
        job.pk, parts(execution_mode="LIVE", heartbeats=lambda: {"execution": open_now})
    )

    assert state == "FAILED"
    assert "1 LIVE position is open" in ended(job)[1]


def test_the_switch_is_refused_while_a_live_position_or_order_is_open(
    order: Callable[..., ReplayJob], settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In LIVE, what execution does not say counts as open."""
    settings.ENVIRONMENT = structs.replace(settings.ENVIRONMENT, execution_mode="LIVE")
    told: dict[str, Heartbeat] = {}
    monkeypatch.setattr(replay_jobs, "heartbeats", lambda: told)

    for beats, words in (
        ({}, "execution is silent"),
        ({"execution": beat("execution", openTrades=1, openOrders=0)}, "1 LIVE position"),
        ({"execution": beat("execution", openTrades=0, openOrders=2)}, "2 LIVE orders"),
        ({"execution": beat("execution", openTrades=0)}, "does not say"),
    ):
        told.clear()
        told.update(beats)
        with pytest.raises(ReplayNotNow, match=words):
            order()
    assert not ReplayJob.objects.exists()

    told["execution"] = beat("execution", openTrades=0, openOrders=0)
    assert order().state == JobState.QUEUED


def test_it_obeys_what_is_wanted_of_it(
    order: Callable[..., ReplayJob],
    parts: Callable[..., JobParts],
    in_thread: Callable[..., threading.Thread],
) -> None:
    job, stopping = order(speed=0.5), threading.Event()
    thread = in_thread(job, parts(), stopping)
    wait_for(lambda: ReplayJob.objects.get(pk=job.pk).status.get("lastEventTimestamp"))

    replay_jobs.command(job, wanted_pause=True)
    wait_for(lambda: ReplayJob.objects.get(pk=job.pk).status["paused"])
    wait_for(lambda: RunModeRows().read().paused)
    replay_jobs.command(job, wanted_pause=False, wanted_speed=None)
    thread.join(30)

    assert ended(job) == ("DONE", "")


def test_an_order_given_while_services_leave_live_does_not_silence_the_engine(
    order: Callable[..., ReplayJob],
    parts: Callable[..., JobParts],
    in_thread: Callable[..., threading.Thread],
    sessions: Sessions,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A thread that ended over it would beat no more: LIVE returns, and the engine would run on."""
    begun_at, opened = list[int | None](), sessions.open
    monkeypatch.setattr(
        sessions, "open", lambda name, at_ns: (begun_at.append(at_ns), opened(name, at_ns))[1]
    )
    job, told = order(), {"market": beat("market", runModeEpoch=0, connected=True)}
    held = parts(heartbeats=lambda: told, switch_timeout_s=30.0)
    thread = in_thread(job, held, threading.Event())
    wait_for(lambda: RunModeRows().read().beats)

    middle_ns = (sessions.manifest.from_ns + sessions.manifest.to_ns) // 2
    replay_jobs.command(job, wanted_seek_ns=middle_ns, wanted_speed=900.0)
    beats = RunModeRows().read().beats
    wait_for(lambda: RunModeRows().read().beats > beats + 1)
    told.clear()
    thread.join(30)

    assert ended(job) == ("DONE", "")
    job.refresh_from_db()
    assert begun_at == [middle_ns]
    assert job.status["speedFactor"] == 900.0


def test_a_replay_from_a_later_instant_begins_there_once(
    order: Callable[..., ReplayJob],
    parts: Callable[..., JobParts],
    in_thread: Callable[..., threading.Thread],
    sessions: Sessions,
) -> None:
    """Where it was to begin is no order to go there again with the next order of another kind."""
    from_ns = (sessions.manifest.from_ns + sessions.manifest.to_ns) // 2
    job = order(speed=0.5, from_ns=from_ns)
    thread = in_thread(job, parts(), threading.Event())
    wait_for(lambda: ReplayJob.objects.get(pk=job.pk).status.get("lastEventTimestamp"))

    replay_jobs.command(job, wanted_speed=None)
    thread.join(30)

    assert ended(job) == ("DONE", "")
    job.refresh_from_db()
    assert job.status["lap"] == 1


def test_a_beat_that_fails_for_any_reason_ends_the_engine(
    order: Callable[..., ReplayJob],
    parts: Callable[..., JobParts],
    in_thread: Callable[..., threading.Thread],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    job = order(speed=0.5)
    thread = in_thread(job, parts(), threading.Event())
    wait_for(lambda: ReplayJob.objects.get(pk=job.pk).status.get("running"))

    def fail(*_: object) -> bool:
        raise RuntimeError("a defect")

    monkeypatch.setattr(job_rows, "note_beat", fail)
    thread.join(30)

    assert ended(job) == ("LOST", "RuntimeError: a defect")
    assert not RunModeRows().read().is_replay


def test_a_stopped_job_ends_and_live_returns(
    order: Callable[..., ReplayJob],
    parts: Callable[..., JobParts],
    in_thread: Callable[..., threading.Thread],
) -> None:
    job = order(speed=0.5)
    thread = in_thread(job, parts(), threading.Event())
    wait_for(lambda: ReplayJob.objects.get(pk=job.pk).status.get("running"))

    replay_jobs.stop(ReplayJob.objects.get(pk=job.pk))
    thread.join(30)

    assert ended(job)[0] == "STOPPED"
    assert not RunModeRows().read().is_replay


def test_a_job_stopped_before_it_began_never_begins(
    order: Callable[..., ReplayJob], parts: Callable[..., JobParts]
) -> None:
    job = order()
    replay_jobs.stop(job)

    assert run_job(job.pk, parts()) == ""
    assert not RunModeRows().read().is_replay


def test_an_engine_whose_run_mode_was_given_up_ends_by_itself(
    order: Callable[..., ReplayJob],
    parts: Callable[..., JobParts],
    in_thread: Callable[..., threading.Thread],
) -> None:
    job = order(speed=0.5)
    thread = in_thread(job, parts(), threading.Event())
    wait_for(lambda: ReplayJob.objects.get(pk=job.pk).status.get("running"))

    assert RunModeRows().release(job.epoch)
    thread.join(30)

    state, error = ended(job)
    assert (state, "given back to LIVE" in error) == ("LOST", True)


def test_a_silent_engine_is_given_up_once_and_live_returns(order: Callable[..., ReplayJob]) -> None:
    """Each watcher goes by its own clock; the beats it saw must stand still for longer than the limit."""
    job, now_s = order(), [0.0]
    watches = [RunModeWatch(RunModeRows(), lambda: now_s[0]) for _ in range(2)]
    limits = ReplayConfig()
    for watch in watches:
        assert watch.look().is_replay
    now_s[0] = limits.heartbeat_timeout_s + 1
    assert watches[0].look().is_replay, "until its first beat it has the time of a start"
    RunModeRows().beat(job.epoch, speed_factor=None, paused=False, market_ts=None)
    assert watches[0].look().is_replay

    now_s[0] += limits.heartbeat_timeout_s + 1
    modes = [watch.look() for watch in watches]

    assert [mode.run_mode for mode in modes] == ["LIVE", "LIVE"]
    assert RunModeRows().read().epoch == job.epoch + 1
    assert ended(job)[0] == "LOST"
    assert not RunModeRows().beat(job.epoch, speed_factor=None, paused=False, market_ts=None)


def test_isolated_runs_have_a_limit(order: Callable[..., ReplayJob]) -> None:
    for _ in range(ReplayConfig().max_isolated_runs):
        order(isolated=True)

    with pytest.raises(ReplayNotNow, match="limit"):
        order(isolated=True)


def test_only_the_newest_laps_of_a_loop_are_kept(
    order: Callable[..., ReplayJob], tmp_path: Path
) -> None:
    job = order(loop=True)
    job_rows.claim(job.pk)
    laps = LapsKept(job.pk, tmp_path, 2)
    for name in ("a", "b", "c"):
        (tmp_path / name).mkdir()
        laps.begin(name)

    job.refresh_from_db()
    assert job.run_ids == ["b", "c"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b", "c"]
