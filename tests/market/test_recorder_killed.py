"""A recorder that is killed loses at most its last unwritten batch, and everybody can see what."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from market.adapters.recording_archiver import Outcome, archive_days
from market.adapters.recording_check import RecordingCheck
from market.adapters.recording_files import read_index
from market.adapters.recording_reader import Recording
from market.domain.recording_findings import Problem
from tests.market.recordings import DAYS, MIDNIGHT, MS, RUNS, S, an_orderly_stream, record

EARLIER = "20241004T235700.000000Z-0a0b"
QUEUED = 500
STEP_NS = MS // 10

# Feeds a real recorder as fast as it writes, and says after each chunk what the recorder calls written.
_RECORDER = """
import sys, time
from pathlib import Path
from failover.adapters.files import write_atomically
from market.adapters.indexed_file import IndexedFile
from market.services.recorder import MarketRecorder
from tests.market.recordings import MIDNIGHT, RUNS, S, an_orderly_stream, two_instruments

recorder = MarketRecorder(
    Path(sys.argv[1]), two_instruments(), RUNS[0],
    open_file=IndexedFile, write_whole=write_atomically, queue_messages=int(sys.argv[2]),
)
recorder.start()
given = 0
for chunk in an_orderly_stream(MIDNIGHT - 60 * S, 50, every_ns=int(sys.argv[3])):
    while given - recorder._done + len(chunk) > int(sys.argv[2]):
        time.sleep(0.0005)
    recorder.take_chunk(chunk)
    given += len(chunk)
    print(given, recorder.stats.written_lines, flush=True)
"""


@pytest.mark.parametrize("after", [900, 1700])
def test_kill_9_costs_at_most_what_was_not_yet_written(tmp_path: Path, after: int) -> None:
    """`after`: messages given before the kill. The bound is the queue: here small, in use 0.1 s of feed."""
    record(tmp_path, an_orderly_stream(MIDNIGHT - 90 * S, 5), EARLIER)
    given, written = _record_until_killed(tmp_path, after)
    day = tmp_path / DAYS[0]
    lines = [line for path in day.glob("*.jsonl") for line in path.read_bytes().splitlines(True)]
    ours = [line for line in lines if RUNS[0].encode() in line and line.endswith(b"}\n")]
    on_disk = len(ours)
    checkpoints = sum(b'"CHECKPOINT"' in line for line in ours)

    assert on_disk >= written
    assert given - (on_disk - checkpoints) <= QUEUED
    assert {_indexed_runs(path) for path in day.glob("*.jsonl")} <= {(EARLIER,), ()}
    assert set(RecordingCheck(tmp_path).run().problems) <= {
        Problem.CUT_TAIL, Problem.TORN_LINE, Problem.NOT_INDEXED,
    }  # fmt: skip

    record(tmp_path, an_orderly_stream(MIDNIGHT - 5 * S, 4), RUNS[1])  # sets torn tails aside

    report = RecordingCheck(tmp_path).run()
    assert set(report.problems) <= {Problem.CUT_TAIL, Problem.TORN_ASIDE}
    (archived,) = archive_days(tmp_path, DAYS[1], level=3)
    assert {file.outcome for file in archived.files} == {Outcome.ARCHIVED}
    recording = Recording(tmp_path)
    assert sum(len(chunk) for chunk in recording.chunks() if chunk.seq[0]) >= on_disk - checkpoints
    assert not recording.problems


def _indexed_runs(path: Path) -> tuple[str, ...]:
    index = read_index(path)
    return tuple(run.recorder_run for run in index.runs) if index else ()


def _record_until_killed(folder: Path, after: int) -> tuple[int, int]:
    """Messages given and lines called written at the moment of the kill."""
    with subprocess.Popen(
        [sys.executable, "-c", _RECORDER, str(folder), str(QUEUED), str(STEP_NS)],
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
        text=True,
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if int(line.split()[0]) >= after:
                os.kill(process.pid, signal.SIGKILL)
                break
        last = [line, *process.stdout.read().splitlines()]
    whole = [each for each in last if len(each.split()) == 2]
    given, written = whole[-1].split()
    return int(given), int(written)
