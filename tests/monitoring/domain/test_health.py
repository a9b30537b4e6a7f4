"""Lamps: what a heartbeat's age and phase mean."""

from __future__ import annotations

import pytest

from monitoring.domain.health import health_snapshot, service_lamp
from monitoring.domain.retention_health import LastRetention, RetentionSeen
from monitoring.domain.times import iso_of_ms, ms_of_iso

NOW_MS = 1_760_000_010_000


@pytest.mark.parametrize(
    ("age_ms", "phase", "lag_ms", "status"),
    [
        (300, "RUNNING", 0.2, "OK"),
        (300, "STARTING", 0.2, "WARN"),
        (300, "DRAINING", 0.2, "WARN"),
        (300, "STOPPED", 0.2, "ERROR"),
        (300, "RUNNING", 900.0, "WARN"),
        (2_100, "RUNNING", 0.2, "WARN"),
        (3_000, "RUNNING", 0.2, "ERROR"),
    ],
)
def test_a_lamp_follows_age_phase_and_lag(
    age_ms: int, phase: str, lag_ms: float, status: str
) -> None:
    beat = {"ts": iso_of_ms(NOW_MS - age_ms), "phase": phase, "lagMs": lag_ms}

    assert service_lamp(beat, NOW_MS)["status"] == status


def test_a_service_never_heard_of_is_an_error() -> None:
    assert service_lamp(None, NOW_MS)["status"] == "ERROR"


def test_a_beat_without_a_readable_time_is_an_error() -> None:
    assert service_lamp({"ts": "soon", "phase": "RUNNING"}, NOW_MS)["status"] == "ERROR"


def test_the_snapshot_names_every_service_and_the_worst_of_them() -> None:
    beats = {
        name: {"ts": iso_of_ms(NOW_MS), "phase": "RUNNING"}
        for name in ("market", "strategy", "execution", "web")
    }
    resources = {
        "cpuPct": 3.0,
        "rssMb": 90.0,
        "diskFreePct": 50.0,
        "busLagMs": 0.4,
        "dbLatencyMs": None,
    }

    snapshot = health_snapshot(beats, NOW_MS, resources)

    statuses = {name: service["status"] for name, service in snapshot["services"].items()}
    assert statuses == {
        "marketService": "OK", "strategyService": "OK", "executionEngine": "OK",
        "webDashboard": "OK", "workerService": "ERROR", "bus": "OK", "database": "ERROR",
        "recorder": "OK", "retention": "WARN",
    }  # fmt: skip
    assert snapshot["overall"] == "ERROR"
    assert snapshot["timestamp"] == iso_of_ms(NOW_MS)


@pytest.mark.parametrize(
    ("details", "errors", "status", "message"),
    [
        ({"recorder": {"problem": ""}}, 0, "OK", ""),
        ({"recorder": {"problem": "queue full"}}, 0, "WARN", "queue full"),
        ({}, 2, "WARN", "market/2026-01-30: 2 errors, 0 warnings"),
    ],
)
def test_the_recorder_answers_for_what_it_writes_and_for_what_was_found_later(
    details: dict[str, object], errors: int, status: str, message: str
) -> None:
    beat = {"ts": iso_of_ms(NOW_MS), "phase": "RUNNING", "details": details}
    quality = {"path": "market/2026-01-30", "errors": errors, "warnings": 0}

    snapshot = health_snapshot({"market": beat}, NOW_MS, {}, quality)

    recorder = snapshot["services"]["recorder"]
    assert (recorder["status"], recorder["message"]) == (status, message)
    assert recorder["details"]["dataQuality"] == quality


def test_a_service_whose_records_do_not_reach_the_disk_says_so() -> None:
    beat = {
        "ts": iso_of_ms(NOW_MS), "phase": "RUNNING",
        "details": {"archive": {"problem": "queue full: 3 records dropped"}},
    }  # fmt: skip

    lamp = service_lamp(beat, NOW_MS)

    assert lamp["status"] == "WARN"
    assert lamp["message"] == "archive: queue full: 3 records dropped"


def test_times_survive_the_way_to_text_and_back() -> None:
    assert ms_of_iso(iso_of_ms(NOW_MS + 7)) == NOW_MS + 7


HOUR_MS = 3_600_000


def _retention(hours_ago: float, *, errors: int = 0, failure: str = "") -> LastRetention:
    return LastRetention(
        run_id="ret1", at_ms=NOW_MS - round(hours_ago * HOUR_MS), deleted=2, kept=7, errors=errors,
        freed_bytes=512, failure=failure,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("seen", "status", "message"),
    [
        (RetentionSeen(last=None), "OK", "not run yet"),
        (RetentionSeen(last=None, first_start_ms=NOW_MS - 24 * HOUR_MS), "OK", "not run yet"),
        (
            RetentionSeen(last=None, first_start_ms=NOW_MS - 24 * HOUR_MS - 1),
            "WARN",
            "not run in the 24 h since the first start",
        ),
        (RetentionSeen(last=_retention(26)), "OK", "2 files deleted, 7 kept"),
        (RetentionSeen(last=_retention(26.5)), "WARN", "last run 26 h ago"),
        (RetentionSeen(last=_retention(1, errors=3)), "WARN", "3 errors in the report of ret1"),
        (
            RetentionSeen(last=_retention(50, errors=1, failure="no valid config")),
            "ERROR",
            "failed: no valid config",
        ),
        (None, "WARN", "unknown: the database does not answer"),
    ],
)
def test_retention_answers_for_its_last_run(
    seen: RetentionSeen | None, status: str, message: str
) -> None:
    snapshot = health_snapshot({}, NOW_MS, {}, None, seen)

    retention = snapshot["services"]["retention"]
    assert (retention["status"], retention["message"]) == (status, message)


def test_the_last_retention_is_told_with_its_time_and_figures() -> None:
    snapshot = health_snapshot({}, NOW_MS, {}, None, RetentionSeen(last=_retention(1)))

    retention = snapshot["services"]["retention"]
    assert retention["lastUpdateAt"] == iso_of_ms(NOW_MS - HOUR_MS)
    assert retention["details"] == {
        "runId": "ret1", "deleted": 2, "kept": 7, "errors": 0, "freedBytes": 512,
    }  # fmt: skip
