"""Line files under crashes and full disks: real files, real kills."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from failover.adapters.files import read_jsonl
from failover.adapters.jsonl import JsonlAppender, TornTail
from failover.domain.errors import DataCorruption, DiskFull, FileInUse, StorageError

ROOT = Path(__file__).parents[3]
MIDNIGHT_NS = 1_767_225_600_000_000_000  # 2026-01-01T00:00:00Z


def lines(path: Path) -> list[Any]:
    return list(read_jsonl(path))


def test_records_go_to_the_file_of_their_own_day(tmp_path: Path) -> None:
    """Also around midnight, when both days' records arrive mixed."""
    appender = JsonlAppender(lambda day: tmp_path / f"day-{day}.jsonl")

    for offset in (-2, 1, -1, 2):
        appender.append({"at": offset}, ts_ns=MIDNIGHT_NS + offset)
    appender.close()

    assert lines(tmp_path / "day-2025-12-31.jsonl") == [{"at": -2}, {"at": -1}]
    assert lines(tmp_path / "day-2026-01-01.jsonl") == [{"at": 1}, {"at": 2}]


def test_a_record_of_an_earlier_day_is_still_written_after_its_file_was_closed(
    tmp_path: Path,
) -> None:
    appender = JsonlAppender(lambda day: tmp_path / f"{day}.jsonl")
    day_ns = 86_400_000_000_000

    for day in (0, 1, 2, 0):
        appender.append({"day": day}, ts_ns=MIDNIGHT_NS + day * day_ns)
    appender.close()

    assert lines(tmp_path / "2026-01-01.jsonl") == [{"day": 0}, {"day": 0}]


@given(whole=st.lists(st.binary(max_size=40), max_size=5), cut=st.integers(min_value=1))
@settings(max_examples=60, deadline=None)
def test_a_torn_last_line_is_set_aside_and_reported_wherever_it_was_cut(
    tmp_path_factory: pytest.TempPathFactory, whole: list[bytes], cut: int
) -> None:
    path = tmp_path_factory.mktemp("torn") / "log.jsonl"
    kept = b"".join(json.dumps(part.hex()).encode() + b"\n" for part in whole)
    last = json.dumps({"order": "x" * 30}).encode()
    torn = last[: 1 + cut % len(last)]
    path.write_bytes(kept + torn)
    reported: list[TornTail] = []

    appender = JsonlAppender(path, on_torn=reported.append)
    appender.append({"after": 1})
    appender.close()

    assert path.read_bytes() == kept + b'{"after":1}\n'
    assert [Path(each.aside_path).read_bytes() for each in reported] == [torn]
    assert (reported[0].offset, reported[0].size_bytes) == (len(kept), len(torn))


def test_zeros_that_a_power_cut_left_are_set_aside(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_bytes(b'{"a":1}\n' + b"\0" * 200_000 + b"\n")

    appender = JsonlAppender(path)
    appender.open()
    appender.close()

    assert path.read_bytes() == b'{"a":1}\n'
    assert appender.torn[0].size_bytes == 200_001


def test_each_torn_tail_gets_its_own_file(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    for _ in range(3):
        with path.open("ab") as file:
            file.write(b'{"half')
        appender = JsonlAppender(path)
        appender.append({"whole": True})
        appender.close()

    names = sorted(each.name for each in tmp_path.iterdir())
    assert names == ["log.jsonl", "log.jsonl.torn-1", "log.jsonl.torn-2", "log.jsonl.torn-3"]
    assert lines(path) == [{"whole": True}] * 3


WRITER = """
import sys
from pathlib import Path
from failover.adapters.jsonl import JsonlAppender
appender = JsonlAppender(Path(sys.argv[1]), sync=True)
number = 0
while True:
    appender.append({"n": number, "pad": "x" * 3000})
    sys.stdout.write(f"{number}\\n")
    sys.stdout.flush()
    number += 1
"""


def test_kill_9_loses_no_record_that_was_acknowledged(tmp_path: Path) -> None:
    path = tmp_path / "orders.jsonl"
    for _ in range(3):
        before = len(lines(path))
        process = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True, cwd=ROOT
        )
        assert process.stdout is not None
        for _ in range(200):
            process.stdout.readline()
        os.kill(process.pid, signal.SIGKILL)
        acknowledged = process.stdout.read().split()
        process.wait()
        process.stdout.close()
        if not acknowledged[-1:] or len(acknowledged[-1]) < 3:
            acknowledged = acknowledged[:-1]  # the acknowledgement itself was torn

        reopened = JsonlAppender(path)
        reopened.open()
        reopened.close()
        written = [record["n"] for record in lines(path)][before:]

        assert written == list(range(len(written)))
        assert len(written) > max(map(int, acknowledged), default=199)


def test_a_full_disk_is_a_typed_error_and_leaves_no_half_line(tmp_path: Path) -> None:
    """The size limit of a process stands for the disk: write() is cut short the same way."""
    path = tmp_path / "log.jsonl"
    script = f"""
import resource, signal, sys
from pathlib import Path
from failover.adapters.jsonl import JsonlAppender
from failover.domain.errors import DiskFull
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
appender = JsonlAppender(Path({str(path)!r}))
appender.append({{"first": 1}})
resource.setrlimit(resource.RLIMIT_FSIZE, (100, resource.RLIM_INFINITY))
try:
    appender.append({{"pad": "x" * 500}})
except DiskFull as error:
    print("full", error.path)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
appender.append({{"after": 1}})
appender.close()
"""
    result = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, check=False
    )

    assert result.returncode == 0, result.stderr
    assert result.stdout.split() == ["full", str(path)]
    assert lines(path) == [{"first": 1}, {"after": 1}]


def test_a_device_without_space_is_a_full_disk() -> None:
    appender = JsonlAppender(Path("/dev/full"))

    with pytest.raises(DiskFull) as caught:
        appender.append({"a": 1})

    assert caught.value.path == "/dev/full"


def test_a_folder_that_cannot_be_made_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(StorageError):
        JsonlAppender(tmp_path / "file" / "log.jsonl").append({"a": 1})


def test_a_second_writer_of_an_exclusive_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "orders.jsonl"
    first = JsonlAppender(path, exclusive=True)
    first.append({"n": 1})

    for exclusive in (True, False):
        with pytest.raises(FileInUse):
            JsonlAppender(path, exclusive=exclusive).append({"n": 2})

    first.close()
    second = JsonlAppender(path, exclusive=True)
    second.append({"n": 2})
    second.close()
    assert lines(path) == [{"n": 1}, {"n": 2}]


def test_several_writers_of_a_shared_file_do_not_tear_each_other(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    script = """
import sys
from pathlib import Path
from failover.adapters.jsonl import JsonlAppender
appender = JsonlAppender(Path(sys.argv[1]))
for number in range(500):
    appender.append({"who": sys.argv[2], "n": number, "pad": "x" * 700})
appender.close()
"""
    processes = [
        subprocess.Popen([sys.executable, "-c", script, str(path), name], cwd=ROOT)
        for name in ("a", "b")
    ]
    assert [process.wait() for process in processes] == [0, 0]

    records = lines(path)
    for name in ("a", "b"):
        assert [r["n"] for r in records if r["who"] == name] == list(range(500))


def test_a_long_line_is_cut_visibly_only_where_a_limit_was_set(tmp_path: Path) -> None:
    long = {"message": "é" * 5000}
    for name, limit in (("log", 1000), ("market", None)):
        appender = JsonlAppender(tmp_path / name, max_line_bytes=limit)
        appender.append(long)
        appender.close()

    (cut,) = lines(tmp_path / "log")
    assert cut["truncated"] is True
    assert cut["sizeBytes"] > 10_000
    assert cut["head"].startswith('{"message":"éé')
    assert lines(tmp_path / "market") == [long]


def test_group_sync_makes_appends_durable_without_being_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, eventually: Callable[..., Any]
) -> None:
    synced: list[int] = []
    real = os.fdatasync
    monkeypatch.setattr(os, "fdatasync", lambda fd: (synced.append(fd), real(fd)))
    appender = JsonlAppender(tmp_path / "log", sync=True)

    for number in range(500):
        appender.append({"n": number})
    eventually(lambda: synced)
    after_burst = len(synced)
    appender.append({"n": 500})
    eventually(lambda: len(synced) > after_burst)

    assert len(synced) < 500
    appender.close()


def test_a_failed_sync_reaches_the_writer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, eventually: Callable[..., Any]
) -> None:
    def fail(handle: int) -> None:
        raise OSError(5, "Input/output error")

    appender = JsonlAppender(tmp_path / "log", sync=True)
    with monkeypatch.context() as patch:
        patch.setattr(os, "fdatasync", fail)
        appender.append({"n": 1})

        def is_told() -> bool:
            try:
                appender.append({"n": 2})
            except StorageError as error:
                return error.errno == 5
            return False

        assert eventually(is_told)
    appender.close()


def test_a_corrupt_line_in_the_middle_is_never_passed_over_in_silence(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_bytes(b'{"a":1}\nnonsense\n{"a":2}\n{"a":')
    bad: list[DataCorruption] = []

    assert list(read_jsonl(path, on_bad=bad.append)) == [{"a": 1}, {"a": 2}]
    assert [each.offset for each in bad] == [8, 25]
    with pytest.raises(DataCorruption, match="byte 8"):
        list(read_jsonl(path))


def test_open_files_stay_few(tmp_path: Path) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    appender = JsonlAppender(lambda day: tmp_path / day)
    for day in range(30):
        appender.append({"d": day}, ts_ns=MIDNIGHT_NS + day * 86_400_000_000_000)

    assert len(list(Path("/proc/self/fd").iterdir())) - before <= 2
    appender.close()
    assert len(list(Path("/proc/self/fd").iterdir())) == before
