"""Whatever happens to a recorded line is found, and a recording nothing happened to is clean."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from market.adapters.recording_check import NothingToCheck, RecordingCheck
from market.adapters.recording_files import index_path, read_index
from market.domain.events import ChunkBuilder, EventChunk
from market.domain.recording_findings import Problem, RecordingReport
from tests.market.recordings import (
    DAYS,
    MIDNIGHT,
    RUNS,
    S,
    an_orderly_stream,
    record,
    record_two_days,
)
from tests.market.test_recording import a_message

BOOK = "SOLUSDT-orderbook.jsonl"
Damage = Callable[[list[bytes], int, int], list[bytes]]


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return record_two_days(tmp_path_factory.mktemp("recorded"))


@pytest.fixture
def folder(recorded: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(recorded, tmp_path / "market"))


def check(path: Path) -> RecordingReport:
    return RecordingCheck(path).run()


def chunks_of(messages: list[dict[str, Any]], per_chunk: int, now_ns: int) -> Iterator[EventChunk]:
    builder = ChunkBuilder()
    for seq, message in enumerate(messages, 1):
        now_ns += message["wait_ns"]
        builder.add(
            message["kind"], symbol=message["symbol"], seq=seq, core_ts_ns=now_ns,
            exchange_ts_ns=now_ns + message["skew_ns"], levels=message["levels"], flags=message["flags"],
        )  # fmt: skip
        if len(builder) == per_chunk or seq == len(messages):
            yield builder.take()


def torn(lines: list[bytes], at: int, where: int) -> list[bytes]:
    keep = 1 + where % (len(lines[at]) - 2)
    return [*lines[:at], lines[at][:keep] + b"\n", *lines[at + 1 :]]


def repeated(lines: list[bytes], at: int, where: int) -> list[bytes]:
    return [*lines[: at + 1], lines[at], *lines[at + 1 :]]


def swapped(lines: list[bytes], at: int, where: int) -> list[bytes]:
    other = (at + 1 + where % (len(lines) - 1)) % len(lines)
    moved = list(lines)
    moved[at], moved[other] = lines[other], lines[at]
    return moved


def removed(lines: list[bytes], at: int, where: int) -> list[bytes]:
    return [*lines[:at], *lines[at + 1 :]]


def flipped(lines: list[bytes], at: int, where: int) -> list[bytes]:
    place, bit = where % len(lines[at]), where % 8
    line = bytearray(lines[at])
    line[place] ^= 1 << bit
    return [*lines[:at], bytes(line), *lines[at + 1 :]]


def test_an_untouched_recording_is_clean_as_a_whole_by_day_and_by_file(recorded: Path) -> None:
    whole = check(recorded)

    assert (whole.is_clean, whole.problems) == (True, {})
    assert len(whole.files) == 12
    assert sum(check(recorded / day).rows for day in DAYS) == whole.rows > 400
    assert check(recorded / DAYS[1] / BOOK).is_clean


@given(st.lists(a_message(), min_size=1, max_size=40), st.integers(1, 7), st.booleans())
@settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_whatever_the_recorder_writes_is_clean(
    tmp_path_factory: pytest.TempPathFactory,
    messages: list[dict[str, Any]],
    per_chunk: int,
    is_over_midnight: bool,
) -> None:
    """Any mix of messages; its books may cross, for the dice that make them know no market."""
    directory = tmp_path_factory.mktemp("market")
    start_ns = MIDNIGHT - 2 * S if is_over_midnight else MIDNIGHT

    record(directory, chunks_of(messages, per_chunk, start_ns), RUNS[0])

    report = check(directory)
    assert set(report.problems) <= {Problem.FEED_GAP, Problem.CROSSED_BOOK}
    assert report.rows >= len(messages)


@given(
    damage=st.sampled_from([torn, repeated, swapped, removed, flipped]),
    day=st.sampled_from(DAYS),
    file=st.sampled_from(["trades", "orderbook", "ticker"]),
    at=st.integers(0, 10_000),
    where=st.integers(0, 10_000),
)
@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_any_damage_to_an_indexed_file_is_found(
    recorded: Path, tmp_path: Path, damage: Damage, day: str, file: str, at: int, where: int
) -> None:
    """The index holds the checksum of every stretch, so not even a changed digit gets through."""
    path = tmp_path / day / f"BTCUSDT-{file}.jsonl"
    shutil.copytree(recorded / day, path.parent, dirs_exist_ok=True)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(damage(lines, at % len(lines), where)))

    report = check(path.parent)

    assert not report.is_clean
    assert any(each.path == path.name for each in report.findings)


@pytest.mark.parametrize(
    ("damage", "found"),
    [
        (torn, Problem.TORN_LINE),
        (repeated, Problem.DUPLICATE_SEQ),
        (swapped, Problem.REORDERED_SEQ),
        (removed, Problem.MISSING_SEQ),
    ],
)
@given(at=st.integers(2, 40), where=st.integers(0, 10_000))
@settings(
    max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_without_an_index_the_lines_themselves_tell_what_happened(
    recorded: Path, tmp_path: Path, damage: Damage, found: Problem, at: int, where: int
) -> None:
    path = tmp_path / DAYS[0] / "BTCUSDT-trades.jsonl"
    shutil.copytree(recorded / DAYS[0], path.parent, dirs_exist_ok=True)
    index_path(path).unlink()
    lines = path.read_bytes().splitlines(keepends=True)
    first_run = sum(RUNS[0].encode() in line for line in lines)
    path.write_bytes(b"".join(damage(lines[:first_run], at % (first_run - 1), where % 3)))

    assert found in check(path.parent).problems


def test_a_changed_number_without_an_index_shows_at_the_next_checkpoint(folder: Path) -> None:
    path = folder / DAYS[1] / BOOK
    index_path(path).unlink()
    lines = path.read_bytes().splitlines(keepends=True)
    at = next(n for n, line in enumerate(lines) if b'"DELTA"' in line and b"[4.950,0.5]" in line)
    lines[at] = lines[at].replace(b"[4.950,0.5]", b"[4.945,0.5]")
    path.write_bytes(b"".join(lines))

    (finding,) = [
        each for each in check(path.parent).findings if each.problem is Problem.CHECKPOINT_DIFFERS
    ]
    assert finding.path == path.name
    assert b'"CHECKPOINT"' in lines[finding.line - 1]  # type: ignore[operator]


def test_a_book_that_stays_crossed_is_told_with_its_time_and_prices(folder: Path) -> None:
    path = folder / DAYS[0] / BOOK
    lines = path.read_bytes().splitlines(keepends=True)
    at = next(n for n, line in enumerate(lines) if b'"BBO"' in line)
    lines[at] = lines[at].replace(b'"bids":[[5.', b'"bids":[[9.')
    path.write_bytes(b"".join(lines))

    report = check(path)

    crossed = [each for each in report.findings if each.problem is Problem.CROSSED_BOOK]
    assert crossed[0].seq is not None
    assert "bid 9." in crossed[0].detail


def test_a_lost_last_line_is_known_from_the_index_alone(folder: Path) -> None:
    path = folder / DAYS[1] / "SOLUSDT-ticker.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:-1]))

    assert Problem.INDEX_MISMATCH in check(path).problems


def test_files_of_others_lost_files_and_bad_indexes_are_reported(folder: Path) -> None:
    (folder / "notes.txt").write_text("mine")
    (folder / DAYS[0] / "BTCUSDT-candles.jsonl").write_text("{}\n")
    (folder / DAYS[0] / f"{BOOK}.torn-1").write_bytes(b'{"timest')
    (folder / DAYS[0] / "BTCUSDT-ticker.jsonl").unlink()
    (folder / DAYS[0] / "SOLUSDT-ticker.index.json").write_bytes(b"{")
    (folder / DAYS[0] / f"instruments-{RUNS[0]}.json").unlink()
    (folder / DAYS[1] / "BTCUSDT-trades.jsonl.zst").write_bytes(b"no zstd")

    report = check(folder)

    found = {(each.problem, each.path) for each in report.findings}
    assert {
        (Problem.FOREIGN_FILE, "notes.txt"),
        (Problem.FOREIGN_FILE, f"{DAYS[0]}/BTCUSDT-candles.jsonl"),
        (Problem.TORN_ASIDE, f"{DAYS[0]}/{BOOK}.torn-1"),
        (Problem.FILE_MISSING, f"{DAYS[0]}/BTCUSDT-ticker.index.json"),
        (Problem.BAD_INDEX, f"{DAYS[0]}/SOLUSDT-ticker.jsonl"),
        (Problem.UNKNOWN_RUN, ""),
        (Problem.TWO_VARIANTS, f"{DAYS[1]}/BTCUSDT-trades.jsonl"),
        (Problem.MISSING_SEQ, ""),  # what was in the lost file
    } <= found


def test_lines_of_another_file_or_day_are_no_lines_of_this_one(folder: Path) -> None:
    path = folder / DAYS[0] / BOOK
    stranger = (folder / DAYS[0] / "BTCUSDT-orderbook.jsonl").read_bytes().splitlines(True)[3]
    late = (folder / DAYS[1] / BOOK).read_bytes().splitlines(keepends=True)[1]
    with path.open("ab") as file:
        file.writelines([stranger, late])

    problems = check(path).problems

    assert problems[Problem.FOREIGN_LINE] == 1
    assert problems[Problem.WRONG_DAY] == 1


def test_what_the_recorder_admits_is_told_and_is_no_fault(tmp_path: Path) -> None:
    """The gap line names the first message that may be missing: what lies between is no surprise."""
    chunks = list(an_orderly_stream(20_000 * 86_400 * S, 20))
    record(tmp_path, iter(chunks), RUNS[0])
    day = tmp_path / DAYS[0]
    for path in day.glob("*.jsonl"):
        lines = path.read_bytes().splitlines(keepends=True)
        kept = [line for line in lines if not 20 <= msgspec.json.decode(line)["seq"] <= 30]
        gap = msgspec.json.decode(lines[0]) | {"type": "RECORDER_GAP", "seq": 30}
        gap["recvTs"] = msgspec.json.decode(kept[-1])["recvTs"]
        gap["payload"] = {"subtype": "GAP", "dropped": 11, "fromSeq": 20, "ts": 1}
        path.write_bytes(b"".join(kept))
        index_path(path).unlink()
        later = [n for n, line in enumerate(kept) if msgspec.json.decode(line)["seq"] > 30]
        at = later[0] if later else len(kept)
        gap["recvTs"] = msgspec.json.decode(kept[min(at, len(kept) - 1)])["recvTs"]
        kept.insert(at, msgspec.json.encode(gap) + b"\n")
        path.write_bytes(b"".join(kept))

    report = check(day)

    assert report.is_clean
    assert report.problems == {Problem.NOT_INDEXED: 6, Problem.RECORDER_GAP: 6}


def test_the_index_says_what_the_check_finds(recorded: Path) -> None:
    """The recorder counted while it wrote; the check reads: both come to the same."""
    scans = RecordingCheck(recorded)
    scans.run()

    for path, scan in scans.scans.items():
        index = read_index(path)
        assert index is not None
        said = [msgspec.structs.replace(part, is_closed=False) for part in index.parts]
        assert (said, index.bytes, index.rows) == (scan.parts, scan.bytes, scan.rows)
        assert index.gaps == scan.gaps
        assert all(part.is_closed for part in index.parts)


def test_nothing_to_check_is_an_error_and_no_clean_report(tmp_path: Path) -> None:
    (tmp_path / "notes.jsonl").write_text("{}")

    for path in (tmp_path, tmp_path / "none", tmp_path / "notes.jsonl"):
        with pytest.raises(NothingToCheck):
            RecordingCheck(path)
