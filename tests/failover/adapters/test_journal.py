"""The decision journal: what was told is read back in order, and what is not there is admitted."""

from __future__ import annotations

import os
import threading
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest

from failover.adapters import journal
from failover.adapters.journal import JournalWriter
from failover.adapters.journal_blocks import sealed_block
from failover.adapters.journal_reader import JournalReader, journal_runs, set_torn_tails_aside
from failover.domain.journal import (
    Begun,
    Ended,
    JournalRecord,
    Made,
    Missing,
    Stood,
    Tail,
    Taken,
    TakenRange,
)

_NOON_NS = 1_790_000_000_000_000_000 // 86_400_000_000_000 * 86_400_000_000_000 + 43_200_000_000_000
_DAY_NS = 86_400_000_000_000


def _writer(folder: Path, run: str = "run-1", **options: float) -> JournalWriter:
    writer = JournalWriter(folder, "strategy", run, **options)  # type: ignore[arg-type]
    writer.begin(_NOON_NS, b"made of")
    return writer


def _until(is_so: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + 30.0
    while not is_so():
        assert time.monotonic() < deadline_s, "the journal's thread did not write"
        threading.Event().wait(0.01)


def _read(folder: Path) -> tuple[JournalReader, list[JournalRecord]]:
    (run,) = journal_runs(folder)
    reader = JournalReader(run)
    numbered = list(reader.records())
    return reader, [record for _, record in numbered]


def test_a_run_is_read_back_as_it_was_told(tmp_path: Path) -> None:
    writer = _writer(tmp_path)
    writer.take("NEWS", _NOON_NS + 1, b"\x91\xc0")
    writer.made(b"decided")
    writer.stood(_NOON_NS + 1, b"state")
    assert writer.close(_NOON_NS + 2)

    _, records = _read(tmp_path)

    assert records == [
        Begun(core="strategy", run_id="run-1", at_ns=_NOON_NS, format=1, payload=b"made of"),
        Taken("NEWS", _NOON_NS + 1, b"\x91\xc0"),
        Made(b"decided"),
        Stood(_NOON_NS + 1, b"state"),
        Ended(_NOON_NS + 2),
    ]


def test_neighbouring_pieces_of_a_stream_become_one_record(tmp_path: Path) -> None:
    writer = _writer(tmp_path)
    for first in (1, 3, 5, 9):  # 7 and 8 never came
        writer.take_range("FRAMES", _NOON_NS + first, "frames", "m1", first, 2, b"xy")
    writer.close(_NOON_NS + 20)

    _, records = _read(tmp_path)

    ranges = [record for record in records if isinstance(record, TakenRange)]
    assert [(r.first, r.count, r.entries) for r in ranges] == [(1, 6, 3), (9, 2, 1)]
    assert (ranges[0].at_ns, ranges[0].until_ns) == (_NOON_NS + 1, _NOON_NS + 5)
    assert ranges[0].digest != ranges[1].digest


def test_whatever_comes_between_two_pieces_parts_them(tmp_path: Path) -> None:
    writer = _writer(tmp_path)
    writer.take_range("FRAMES", _NOON_NS, "frames", "m1", 1, 1, b"x")
    writer.made(b"decided")
    writer.take_range("FRAMES", _NOON_NS, "frames", "m1", 2, 1, b"x")
    writer.close(_NOON_NS)

    _, records = _read(tmp_path)

    kinds = [type(record).__name__ for record in records]
    assert kinds == ["Begun", "TakenRange", "Made", "TakenRange", "Ended"]


def test_each_utc_day_has_its_own_file_and_the_run_goes_on(tmp_path: Path) -> None:
    writer = _writer(tmp_path)
    writer.take("NEWS", _NOON_NS, b"today")
    writer.take("NEWS", _NOON_NS + _DAY_NS, b"tomorrow")
    writer.made(b"of tomorrow")
    writer.close(_NOON_NS + _DAY_NS)

    (run,) = journal_runs(tmp_path)
    reader, records = _read(tmp_path)

    assert len(run.paths) == 2
    kinds = ["Begun", "Taken", "Begun", "Taken", "Made", "Ended"]
    assert [type(r).__name__ for r in records] == kinds
    assert not reader.damage


def test_a_torn_tail_ends_the_run_and_is_set_aside_at_the_next_start(tmp_path: Path) -> None:
    writer = _writer(tmp_path)
    writer.close(_NOON_NS)
    (run,) = journal_runs(tmp_path)
    whole = run.paths[0].read_bytes()
    run.paths[0].write_bytes(whole + whole[: len(whole) // 2])

    reader, records = _read(tmp_path)
    (aside,) = set_torn_tails_aside(tmp_path, "strategy")

    assert len(reader.torn) == 1
    assert isinstance(records[-1], Ended)
    assert run.paths[0].read_bytes() == whole
    assert aside.read_bytes() == whole[: len(whole) // 2]


def test_the_file_of_a_living_run_is_never_cut(tmp_path: Path) -> None:
    writer = _writer(tmp_path)
    _until(lambda: writer.stats.records == 1)
    runs = journal_runs(tmp_path)
    with runs[0].paths[0].open("ab") as file:
        file.write(b"half a block")

    assert set_torn_tails_aside(tmp_path, "strategy") == []
    writer.close(_NOON_NS)


@pytest.mark.parametrize("place", [2, 30, 60])
def test_one_flipped_bit_in_a_block_shows_as_missing_records(tmp_path: Path, place: int) -> None:
    writer = _writer(tmp_path)
    _until(lambda: writer.stats.records >= 1)
    writer.take("NEWS", _NOON_NS, b"a payload long enough to be hit by the flipped bit" * 3)
    _until(lambda: writer.stats.records >= 2)
    writer.close(_NOON_NS)
    (run,) = journal_runs(tmp_path)
    data = bytearray(run.paths[0].read_bytes())
    second = data.find(b"ASJ1", 1)
    data[second + place] ^= 4
    run.paths[0].write_bytes(data)

    reader, records = _read(tmp_path)

    assert [type(record).__name__ for record in records] == ["Begun", "Missing", "Ended"]
    assert isinstance(records[1], Missing)
    assert records[1].records == 1
    assert len(reader.damage) == 1


def test_what_finds_no_room_is_admitted_and_a_new_state_is_asked_for(tmp_path: Path) -> None:
    (tmp_path / "journal").write_text("a file where the folder should be: nothing can be written")
    writer = _writer(tmp_path / "journal", queue_bytes=4_000, retry_after_s=0.01)
    writer.stood(_NOON_NS, b"")
    assert not writer.wants_checkpoint()
    for number in range(20):
        writer.take("NEWS", _NOON_NS + number, bytes(500))
    lost = writer.stats.dropped
    assert lost > 10
    assert not writer.wants_checkpoint()
    (tmp_path / "journal").unlink()
    _until(lambda: writer.stats.records >= 22 - lost)
    assert writer.wants_checkpoint()
    writer.stood(_NOON_NS + 50, b"afterwards")
    writer.close(_NOON_NS + 50)

    _, records = _read(tmp_path / "journal")

    told = [record for record in records if isinstance(record, Taken)]
    assert len(told) == 20 - lost
    assert [record.at_ns - _NOON_NS for record in told] == list(range(20 - lost))
    assert [type(record).__name__ for record in records[-3:]] == ["Missing", "Stood", "Ended"]
    assert records[-3] == Missing(lost, "the journal's queue was full")


def test_a_range_is_written_while_the_stream_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A kill in a calm hour loses a second of it, not the hour."""
    monkeypatch.setattr(journal, "RANGE_OPEN_S", 0.0)
    writer = _writer(tmp_path)
    writer.take_range("FRAMES", _NOON_NS, "frames", "m1", 1, 1, b"x")

    _until(lambda: writer.stats.records >= 2)

    _, records = _read(tmp_path)
    assert isinstance(records[-1], TakenRange)
    writer.close(_NOON_NS)


def test_shards_of_a_core_keep_their_own_files(tmp_path: Path) -> None:
    for run in ("run-1", "run-2"):
        _writer(tmp_path, run).close(_NOON_NS)

    assert [(run.core, run.run_id) for run in journal_runs(tmp_path, "strategy")] == [
        ("strategy", "run-1"),
        ("strategy", "run-2"),
    ]


def test_the_last_of_a_writer_that_ended_is_kept_as_it_came(tmp_path: Path) -> None:
    """A market that was killed may not have recorded what it had published."""
    writer = _writer(tmp_path)
    writer.take_range("FRAMES", _NOON_NS, "frames", "m1", 1, 2, b"too old")
    writer.take_range("FRAMES", _NOON_NS + 19_000_000_000, "frames", "m1", 3, 1, b"last")
    writer.take_range("FRAMES", _NOON_NS + 20_000_000_000, "frames", "m2", 1, 1, b"new")
    writer.close(_NOON_NS + 11_000_000_000)

    _, records = _read(tmp_path)

    assert [r for r in records if isinstance(r, Tail)] == [Tail("frames", "m1", [(3, 1, b"last")])]
    assert [r.run_id for r in records if isinstance(r, TakenRange)] == ["m1", "m2"]


def test_while_there_is_no_room_no_state_is_asked_for(tmp_path: Path) -> None:
    """Making one costs the deciding loop milliseconds, and it would be dropped like all the rest."""
    (tmp_path / "journal").write_text("a file where the folder should be: nothing can be written")
    writer = _writer(tmp_path / "journal", queue_bytes=4_000, retry_after_s=0.01)
    asked = 0
    for number in range(200):
        if writer.wants_checkpoint():
            asked += 1
            writer.stood(_NOON_NS + number, bytes(1_000))
        writer.take("NEWS", _NOON_NS + number, bytes(500))

    assert writer.stats.dropped > 150
    assert asked <= 2
    (tmp_path / "journal").unlink()
    _until(writer.wants_checkpoint)  # there is room again, and records were lost
    writer.close(_NOON_NS + 300)


def test_a_state_that_finds_no_room_is_not_made_again_at_every_input(tmp_path: Path) -> None:
    writer = _writer(tmp_path, queue_bytes=4_000)
    asked = 0
    for number in range(200):
        if writer.wants_checkpoint():
            asked += 1
            writer.stood(_NOON_NS + number, bytes(5_000))
        writer.take("NEWS", _NOON_NS + number)

    writer.close(_NOON_NS + 300)
    assert asked == 1


def test_a_clock_set_back_at_midnight_leaves_the_records_in_order(tmp_path: Path) -> None:
    writer = _writer(tmp_path)
    told = [b"today", b"tomorrow", b"today again", b"tomorrow again"]
    for place, payload in enumerate(told):
        writer.take("NEWS", _NOON_NS + (place % 2) * _DAY_NS, payload)
    writer.close(_NOON_NS + _DAY_NS)

    reader, records = _read(tmp_path)

    assert [r.payload for r in records if isinstance(r, Taken)] == told
    assert not any(isinstance(record, Missing) for record in records)
    assert len(reader.run.paths) == 2


def test_each_day_s_file_says_anew_what_the_core_is_made_of(tmp_path: Path) -> None:
    """The first days of a run go by retention; what is left must still be proved."""
    writer = _writer(tmp_path)
    writer.take("NEWS", _NOON_NS, b"today")
    writer.take("NEWS", _NOON_NS + _DAY_NS, b"tomorrow")
    writer.close(_NOON_NS + _DAY_NS)
    (run,) = journal_runs(tmp_path)
    run.paths[0].unlink()

    _, records = _read(tmp_path)

    assert isinstance(records[0], Missing)
    begun = Begun(core="strategy", run_id="run-1", at_ns=_NOON_NS, format=1, payload=b"made of")
    assert records[1] == begun


def test_a_start_does_not_hold_the_day_s_journals_in_memory(tmp_path: Path) -> None:
    """They grow to gigabytes, and a service that was killed in the evening must come back."""
    block = sealed_block([Taken("NEWS", _NOON_NS, os.urandom(1_000_000))], 1)
    path = tmp_path / "2026-09-21" / "strategy-run-1.journal"
    path.parent.mkdir()
    path.write_bytes(block * 8 + block[:1_000])

    tracemalloc.start()
    (aside,) = set_torn_tails_aside(tmp_path, "strategy")
    _, most_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert aside.read_bytes() == block[:1_000]
    assert path.stat().st_size == 8 * len(block)
    assert most_bytes < 3 * len(block)
