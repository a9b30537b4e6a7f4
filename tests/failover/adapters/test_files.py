"""Snapshots are old or new, never half."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from failover.adapters.files import read_json_snapshot, write_json_snapshot
from failover.domain.errors import DataCorruption, DiskFull, StorageError

ROOT = Path(__file__).parents[3]


class Shape(msgspec.Struct, rename="camel"):
    last_update: str
    open_orders: list[int]


def test_a_snapshot_is_readable_json_in_camel_case(tmp_path: Path) -> None:
    path = tmp_path / "system" / "state.json"

    write_json_snapshot(path, Shape("now", [1, 2]))

    assert path.read_text().startswith('{\n  "lastUpdate": "now"')
    assert read_json_snapshot(path, Shape) == Shape("now", [1, 2])
    assert [each.name for each in path.parent.iterdir()] == ["state.json"]


def test_a_snapshot_killed_while_it_is_written_is_old_or_new(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    script = """
import sys
from pathlib import Path
from failover.adapters.files import write_json_snapshot
for number in range(1000000):
    write_json_snapshot(Path(sys.argv[1]), {"n": number, "again": [number] * 20000})
    print(number, flush=True)
"""
    for _ in range(3):
        process = subprocess.Popen(
            [sys.executable, "-c", script, str(path)], cwd=ROOT, stdout=subprocess.PIPE
        )
        assert process.stdout is not None
        for _ in range(5):
            process.stdout.readline()
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()

        content = read_json_snapshot(path)
        assert content["again"] == [content["n"]] * 20000


def test_a_full_disk_leaves_the_old_snapshot(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    script = f"""
import resource, signal
from pathlib import Path
from failover.adapters.files import write_json_snapshot
from failover.domain.errors import DiskFull
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
write_json_snapshot(Path({str(path)!r}), {{"n": 1}})
resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
try:
    write_json_snapshot(Path({str(path)!r}), {{"n": list(range(1000))}})
except DiskFull:
    print("full")
"""
    result = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT
    )

    assert result.stdout == "full\n", result.stderr
    assert read_json_snapshot(path) == {"n": 1}
    assert [each.name for each in tmp_path.iterdir()] == ["state.json"]


def test_no_snapshot_is_none_and_a_broken_one_is_said_to_be_broken(tmp_path: Path) -> None:
    (tmp_path / "half.json").write_text('{"a": ')

    assert read_json_snapshot(tmp_path / "none.json") is None
    with pytest.raises(DataCorruption, match=r"half\.json"):
        read_json_snapshot(tmp_path / "half.json")


def test_an_unwritable_place_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(StorageError) as caught:
        write_json_snapshot(tmp_path / "file" / "state.json", {})

    assert not isinstance(caught.value, DiskFull)
