"""Real runs against each other and against live files: what they decided, read back from their folders."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from django.core.management import CommandError, call_command

from execution.domain.config import ExecutionConfig
from failover.adapters.files import read_jsonl
from failover.domain.days import iso_ms
from market.domain.events import EventChunk
from market.domain.instruments import Instrument
from replay.adapters.run_files import RunFiles
from replay.domain.comparison import Outcome
from replay.domain.config import ReplayConfig
from replay.domain.pipeline import Pipeline
from replay.services.compare import ComparisonRefused, Comparisons, compare
from strategy.domain.config import DecisionConfig

CONFIG = ReplayConfig()


def write_run(
    data_dir: Path,
    run_id: str,
    instruments: Sequence[Instrument],
    market: EventChunk,
    decision: DecisionConfig,
) -> None:
    files = RunFiles(data_dir / "replay" / "runs" / run_id, run_id)
    pipeline = Pipeline(instruments, decision, ExecutionConfig(), (files,), run_id=run_id)
    pipeline.feed(market)
    pipeline.finish()
    files.write_report(
        {
            "runId": run_id, "mode": "FULL_DECISION", "symbols": [i.symbol for i in instruments],
            "from": iso_ms(pipeline.first_ns), "to": iso_ms(pipeline.last_ns), "digest": run_id,
            "assumptions": {"configVersion": decision.version},
        }
    )  # fmt: skip
    files.close()


@pytest.fixture(scope="session")
def runs(
    tmp_path_factory: pytest.TempPathFactory,
    instruments: list[Instrument],
    market: EventChunk,
    eager: DecisionConfig,
) -> Path:
    """`r1` and `r2` are the same under two ids, `r3` asks for more before it enters."""
    data_dir = tmp_path_factory.mktemp("data")
    pickier = msgspec.structs.replace(eager.strategy, entry_score=eager.strategy.entry_score + 4)
    other = msgspec.structs.replace(eager, strategy=pickier, version="pickier")
    for run_id, decision in (("r1", eager), ("r2", eager), ("r3", other)):
        write_run(data_dir, run_id, instruments, market, decision)
    return data_dir


def compared(data_dir: Path, a: str, b: str, archive: Path | None = None) -> Any:
    return compare(a, b, data_dir=data_dir, archive=archive or data_dir, config=CONFIG)


def test_two_runs_of_one_recording_decide_the_same_under_other_ids(runs: Path) -> None:
    found = compared(runs, "r1", "r2")

    assert found.equal
    assert found.attribution.difference_usdt == 0
    assert found.attribution.equal_trades == found.a.trades > 0
    assert all(found.counts[kind].equal > 0 for kind in ("STATE", "ORDER", "FILL", "TRADE"))


def test_another_config_parts_at_its_first_decision(runs: Path) -> None:
    """What the first row says is what a reader of both files finds, line by line."""
    found = compared(runs, "r1", "r3")

    assert not found.equal
    events = [
        [
            (line["tsNs"] // 1_000_000, line["symbol"], line["fromState"], line["toState"], line["reason"])
            for line in read_jsonl(runs / "replay" / "runs" / run_id / "events.jsonl")
        ]
        for run_id in ("r1", "r3")
    ]  # fmt: skip
    alike = next(n for n, (one, other) in enumerate(zip(*events, strict=False)) if one != other)
    first_ms = min(events[0][alike][0], events[1][alike][0])
    assert found.first_divergence.ts_ms == first_ms
    assert [row.outcome for row in found.before_divergence] == [Outcome.EQUAL] * min(5, alike)
    assert found.attribution.parts.total == found.attribution.difference_usdt != 0


@pytest.fixture
def live(runs: Path, tmp_path: Path) -> Path:
    """What `r1` decided, as the live services would have written it, among what is not asked for."""
    source = runs / "replay" / "runs" / "r1"
    for name, folder in (("orders", "orders"), ("trades", "trades_log")):
        for line in read_jsonl(source / f"{name}.jsonl"):
            append(tmp_path / folder / f"day-{line['timestamp'][:10]}.jsonl", line)
    for line in read_jsonl(source / "events.jsonl"):
        at = iso_ms(line.pop("tsNs"))
        append(
            tmp_path / "events" / f"{line['symbol']}.jsonl", {**line, "timestamp": at, "number": 1}
        )
    other = {"symbol": "BTCUSDT", "timestamp": "2025-11-18T00:00:10Z", "kind": "INTENT"}
    append(tmp_path / "orders" / "day-2025-11-18.jsonl", other)
    return tmp_path


def append(path: Path, record: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:
        file.write(msgspec.json.encode(record) + b"\n")


def test_live_files_of_the_same_decisions_are_equal_to_the_run(runs: Path, live: Path) -> None:
    found = compared(runs, "r1", "live", live)

    assert (found.equal, found.a.decisions) == (True, found.b.decisions)
    assert found.b.trades == found.a.trades > 0
    assert found.b.mode == "REPLAY"  # of the lines themselves


def test_a_flipped_digit_of_a_live_order_is_found_at_its_place(runs: Path, live: Path) -> None:
    log = next((live / "orders").glob("day-*.jsonl"))
    lines = log.read_bytes().splitlines(keepends=True)
    number = next(n for n, line in enumerate(lines) if b'"command":"PLACE"' in line)
    changed = msgspec.json.decode(lines[number])
    changed["qty"] += 1
    lines[number] = msgspec.json.encode(changed) + b"\n"
    log.write_bytes(b"".join(lines))

    row = compared(runs, "r1", "live", live).first_divergence

    assert (row.outcome, row.differing, row.role) == (
        Outcome.DIFFERENT, ("qty",), f"PLACE {changed['leg']}"
    )  # fmt: skip
    assert row.b.facts["qty"] == row.a.facts["qty"] + 1


def test_damaged_and_torn_lines_are_counted_and_the_rest_is_compared(
    runs: Path, live: Path
) -> None:
    log = next((live / "orders").glob("day-*.jsonl"))
    with log.open("ab") as file:
        file.write(b'not json\n{"symbol":"ETHUSDT","kind":"FILL","clientOrderId":"x"}\n{"sym')

    found = compared(runs, "r1", "live", live)

    assert found.equal
    assert sum(found.b.problems.values()) == 3


def test_what_one_run_does_not_cover_is_left_out_and_said(runs: Path, tmp_path: Path) -> None:
    folder = tmp_path / "replay" / "runs"
    for name in ("r1", "half"):
        shutil.copytree(runs / "replay" / "runs" / "r1", folder / name)
    report = msgspec.json.decode((folder / "half" / "report.json").read_bytes())
    start, end = (datetime.fromisoformat(report[name]) for name in ("from", "to"))
    report |= {
        "runId": "half",
        "to": f"{(start + (end - start) / 2).astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}",
    }
    (folder / "half" / "report.json").write_bytes(msgspec.json.encode(report))

    found = compared(tmp_path, "r1", "half")

    assert found.equal
    assert found.a.decisions == found.b.decisions > 0
    assert "r1: " in found.notes[0]
    assert "are outside of what both cover" in found.notes[0]


@pytest.mark.parametrize(
    ("a", "b", "code"),
    [
        ("live", "live", "BOTH_LIVE"),
        ("r1", "nothing", "NOT_FOUND"),
        ("r1", "../../r1", "BAD_ID"),
        ("..", "r1", "BAD_ID"),
        ("r1", "cut-off", "UNFINISHED"),
        ("r1", "garbled", "BROKEN"),
    ],
)
def test_what_cannot_be_compared_is_refused_with_its_reason(
    runs: Path, tmp_path: Path, a: str, b: str, code: str
) -> None:
    folder = tmp_path / "replay" / "runs"
    shutil.copytree(runs / "replay" / "runs" / "r1", folder / "r1")
    (folder / "cut-off").mkdir()
    (folder / "garbled").mkdir()
    (folder / "garbled" / "report.json").write_text('{"runId": "g"}')

    with pytest.raises(ComparisonRefused) as refused:
        compared(tmp_path, a, b)

    assert refused.value.code == code


def test_runs_that_only_score_are_compared_by_their_scores(runs: Path, tmp_path: Path) -> None:
    """A line a symbol and second; they have no orders, and no run with orders is their like."""
    score = {
        "tsNs": 1763424010100000000, "symbol": "ETHUSDT", "finalScoreLong": 57.7, "finalScoreShort": 42.2,
        "signalLong": False, "signalShort": False, "expectedMoveBps": 3.8, "regime": "NORMAL",
    }  # fmt: skip
    folder = tmp_path / "replay" / "runs"
    shutil.copytree(runs / "replay" / "runs" / "r1", folder / "r1")
    report = msgspec.json.decode((folder / "r1" / "report.json").read_bytes())
    for name, value in (("s1", 57.7), ("s2", 57.8)):
        append(folder / name / "scores.jsonl", score | {"finalScoreLong": value})
        (folder / name / "report.json").write_bytes(
            msgspec.json.encode(report | {"runId": name, "mode": "SCORING_ONLY"})
        )

    assert compared(tmp_path, "s1", "s1").counts["SCORE"].equal == 1
    assert compared(tmp_path, "s1", "s2").first_divergence.differing == ("finalScoreLong",)
    with pytest.raises(ComparisonRefused, match="has scores only"):
        compared(tmp_path, "s1", "r1")


def test_more_records_than_allowed_are_refused(runs: Path) -> None:
    few = msgspec.structs.replace(CONFIG, compare_max_records=5)

    with pytest.raises(ComparisonRefused, match="compareMaxRecords"):
        compare("r1", "r2", data_dir=runs, archive=runs, config=few)


def test_a_comparison_is_kept_until_a_run_changes(runs: Path, tmp_path: Path) -> None:
    shutil.copytree(runs / "replay", tmp_path / "replay")
    kept = Comparisons()
    first = kept.get("r1", "r3", data_dir=tmp_path, archive=tmp_path, config=CONFIG)

    again = kept.get("r1", "r3", data_dir=tmp_path, archive=tmp_path, config=CONFIG)
    (tmp_path / "replay" / "runs" / "r3" / "events.jsonl").write_bytes(b"")
    changed = kept.get("r1", "r3", data_dir=tmp_path, archive=tmp_path, config=CONFIG)

    assert again is first
    assert changed.counts["STATE"].only_a > 0 == changed.counts["STATE"].only_b


@pytest.mark.django_db
def test_the_command_says_where_two_runs_part_and_ends_with_1(
    runs: Path, settings: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    settings.DATA_DIR = runs
    first = compared(runs, "r1", "r3").first_divergence

    call_command("compare_runs", "r1", str(runs / "replay" / "runs" / "r2"))
    with pytest.raises(SystemExit) as ended:
        call_command("compare_runs", "r1", "r3")
    with pytest.raises(CommandError, match="there is no run 'r9'"):
        call_command("compare_runs", "r1", "r9")

    said = capsys.readouterr().out
    assert "no divergence" in said
    assert f"first divergence at {iso_ms(first.ts_ms * 1_000_000)} {first.symbol}" in said
    assert ended.value.code == 1
