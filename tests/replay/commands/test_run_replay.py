"""`manage.py run_replay`: from a path to a report whose last line is the digest."""

from __future__ import annotations

import gzip
import io
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from failover.services.config_reader import load_config
from market.domain.events import EventChunk
from replay.models import ReplayRun

ROOT = Path(__file__).parents[3]


def replayed(*arguments: object, errors: io.StringIO | None = None) -> list[str]:
    out = io.StringIO()
    call_command("run_replay", *map(str, arguments), stdout=out, stderr=errors or io.StringIO())
    return out.getvalue().splitlines()


def document(*arguments: object) -> dict[str, Any]:
    *_, text, last = replayed(*arguments, "--json", "--no-save")
    found: dict[str, Any] = json.loads(text)
    assert last == f"digest: {found['digest']}"
    return found


def test_the_report_names_trades_costs_counts_and_assumptions(
    recording: Path, profile: Path
) -> None:
    lines = replayed(recording, "--config", profile, "--no-save")

    text = "\n".join(lines)
    for words in (
        "our own recording", "ETHUSDT, AI16ZUSDT, 2025-11-18T00:00:00", "exit", "gross", "fees", "net",
        "equity", "messages", "frames", "signals", "orders", "fills",
        f"assumed: config {load_config(str(profile)).version}",
        "2 bps maker / 5.5 bps taker", "order latency 20 ms", "conservative queue", "tick 0.01",
        "data faults: none",
    ):  # fmt: skip
        assert words in text, words
    assert lines[-1].startswith("digest: ")
    assert len(lines[-1]) == len("digest: ") + 32


def test_a_recording_replays_to_the_stream_it_was_written_from(
    recording: Path, profile: Path, market: EventChunk
) -> None:
    first = document(recording, "--config", profile)
    second = document(recording / "2025-11-18", "--config", profile)

    assert first["counts"]["messages"] == len(market)
    assert first["digest"] == second["digest"]
    assert first["counts"]["trades"] == len(first["trades"]) >= 1
    assert first["result"]["netPnl"] == pytest.approx(
        first["result"]["grossPnl"] - sum(trade["fees"] for trade in first["trades"])
    )


def test_symbol_and_times_choose_a_part(recording: Path, tmp_path: Path) -> None:
    config = tmp_path / "two-of-our-own.json"
    own = {"execution": {"maxSpreadBps": 9.0}}
    config.write_text(json.dumps({"symbols": {"AI16ZUSDT": own, "ETHUSDT": own}}))

    part = document(
        recording, "--symbol", "AI16ZUSDT", "--from", "2025-11-18T00:00:10Z",
        "--to", "2025-11-18T00:00:20+00:00", "--config", config,
    )  # fmt: skip

    assert part["symbols"] == part["assumptions"]["symbolsWithOverrides"] == ["AI16ZUSDT"]
    assert (part["from"], part["to"][:19]) == ("2025-11-18T00:00:10.000Z", "2025-11-18T00:00:19")
    assert part["counts"]["frames"] >= 99
    assert part["counts"]["crossedFrames"] == 0


def test_results_go_to_a_new_folder_with_their_run_id(
    recording: Path, profile: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "results"

    printed = document(recording, "--config", profile, "--out", folder)

    report = json.loads((folder / "report.json").read_text())
    assert report["digest"] == printed["digest"]
    rows = {
        name: [json.loads(line) for line in (folder / f"{name}.jsonl").read_text().splitlines()]
        for name in ("trades", "orders", "events")
    }
    assert {row["runId"] for part in rows.values() for row in part} == {report["runId"]}
    assert len(rows["trades"]) == report["counts"]["trades"]
    intents = [
        row for row in rows["orders"] if row["kind"] == "INTENT" and row["command"] == "PLACE"
    ]
    assert len(intents) == report["counts"]["orders"] > 0
    assert {row["mode"] for row in rows["orders"]} == {"REPLAY"}
    with pytest.raises(CommandError, match="is not empty"):
        replayed(recording, "--no-save", "--out", folder)


@pytest.mark.django_db
def test_a_run_is_kept_as_a_row(recording: Path, profile: Path) -> None:
    lines = replayed(recording, "--config", profile, "--to", "2025-11-18T00:00:20")

    row = ReplayRun.objects.get()
    assert lines[-1] == f"digest: {row.digest}"
    assert row.config_version == load_config(str(profile)).version
    assert row.messages == row.report["counts"]["messages"] > 0
    assert row.symbols == ["ETHUSDT", "AI16ZUSDT"]


@pytest.mark.django_db(transaction=True)
def test_a_missing_table_is_a_note_and_no_failure(recording: Path) -> None:
    errors = io.StringIO()
    with connection.schema_editor() as editor:
        editor.delete_model(ReplayRun)
    try:
        lines = replayed(recording, "--to", "2025-11-18T00:00:02", errors=errors)
    finally:
        with connection.schema_editor() as editor:
            editor.create_model(ReplayRun)

    assert lines[-1].startswith("digest: ")
    assert "not kept in the database" in errors.getvalue()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nowhere"], "no such file or folder"),
        (["{recording}", "--symbol", "NOPEUSDT"], "NOPEUSDT not recorded"),
        (["{recording}", "--from", "yesterday"], "--from"),
        (
            ["{recording}", "--from", "2025-11-18T01", "--to", "2025-11-18T00"],
            "--to is not after --from",
        ),
        (["{recording}", "--from", "2025-11-18T01"], "no usable message"),
        (["{recording}", "--speed", "0"], "--speed"),
        (["{recording}", "--speed", "fast"], "--speed"),
        (["{recording}", "--config", "nothing"], "config nothing is refused"),
        (["{recording}", "--instruments", "nowhere"], "no such file or folder"),
        ([], "PATH"),
    ],
)
def test_bad_arguments_get_one_clear_line(
    recording: Path, arguments: list[str], words: str
) -> None:
    filled = [argument.format(recording=recording) for argument in arguments]

    with pytest.raises(CommandError) as caught:
        replayed(*filled, "--no-save")

    assert words in str(caught.value)
    assert "\n" not in str(caught.value).strip()


def test_a_recording_named_twice_is_refused(recording: Path) -> None:
    """Twice the flow on one book would end in a digest as if it were a market."""
    with pytest.raises(CommandError, match="named twice"):
        replayed(recording, recording, "--no-save")


def test_an_invalid_config_is_refused_with_all_reasons(recording: Path, tmp_path: Path) -> None:
    path = tmp_path / "bad.json"
    path.write_text('{"risk": {"leverage": 0}, "strategy": {"armFrames": "x"}}')

    with pytest.raises(CommandError, match=r"risk\.leverage: .*strategy\.armFrames: "):
        replayed(recording, "--config", path, "--no-save")


def command(*arguments: object, **environment: str) -> subprocess.Popen[str]:
    """The command in a process of its own, far from Redis and database."""
    return subprocess.Popen(
        [sys.executable, "manage.py", "run_replay", *map(str, arguments)],
        cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env={**os.environ, "REDIS_URL": "unix:///nowhere/at/all.sock", **environment},
    )  # fmt: skip


def test_a_truncated_file_ends_with_one_line_and_a_code(tmp_path: Path) -> None:
    """A CommandError is what ends the process with its code and one line."""
    path = tmp_path / "cut.gz"
    trade = '{"stream":"x","data":{"e":"trade","s":"BTCUSDT","T":1,"p":"100.0","q":"0.001"}}'
    text = "".join(f"{1_680_652_700_000_000 + i} {trade}\n" for i in range(20_000))
    path.write_bytes(gzip.compress(text.encode())[:-30])

    with pytest.raises(CommandError, match=r"cut\.gz, line .*ends in the middle") as caught:
        replayed(path, "--no-save")

    assert "\n" not in str(caught.value).strip()
    assert caught.value.returncode == 1


def test_ctrl_c_ends_a_paced_replay_with_a_digest_and_neither_redis_nor_database_is_needed(
    recording: Path,
) -> None:
    """At 1x the 40 s recording is far from done when the interrupt comes."""
    process = command(
        recording, "--speed", "1", DATABASE_URL="sqlite:////nowhere/at/all/db.sqlite3"
    )
    assert process.stderr is not None
    first = process.stderr.readline()
    assert first.startswith("replaying"), first

    process.send_signal(signal.SIGINT)
    out, errors = process.communicate(timeout=60)

    assert process.returncode == 130, errors
    lines = out.splitlines()
    assert "stopped before the end: figures and digest cover what was replayed" in lines
    assert lines[-1].startswith("digest: ")
    assert "not kept in the database" in errors
    assert "Traceback" not in errors
