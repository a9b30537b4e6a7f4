"""Recordings proved, cut and spoiled, for the tests of VERIFY."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from failover.domain.journal import JournalRecord
from replay.domain.verify_report import CoreReport, VerifyReport
from replay.services.verify import verify_session
from tests.replay.recorded_world import journal_of, rewrite

CORES = ("market", "strategy")


def verified(data_dir: Path, **options: Any) -> VerifyReport:
    return verify_session(data_dir, run_id="v1", **({"cores": CORES} | options))


def all_compared(core: CoreReport) -> bool:
    return 0 < core.outputs == core.compared and core.divergences == 0


def cut_recording(data_dir: Path, run_id: str, *, after_seq: int, until_seq: int = 1 << 62) -> None:
    """Take the lines of some messages out of the files, as a kill or a full disk does."""
    for path in (data_dir / "market").glob("*/*.jsonl"):
        lines = path.read_bytes().splitlines(keepends=True)
        path.write_bytes(
            b"".join(
                line
                for line in lines
                if not (after_seq < (told := json.loads(line))["seq"] <= until_seq)
                or told["recorderRun"] != run_id
            )
        )


def spoil(data_dir: Path, core: str, change: Callable[[list[JournalRecord]], None]) -> None:
    def changed(records: list[JournalRecord]) -> list[JournalRecord]:
        change(records)
        return records

    run_id = {"market": "2026T1", "strategy": "s1"}[core]
    rewrite(journal_of(data_dir, core, run_id), changed)
