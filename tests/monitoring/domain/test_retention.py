"""Which files may go: the rules one by one."""

from __future__ import annotations

import pytest

from monitoring.domain.retention import decide
from monitoring.domain.retention_config import RetentionConfig
from monitoring.domain.retention_places import place_of
from monitoring.domain.retention_plan import Listing, Needs
from tests.monitoring.domain.retention_files import (
    CONFIG,
    DAY_NS,
    NOW_NS,
    a_file,
    a_session,
    day,
    deleted,
    plan_of,
    reason,
)


@pytest.mark.parametrize(
    ("name", "last_kept", "first_deleted"),
    [
        ("trades_log/day-{}.jsonl", 30, 31),
        ("events/BTCUSDT-{}.jsonl", 7, 8),
        ("execution/quality/day-{}.jsonl", 30, 31),
        ("market/{}/BTCUSDT-trades.jsonl", 2, 3),
        ("market/{}/BTCUSDT-orderbook.jsonl.zst", 2, 3),
        ("journal/{}/strategy-s1.journal", 2, 3),
    ],
)
def test_a_day_goes_when_all_of_it_is_older_than_its_age(
    name: str, last_kept: int, first_deleted: int
) -> None:
    """Half past two: with 48 hours the day before yesterday still has hours that are wanted."""
    kept, gone = name.format(day(last_kept)), name.format(day(first_deleted))

    plan = plan_of(a_file(kept, days_ago=0), a_file(gone, days_ago=0))

    assert deleted(plan) == [gone]


def test_the_newest_order_log_stays_however_old() -> None:
    """Execution numbers its next line after the last one there is."""
    old = [f"orders/day-{day(n)}.jsonl" for n in (90, 60, 45)]

    assert deleted(plan_of(*map(a_file, old))) == old[:2]


def test_order_logs_of_what_is_open_stay_from_its_beginning_on() -> None:
    old = [f"orders/day-{day(n)}.jsonl" for n in (90, 60, 50, 45)]
    opened_ns = NOW_NS - 60 * DAY_NS

    plan = plan_of(*map(a_file, old), needs=Needs(order_log_since_ns=opened_ns))

    assert deleted(plan) == old[:1]
    assert reason(plan, old[1]).startswith("needed by what is open since 2026-09-22T14:30")


def test_events_without_a_day_in_their_name_go_by_their_last_change() -> None:
    plan = plan_of(
        a_file("events/BTCUSDT.jsonl", days_ago=6.9), a_file("events/ETHUSDT.jsonl", days_ago=7.1)
    )

    assert deleted(plan) == ["events/ETHUSDT.jsonl"]


def test_a_recording_that_ended_early_in_its_day_goes_that_much_earlier() -> None:
    """The file's last line is as old as its last change, as long as that lies within the day."""
    early = a_file(f"market/{day(2)}/BTCUSDT-trades.jsonl", days_ago=2.3)
    late = a_file(f"market/{day(2)}/ETHUSDT-trades.jsonl", days_ago=1.7)

    assert deleted(plan_of(early, late)) == [early.path]


def test_todays_files_stay_even_with_an_age_of_an_hour() -> None:
    """A quiet symbol's last line is hours old, and its file is being written."""
    today, yesterday = (f"market/{day(n)}/BTCUSDT-ticker.jsonl" for n in (0, 1))

    plan = plan_of(
        a_file(today, days_ago=0.2), a_file(yesterday, days_ago=0.2),
        config=RetentionConfig(raw_market_data_hours=1),
    )  # fmt: skip

    assert deleted(plan) == [yesterday]


def test_index_and_set_aside_tails_go_with_their_recording_and_the_rules_last() -> None:
    folder = f"market/{day(5)}"
    names = [
        "instruments-r1.json", "BTCUSDT-trades.jsonl.zst", "BTCUSDT-trades.index.json",
        "BTCUSDT-trades.jsonl.torn-1", ".BTCUSDT-trades.index.json.x1y2z3_4.tmp",
    ]  # fmt: skip

    plan = plan_of(*(a_file(f"{folder}/{name}") for name in names), folders=(folder,))

    assert deleted(plan) == [f"{folder}/{names[i]}" for i in (1, 2, 4, 3, 0)]
    assert plan.empty_folders == (folder,)


@pytest.mark.parametrize(
    "name",
    [
        ".BTCUSDT-trades.jsonl.zst.tmp",
        ".BTCUSDT-trades.jsonl.import",
        ".BTCUSDT-trades.index.json.ab12cd34.tmp",
        ".instruments-r1.json.ab12cd34.tmp",
    ],
)
def test_half_written_files_of_ours_are_known_as_such(name: str) -> None:
    assert place_of(f"market/{day(5)}/{name}") is not None
    assert place_of(f"market/{day(5)}/{name}.bak") is None


def test_rules_of_a_day_stay_with_any_recording_that_stays() -> None:
    folder = f"market/{day(5)}"
    kept = f"{folder}/BTCUSDT-trades.jsonl"
    rules = f"{folder}/instruments-r1.json"
    gone = f"{folder}/ETHUSDT-trades.jsonl"

    plan = plan_of(
        *map(a_file, (kept, rules, gone)),
        needs=Needs(paths={kept: "a backtest"}),
        folders=(folder,),
    )

    assert deleted(plan) == [gone]
    assert reason(plan, rules) == f"{kept} is read with it"
    assert plan.empty_folders == ()


def test_a_kept_session_keeps_its_recordings_packed_or_not() -> None:
    recording = f"market/{day(10)}/BTCUSDT-trades.jsonl"
    session = "replay/sessions/s1/manifest.json"
    other = f"market/{day(10)}/ETHUSDT-trades.jsonl.zst"

    plan = plan_of(
        a_file(recording + ".zst"), a_file(session), a_file(other),
        sessions={"s1": a_session(10.0, files=(recording,))},
    )  # fmt: skip

    assert deleted(plan) == [other]
    assert reason(plan, recording + ".zst") == "needed by session s1"


def test_a_kept_session_keeps_the_journals_of_its_time_and_these_their_recordings() -> None:
    """VERIFY recomputes the frames of every symbol that was recorded, not of the session's alone."""
    session = "replay/sessions/s1/manifest.json"
    journals = [f"journal/{day(n)}/strategy-x.journal" for n in (12, 10)]
    other = f"market/{day(10)}/ETHUSDT-trades.jsonl.zst"

    plan = plan_of(*map(a_file, (session, *journals, other)), sessions={"s1": a_session(10.0)})

    assert deleted(plan) == journals[:1]
    assert reason(plan, journals[1]) == "needed by session s1"
    assert reason(plan, other) == "needed by the journal of its day"


def test_an_expired_session_goes_before_its_recordings() -> None:
    recording = f"market/{day(31)}/BTCUSDT-trades.jsonl"
    session = ["replay/sessions/s1/events.jsonl", "replay/sessions/s1/manifest.json"]

    plan = plan_of(
        *map(a_file, (recording, *session)), sessions={"s1": a_session(30.1, files=(recording,))}
    )

    assert deleted(plan) == [*session, recording]
    assert plan.steps[0].folder == "replay/sessions/s1"


def test_a_session_of_an_old_market_that_was_built_lately_stays() -> None:
    path = "replay/sessions/s1/manifest.json"

    plan = plan_of(a_file(path), sessions={"s1": a_session(400.0, created_days_ago=6.0)})

    assert deleted(plan) == []


def test_a_session_whose_manifest_cannot_be_read_stays() -> None:
    path = "replay/sessions/s1/manifest.json"

    plan = plan_of(a_file(path), sessions={"s1": None})

    assert reason(plan, path) == "its manifest cannot be read"


def test_while_a_manifest_cannot_be_read_no_recording_or_journal_goes() -> None:
    """It was built from some of them, and nobody can say from which."""
    files = [f"market/{day(60)}/BTCUSDT-trades.jsonl", f"journal/{day(60)}/market-r1.journal"]

    plan = plan_of(*map(a_file, files), sessions={"s1": None})

    assert deleted(plan) == []
    assert {reason(plan, each) for each in files} == {
        "kept: what session s1 was made of is not known: its manifest cannot be read"
    }
    assert deleted(plan_of(*map(a_file, files))) == files[::-1]


def test_a_running_replay_keeps_its_session_and_its_run() -> None:
    files = ["replay/sessions/s1/manifest.json", "replay/runs/r1/events.jsonl"]
    needs = Needs(paths={"replay/sessions/s1": "replay r1", "replay/runs/r1": "replay r1"})

    plan = plan_of(*map(a_file, files), needs=needs, sessions={"s1": a_session(90.0)})

    assert deleted(plan) == []


def test_a_kept_journal_keeps_the_recording_of_its_day() -> None:
    recording = f"market/{day(4)}/BTCUSDT-trades.jsonl"
    journal = f"journal/{day(4)}/market-m1.journal"

    plan = plan_of(a_file(recording), a_file(journal), config=RetentionConfig(journal_hours=24 * 7))

    assert reason(plan, recording) == "needed by the journal of its day"


def test_an_import_of_an_old_market_stays_while_it_is_new_and_goes_whole() -> None:
    """The days are years old and their files were written this week: somebody wants them."""
    names = ["BTCUSDT-trades.jsonl", "import-x1.json", "instruments-x1.json"]
    paths = [f"market/2024-03-01/{name}" for name in names]

    new = plan_of(*(a_file(path, days_ago=29.9) for path in paths))
    old = plan_of(*(a_file(path, days_ago=30.1) for path in paths))

    assert deleted(new) == []
    assert deleted(old) == paths


def test_an_import_that_was_given_up_half_way_goes_as_a_folder() -> None:
    paths = ["market/.import-ab12/lock", "market/.import-ab12/2024-03-01/BTCUSDT-trades.jsonl"]

    young = plan_of(*(a_file(path, days_ago=29.0) for path in paths))
    old = plan_of(*(a_file(path, days_ago=31.0) for path in paths))

    assert deleted(young) == []
    assert [step.folder for step in old.steps] == ["market/.import-ab12"]


def test_the_archive_may_have_a_folder_of_its_own() -> None:
    """CONFIG.logging.baseDir: data/records."""
    files = (
        a_file(f"records/trades_log/day-{day(40)}.jsonl"),
        a_file(f"market/{day(9)}/X-ticker.jsonl"),
    )

    plan = decide(Listing(files=files, archive="records"), Needs(), CONFIG, NOW_NS)

    assert sorted(deleted(plan)) == sorted(found.path for found in files)


@pytest.mark.parametrize(
    "path",
    [
        "market/notes.txt",
        f"market/{day(9)}/BTCUSDT-kline.jsonl",
        "market/2026-02-31/BTCUSDT-trades.jsonl",
        "market/2026-1-31/BTCUSDT-trades.jsonl",
        f"market/{day(9)}/deeper/BTCUSDT-trades.jsonl",
        f"trades_log/day-{day(99)}.csv",
        f"trades_log/day-{day(99)}.jsonl.bak",
        f"orders/old-day-{day(99)}.jsonl",
        "backtests/trials.jsonl",
        "bench/latest.json",
        "replay/sessions/stray.json",
        "system/process_state.json",
        "scalper.sqlite3",
    ],
)
def test_odd_names_and_foreign_files_stay_and_are_told(path: str) -> None:
    plan = plan_of(a_file(path))

    assert [(kept.path, kept.is_foreign) for kept in plan.kept] == [(path, True)]


def test_a_link_stays_whatever_its_name() -> None:
    path = f"trades_log/day-{day(99)}.jsonl"

    plan = plan_of(a_file(path, is_link=True))

    assert [(kept.path, kept.is_foreign) for kept in plan.kept] == [(path, True)]


def test_a_report_with_somebody_elses_file_in_it_stays_whole() -> None:
    files = ["backtests/b1/report.html", "backtests/b1/report.json", "backtests/b1/my-notes.md"]

    assert deleted(plan_of(*map(a_file, files))) == []
    assert deleted(plan_of(*map(a_file, files[:2]))) == files[:2]


@pytest.mark.parametrize("folder", [".columns-0123abcd", ".columns-0123abcd-old", "columns"])
def test_columns_that_a_killed_reader_left_half_made_are_no_strangers(folder: str) -> None:
    place = place_of(f"replay/sessions/s1/{folder}/tick.npy")

    assert place is not None
    assert place.unit == "replay/sessions/s1"


def test_what_an_interrupted_removal_left_goes_at_once() -> None:
    path = "replay/sessions/.deleted-s1/events.jsonl"

    assert deleted(plan_of(a_file(path, days_ago=0.1))) == [path]
