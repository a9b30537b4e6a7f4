"""The retention job on real folders: what it deletes and what it leaves alone."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest

from failover.adapters.journal import JournalWriter
from failover.adapters.journal_reader import JournalFolder
from failover.models import JournalFile
from failover.services.journal_index import index_journals
from failover.services.run_lock import sole_run
from monitoring.domain.retention_config import RetentionConfig
from monitoring.domain.retention_places import Rule
from monitoring.domain.retention_plan import Found, Step
from monitoring.domain.retention_report import RetentionError
from monitoring.services.retention import AlreadyRunning, make_plan
from monitoring.services.retention_tree import carry_out, remove_empty_folders
from replay.models import ReplaySession
from tests.monitoring.services.retention_data import NOW, Run, Tree, day

pytestmark = pytest.mark.django_db


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


def test_the_row_of_a_session_goes_with_its_files(tree: Tree, run: Run) -> None:
    tree.add_session("old", 40, [])
    ReplaySession.objects.create(
        session_id="old", created_at=NOW, created_by="TEST", range_from=NOW, range_to=NOW,
        speed_factor=1, total_events=1, digest="d",
    )  # fmt: skip

    run()

    assert not ReplaySession.objects.exists()


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


def test_every_rule_has_an_age_in_the_config() -> None:
    fields = {field.encode_name for field in msgspec.structs.fields(RetentionConfig)}

    assert {str(rule) for rule in Rule} <= fields
    assert Found(path="a", size_bytes=0, modified_ns=0).is_link is False
