"""The retention job as command and daily task, and how it tells."""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from django.conf import settings
from django.core.management import CommandError, call_command
from django.test import Client

from failover.services.config_store import ensure_first_version
from monitoring.domain.retention_report import RetentionReport
from monitoring.models import RetentionRun
from monitoring.services.health import retention_seen
from monitoring.tasks import retention
from tests.monitoring.services.retention_data import Tree

pytestmark = pytest.mark.django_db


@pytest.fixture
def own_data(tree: Tree, settings: Any) -> Tree:
    settings.DATA_DIR = tree.root
    return tree


def test_the_command_deletes_reports_and_keeps_the_report(own_data: Tree) -> None:
    old = own_data.add("trades_log/day-2025-01-01.jsonl")
    own_data.add("trades_log/stray.txt")
    out = io.StringIO()

    call_command("run_retention", "--json", stdout=out)

    report = msgspec.json.decode(out.getvalue(), type=RetentionReport)
    assert report.deleted_files == ["trades_log/day-2025-01-01.jsonl"]
    assert report.foreign_files == ["trades_log/stray.txt"]
    assert not old.exists()
    row = RetentionRun.objects.get()
    assert (row.deleted, row.foreign, row.errors) == (1, 1, 0)
    assert row.report["deletedFiles"] == report.deleted_files


def test_the_command_counts_ages_from_now_but_never_from_a_time_to_come(own_data: Tree) -> None:
    own_data.add("trades_log/day-2026-01-15.jsonl")
    out = io.StringIO()

    call_command("run_retention", "--now", "2026-02-01T00:00:00Z", stdout=out)
    with pytest.raises(CommandError, match="--now lies in the future"):
        call_command("run_retention", "--now", "2999-01-01T00:00:00Z")
    call_command("run_retention", "--dry-run", "--now", "2999-01-01T00:00:00Z", stdout=out)

    assert "deleted 0 files" in out.getvalue()
    assert "would delete trades_log/day-2026-01-15.jsonl" in out.getvalue()
    assert own_data.files() == ["trades_log/day-2026-01-15.jsonl"]


def test_the_worker_has_it_every_day(own_data: Tree) -> None:
    from scalper_site.celery import app

    own_data.add("trades_log/day-2025-01-01.jsonl")
    entry = app.conf.beat_schedule["retention"]

    result = retention.apply().get()

    assert entry["task"] == retention.name
    assert (entry["schedule"].hour, entry["schedule"].minute) == ({1}, {15})
    assert (result["deleted"], result["errors"]) == (1, 0)
    assert RetentionRun.objects.get().run_id == result["runId"]


def test_a_run_that_fails_leaves_its_reason(
    own_data: Tree, monkeypatch: pytest.MonkeyPatch, reader_client: Client
) -> None:
    """With a config that is not valid nothing may be deleted: the health, the page and the API say so."""
    old = own_data.add("trades_log/day-2025-01-01.jsonl")
    broken = own_data.root / "broken.json"
    broken.write_text('{"retention": {"ordersLogDays": -4}}')
    monkeypatch.setattr("monitoring.services.retention.configured_name", lambda: str(broken))

    assert retention.apply().failed()
    with pytest.raises(CommandError, match="ordersLogDays"):
        call_command("run_retention", stdout=io.StringIO())

    assert old.exists()
    task_row, command_row = RetentionRun.objects.order_by("pk")
    assert task_row.failure == command_row.failure != ""
    health = reader_client.get("/api/health").json()["services"]["retention"]
    assert (health["status"], health["message"]) == ("ERROR", f"failed: {task_row.failure}")
    reports = reader_client.get("/api/retention/reports").json()["reports"]
    assert reports[0]["errors"] == [{"file": "", "error": task_row.failure}]
    assert b'<span class="chip ERROR">ERROR</span>' in reader_client.get("/retention/").content


def test_health_asks_the_last_run_that_deleted_something(own_data: Tree) -> None:
    call_command("run_retention", "--dry-run", stdout=io.StringIO())
    before = retention_seen()
    call_command("run_retention", stdout=io.StringIO())
    call_command("run_retention", "--dry-run", stdout=io.StringIO())
    after = retention_seen()

    assert before is not None
    assert before.last is None
    assert after is not None
    assert after.last is not None
    assert after.last.run_id == RetentionRun.objects.get(dry_run=False).run_id


def test_until_the_first_run_health_counts_from_the_first_start(own_data: Tree) -> None:
    ensure_first_version("default", settings.TRADING_PROFILES_DIR)

    seen = retention_seen()

    assert seen is not None
    assert seen.first_start_ms is not None
    assert abs(seen.first_start_ms - datetime.now(UTC).timestamp() * 1000) < 60_000


def test_old_reports_leave_the_database(own_data: Tree) -> None:
    old = datetime.now(UTC) - timedelta(days=400)
    RetentionRun.objects.create(run_id="ret-old", timestamp=old)

    call_command("run_retention", stdout=io.StringIO())

    assert not RetentionRun.objects.filter(run_id="ret-old").exists()
    assert own_data.root == settings.DATA_DIR
