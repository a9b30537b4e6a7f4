"""What a run leaves: a report only beside files that are whole."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from execution.domain.outputs import LogLine
from replay.adapters import run_files
from replay.adapters.run_files import RunFiles


def test_a_report_is_written_at_once_and_after_the_records_it_tells_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever is killed then has whole files beside his report, or no report."""
    there: list[list[str]] = []

    def write(path: Path, content: bytes, **options: Any) -> None:
        there.append(sorted(each.name for each in tmp_path.iterdir()))
        there.append((tmp_path / "orders.jsonl").read_text().splitlines())
        write_atomically(path, content, **options)

    write_atomically = run_files.write_atomically
    monkeypatch.setattr(run_files, "write_atomically", write)
    files = RunFiles(tmp_path, "r1", ("orders",))
    files.on_execution([LogLine(record={"seq": 1})], 1)

    files.write_report({"runId": "r1"})  # and it is killed before it closes them

    assert there == [["orders.jsonl"], ['{"runId":"r1","seq":1}']]
    assert sorted(each.name for each in tmp_path.iterdir()) == ["orders.jsonl", "report.json"]
    files.close()
