"""Builds as jobs: ordered through rows, carried out once, watched, stopped; sessions mirrored in rows."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from celery import current_app
from kombu.exceptions import OperationalError

from replay.adapters.session_store import SessionStore
from replay.domain.sessions import SessionRefused
from replay.models import JobState, ReplayJob, ReplaySession, SessionBuild
from replay.services import session_build_job, session_jobs
from replay.services.session_build import build_session
from replay.services.session_rows import keep_row, rebuild_rows
from tests.replay.conftest import SYMBOLS
from tests.replay.session_samples import FACTS, options_of, recorded_store

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def store(tmp_path, instruments, market) -> SessionStore:
    return recorded_store(tmp_path, instruments, market.slice(0, 300))


@pytest.fixture
def asked(market):
    return options_of(market.slice(0, 300), SYMBOLS, session_id="one")


@pytest.fixture
def sent(monkeypatch) -> list[int]:
    """The queue of the worker."""
    queue: list[int] = []
    monkeypatch.setattr(current_app, "send_task", lambda name, args: queue.extend(args))
    return queue


def test_an_ordered_build_is_carried_out_once_and_told(store, asked, sent) -> None:
    job_id = session_jobs.start_build(asked, "ana", store)
    before = session_jobs.build_status(job_id)

    first = session_build_job.run_build(job_id, store)
    second = session_build_job.run_build(job_id, store)  # delivered again

    assert sent == [job_id]
    assert (before.state, before.requested_by, before.error) == ("QUEUED", "ana", None)
    assert (first, second) == ("DONE", "")
    after = session_jobs.build_status(job_id)
    assert (after.state, after.session_id, after.progress_pct) == ("DONE", "one", 100.0)
    assert after.events == store.require("one").total_events
    assert ReplaySession.objects.get(session_id="one").digest == store.require("one").digest
    assert session_jobs.builds_under_way() == []
    manifest = store.require("one")
    assert manifest.fees.taker_fee_bps > 0
    assert manifest.config_version


def test_a_limit_left_out_is_that_of_the_config(asked) -> None:
    assert session_jobs.with_default_limit(asked).max_events == 500_000
    own = msgspec.structs.replace(asked, max_events=7)
    assert session_jobs.with_default_limit(own).max_events == 7


def test_what_is_known_to_be_wrong_is_refused_before_anything_is_ordered(
    store, asked, sent
) -> None:
    build_session(asked, store, facts=FACTS)
    for change, code in (
        ({}, "EXISTS"), ({"symbols": []}, "BAD_REQUEST"), ({"to": asked.from_}, "BAD_RANGE"),
    ):  # fmt: skip
        with pytest.raises(SessionRefused) as caught:
            session_jobs.start_build(msgspec.structs.replace(asked, **change), "ana", store)
        assert caught.value.code == code

    assert not sent
    assert not SessionBuild.objects.exists()


def test_a_queue_that_is_away_is_told_at_once(store, asked, monkeypatch) -> None:
    def away(*_: object) -> None:
        raise OperationalError("connection refused")

    monkeypatch.setattr(current_app, "send_task", away)

    with pytest.raises(SessionRefused) as caught:
        session_jobs.start_build(asked, "ana", store)

    assert caught.value.code == "QUEUE_DOWN"
    assert SessionBuild.objects.get().state == JobState.FAILED


def test_a_refused_build_says_why(store, asked, sent) -> None:
    missing = msgspec.structs.replace(asked, symbols=["NOSUCHUSDT"])
    job_id = session_jobs.start_build(missing, "ana", store)

    assert session_build_job.run_build(job_id, store) == "FAILED"

    error = session_jobs.build_status(job_id).error
    assert error["code"] == "UNKNOWN_SYMBOL"
    assert "NOSUCHUSDT" in error["fields"]["symbols"]


def test_a_waiting_build_is_stopped_at_once_and_never_begins(store, asked, sent) -> None:
    job_id = session_jobs.start_build(asked, "ana", store)

    assert session_jobs.stop_build(job_id)

    assert session_build_job.run_build(job_id, store) == ""
    assert session_jobs.build_status(job_id).state == "STOPPED"
    assert not session_jobs.stop_build(job_id)
    assert store.list_sessions() == []


def test_a_running_build_stops_when_it_is_wanted(store, asked, sent, monkeypatch) -> None:
    """The wish arrives with a beat; the beat here is every time the build tells of its progress."""
    job_id = session_jobs.start_build(asked, "ana", store)
    note = session_build_job._Beat.note

    def note_and_beat(beat, progress) -> None:
        note(beat, progress)
        assert session_jobs.stop_build(job_id) or beat.is_stop_wanted
        beat._write()

    monkeypatch.setattr(session_build_job._Beat, "note", note_and_beat)

    assert session_build_job.run_build(job_id, store) == "STOPPED"

    assert session_jobs.build_status(job_id).state == "STOPPED"
    assert store.list_sessions() == []


def test_a_build_whose_process_died_is_lost_or_done_by_the_next(store, asked, sent) -> None:
    job_id = session_jobs.start_build(asked, "ana", store)
    long_ago = datetime.now(UTC) - timedelta(seconds=2 * session_jobs.LOST_AFTER_S)
    SessionBuild.objects.update(state=JobState.RUNNING, started_at=long_ago, beat_at=long_ago)

    assert session_build_job.run_build(job_id, store) == "DONE"  # delivered again

    SessionBuild.objects.update(state=JobState.RUNNING, beat_at=long_ago)
    assert session_jobs.build_status(job_id).state == "LOST"


def test_the_task_of_the_worker_is_known_by_its_name() -> None:
    from replay import tasks

    assert tasks.build_session_job.name == session_jobs.BUILD_TASK


def test_rows_are_made_anew_from_the_folders(store, asked) -> None:
    one = build_session(asked, store, facts=FACTS)
    two = build_session(msgspec.structs.replace(asked, session_id="two"), store, facts=FACTS)
    keep_row(one)
    ReplaySession.objects.update(total_events=1)
    keep_row(msgspec.structs.replace(one, session_id="gone"))

    changes = rebuild_rows(store.list_sessions())

    assert (changes.added, changes.changed, changes.removed) == (["two"], ["one"], ["gone"])
    assert rebuild_rows(store.list_sessions()).unchanged == 2
    rows = {row.session_id: row for row in ReplaySession.objects.all()}
    assert rows["two"].manifest == msgspec.to_builtins(two, str_keys=True)
    assert rows["one"].total_events == one.total_events


def test_a_session_under_replay_is_not_deleted(store, asked) -> None:
    keep_row(build_session(asked, store, facts=FACTS))
    job = ReplayJob.objects.create(
        session_id="one", mode="FULL_DECISION", requested_by="ana", requested_at=datetime.now(UTC)
    )

    with pytest.raises(SessionRefused) as caught:
        session_jobs.delete_session("one", store)
    ReplayJob.objects.filter(pk=job.pk).update(state=JobState.DONE)

    assert caught.value.code == "IN_USE"
    assert session_jobs.delete_session("one", store)
    assert not session_jobs.delete_session("one", store)
    assert not ReplaySession.objects.exists()
    assert list(store.root.iterdir()) == []
