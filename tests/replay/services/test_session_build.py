"""Sessions: built from the recording, opened from columns, refused with the reason."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path

import msgspec
import numpy as np
import pytest

from execution.domain.config import ExecutionConfig
from failover.adapters.in_use import claims
from failover.domain.days import iso_ms
from market.domain.chunks import concat_chunks, pick_messages
from market.domain.events import EventChunk, EventKind, pack_chunk
from market.domain.priming import between
from market.domain.recordings import BadRecording
from market.recordings import open_market_data
from replay.adapters import session_columns, session_draft
from replay.adapters.session_events import EventsReader
from replay.adapters.session_paths import open_market_data as replay_market_data
from replay.adapters.session_store import SessionStore
from replay.domain.sessions import BuildProgress, ReplayEvent, SessionRefused
from replay.services.run import ReplayOptions, run_replay
from replay.services.session_build import build_session, open_session
from tests.market.recorded_files import lay_down
from tests.replay.conftest import EAGER, SYMBOLS
from tests.replay.session_samples import FACTS, RUN, options_of, recorded_store

S = 1_000_000_000


@pytest.fixture(scope="module")
def recorded(tmp_path_factory, instruments, market) -> Path:
    return recorded_store(tmp_path_factory.mktemp("recorded"), instruments, market).market_dir


@pytest.fixture
def store(tmp_path, recorded) -> SessionStore:
    """The recording in a data folder of the test's own."""
    shutil.copytree(recorded, tmp_path / "market")
    return SessionStore(tmp_path)


def build(store: SessionStore, market: EventChunk, **changes: object):
    return build_session(options_of(market, **{"symbols": SYMBOLS, **changes}), store, facts=FACTS)


def opened(store: SessionStore, session_id: str, **options: object) -> EventChunk:
    data = open_session(store, session_id, **options)
    chunk = concat_chunks([_own(chunk) for chunk in data.chunks])
    assert not data.faults.counts
    return chunk


def _own(chunk: EventChunk) -> EventChunk:
    return chunk.slice(0, len(chunk))


def raw(store: SessionStore, **options: object) -> EventChunk:
    return concat_chunks(list(open_market_data([store.market_dir], **options).chunks))


def refused(store: SessionStore, market: EventChunk, **changes: object) -> SessionRefused:
    with pytest.raises(SessionRefused) as caught:
        build(store, market, **changes)
    assert not store.list_sessions()
    assert [path.name for path in store.root.glob("*")] == []
    return caught.value


def test_a_session_holds_what_was_recorded_bit_for_bit(store, market) -> None:
    manifest = build(store, market)

    assert pack_chunk(opened(store, manifest.session_id)) == pack_chunk(market)
    assert manifest.total_events == len(market)
    assert manifest.event_counts == {
        EventKind(kind).name: n for kind, n in enumerate(np.bincount(market.kind).tolist()) if n
    }
    assert [run.recorder_run for run in manifest.recorder_runs] == [RUN]
    assert manifest.recorder_runs[0].events == len(market)
    assert manifest == store.get_session(manifest.session_id)


def test_raw_files_session_and_columns_replay_to_one_digest(store, market) -> None:
    """The proof of the whole part; begun in the middle, so that priming takes part in it."""
    from_ns, to_ns = int(market.core_ts_ns[0]) + 15 * S, int(market.core_ts_ns[-1]) - S
    manifest = build(store, market, from_=iso_ms(from_ns), to=iso_ms(to_ns))
    assert manifest.checkpoints
    span = {"from_ns": manifest.from_ns, "to_ns": manifest.to_ns}

    def digest(data) -> str:
        return run_replay(data, EAGER, ExecutionConfig(), ReplayOptions(run_id="r")).digest

    from_raw = digest(open_market_data([store.market_dir], **span))
    from_columns = digest(open_session(store, manifest.session_id))
    shutil.rmtree(store.folder(manifest.session_id) / "columns")
    from_events = digest(open_session(store, manifest.session_id))

    assert from_raw == from_columns == from_events


def test_an_event_has_the_shape_of_the_source_and_loses_nothing(store, market) -> None:
    manifest = build(store, market)

    lines = (store.folder(manifest.session_id) / "events.jsonl").read_bytes().splitlines()

    assert len(lines) == manifest.total_events
    events = [msgspec.json.decode(line, type=ReplayEvent) for line in lines]
    assert {event.type for event in events} == {
        "MARKET_TRADE", "MARKET_ORDERBOOK", "MARKET_TICKER",
    }  # fmt: skip
    assert [event.seq for event in events] == market.seq.tolist()
    assert [event.recv_ts for event in events] == market.core_ts_ns.tolist()
    assert {event.recorder_run for event in events} == {RUN}
    assert {event.symbol for event in events} == set(SYMBOLS)


def test_a_session_from_the_middle_begins_with_the_books_as_they_stood(store, market) -> None:
    from_ns = int(market.core_ts_ns[0]) + 20 * S

    manifest = build(store, market, from_=iso_ms(from_ns), session_id="late")

    start = manifest.from_ns
    got = opened(store, "late")
    assert pack_chunk(got) == pack_chunk(raw(store, from_ns=start, to_ns=manifest.to_ns))
    whole = concat_chunks(list(between(iter([market]), 2, start, manifest.to_ns)))
    stated = [pick_messages(c, np.flatnonzero((c.core_ts_ns == start) & (c.kind == 2)))
              for c in (got, whole)]  # fmt: skip
    for column in ("symbol", "level_offset", "side", "tick", "lot"):
        assert getattr(stated[0], column).tolist() == getattr(stated[1], column).tolist()
    books = [c for c in manifest.checkpoints if c.type == "MARKET_ORDERBOOK"]
    assert {book.symbol for book in books} == set(SYMBOLS)
    assert all(book.is_trusted and book.entries and book.recv_ts == start for book in books)


@pytest.mark.parametrize("seconds", [0, 7, 21, 39])
def test_seeking_states_the_books_as_a_reader_of_everything_knows_them(
    store, market, monkeypatch, seconds
) -> None:
    monkeypatch.setattr(session_columns, "SEEK_EVERY_MESSAGES", 500)
    manifest = build(store, market, session_id="one")
    start_ns = int(market.core_ts_ns[0]) + seconds * S

    got = opened(store, "one", start_ns=start_ns)

    assert pack_chunk(got) == pack_chunk(
        concat_chunks(list(between(iter([market]), 2, start_ns, None)))
    )
    columns = session_columns.SessionColumns(
        store.folder("one") / "columns",
        session_columns.read_cache_facts(store.folder("one") / "columns"),
    )
    assert columns.state_before(manifest.total_events)[0] > 0
    with pytest.raises(SessionRefused) as caught:
        open_session(store, "one", start_ns=manifest.to_ns)
    assert caught.value.code == "NO_DATA"


def test_two_runs_are_played_one_after_the_other_with_a_gap_between(
    store, market, instruments
) -> None:
    """The second recorder's seq begins anew: the run decides first, then seq, whatever the times say."""
    later = EventChunk(
        **{
            name: getattr(market, name) + (60 * S if name.endswith("ts_ns") else 0)
            for name in EventChunk.__slots__
        }
    )
    lay_down(store.market_dir, instruments, later, "20260131T110000.000000Z-bbbb")
    manifest = build(store, market, to=iso_ms(int(later.core_ts_ns[-1]) + 1_000_000))

    both = opened(store, manifest.session_id)

    assert pack_chunk(both) == pack_chunk(
        raw(store, from_ns=manifest.from_ns, to_ns=manifest.to_ns)
    )
    gap = both.slice(len(market), len(market) + 2)
    assert gap.kind.tolist() == [EventKind.FEED_GAP] * 2
    assert [run.events for run in manifest.recorder_runs] == [len(market), len(market) + 2]


def test_only_the_wanted_symbols_and_types_are_taken(store, market) -> None:
    manifest = build(store, market, symbols=[SYMBOLS[1]], include_types=["MARKET_TRADE"])

    got = opened(store, manifest.session_id)

    wanted = (market.symbol == 1) & (market.kind == EventKind.TRADE)
    assert got.seq.tolist() == market.seq[wanted].tolist()
    assert [file.path.rpartition("/")[2] for file in manifest.files] == [
        f"{SYMBOLS[1]}-trades.jsonl"
    ]
    assert [instrument.symbol for instrument in manifest.instruments] == [SYMBOLS[1]]


def test_a_session_is_cut_at_its_limit_and_says_so(store, market) -> None:
    manifest = build(store, market, max_events=100)

    assert manifest.truncated
    assert pack_chunk(opened(store, manifest.session_id)) == pack_chunk(market.slice(0, 100))


def test_the_manifest_names_the_files_by_rows_and_hash(store, market, tmp_path) -> None:
    import hashlib

    manifest = build(store, market)

    assert manifest.files
    for file in manifest.files:
        content = (tmp_path / file.path).read_bytes()
        assert (file.rows, file.bytes) == (content.count(b"\n"), len(content))
        assert file.sha256 == hashlib.sha256(content).hexdigest()
    events = (store.folder(manifest.session_id) / "events.jsonl").read_bytes()
    assert manifest.events.sha256 == hashlib.sha256(events).hexdigest()


def test_a_taken_name_is_refused_and_a_default_one_numbered(store, market) -> None:
    first = build(store, market)
    second = build(store, market)

    assert second.session_id == f"{first.session_id}.2"
    assert second.digest == first.digest
    with pytest.raises(SessionRefused) as caught:
        build(store, market, session_id=first.session_id)
    assert caught.value.code == "EXISTS"


def test_a_range_without_a_recording_is_refused(store, market) -> None:
    day = 86_400 * S
    asked = {
        "from_": iso_ms(int(market.core_ts_ns[0]) + 9 * day),
        "to": iso_ms(int(market.core_ts_ns[0]) + 10 * day),
    }

    assert refused(store, market, **asked).code == "NO_DATA"
    late = {
        "from_": iso_ms(int(market.core_ts_ns[-1]) + S),
        "to": iso_ms(int(market.core_ts_ns[-1]) + 2 * S),
    }
    assert refused(store, market, **late).code == "NO_DATA"


def test_a_symbol_that_was_not_recorded_is_refused_by_name(store, market) -> None:
    caught = refused(store, market, symbols=[SYMBOLS[0], "NOSUCHUSDT"])

    assert caught.code == "UNKNOWN_SYMBOL"
    assert "NOSUCHUSDT" in caught.fields["symbols"]


def test_a_book_without_a_snapshot_before_the_start_is_refused_by_name(
    store, market, tmp_path
) -> None:
    """The first lines are lost, as where a day was deleted: nobody knows the book the deltas change."""
    path = next(store.market_dir.glob(f"*/{SYMBOLS[1]}-orderbook.jsonl"))
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(line for line in lines if b"SNAPSHOT" not in line))

    caught = refused(store, market)

    assert caught.code == "NO_SNAPSHOT"
    assert SYMBOLS[1] in caught.message
    assert build(store, market, include_types=["MARKET_TRADE"]).total_events


def test_damage_of_the_recording_is_told_in_the_manifest(store, market) -> None:
    path = next(store.market_dir.glob(f"*/{SYMBOLS[0]}-trades.jsonl"))
    path.write_bytes(path.read_bytes() + b'{"timestamp":"2026-')

    manifest = build(store, market)

    assert manifest.faults == {"unreadable_line": 1}
    data = open_session(store, manifest.session_id)
    assert data.faults.counts == {"unreadable_line": 1}


def test_a_stopped_build_leaves_nothing(store, market) -> None:
    told: list[BuildProgress] = []

    with pytest.raises(SessionRefused) as caught:
        build_session(
            options_of(market, SYMBOLS), store, facts=FACTS, on_progress=told.append,
            should_stop=lambda: len(told) >= 3,
        )  # fmt: skip

    assert caught.value.code == "STOPPED"
    assert len(told) == 3
    assert list(store.root.iterdir()) == []
    assert claims(store.data_dir) == []


def test_progress_rises_to_the_end(store, market) -> None:
    told: list[BuildProgress] = []

    build_session(options_of(market, SYMBOLS), store, facts=FACTS, on_progress=told.append)

    shares = [progress.progress_pct for progress in told]
    assert shares == sorted(shares)
    assert [told[-2].phase, told[-1].phase] == ["FINISHING", "DONE"]
    assert shares[-1] == 100
    assert told[-1].events == len(market)


def test_a_full_disk_is_told_and_leaves_nothing(store, market, monkeypatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(session_columns.ColumnWriter, "_put", full)

    assert refused(store, market).code == "DISK_FULL"


def test_a_build_that_is_killed_leaves_no_session_and_the_next_one_sweeps(
    store, market, tmp_path
) -> None:
    """A real process, killed while its draft is there."""
    code = (
        "import django, os, sys, time; os.environ['DJANGO_SETTINGS_MODULE']='scalper_site.settings'\n"
        "from pathlib import Path\n"
        "from replay.adapters.session_store import SessionStore\n"
        "store = SessionStore(Path(sys.argv[1]))\n"
        "draft = store.draft('half', ())\n"
        "draft.__enter__()\n"
        "print('ready', flush=True)\n"
        "time.sleep(600)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        drafts = list(store.root.iterdir())
        assert len(drafts) == 1
        session_draft.remove_abandoned(store.root)
        assert list(store.root.iterdir()) == drafts  # its maker lives
    finally:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()

    assert store.list_sessions() == []
    assert store.broken_sessions() == {}
    manifest = build(store, market)
    assert [path.name for path in store.root.iterdir()] == [manifest.session_id]


@pytest.mark.parametrize("change", ["touched", "changed", "column", "facts"])
def test_a_stale_cache_is_made_anew(store, market, change) -> None:
    manifest = build(store, market, session_id="one")
    events, columns = store.folder("one") / "events.jsonl", store.folder("one") / "columns"
    wanted = market
    if change == "touched":
        os.utime(events, ns=(1, 1))
    elif change == "changed":
        lines = events.read_bytes().splitlines(keepends=True)
        events.write_bytes(b"".join(lines[:-5]))
        wanted = market.slice(0, len(market) - 5)
    elif change == "column":
        with (columns / "tick.npy").open("r+b") as file:
            file.truncate(1000)
    else:
        (columns / "cache.json").write_bytes(b"{")

    data = open_session(store, "one")
    got = concat_chunks([_own(chunk) for chunk in data.chunks])

    assert pack_chunk(got) == pack_chunk(wanted)
    assert bool(data.faults.counts) == (change == "changed")  # told: it is not what was built
    before = (columns / "cache.json").stat().st_mtime_ns
    list(open_session(store, "one").chunks)
    assert (columns / "cache.json").stat().st_mtime_ns == before
    assert manifest.digest


def test_a_damaged_line_of_the_events_is_counted_and_no_book_is_trusted_behind_it(
    store, market
) -> None:
    build(store, market, session_id="one")
    events = store.folder("one") / "events.jsonl"
    lines = events.read_bytes().splitlines(keepends=True)
    events.write_bytes(b"".join([*lines[:50], lines[50][:40] + b"\n", *lines[51:]]))

    data = open_session(store, "one")
    got = concat_chunks([_own(chunk) for chunk in data.chunks])

    assert data.faults.counts["unreadable_line"] == 1
    assert got.kind.tolist()[50:52] == [EventKind.FEED_GAP] * 2
    assert pack_chunk(got.slice(52, len(got))) == pack_chunk(market.slice(51, len(market)))


def test_runs_of_any_length_in_the_events_are_read_one_by_one(store, market, instruments) -> None:
    build(store, market, session_id="one")
    events = store.folder("one") / "events.jsonl"
    lines = events.read_bytes().splitlines(keepends=True)[:40]
    plain = events.with_name("plain.jsonl")
    plain.write_bytes(b"".join(lines))
    for length in (63, 64, 5000):
        events.write_bytes(b"".join(lines).replace(RUN.encode(), b"r" * length))

        reader = EventsReader(events, instruments)
        got = concat_chunks([_own(chunk) for chunk in reader.chunks()])

        wanted = concat_chunks([_own(c) for c in EventsReader(plain, instruments).chunks()])
        assert not reader.problems
        assert pack_chunk(got) == pack_chunk(wanted)


def test_chunks_of_a_session_cannot_change_the_session(store, market) -> None:
    build(store, market, session_id="one")

    for chunk in open_session(store, "one").chunks:
        chunk.tick[:] = 7

    assert pack_chunk(opened(store, "one")) == pack_chunk(market)


def test_the_files_of_a_build_under_way_are_claimed(store, market, tmp_path) -> None:
    """So that retention keeps them."""
    seen: list[str] = []

    def look(progress: BuildProgress) -> None:
        del progress
        seen.extend(path for claim in claims(tmp_path) for path in claim.paths)

    build_session(options_of(market, SYMBOLS), store, facts=FACTS, on_progress=look)

    assert {Path(path).name for path in seen} >= {f"{SYMBOLS[0]}-orderbook.jsonl"}
    assert claims(tmp_path) == []


def test_a_session_folder_is_a_recording_like_any_other(store, market) -> None:
    """For run_replay and backtest, whole, by symbol and by time, with the digest of the raw files."""
    manifest = build(store, market)
    folder = store.folder(manifest.session_id)
    middle = int(market.core_ts_ns[0]) + 20 * S
    for options in ({}, {"symbols": [SYMBOLS[1]]}, {"symbols": [SYMBOLS[0]], "to_ns": middle}):
        span = {"from_ns": manifest.from_ns, "to_ns": manifest.to_ns, **options}
        data = replay_market_data([folder], **options)
        got = concat_chunks([_own(chunk) for chunk in data.chunks])
        assert pack_chunk(got) == pack_chunk(raw(store, **span))
        assert sum(data.message_counts.values()) == len(got)
    with pytest.raises(BadRecording, match="NOSUCH"):
        replay_market_data([folder], symbols=["NOSUCH"])
