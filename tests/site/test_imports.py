"""What a Django command loads before it begins its own work."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

_PROGRAM = """
import sys, django
django.setup()
from django.core.management import call_command
call_command("check")
print("numba" in sys.modules)
"""


def test_a_command_that_computes_nothing_does_not_load_the_compiler() -> None:
    """Six services start at once; the compiler's modules would cost each some seconds of a cold start."""
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "False"
