"""`verify_recordings`, `archive_recordings` and the worker's daily job, as an operator meets them."""

from __future__ import annotations

import json
import shutil
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from market.models import RecordingCheckRun
from market.tasks import archive_recordings
from tests.market.recordings import DAYS, MIDNIGHT, RUNS, S, an_orderly_stream, record

BOOK = "SOLUSDT-orderbook.jsonl"


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("recorded")
    record(folder, an_orderly_stream(MIDNIGHT - 20 * S, 10), RUNS[0])
    return folder


@pytest.fixture
def folder(recorded: Path, tmp_path: Path, settings: Any) -> Path:
    """The recording as `data/market` of a data directory of its own."""
    settings.DATA_DIR = tmp_path
    return Path(shutil.copytree(recorded, tmp_path / "market"))


def run(command: str, *arguments: str) -> tuple[int, str]:
    out = StringIO()
    try:
        call_command(command, *arguments, stdout=out, stderr=out)
    except SystemExit as end:
        return int(str(end.code)), out.getvalue()
    return 0, out.getvalue()


@pytest.mark.django_db
def test_a_clean_recording_ends_with_0_and_leaves_a_row(folder: Path) -> None:
    code, text = run("verify_recordings")

    assert code == 0
    assert "0 errors, 0 warnings" in text
    row = RecordingCheckRun.objects.get()
    assert (row.path, row.source, row.files, row.errors) == (str(folder), "COMMAND", 6, 0)


@pytest.mark.django_db
def test_a_damaged_recording_ends_with_1_and_says_what_and_where(folder: Path) -> None:
    path = folder / DAYS[0] / BOOK
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:4], lines[4][:50] + b"\n", *lines[5:]]))

    code, text = run("verify_recordings")
    code_json, report = run("verify_recordings", str(path), "--json", "--no-row")

    assert (code, code_json) == (1, 1)
    assert f"ERROR TORN_LINE {DAYS[0]}/{BOOK} line 5" in text
    problems = json.loads(report)["problems"]
    assert problems["TORN_LINE"] == 1
    assert json.loads(report)["findings"][0]["offset"] == sum(map(len, lines[:4]))
    assert RecordingCheckRun.objects.count() == 1


@pytest.mark.django_db
def test_a_path_without_a_recording_is_an_error_of_its_own(folder: Path) -> None:
    with pytest.raises(CommandError, match="no such file") as refused:
        run("verify_recordings", str(folder / "elsewhere"))

    assert refused.value.returncode == 2


@pytest.mark.django_db
def test_finished_days_are_archived_by_command_and_found_clean(folder: Path) -> None:
    code, text = run("archive_recordings")

    assert code == 0
    assert text.startswith(f"{DAYS[0]}: 6 files")
    assert not list(folder.glob("*/*.jsonl"))
    assert run("verify_recordings")[0] == 0
    assert run("archive_recordings") == (0, "0 days, 0.0 MB -> 0.0 MB\n")


@pytest.mark.django_db
def test_the_daily_job_archives_and_tells_what_is_not_clean(folder: Path) -> None:
    path = folder / DAYS[0] / BOOK
    path.write_bytes(path.read_bytes()[:-30])

    result = archive_recordings.apply().get()

    assert (result["days"], result["notClean"]) == ([DAYS[0]], [DAYS[0]])
    assert result["compressedBytes"] < result["bytes"]
    assert path.is_file()
    assert RecordingCheckRun.objects.get().source == "JOB"
