"""One door for all records: what is on disk at return, what is queued, and what is said when too much is."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from failover.adapters.archive import Archive
from failover.adapters.archive_queue import ArchiveQueue
from failover.adapters.files import read_jsonl
from failover.domain.errors import FileInUse, StorageError
from failover.domain.line_limit import bounded_line
from failover.domain.logging_config import LoggingConfig

AT_NS = 20_000 * 86_400 * 10**9  # 2024-10-04
DAY = "day-2024-10-04.jsonl"


def an_event(number: int, **more: Any) -> dict[str, Any]:
    return {
        "timestamp": "2024-10-04T00:00:00.000Z", "symbol": "BTCUSDT", "fromState": "IDLE", "toState": "ARMED",
        "eventType": "SCORING_UPDATE", "reason": "score", "extra": {"number": number}, **more,
    }  # fmt: skip


class HeldSink:
    """Takes nothing until `go` is set."""

    def __init__(self) -> None:
        self.go, self.entered = threading.Event(), threading.Event()
        self.records: list[dict[str, Any]] = []

    def write(self, records: Sequence[dict[str, Any]]) -> None:
        self.entered.set()
        self.go.wait(20)
        self.records += records

    def close(self) -> None: ...


def test_each_record_goes_to_the_file_the_documents_name(tmp_path: Path) -> None:
    archive = Archive(tmp_path)
    archive.log_order([{"kind": "INTENT"}, {"kind": "SENT"}], ts_ns=AT_NS)
    archive.log_trade({"planId": "p"}, ts_ns=AT_NS)
    archive.log_order_quality({"clientOrderId": "o"}, ts_ns=AT_NS)
    archive.append_replay_event("s-1", {"type": "MARKET_TRADE"})
    archive.append_replay_events("s-1", [b'{"type":"MARKET_ORDERBOOK"}'])
    archive.write_replay_manifest("s-1", {"sessionId": "s-1"})
    archive.log_state_event("BTCUSDT", an_event(1))
    archive.write_risk_snapshot({"kind": "risk"})
    archive.write_tpsl_snapshot({"kind": "tpsl"})
    archive.write_execution_snapshot({"kind": "execution"})
    archive.write_health_snapshot({"kind": "health"})

    assert archive.close()

    lines = {
        str(path.relative_to(tmp_path)): path.read_text() for path in tmp_path.rglob("*.json*")
    }
    assert {name for name in lines if name.endswith("jsonl")} == {
        f"orders/{DAY}", f"trades_log/{DAY}", f"execution/quality/{DAY}", "events/BTCUSDT.jsonl",
        "replay/sessions/s-1/events.jsonl",
    }  # fmt: skip
    assert lines[f"orders/{DAY}"] == '{"kind":"INTENT"}\n{"kind":"SENT"}\n'
    assert len(lines["replay/sessions/s-1/events.jsonl"].splitlines()) == 2
    assert json.loads(lines["replay/sessions/s-1/manifest.json"]) == {"sessionId": "s-1"}
    assert json.loads(lines["events/BTCUSDT.jsonl"]) == an_event(1)
    for kind in ("risk", "tpsl", "execution", "health"):
        assert json.loads(lines[f"system/{kind}_snapshot.json"]) == {"kind": kind}


def test_an_order_is_on_disk_at_return_while_the_queue_stands_still(tmp_path: Path) -> None:
    """A sink that hangs (a locked database) may stop what is queued, never an order."""
    sink = HeldSink()
    archive = Archive(tmp_path, LoggingConfig(max_queued_records=100), state_event_sinks=[sink])
    for number in range(300):
        archive.log_state_event("BTCUSDT", an_event(number))
    assert sink.entered.wait(20)

    archive.log_order([{"kind": "INTENT"}], ts_ns=AT_NS)

    assert list(read_jsonl(tmp_path / "orders" / DAY)) == [{"kind": "INTENT"}]
    sink.go.set()
    assert archive.close(20)


_WRITER = """
import sys
from pathlib import Path
from failover.adapters.archive import Archive
archive = Archive(Path(sys.argv[1]))
number = 0
while True:
    number += 1
    archive.log_order([{"number": number, "filler": "x" * 500}], ts_ns=0)
    print(number, flush=True)
"""


def test_an_order_that_was_logged_survives_kill_9(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _WRITER, str(tmp_path)],
        stdout=subprocess.PIPE, cwd=Path(__file__).parents[3],
    ) as process:  # fmt: skip
        assert process.stdout is not None
        acknowledged = [int(process.stdout.readline()) for _ in range(200)][-1]
        os.kill(process.pid, signal.SIGKILL)
        acknowledged = [acknowledged, *map(int, process.stdout.read().split())][-1]

    archive = Archive(tmp_path)
    archive.orders.open("1970-01-01")  # what every start does first
    numbers = [row["number"] for row in read_jsonl(tmp_path / "orders" / "day-1970-01-01.jsonl")]
    assert numbers == list(range(1, len(numbers) + 1))
    assert len(numbers) - acknowledged in (0, 1)
    archive.close()


def test_a_second_process_may_not_write_the_order_log(tmp_path: Path) -> None:
    first, second = Archive(tmp_path), Archive(tmp_path)
    first.orders.open("2024-10-04")

    with pytest.raises(FileInUse):
        second.log_order([{}], ts_ns=AT_NS)

    first.close()


def test_what_finds_no_room_is_counted_and_announced_until_there_is_room(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    sink = HeldSink()
    archive = Archive(tmp_path, LoggingConfig(max_queued_records=100), state_event_sinks=[sink])
    archive.log_state_event("BTCUSDT", an_event(0))
    assert sink.entered.wait(20)

    with caplog.at_level(logging.WARNING):
        for number in range(1, 151):
            archive.log_state_event("BTCUSDT", an_event(number))
        details = archive.details()
        sink.go.set()
        assert archive.close(20)

    assert (details["queued"], details["dropped"]) == (100, 50)
    assert details["problem"] == "queue full: 50 records dropped"
    assert archive.details()["problem"] == ""
    assert [record.message for record in caplog.records] == [
        "archive_queue_full",
        "archive_goes_on",
    ]
    assert [each["extra"]["number"] for each in sink.records] == list(range(101))
    assert len(list(read_jsonl(tmp_path / "events" / "BTCUSDT.jsonl"))) == 101


def test_a_sink_that_fails_is_named_once_and_its_neighbour_goes_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken:
        works = False

        def write(self, records: Sequence[dict[str, Any]]) -> None:
            if not self.works:
                raise OSError("no database")

        def close(self) -> None: ...

    sink, seen = Broken(), threading.Event()
    archive = Archive(tmp_path, state_event_sinks=[sink])
    archive.log_state_event("BTCUSDT", an_event(1))
    archive.run_later("look", seen.set)
    assert seen.wait(20)
    assert archive.details()["problem"] == "Broken: no database"
    sink.works = True
    archive.log_state_event("BTCUSDT", an_event(2))
    assert archive.close()

    assert (archive.details()["failed"], archive.details()["problem"]) == (1, "")
    assert len(list(read_jsonl(tmp_path / "events" / "BTCUSDT.jsonl"))) == 2
    assert [each.message for each in caplog.records] == ["archive_failing", "archive_recovered"]


def test_of_snapshots_that_wait_only_the_newest_is_written() -> None:
    written: list[int] = []
    go = threading.Event()
    queue = ArchiveQueue(10)
    queue.run("hold", lambda: go.wait(20) and None)  # type: ignore[func-returns-value]
    for number in range(50):
        queue.run_newest("risk", lambda number=number: written.append(number))  # type: ignore[misc]
    go.set()

    assert queue.close(20)
    assert written == [49]
    assert queue.dropped == 0


def test_a_long_state_event_is_cut_and_says_so_and_an_order_is_not(tmp_path: Path) -> None:
    archive = Archive(tmp_path, LoggingConfig(max_line_length=1000))
    long = "x" * 5000
    archive.log_state_event("BTCUSDT", an_event(1, extra={"text": long}))
    archive.log_order([{"text": long}], ts_ns=AT_NS)
    archive.append_replay_event("s", {"text": long})
    assert archive.close()

    (event,) = read_jsonl(tmp_path / "events" / "BTCUSDT.jsonl")
    assert (event["fromState"], event["extra"]["truncated"]) == ("IDLE", True)
    assert event["extra"]["sizeBytes"] == 5000 + len('{"text":""}')
    assert archive.details()["truncated"] == 1
    assert next(read_jsonl(tmp_path / "orders" / DAY)) == {"text": long}
    assert next(read_jsonl(tmp_path / "replay" / "sessions" / "s" / "events.jsonl")) == {
        "text": long
    }


_json = st.recursive(
    st.none() | st.integers(-(2**60), 2**60) | st.text(max_size=40).map(lambda text: text * 20),
    lambda inner: (
        st.lists(inner, max_size=8) | st.dictionaries(st.text(max_size=9), inner, max_size=8)
    ),
    max_leaves=6,
)


@given(st.dictionaries(st.text(max_size=20), _json, max_size=12), st.integers(500, 3000))
@settings(max_examples=30, deadline=None)
def test_a_cut_line_is_never_too_long_and_always_json(record: dict[str, Any], limit: int) -> None:
    line, was_cut = bounded_line(record, limit)

    assert len(line) <= limit
    assert b"\n" not in line
    assert was_cut == (json.loads(line) != record)
    assert not was_cut or b'"truncated":true' in line


def test_the_form_of_snapshots_changes_while_running(tmp_path: Path) -> None:
    archive = Archive(tmp_path, LoggingConfig(pretty_print_snapshots=False))
    done = threading.Event()
    archive.write_risk_snapshot({"a": 1})
    archive.run_later("look", done.set)
    assert done.wait(20)
    path = tmp_path / "system" / "risk_snapshot.json"
    assert path.read_text() == '{"a":1}\n'

    archive.reconfigure(LoggingConfig())
    archive.write_risk_snapshot({"a": 1})
    assert archive.close()

    assert path.read_text() == '{\n  "a": 1\n}\n'


def test_a_disk_that_refuses_is_the_callers_for_orders_and_announced_for_the_rest(
    tmp_path: Path,
) -> None:
    for folder in ("orders", "events"):
        (tmp_path / folder).write_text("a file where a folder should be")
    archive = Archive(tmp_path)

    with pytest.raises(StorageError):
        archive.log_order([{"kind": "INTENT"}], ts_ns=AT_NS)
    archive.log_state_event("BTCUSDT", an_event(1))
    archive.close()

    assert archive.details()["failed"] == 1
    assert "SymbolFiles" in archive.details()["problem"]


@pytest.mark.parametrize("session_id", ["../x", "", "a/b", ".hidden", "x" * 200])
def test_a_session_id_that_leads_elsewhere_is_refused(tmp_path: Path, session_id: str) -> None:
    archive = Archive(tmp_path)

    with pytest.raises(ValueError, match="is no id"):
        archive.write_replay_manifest(session_id, {})
    with pytest.raises(ValueError, match="is no id"):
        archive.append_replay_event(session_id, {})


def test_base_dir_names_the_data_folder_or_one_in_it(tmp_path: Path) -> None:
    assert LoggingConfig().folder(tmp_path) == tmp_path
    assert LoggingConfig(base_dir="data/records/a").folder(tmp_path) == tmp_path / "records" / "a"
