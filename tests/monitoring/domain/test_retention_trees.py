"""What retention promises of any tree of files whatever."""

from __future__ import annotations

import hypothesis.strategies as st
from hypothesis import given, settings

from monitoring.domain.retention import decide
from monitoring.domain.retention_places import Role, Rule, place_of, unit_of
from monitoring.domain.retention_plan import Found, Listing, Needs, RetentionPlan
from tests.monitoring.domain.retention_files import (
    CONFIG,
    DAY_NS,
    HOUR_NS,
    NOW_NS,
    Sessions,
    a_session,
    day,
    deleted,
)

DAYS = st.integers(-2, 60).map(day)


NAMES = st.sampled_from(["s1", "s2", "2025-11-18T10-11-BTCUSDT", "odd name", "r1"])


SYMBOLS = st.sampled_from(["BTCUSDT", "ETHUSDT", "btc", "BTC-28NOV25"])


ENDINGS = st.sampled_from([
    ".jsonl", ".jsonl.zst", ".jsonl.gz", ".index.json", ".jsonl.torn-1", ".bak", ".jsonl.zst.part",
])  # fmt: skip


PATHS = st.one_of(
    st.builds("{}/day-{}{}".format, st.sampled_from(["trades_log", "orders"]), DAYS, ENDINGS),
    st.builds("execution/quality/day-{}{}".format, DAYS, ENDINGS),
    st.builds("events/{}{}".format, SYMBOLS, ENDINGS),
    st.builds("events/{}-{}{}".format, SYMBOLS, DAYS, ENDINGS),
    st.builds(
        "market/{}/{}-{}{}".format,
        DAYS, SYMBOLS, st.sampled_from(["trades", "orderbook", "ticker", "kline"]), ENDINGS,
    ),
    st.builds("market/{}/instruments-{}.json".format, DAYS, st.sampled_from(["a", "b"])),
    st.builds("market/{}/import-{}.json".format, DAYS, st.sampled_from(["a", "b"])),
    st.sampled_from(["market/.import-k/lock", "market/.import-k/2024-01-01/X-trades.jsonl"]),
    st.builds(
        "journal/{}/{}-x.journal".format, DAYS, st.sampled_from(["strategy", "market", "other"])
    ),
    st.builds(
        "replay/{}/{}/{}".format,
        st.sampled_from(["sessions", "runs"]), NAMES,
        st.sampled_from(["manifest.json", "events.jsonl", "columns/a.npy", "report.json", "x.txt"]),
    ),
    st.builds("backtests/{}/report.json".format, NAMES),
    st.sampled_from(["bench/latest.json", "bench/old.json", "system/health_snapshot.json", "note"]),
)  # fmt: skip


FILES = st.builds(
    Found,
    path=PATHS,
    size_bytes=st.integers(0, 3),
    modified_ns=st.integers(-2 * 24, 70 * 24).map(lambda hours: NOW_NS - hours * HOUR_NS),
    is_link=st.sampled_from([False] * 9 + [True]),
    has_writer=st.sampled_from([False] * 9 + [True]),
)


SESSIONS = st.dictionaries(
    st.sampled_from(["s1", "s2", "2025-11-18T10-11-BTCUSDT"]),
    st.none()
    | st.builds(
        a_session,
        st.integers(-1, 60),
        created_days_ago=st.integers(0, 60),
        files=st.lists(PATHS, max_size=3).map(tuple),
    ),
)


NEEDS = st.builds(
    Needs,
    paths=st.dictionaries(
        PATHS | PATHS.map(lambda path: path.rpartition("/")[0]), st.just("x"), max_size=3
    ).map(lambda paths: {path: who for path, who in paths.items() if path}),
    order_log_since_ns=st.none() | st.integers(0, 60).map(lambda days: NOW_NS - days * DAY_NS),
    unknown=st.dictionaries(st.sampled_from(list(Rule)), st.just("unknown"), max_size=1),
)


TREES = st.lists(FILES, max_size=30, unique_by=lambda found: found.path)


def decided(files: list[Found], sessions: Sessions, needs: Needs) -> RetentionPlan:
    return decide(Listing(files=tuple(files), sessions=sessions), needs, CONFIG, NOW_NS)


@settings(max_examples=40)
@given(TREES, SESSIONS, NEEDS)
def test_every_file_is_either_deleted_or_kept_with_a_reason(
    files: list[Found], sessions: Sessions, needs: Needs
) -> None:
    plan = decided(files, sessions, needs)

    told = sorted([*deleted(plan), *(kept.path for kept in plan.kept)])
    assert told == sorted(found.path for found in files)
    assert all(kept.reason for kept in plan.kept)


@settings(max_examples=40)
@given(TREES, SESSIONS, NEEDS)
def test_nothing_needed_is_ever_deleted(
    files: list[Found], sessions: Sessions, needs: Needs
) -> None:
    """Told without the planner's own words: each need looked up for each deleted file."""
    plan = decided(files, sessions, needs)
    gone = deleted(plan)
    by_path = {found.path: found for found in files}
    kept_sessions = {
        name: facts
        for name, facts in sessions.items()
        if facts is not None
        and any(
            f"replay/sessions/{name}/" in kept.path for kept in plan.kept if not kept.is_foreign
        )
    }
    for path in gone:
        found, place = by_path[path], place_of(path)
        assert place is not None
        assert not found.is_link
        assert not found.has_writer
        assert place.rule not in needs.unknown
        assert day(0) not in path  # today
        for needed in needs.paths:
            assert path != needed
            assert not path.startswith(f"{needed}/")
        if place.rule is Rule.RAW_MARKET:
            kept_journals = {
                k.path for k in plan.kept if k.path.startswith("journal/") and not k.is_foreign
            }
            assert not any(j.split("/")[1] == path.split("/")[1] for j in kept_journals)
        for facts in kept_sessions.values():
            assert unit_of(path) not in {unit_of(each) for each in facts.files}
            if place.rule is Rule.JOURNAL and place.start_ns and place.end_ns:
                assert facts.to_ns < place.start_ns or facts.from_ns >= place.end_ns
        if place.rule is Rule.ORDERS_LOG and needs.order_log_since_ns and place.end_ns:
            assert place.end_ns <= needs.order_log_since_ns


@settings(max_examples=40)
@given(TREES, SESSIONS, NEEDS)
def test_nothing_young_is_ever_deleted(
    files: list[Found], sessions: Sessions, needs: Needs
) -> None:
    """The youngest age of all is 48 hours; a session's is its market's."""
    plan = decided(files, sessions, needs)

    for step in plan.steps:
        for found in step.files:
            place = place_of(found.path)
            assert place is not None
            if step.rule is Rule.REPLAY_SESSIONS and found.path.split("/")[2] in sessions:
                facts = sessions[found.path.split("/")[2]]
                assert facts is not None
                assert facts.to_ns <= NOW_NS - 30 * DAY_NS
                continue
            newest_ns = place.start_ns if place.start_ns is not None else found.modified_ns
            assert newest_ns <= NOW_NS - 48 * HOUR_NS


@settings(max_examples=40)
@given(TREES, SESSIONS, NEEDS, st.integers(0, 30))
def test_a_run_cut_off_anywhere_leaves_a_tree_that_the_next_one_finishes(
    files,
    sessions,
    needs,
    steps,
) -> None:
    """kill -9 between two steps: readable meanwhile, and in the end the same files are left."""
    plan = decided(files, sessions, needs)
    gone = {found.path for step in plan.steps[:steps] for found in step.files}

    left = [found for found in files if found.path not in gone]
    sessions_left = {
        name: facts
        for name, facts in sessions.items()
        if f"replay/sessions/{name}/manifest.json" not in gone
    }
    again = decided(left, sessions_left, needs)

    assert gone | set(deleted(again)) == set(deleted(plan))
    for folder in {path.rpartition("/")[0] for path in gone if path.startswith("market/")}:
        recordings = [found.path for found in left if found.path.startswith(f"{folder}/")]
        lost = [path for path in gone if path.startswith(f"{folder}/instruments-")]
        of_data = [p for p in recordings if (place := place_of(p)) and place.role is Role.DATA]
        assert not lost or not of_data
