"""`verify_replay` as an operator runs it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec

from replay.domain.verify_report import VerifyReport
from replay.services.verify_text import verify_lines
from tests.e2e.running_system import ROOT


def verified(data_dir: Path) -> dict[str, Any]:
    """What `verify_replay --json` says of a data folder."""
    environment = os.environ | {"DATA_DIR": str(data_dir), "ENV_FILE": os.devnull}
    done = subprocess.run(
        [sys.executable, "manage.py", "verify_replay", "--no-save", "--json"],
        cwd=ROOT, env=environment, check=False, capture_output=True, text=True,
    )  # fmt: skip
    assert done.stdout, done.stderr
    report: dict[str, Any] = msgspec.json.decode(done.stdout)
    return report


def said(report: dict[str, Any]) -> list[str]:
    """The report in the words of the command."""
    return list(verify_lines(msgspec.convert(report, VerifyReport)))
