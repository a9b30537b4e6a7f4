"""The retention job on real folders: what it deletes, what it leaves alone, and how it tells."""

from __future__ import annotations

import fcntl
import io
import json
import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from django.conf import settings
from django.core.management import CommandError, call_command
from django.test import Client

from execution.models import OrderRow, Position, ProjectionMark
from failover.adapters.in_use import claims, in_use
from failover.adapters.journal import JournalWriter
from failover.adapters.journal_reader import JournalFolder
from failover.adapters.jsonl import JsonlAppender
from failover.models import JournalFile
from failover.services.config_store import ensure_first_version
from failover.services.journal_index import index_journals
from failover.services.run_lock import sole_run
from monitoring.domain.retention_config import RetentionConfig
from monitoring.domain.retention_places import Rule
from monitoring.domain.retention_plan import Found, Step
from monitoring.domain.retention_report import RetentionError, RetentionReport
from monitoring.models import RetentionRun
from monitoring.services.health import retention_seen
from monitoring.services.retention import AlreadyRunning, make_plan, run_retention
from monitoring.services.retention_tree import carry_out, remove_empty_folders
from monitoring.tasks import retention
from replay.models import JobState, ReplayJob, ReplaySession, RunModeRow, SessionBuild

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 11, 21, 14, 30, tzinfo=UTC)


class Tree:
    """A data folder in the making."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def add(self, path: str, text: str = "{}\n", *, days_ago: float | None = None) -> Path:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
        if days_ago is not None:
            at = (NOW - timedelta(days=days_ago)).timestamp()
            os.utime(file, (at, at))
        return file

    def add_session(self, name: str, days_ago: float, recordings: list[str]) -> None:
        to = NOW - timedelta(days=days_ago)
        manifest = {
            "sessionId": name,
            "createdAt": f"{to:%Y-%m-%dT%H:%M:%SZ}",
            "sourceDateRange": {
                "from": f"{to - timedelta(hours=1):%Y-%m-%dT%H:%M:%SZ}",
                "to": f"{to:%Y-%m-%dT%H:%M:%SZ}",
            },
            "files": [{"path": path, "rows": 1, "sha256": ""} for path in recordings],
        }
        self.add(f"replay/sessions/{name}/manifest.json", json.dumps(manifest), days_ago=days_ago)
        self.add(f"replay/sessions/{name}/events.jsonl", days_ago=days_ago)
        self.add(f"replay/sessions/{name}/columns/0/price.npy", days_ago=days_ago)

    def files(self) -> list[str]:
        found = (p for p in self.root.rglob("*") if not p.is_dir() or p.is_symlink())
        return sorted(p.relative_to(self.root).as_posix() for p in found)


def day(days_ago: int) -> str:
    return f"{NOW - timedelta(days=days_ago):%Y-%m-%d}"


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    (tmp_path / "data").mkdir()
    return Tree(tmp_path / "data")


@pytest.fixture
def run(tree: Tree) -> Callable[..., RetentionReport]:
    def run_on_tree(**options: Any) -> RetentionReport:
        options = {"now": NOW, "config": RetentionConfig(), **options}
        return run_retention(data_dir=tree.root, **options)

    return run_on_tree


Run = Callable[..., RetentionReport]


def test_old_files_go_and_young_ones_stay(tree: Tree, run: Run) -> None:
    tree.add(f"trades_log/day-{day(40)}.jsonl")
    tree.add(f"trades_log/day-{day(3)}.jsonl")
    tree.add(f"market/{day(4)}/BTCUSDT-trades.jsonl.zst", "x" * 100)
    tree.add(f"market/{day(4)}/BTCUSDT-trades.index.json")
    tree.add(f"market/{day(4)}/instruments-a.json")
    tree.add(f"market/{day(0)}/BTCUSDT-trades.jsonl")
    tree.add_session("old", 40, [])
    tree.add_session("new", 3, [])

    report = run()

    assert tree.files() == [
        f"market/{day(0)}/BTCUSDT-trades.jsonl",
        "replay/sessions/new/columns/0/price.npy",
        "replay/sessions/new/events.jsonl",
        "replay/sessions/new/manifest.json",
        f"trades_log/day-{day(3)}.jsonl",
    ]
    assert not (tree.root / "market" / day(4)).exists()
    assert not (tree.root / "replay/sessions/old").exists()
    assert len(report.deleted_files) == 7
    assert report.kept_files == tree.files()
    assert (report.errors, report.removed_folders) == ([], [f"market/{day(4)}"])
    assert report.freed_bytes > 100
    assert report.reasons[f"trades_log/day-{day(40)}.jsonl"] == "older than 30 days (tradesLogDays)"


def test_a_dry_run_says_the_same_and_deletes_nothing(tree: Tree, run: Run) -> None:
    tree.add(f"trades_log/day-{day(40)}.jsonl")
    tree.add_session("old", 40, [])
    before = tree.files()

    dry = run(is_dry=True)

    assert tree.files() == before
    assert dry.dry_run
    assert run().deleted_files == dry.deleted_files == sorted(before, key=lambda p: p[0] != "t")


def test_a_kept_session_keeps_what_it_was_built_from(tree: Tree, run: Run) -> None:
    """Also when the recording has been packed since, and named by its whole path."""
    whole = tree.add(f"market/{day(10)}/BTCUSDT-orderbook.jsonl.zst")
    tree.add(f"market/{day(10)}/ETHUSDT-trades.jsonl.zst")
    tree.add_session("s1", 10, [f"market/{day(10)}/BTCUSDT-trades.jsonl", str(whole)])
    tree.add(f"market/{day(10)}/BTCUSDT-trades.jsonl.zst")

    assert run().deleted_files == [f"market/{day(10)}/ETHUSDT-trades.jsonl.zst"]


def test_what_a_writer_holds_open_stays(tree: Tree, run: Run) -> None:
    """A symbol that had no event for weeks: its file is old, and the strategy will append to it."""
    file = tree.add("events/BTCUSDT.jsonl", days_ago=20)
    writer = JsonlAppender(file)
    writer.open()

    report = run()
    writer.append({"symbol": "BTCUSDT"})
    writer.close()

    assert report.reasons["events/BTCUSDT.jsonl"] == "open for writing"
    assert file.read_text() == '{}\n{"symbol":"BTCUSDT"}\n'


def test_what_a_running_process_reads_stays_until_it_ends(tree: Tree, run: Run) -> None:
    path = f"market/{day(10)}/BTCUSDT-trades.jsonl"
    tree.add(path)

    with in_use(tree.root, "backtest b1", [tree.root / "market" / day(10)]):
        assert run().reasons[path] == "needed by backtest b1"
    assert run().deleted_files == [path]


def test_a_claim_ends_with_its_process(tree: Tree) -> None:
    """Whatever ends it: the lock goes, the file that is left says nothing any more."""
    child = os.fork()
    if child == 0:
        block = in_use(tree.root, "a reader", [tree.root])
        block.__enter__()
        os._exit(9)
    os.waitpid(child, 0)

    assert len(list((tree.root / "run/in-use").glob("*.json"))) == 1
    assert claims(tree.root) == []
    assert list((tree.root / "run/in-use").iterdir()) == []


def a_job(session_id: str, **fields: Any) -> ReplayJob:
    values = {"session_id": session_id, "mode": "FULL_DECISION", "requested_at": NOW, **fields}
    return ReplayJob.objects.create(**values)


def test_a_replay_under_way_keeps_its_session_and_runs_and_an_ended_one_does_not(
    tree: Tree, run: Run
) -> None:
    tree.add_session("played", 40, [])
    tree.add_session("over", 40, [])
    for run_id in ("r1", "r2"):
        tree.add(f"replay/runs/{run_id}/report.json", days_ago=40)
    job = a_job("played", state=JobState.RUNNING, run_id="r1")
    a_job("over", state=JobState.DONE, run_id="r2")

    report = run()

    assert (
        report.reasons["replay/sessions/played/manifest.json"] == f"needed by replay job {job.pk}"
    )
    assert report.reasons["replay/runs/r1/report.json"] == f"needed by replay job {job.pk}"
    assert not (tree.root / "replay/sessions/over").exists()
    assert not (tree.root / "replay/runs/r2").exists()


def test_the_session_that_the_system_lives_on_stays(tree: Tree, run: Run) -> None:
    tree.add_session("shown", 40, [])
    RunModeRow.objects.update_or_create(
        pk=1, defaults={"run_mode": "REPLAY", "session_id": "shown"}
    )

    assert run().deleted_files == []


def test_a_build_that_waits_keeps_the_days_it_will_read(tree: Tree, run: Run) -> None:
    """The day before the range too: books are primed from there."""
    for n in (12, 11, 10, 9, 8):
        tree.add(f"market/{day(n)}/BTCUSDT-trades.jsonl")
    options = {"from": f"{day(10)}T02:00:00Z", "to": f"{day(9)}T02:00:00Z", "symbols": ["BTCUSDT"]}
    SessionBuild.objects.create(options=options, requested_at=NOW, state=JobState.QUEUED)

    assert run().deleted_files == [f"market/{day(n)}/BTCUSDT-trades.jsonl" for n in (12, 8)]


def test_the_row_of_a_session_goes_with_its_files(tree: Tree, run: Run) -> None:
    tree.add_session("old", 40, [])
    ReplaySession.objects.create(
        session_id="old", created_at=NOW, created_by="TEST", range_from=NOW, range_to=NOW,
        speed_factor=1, total_events=1, digest="d",
    )  # fmt: skip

    run()

    assert not ReplaySession.objects.exists()


def test_a_folder_that_somebody_works_in_stays(tree: Tree, run: Run) -> None:
    """Builds lock the folder they fill."""
    tree.add("replay/sessions/.building-s1-ab12/events.jsonl", days_ago=40)
    handle = os.open(tree.root / "replay/sessions/.building-s1-ab12", os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_EX)

    assert run().deleted_files == []
    os.close(handle)
    assert len(run().deleted_files) == 1


def test_a_claim_made_after_the_decision_still_counts(tree: Tree) -> None:
    tree.add_session("old", 40, [])
    plan = make_plan(tree.root, RetentionConfig(), NOW, lambda error: None)
    errors: list[RetentionError] = []

    steps = carry_out(
        tree.root, plan.steps, claimed=lambda step: "replay r1", on_error=errors.append
    )

    assert list(steps) == []
    assert errors == [RetentionError(file="replay/sessions/old", error="needed by replay r1")]
    assert (tree.root / "replay/sessions/old/manifest.json").exists()


@pytest.fixture
def order_logs(tree: Tree) -> list[str]:
    paths = [f"orders/day-{day(n)}.jsonl" for n in (90, 60, 50, 35)]
    for number, path in enumerate(paths, start=1):
        tree.add(path, f'{{"kind":"INTENT","seq":{number}}}\n')
    ProjectionMark.objects.create(name="orders", log_seq=4)
    return paths


def an_order(order_id: str, days_ago: float, *, plan: str = "", status: str = "FILLED") -> None:
    at = NOW - timedelta(days=days_ago)
    OrderRow.objects.create(
        client_order_id=order_id, plan_id=plan, status=status, created_at=at, updated_at=at,
        symbol="BTCUSDT", qty=1, filled_qty=0, notional_usd=1,
    )  # fmt: skip


def test_the_order_log_of_an_open_position_stays_from_its_first_order_on(
    tree: Tree, run: Run, order_logs: list[str]
) -> None:
    """The entry was placed before the position opened: recovery needs that line too."""
    opened = NOW - timedelta(days=49)
    Position.objects.create(
        symbol="BTCUSDT", side="LONG", qty=1, plan_id="p1", opened_at=opened, updated_at=opened
    )
    an_order("o1", 59.9, plan="p1")

    assert run().deleted_files == order_logs[:1]


def test_the_order_log_of_an_open_order_stays(tree: Tree, run: Run, order_logs: list[str]) -> None:
    an_order("o1", 49.9, status="NEW")

    assert run().deleted_files == order_logs[:2]


def test_a_position_that_only_execution_knows_of_keeps_the_whole_order_log(
    tree: Tree, run: Run, order_logs: list[str]
) -> None:
    state = {
        "lastUpdate": "", "pid": 1, "runMode": "SIM", "phase": "RUNNING",
        "openPositionsSnapshot": [{"symbol": "ETHUSDT"}],
    }  # fmt: skip
    tree.add("system/process_state.json", json.dumps(state))

    report = run()

    assert report.deleted_files == []
    assert "ETHUSDT, open since an unknown time" in report.reasons[order_logs[0]]


def test_order_lines_that_the_database_has_not_taken_stay(
    tree: Tree, run: Run, order_logs: list[str]
) -> None:
    ProjectionMark.objects.update(log_seq=2)

    assert run().deleted_files == order_logs[:2]


def test_without_open_orders_all_but_the_newest_log_may_go(
    tree: Tree, run: Run, order_logs: list[str]
) -> None:
    assert run().deleted_files == order_logs[:3]


def test_links_are_neither_followed_nor_deleted(tree: Tree, run: Run, tmp_path: Path) -> None:
    outside = tmp_path / "elsewhere"
    (outside / day(40)).mkdir(parents=True)
    precious = outside / day(40) / "BTCUSDT-trades.jsonl"
    precious.write_text("{}\n")
    log = outside / "log.jsonl"
    log.write_text("{}\n")
    (tree.root / "market").symlink_to(outside, target_is_directory=True)
    tree.add(f"journal/{day(0)}/market-m.journal")
    (tree.root / f"journal/{day(40)}").symlink_to(outside / day(40), target_is_directory=True)
    (tree.root / "trades_log").mkdir()
    (tree.root / f"trades_log/day-{day(40)}.jsonl").symlink_to(log)

    report = run()

    assert report.deleted_files == []
    assert report.foreign_files == [
        f"journal/{day(40)}", "market", f"trades_log/day-{day(40)}.jsonl"
    ]  # fmt: skip
    assert precious.exists()
    assert log.exists()


def test_a_folder_swapped_for_a_link_after_the_decision_is_not_followed(
    tree: Tree, tmp_path: Path
) -> None:
    path = f"market/{day(40)}/BTCUSDT-trades.jsonl"
    tree.add(path, days_ago=40)
    plan = make_plan(tree.root, RetentionConfig(), NOW, lambda error: None)
    outside = tmp_path / "elsewhere"
    (tree.root / f"market/{day(40)}").rename(outside)
    (tree.root / f"market/{day(40)}").symlink_to(outside, target_is_directory=True)
    errors: list[RetentionError] = []

    done = list(carry_out(tree.root, plan.steps, claimed=lambda step: "", on_error=errors.append))

    assert done == []
    assert [error.file for error in errors] == [path]
    assert (outside / "BTCUSDT-trades.jsonl").exists()


@pytest.fixture
def changed_meanwhile(tree: Tree) -> tuple[list[str], list[Step], list[RetentionError]]:
    """Three old files of which one vanishes, one grows and one becomes a folder before they are deleted."""
    paths = [f"trades_log/day-{day(n)}.jsonl" for n in (44, 43, 42, 41)]
    for path in paths:
        tree.add(path)
    plan = make_plan(tree.root, RetentionConfig(), NOW, lambda error: None)
    (tree.root / paths[0]).unlink()
    tree.add(paths[1], "a line more\n")
    (tree.root / paths[2]).unlink()
    (tree.root / paths[2]).mkdir()
    errors: list[RetentionError] = []
    done = list(carry_out(tree.root, plan.steps, claimed=lambda s: "", on_error=errors.append))
    return paths, done, errors


def test_what_vanishes_or_changes_meanwhile_is_an_error_and_the_rest_is_done(
    tree: Tree, changed_meanwhile: tuple[list[str], list[Step], list[RetentionError]]
) -> None:
    paths, done, errors = changed_meanwhile

    assert [step.files[0].path for step in done] == paths[3:]
    assert [(error.file, error.error) for error in errors] == [
        (paths[0], "No such file or directory"),
        (paths[1], "it changed while it was looked at"),
        (paths[2], "it changed while it was looked at"),
    ]


def test_a_session_folder_into_which_something_came_meanwhile_stays(tree: Tree) -> None:
    tree.add_session("old", 40, [])
    plan = make_plan(tree.root, RetentionConfig(), NOW, lambda error: None)
    note = tree.add("replay/sessions/old/columns/note.txt")
    errors: list[RetentionError] = []

    done = list(carry_out(tree.root, plan.steps, claimed=lambda s: "", on_error=errors.append))

    assert (done, note.exists()) == ([], True)
    assert errors[0].error == "replay/sessions/old/columns/note.txt has come since"


@pytest.mark.parametrize("steps", range(6))
def test_a_run_killed_between_two_steps_is_finished_by_the_next_one(
    tree: Tree, run: Run, steps: int
) -> None:
    tree.add(f"market/{day(9)}/BTCUSDT-trades.jsonl")
    tree.add(f"market/{day(9)}/BTCUSDT-trades.index.json")
    tree.add(f"market/{day(9)}/instruments-a.json")
    tree.add_session("old", 40, [])
    tree.add("replay/sessions/.deleted-gone/events.jsonl")
    plan = make_plan(tree.root, RetentionConfig(), NOW, lambda error: None)
    for _, _ in zip(
        range(steps),
        carry_out(tree.root, plan.steps, claimed=lambda s: "", on_error=pytest.fail),
        strict=False,
    ):
        pass

    report = run()

    assert report.errors == []
    assert tree.files() == []
    assert not (tree.root / "market" / day(9)).exists()


def test_an_empty_folder_of_a_day_gone_by_is_removed_and_todays_is_not(
    tree: Tree, run: Run
) -> None:
    for n in (0, 9):
        (tree.root / "market" / day(n)).mkdir(parents=True)

    assert run().removed_folders == [f"market/{day(9)}"]
    assert remove_empty_folders(tree.root, [f"market/{day(9)}"], pytest.fail) == []


def test_two_runs_at_once_are_refused(tree: Tree, run: Run) -> None:
    with sole_run(tree.root / "run/retention.lock"), pytest.raises(AlreadyRunning):
        run()


def test_a_stop_between_two_files_ends_the_run_with_a_true_report(tree: Tree, run: Run) -> None:
    for n in (40, 41):
        tree.add(f"trades_log/day-{day(n)}.jsonl")
    asked = iter([False, True])

    report = run(should_stop=lambda: next(asked))

    assert report.deleted_files == [f"trades_log/day-{day(41)}.jsonl"]
    assert report.reasons[f"trades_log/day-{day(40)}.jsonl"] == "not reached"
    assert tree.files() == [f"trades_log/day-{day(40)}.jsonl"]


# --- command, task


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


def test_rows_of_deleted_journals_go_with_them(tree: Tree, run: Run) -> None:
    for age in (0, 9):
        writer = JournalWriter(tree.root / "journal", "strategy", f"r{age}")
        at_ns = int((NOW - timedelta(days=age)).timestamp()) * 10**9
        writer.begin(at_ns, b"")
        writer.close(at_ns)
        os.utime(tree.root / f"journal/{day(age)}/strategy-r{age}.journal", (at_ns / 1e9,) * 2)
    index_journals(tree.root, JournalFolder(tree.root / "journal"))
    assert JournalFile.objects.count() == 2

    report = run()

    assert report.deleted_files == [f"journal/{day(9)}/strategy-r9.journal"]
    assert [row.run_id for row in JournalFile.objects.all()] == ["r0"]


def test_old_reports_leave_the_database(own_data: Tree) -> None:
    old = datetime.now(UTC) - timedelta(days=400)
    RetentionRun.objects.create(run_id="ret-old", timestamp=old)

    call_command("run_retention", stdout=io.StringIO())

    assert not RetentionRun.objects.filter(run_id="ret-old").exists()
    assert own_data.root == settings.DATA_DIR


def test_every_rule_has_an_age_in_the_config() -> None:
    fields = {field.encode_name for field in msgspec.structs.fields(RetentionConfig)}

    assert {str(rule) for rule in Rule} <= fields
    assert Found(path="a", size_bytes=0, modified_ns=0).is_link is False
