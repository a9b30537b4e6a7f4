"""The command: one clear line for what cannot be, and a clean end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
from django.core.management import CommandError, call_command

ROOT = Path(__file__).parents[2]


def command(*arguments: str, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "manage.py", "run_exchange", *arguments],
        cwd=ROOT, env=os.environ | environment, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["--symbols", "NOPEUSDT"], "NOPEUSDT"),
        (["--speed", "0"], "speed"),
        (["--play", "/nowhere/file.jsonl"], "/nowhere/file.jsonl"),
        (["--predictability", "nan"], "predictability"),
        (["--seed", "-3"], "seed"),
    ],
)
def test_bad_arguments_end_with_one_line(arguments: list[str], word: str) -> None:
    with pytest.raises(CommandError) as refused:
        call_command("run_exchange", *arguments)

    assert word in str(refused.value)
    assert "\n" not in str(refused.value)


def test_it_is_refused_in_production(settings: Any) -> None:
    settings.ENVIRONMENT = msgspec.structs.replace(settings.ENVIRONMENT, scalper_env="production")

    with pytest.raises(CommandError, match="production"):
        call_command("run_exchange")


@pytest.mark.parametrize("port", ["70000", "-1"])
def test_a_port_that_is_none_is_refused_and_not_taken_modulo(port: str) -> None:
    with pytest.raises(CommandError, match="not between 0 and 65535"):
        call_command("run_exchange", f"--port={port}")


def test_it_serves_until_it_is_told_to_stop() -> None:
    process = command("--port", "0", "--symbols", "GRIFFAINUSDT")
    try:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("local exchange on http://127.0.0.1:")
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 0, errors
