"""Finished days become smaller and nothing else, whenever the archiver is killed."""

from __future__ import annotations

import fcntl
import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest
import zstandard

from market.adapters import recording_archiver
from market.adapters.recording_archiver import ArchivedDay, Outcome, archive_days, archived_bytes
from market.adapters.recording_check import RecordingCheck
from market.adapters.recording_files import index_path, open_lines, read_index, variants
from market.adapters.recording_job import archive_finished_days, finished_before
from market.adapters.recording_reader import Recording
from market.adapters.zstd_frames import read_seek_table
from market.domain.chunks import concat_chunks
from market.domain.config import MarketConfig
from market.domain.events import pack_chunk
from market.domain.recording_config import RecordingConfig
from market.models import RecordingCheckRun
from tests.market.recordings import (
    DAYS,
    MIDNIGHT,
    RUNS,
    S,
    an_orderly_stream,
    record,
    record_two_days,
)

BOOK = "SOLUSDT-orderbook.jsonl"


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return record_two_days(tmp_path_factory.mktemp("recorded"))


@pytest.fixture
def folder(recorded: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(recorded, tmp_path / "market"))


def archive(folder: Path, before_day: str = "2024-10-06") -> list[ArchivedDay]:
    return list(archive_days(folder, before_day, level=3))


def content(path: Path) -> bytes:
    with open_lines(path) as file:
        return file.read()


def stream(folder: Path) -> bytes:
    return pack_chunk(concat_chunks(list(Recording(folder).chunks())))


def test_readers_see_the_same_before_and_after(recorded: Path, folder: Path) -> None:
    days = archive(folder)

    assert [day.day for day in days] == list(DAYS)
    assert {file.outcome for day in days for file in day.files} == {Outcome.ARCHIVED}
    before, after = archived_bytes(days)
    assert after < before / 4
    assert not list(folder.glob("*/*.jsonl"))
    for path in recorded.glob("*/*.jsonl"):
        assert content(folder / path.parent.name / path.name) == path.read_bytes()
    assert stream(folder) == stream(recorded)
    assert RecordingCheck(folder).run().is_clean
    assert archive(folder) == []


def test_the_day_that_is_written_is_left_alone(folder: Path) -> None:
    assert [day.day for day in archive(folder, DAYS[1])] == [DAYS[0]]
    assert len(list((folder / DAYS[1]).glob("*.jsonl"))) == 6


def test_a_day_is_finished_some_minutes_after_its_midnight() -> None:
    config = RecordingConfig(compress_after_min=10)

    assert finished_before(datetime(2024, 10, 5, 0, 9, tzinfo=UTC), config) == DAYS[0]
    assert finished_before(datetime(2024, 10, 5, 0, 10, tzinfo=UTC), config) == DAYS[1]


def test_the_copy_is_frames_of_whole_lines_with_a_table_of_them(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reader may begin at any frame; a tool that knows nothing of the table reads it all."""
    monkeypatch.setattr(
        recording_archiver, "blocks_of_lines", lambda file: iter(file.readline, b"")
    )
    path = folder / DAYS[0] / BOOK
    plain = path.read_bytes()
    archive(folder)

    copy = path.with_name(BOOK + ".zst")
    frames = read_seek_table(copy)
    assert frames is not None
    assert [frame.content for frame in frames] == [len(line) for line in plain.splitlines(True)]
    start = sum(frame.compressed for frame in frames[:7])
    packed = copy.read_bytes()[start : start + frames[7].compressed]
    assert zstandard.ZstdDecompressor().decompress(packed) == plain.splitlines(True)[7]
    assert content(path) == plain


def test_a_copy_left_beside_its_original_is_completed(recorded: Path, folder: Path) -> None:
    """Killed between the renaming of the copy and the removal of the plain file."""
    archive(folder)
    path = folder / DAYS[0] / BOOK
    shutil.copy2(recorded / DAYS[0] / BOOK, path)
    shutil.copy2(recorded / DAYS[0] / index_path(path).name, index_path(path))
    path.with_name(f".{BOOK}.zst.tmp").write_bytes(b"half")
    copied = path.with_name(BOOK + ".zst").read_bytes()
    assert stream(folder) == stream(recorded)

    archive(folder)

    assert variants(path) == [path.with_name(BOOK + ".zst")]
    assert path.with_name(BOOK + ".zst").read_bytes() == copied
    assert RecordingCheck(folder / DAYS[0] / (BOOK + ".zst")).run().is_clean
    assert stream(folder) == stream(recorded)


def test_lines_that_come_after_the_archiver_are_joined_to_the_copy(tmp_path: Path) -> None:
    """A clock set back: a new run writes into a day that was finished."""
    record(tmp_path, an_orderly_stream(MIDNIGHT - 90 * S, 10), RUNS[0])
    first = {path.name: path.read_bytes() for path in tmp_path.glob("*/*.jsonl")}
    archive(tmp_path)
    record(tmp_path, an_orderly_stream(MIDNIGHT - 60 * S, 10), RUNS[1])
    late = {path.name: path.read_bytes() for path in tmp_path.glob("*/*.jsonl")}
    both = stream(tmp_path)

    (day,) = archive(tmp_path)

    assert {file.outcome for file in day.files} == {Outcome.ARCHIVED}

    for name, lines in late.items():
        path = tmp_path / DAYS[0] / name
        assert content(path) == first[name] + lines
        index = read_index(path)
        assert index is not None
        assert [run.recorder_run for run in index.runs] == list(RUNS)
        assert all(part.is_closed for part in index.parts[:1])
    assert stream(tmp_path) == both
    assert RecordingCheck(tmp_path).run().is_clean


def test_what_a_killed_recorder_wrote_is_indexed_by_the_archiver(folder: Path) -> None:
    path = folder / DAYS[0] / BOOK
    index_path(path).unlink()

    archive(folder)

    index = read_index(path)
    assert index is not None
    assert [part.recorder_run for part in index.parts] == list(RUNS)
    assert not any(part.is_closed for part in index.parts)
    assert (index.bytes, index.first_ts) == (len(content(path)), MIDNIGHT - 90 * S)
    assert RecordingCheck(folder).run().is_clean


def test_a_file_that_does_not_match_its_index_stays_for_a_person_to_see(folder: Path) -> None:
    path = folder / DAYS[0] / BOOK
    damaged = path.read_bytes().replace(b"4.950", b"4.951", 1)
    path.write_bytes(damaged)

    (day,) = archive(folder, DAYS[1])

    outcomes = {file.path: file for file in day.files}
    assert outcomes[BOOK].outcome is Outcome.DAMAGED
    assert path.read_bytes() == damaged
    assert [f.outcome for f in day.files].count(Outcome.ARCHIVED) == 5
    assert not day.report.is_clean


def test_a_file_that_a_recorder_has_open_is_left_to_the_next_run(folder: Path) -> None:
    path = folder / DAYS[0] / BOOK
    with path.open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_SH)
        (day,) = archive(folder, DAYS[1])

    assert {f.path: f.outcome for f in day.files}[BOOK] is Outcome.IN_USE
    assert path.is_file()
    assert archive(folder, DAYS[1])[0].files[0].outcome is Outcome.ARCHIVED


def test_a_copy_that_does_not_read_back_costs_nothing(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that returns something else than it was given."""
    path = folder / DAYS[0] / BOOK
    plain = path.read_bytes()
    monkeypatch.setattr(recording_archiver, "_digests", lambda *_: (len(plain), "0" * 64))

    (day,) = archive(folder, DAYS[1])

    assert {file.outcome for file in day.files} == {Outcome.FAILED}
    assert path.read_bytes() == plain
    assert not list((folder / DAYS[0]).glob("*.zst*"))
    assert not list((folder / DAYS[0]).glob(".*"))


def test_a_changed_byte_of_a_copy_is_found(folder: Path) -> None:
    archive(folder)
    copy = folder / DAYS[0] / (BOOK + ".zst")
    whole = copy.read_bytes()
    for place in range(0, len(whole), max(1, len(whole) // 40)):
        copy.write_bytes(whole[:place] + bytes([whole[place] ^ 4]) + whole[place + 1 :])
        assert not RecordingCheck(copy).run().is_clean, place


@pytest.mark.django_db
def test_each_archived_day_leaves_a_row_about_its_quality(folder: Path) -> None:
    path = folder / DAYS[0] / BOOK
    path.write_bytes(path.read_bytes()[:-40])

    days = list(
        archive_finished_days(
            folder,
            RecordingConfig(),
            MarketConfig(),
            source="JOB",
            now=datetime(2024, 10, 6, 1, tzinfo=UTC),
        )
    )

    second, first = RecordingCheckRun.objects.all()
    assert (first.path, second.errors) == (str(folder / DAYS[0]), 0)
    assert first.errors == days[0].report.errors > 0
    assert {each["outcome"] for each in first.archived} == {"ARCHIVED", "DAMAGED"}
    assert any(finding["path"] == BOOK for finding in first.findings)


def test_a_packed_file_that_an_import_is_joining_to_is_left_alone(folder: Path) -> None:
    plain = folder / DAYS[0] / BOOK
    copy = plain.with_name(f"{BOOK}.zst")
    copy.write_bytes(zstandard.ZstdCompressor().compress(b""))
    before = plain.read_bytes(), copy.read_bytes()

    with copy.open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        days = archive(folder)

    found = {file.path: file.outcome for day in days if day.day == DAYS[0] for file in day.files}
    assert found[BOOK] == Outcome.IN_USE
    assert (plain.read_bytes(), copy.read_bytes()) == before
