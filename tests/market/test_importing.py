"""A foreign recording becomes an ordinary one: the same market, once, and never half of it."""

from __future__ import annotations

import fcntl
import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import zstandard
from django.core.management import CommandError, call_command

from market.adapters import import_folder
from market.adapters.recording_reader import Recording
from market.domain.imports import ImportRefused
from market.importing import import_market
from market.recordings import BadRecording, open_market_data
from tests.market.import_samples import (
    binance_capture,
    differences,
    joined,
    packed,
    tree,
)

ROOT = Path(__file__).parents[2]


@pytest.fixture
def capture(tmp_path: Path) -> Path:
    return binance_capture(tmp_path / "btc.gz")


def imported(path: Path, into: Path) -> bool:
    """Whether anything changed."""
    return import_market(open_market_data([path]), into)[1]


def test_an_import_is_the_same_market_in_the_days_of_its_messages(
    tmp_path: Path, capture: Path
) -> None:
    into = tmp_path / "market"

    call_command("import_recording", str(capture), into=into, stdout=io.StringIO())

    assert sorted(day.name for day in into.iterdir()) == ["2023-04-04", "2023-04-05"]
    source, recording = open_market_data([capture]), open_market_data([into])
    assert differences(joined(source), joined(recording)) == []
    assert recording.instruments == source.instruments
    assert recording.exchange_ahead_ns == source.exchange_ahead_ns
    first = json.loads((into / "2023-04-04" / "BTCUSDT-trades.jsonl").read_bytes().split(b"\n")[0])
    assert first["source"] == "BINANCE_USDM"


def test_a_recording_can_be_read_from_its_second_minute_on(tmp_path: Path, capture: Path) -> None:
    """The whole book stands at each minute, as the live recorder has it."""
    into = tmp_path / "market"
    imported(capture, into)
    lines = (into / "2023-04-04" / "BTCUSDT-orderbook.jsonl").read_bytes().splitlines()
    whole = json.loads(lines[-1])

    assert whole["payload"]["subtype"] == "CHECKPOINT"
    minute_ns = 1_680_652_800_000_000_000
    chunks = Recording(into, from_ns=minute_ns).chunks()
    first = next(iter(chunks))
    assert int(first.kind[0]) == 2  # the snapshot that the checkpoint is
    assert first.level_offset[1] == len(whole["payload"]["bids"]) + len(whole["payload"]["asks"])


def test_importing_twice_changes_nothing(tmp_path: Path, capture: Path) -> None:
    into = tmp_path / "market"
    assert imported(capture, into)
    before = tree(into)

    again = capture.rename(tmp_path / "renamed.gz")

    assert not imported(again, into)
    assert tree(into) == before


def test_an_import_is_kept_apart_from_what_the_day_holds_already(
    tmp_path: Path, capture: Path
) -> None:
    """Another run's lines stay as they are, compressed or not, a torn last one included."""
    alone, into = tmp_path / "alone", tmp_path / "market"
    imported(capture, alone)
    day = into / "2023-04-04"
    day.mkdir(parents=True)
    (day / "BTCUSDT-trades.jsonl").write_bytes(b'{"recorderRun":"live"}\n{"recorderRun":"to')
    live = b'{"recorderRun":"live"}\n' * 3
    (day / "BTCUSDT-ticker.jsonl.zst").write_bytes(zstandard.compress(live))

    imported(capture, into)

    text = (day / "BTCUSDT-trades.jsonl").read_bytes()
    ours = (alone / "2023-04-04" / "BTCUSDT-trades.jsonl").read_bytes()
    assert text == b'{"recorderRun":"live"}\n{"recorderRun":"to\n' + ours
    with zstandard.open(day / "BTCUSDT-ticker.jsonl.zst", "rb") as file:
        whole = file.read()
    assert whole.startswith(live)
    assert differences(joined(open_market_data([alone])), joined(open_market_data([into]))) == []


def test_a_day_that_is_being_recorded_is_left_alone(tmp_path: Path, capture: Path) -> None:
    into = tmp_path / "market"
    target = into / "2023-04-04" / "BTCUSDT-trades.jsonl"
    target.parent.mkdir(parents=True)
    target.write_bytes(b"{}\n")
    with target.open("ab") as recorder:
        fcntl.flock(recorder, fcntl.LOCK_SH)
        with pytest.raises(ImportRefused, match="is being recorded"):
            imported(capture, into)
        assert target.read_bytes() == b"{}\n"
        assert not list(into.glob("*/instruments-*"))

    assert imported(capture, into)  # the recorder has gone: it goes on where it stood
    assert len(Recording(into).runs) == 1


class Killed(BaseException):
    """Stands for kill -9 between two system calls: nothing below may catch it and tidy up."""


@pytest.mark.parametrize("steps", [1, 2, 4, 7, 12, 18])
def test_killed_between_any_two_steps_it_goes_on_to_the_same_bytes(
    tmp_path: Path, capture: Path, monkeypatch: pytest.MonkeyPatch, steps: int
) -> None:
    """Each rename, link and write of a state is a step; nothing is visible before the last of them."""
    whole, into = tmp_path / "whole", tmp_path / "market"
    imported(capture, whole)
    monkeypatch.setattr("market.importing._SAVE_EVERY_MESSAGES", 100)
    left = steps

    def dying(real: object) -> object:
        def step(*args: object, **options: object) -> object:
            nonlocal left
            left -= 1
            if left == 0:
                raise Killed
            return real(*args, **options)  # type: ignore[operator]

        return step

    with monkeypatch.context() as patch:
        patch.setattr(import_folder, "write_atomically", dying(import_folder.write_atomically))
        patch.setattr(import_folder.os, "link", dying(os.link))
        patch.setattr(import_folder, "sync_folder", dying(import_folder.sync_folder))
        try:
            import_market(open_market_data([capture], chunk_messages=64), into)
        except Killed:
            if list(into.glob("*/instruments-*")):
                assert (
                    differences(joined(open_market_data([whole])), joined(open_market_data([into])))
                    == []
                )

    import_market(open_market_data([capture], chunk_messages=64), into)

    assert tree(into) == tree(whole)


def test_killed_for_real_in_the_middle_it_goes_on_to_the_same_bytes(tmp_path: Path) -> None:
    path = binance_capture(tmp_path / "long.gz", seconds=1_500)
    whole, into = tmp_path / "whole", tmp_path / "market"
    command = [sys.executable, str(ROOT / "manage.py"), "import_recording", str(path)]
    process = subprocess.Popen([*command, "--into", str(into)], cwd=ROOT)
    try:
        deadline = time.monotonic() + 60
        while not any(into.glob(".import-*/*/*.jsonl")) and time.monotonic() < deadline:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    finally:
        process.wait()

    imported(path, into)
    imported(path, whole)

    assert tree(into) == tree(whole)


def test_a_second_import_of_the_same_is_told_to_wait(tmp_path: Path, capture: Path) -> None:
    into = tmp_path / "market"
    data = open_market_data([capture])
    key = imported(capture, tmp_path / "other") and next((tmp_path / "other").glob("*/import-*"))
    folder = into / f".import-{str(key).rpartition('-i')[2].removesuffix('.json')}"
    folder.mkdir(parents=True)
    with (folder / "lock").open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)

        with pytest.raises(ImportRefused, match="another process is importing the same"):
            import_market(data, into)


def test_a_source_that_breaks_leaves_nothing(tmp_path: Path, capture: Path) -> None:
    broken, into = tmp_path / "broken.gz", tmp_path / "market"
    broken.write_bytes(capture.read_bytes()[:-2000])

    with pytest.raises(CommandError, match="ends in the middle"):
        call_command("import_recording", str(broken), into=into)

    assert tree(into) == {}


def test_prices_off_the_grid_of_the_rules_are_no_import(tmp_path: Path) -> None:
    """Rules change over the years: BTCUSDT once had a tick of 0.01."""
    rows = "".join(
        f"binance-futures,BTCUSDT,{START},{START},{n},buy,9681.92,0.1\n"
        for n, START in enumerate(range(1_582_329_601_000_000, 1_582_329_601_000_400))
    )
    path = packed(
        tmp_path / "t.csv.gz",
        "exchange,symbol,timestamp,local_timestamp,id,side,price,amount\n"
        f"binance-futures,BTCUSDT,1582329600000000,1582329600000000,0,buy,9682,0.1\n{rows}",
    )

    with pytest.raises(BadRecording, match=r"400 of 1 messages are off the grid .* --instruments"):
        imported(path, tmp_path / "market")

    assert tree(tmp_path / "market") == {}


def test_a_file_that_is_packed_while_an_import_turns_to_it_is_not_brought_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its lines would lie there twice: in the packed file, and in a plain one of the old name."""
    target, staged = tmp_path / "A-trades.jsonl", tmp_path / "staged"
    target.write_bytes(b"old\n")
    staged.write_bytes(b"new\n")
    lock = fcntl.flock

    def archived_before(file: io.BufferedReader, how: int) -> None:
        target.unlink(missing_ok=True)
        lock(file, how)

    monkeypatch.setattr(import_folder.fcntl, "flock", archived_before)

    with pytest.raises(ImportRefused, match="import again"):
        import_folder._join(target, staged)

    assert [path.name for path in tmp_path.iterdir()] == ["staged"]


def test_a_day_that_lies_there_plain_and_packed_is_left_to_the_archiver(
    tmp_path: Path, capture: Path
) -> None:
    market = tmp_path / "market"
    assert imported(capture, tmp_path / "other")
    source = next((tmp_path / "other").glob("*/*-trades.jsonl"))
    there = market / source.parent.name / source.name
    there.parent.mkdir(parents=True)
    there.write_bytes(b"old\n")
    packed_one = there.with_name(f"{there.name}.zst")
    packed_one.write_bytes(zstandard.ZstdCompressor().compress(b"old\n"))
    before = packed_one.read_bytes()

    with pytest.raises(ImportRefused, match="archive_recordings"):
        imported(capture, market)

    assert (there.read_bytes(), packed_one.read_bytes()) == (b"old\n", before)


def test_our_own_recording_is_not_imported_again(tmp_path: Path, capture: Path) -> None:
    imported(capture, tmp_path / "market")

    with pytest.raises(ImportRefused, match="a recording of ours already"):
        imported(tmp_path / "market", tmp_path / "other")


def test_the_wrong_format_is_refused_by_name(tmp_path: Path, capture: Path) -> None:
    with pytest.raises(CommandError, match="is a Binance USD-M capture; not a Bybit trade archive"):
        call_command(
            "import_recording", str(capture), into=tmp_path / "market", format="bybit-trades"
        )
