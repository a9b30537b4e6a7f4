"""The retention job on real folders: what is needed stays, however old."""

from __future__ import annotations

import fcntl
import json
import os
from datetime import timedelta
from typing import Any

import pytest

from execution.models import OrderRow, Position, ProjectionMark
from failover.adapters.in_use import claims, in_use
from failover.adapters.jsonl import JsonlAppender
from monitoring.domain.retention_config import RetentionConfig
from monitoring.domain.retention_report import RetentionError
from monitoring.services.retention import make_plan
from monitoring.services.retention_tree import carry_out
from replay.models import JobState, ReplayJob, RunModeRow, SessionBuild
from tests.monitoring.services.retention_data import NOW, Run, Tree, day

pytestmark = pytest.mark.django_db


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
