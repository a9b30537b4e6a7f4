"""`manage.py backtest`: recordings and a profile to a judgement on disk, with real worker processes."""

from __future__ import annotations

import gzip
import io
import json
import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import psutil
import pytest
from celery import current_app
from celery.contrib.testing.worker import start_worker
from django.core.management import CommandError, call_command

from replay.domain.backtest_parts import BacktestJob
from replay.management.commands import backtest
from replay.management.commands.backtest import Runs
from replay.models import BacktestRun
from replay.services.backtest_reports import list_reports
from replay.services.backtest_run import OpenData, outcome_of

ROOT = Path(__file__).parents[3]
UNTIL = ("--to", "2025-11-18T00:00:30Z")


@pytest.fixture(autouse=True)
def data_dir(tmp_path: Path, settings: Any) -> Path:
    """Each test has a ledger and a reports folder of its own."""
    settings.DATA_DIR = tmp_path / "data"
    return tmp_path / "data"


def backtested(*arguments: object, errors: io.StringIO | None = None) -> list[str]:
    out = io.StringIO()
    call_command("backtest", *map(str, arguments), stdout=out, stderr=errors or io.StringIO())
    return out.getvalue().splitlines()


def report_of(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "report.json").read_text())
    return found


@pytest.fixture
def truncated(tmp_path: Path) -> Path:
    path = tmp_path / "cut.gz"
    trade = '{"stream":"x","data":{"e":"trade","s":"BTCUSDT","T":1,"p":"100.0","q":"0.001"}}'
    text = "".join(f"{1_680_652_700_000_000 + i} {trade}\n" for i in range(20_000))
    path.write_bytes(gzip.compress(text.encode())[:-30])
    return path


@pytest.mark.django_db
def test_recordings_run_side_by_side_and_a_bad_one_does_not_lose_the_others(
    recording: Path, profile: Path, truncated: Path, data_dir: Path
) -> None:
    """The whole of it: workers, re-runs, page, JSON, ledger, list and row, and the exit that tells."""
    with pytest.raises(CommandError, match=r"1 recording\(s\) could not be read.*cut.gz, line"):
        backtested(recording, truncated, "--profile", profile, "--jobs", 2)

    (entry,) = list_reports(data_dir)
    report = report_of(entry.html.parent)
    base, *others = report["sensitivity"]
    assert base["trades"] == report["result"]["trades"] == len(report["trades"]) >= 1
    assert [row["variant"] for row in others] == [
        "latency x0.5", "latency x2", "fees x0.5", "fees x2",
    ]  # fmt: skip
    digests = [row["digests"][0] for row in report["sensitivity"]]
    assert len({*digests}) == 5
    assert digests[0] == replayed_digest(recording, "--config", profile)
    assert not report["verdict"]["canJudge"]
    assert entry.headline.startswith("Too few trades to judge")
    assert "cut.gz" in entry.html.read_text()
    row = BacktestRun.objects.get()
    assert (row.trades, row.failures, row.sharpe) == (base["trades"], 1, None)
    assert row.net_pnl_usdt == report["result"]["netPnl"] == entry.net_pnl


def replayed_digest(*arguments: object) -> str:
    out = io.StringIO()
    call_command("run_replay", *map(str, arguments), "--no-save", stdout=out)
    return out.getvalue().splitlines()[-1].removeprefix("digest: ")


@pytest.fixture
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """The jobs one after the other, without the seconds a worker process takes to start."""

    def run_jobs(jobs: Sequence[BacktestJob], open_data: OpenData, **_: Any) -> Runs:
        for job in jobs:
            yield job, outcome_of(job, open_data, lambda read, total: None, lambda: False)

    monkeypatch.setattr(backtest, "run_jobs", run_jobs)


@pytest.mark.usefixtures("in_this_process")
def test_a_backtest_is_the_replay_and_each_one_is_another_trial(
    recording: Path, profile: Path, tmp_path: Path
) -> None:
    digest = replayed_digest(recording, "--config", profile)
    common = ("--profile", profile, "--no-sensitivity", "--no-save")

    lines = backtested(recording, *common, "--out", tmp_path / "first")
    backtested(recording, *common, "--out", tmp_path / "second", "--trials", 40)

    first, second = report_of(tmp_path / "first"), report_of(tmp_path / "second")
    assert [run["digest"] for run in first["runs"] + second["runs"]] == [digest, digest]
    assert (first["statistics"]["trials"], second["statistics"]["trials"]) == (1, 40)
    assert first["trades"] == second["trades"]
    assert lines[-1] == f"report: {tmp_path / 'first' / 'report.html'}"


@pytest.fixture
def worker(valkey: str, settings: Any) -> Iterator[None]:
    """A real Celery worker on the real bus, as run_worker starts it: threads in a process with Django."""
    del valkey
    root = logging.getLogger()
    before = root.level, root.handlers[:]
    with start_worker(
        current_app, pool="threads", concurrency=1, perform_ping_check=False, shutdown_timeout=30
    ):
        yield
    root.level, root.handlers[:] = before  # Celery takes the root logger for its own
    root.manager._clear_cache()


@pytest.mark.filterwarnings("ignore:Call to deprecated setex:DeprecationWarning")  # by Celery
def test_celery_workers_run_the_same_replay(
    worker: None, recording: Path, profile: Path, tmp_path: Path
) -> None:
    digest = replayed_digest(recording, "--config", profile, *UNTIL)

    backtested(
        recording, "--profile", profile, "--no-sensitivity", "--no-save", *UNTIL,
        "--out", tmp_path / "celery", "--celery",
    )  # fmt: skip

    report = report_of(tmp_path / "celery")
    assert report["runs"][0]["digest"] == digest
    assert report["result"]["trades"] + report["result"]["openPositions"] >= 1


def test_without_a_worker_celery_is_refused_in_one_line(valkey: str, recording: Path) -> None:
    with pytest.raises(CommandError, match="no Celery worker answers; start one with") as caught:
        backtested(recording, "--celery", "--no-save")

    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nowhere"], "no such file or folder"),
        (["{recording}", "--symbol", "NOPEUSDT"], "no recording holds NOPEUSDT; there are AI16ZUSDT"),
        (["{recording}", "--from", "yesterday"], "--from"),
        (["{recording}", "--from", "2025-11-18T01", "--to", "2025-11-18T00"], "--to is not after"),
        (["{recording}", "--profile", "nothing"], "config nothing"),
        (["{recording}", "--instruments", "nowhere"], "nowhere: no such file"),
        (["{recording}", "--out", "{recording}"], "is not empty"),
        (["{recording}", "--out", "/proc/nothing/here"], "/proc/nothing"),
        (["{recording}", "--jobs", "0"], "--jobs"),
        (["{recording}", "--trials", "x"], "--trials"),
        (["{recording}", "--seed", "-1"], "--seed: '-1' is no whole number from 0"),
        (["{recording}", "--jobs", "1", "--celery"], "not allowed with"),
        ([], "PATH"),
    ],
)  # fmt: skip
def test_bad_arguments_get_one_clear_line(
    recording: Path, data_dir: Path, arguments: list[str], words: str
) -> None:
    filled = [argument.format(recording=recording) for argument in arguments]

    with pytest.raises(CommandError) as caught:
        backtested(*filled, "--no-save")

    assert words in str(caught.value)
    assert "\n" not in str(caught.value).strip()
    assert not data_dir.exists()


def test_ctrl_c_leaves_nothing(recording: Path, profile: Path, tmp_path: Path) -> None:
    """No report, no folder, no trial, no process."""
    process = subprocess.Popen(
        [sys.executable, "manage.py", "backtest", str(recording), "--profile", str(profile),
         "--out", str(tmp_path / "made" / "report"), "--no-save", "--jobs", "1"],
        cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
        env={**os.environ, "DATA_DIR": str(tmp_path / "data"), "REDIS_URL": "unix:///nowhere/x.sock"},
    )  # fmt: skip
    parent = psutil.Process(process.pid)
    workers = _first_children(parent)

    os.killpg(process.pid, signal.SIGINT)
    out, errors = process.communicate(timeout=60)

    assert process.returncode == 130, errors
    assert out == ""
    assert "interrupted: no report, nothing kept" in errors
    assert "Traceback" not in errors
    assert not (tmp_path / "made").exists()
    assert not (tmp_path / "data" / "backtests").exists()
    _, alive = psutil.wait_procs(workers, timeout=30)
    assert [one for one in alive if one.status() != psutil.STATUS_ZOMBIE] == []


def _first_children(parent: psutil.Process) -> list[psutil.Process]:
    """Its worker and what keeps count of workers, as soon as both are there; a bounded wait."""
    waiting = threading.Event()
    for _ in range(600):
        if len(found := parent.children(recursive=True)) >= 2:
            return found
        assert parent.is_running()
        waiting.wait(0.05)
    raise AssertionError("no worker process was started")
