"""`python -m tests [ARGUMENTS OF PYTEST]`: the whole test suite, in two parts.

The kernels are compiled before, once: every worker that found no machine code would make it. Then what
computes, then the end-to-end tests, each worker with a running system of its own: these mostly wait, so there
are more of them than processors. Side by side both parts only took longer. Ends with 0 when both passed.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from tests import environment  # before the settings: they read it

assert environment

from scalper_site.settings import FIRST_COMPILES  # noqa: E402

_ROOT = Path(__file__).parents[1]
_PARTS = (
    ("-m", "not e2e", "-n", "3", "--dist", "loadfile"),
    ("-m", "e2e", "-n", "3", "--dist", "loadfile"),
)
_NOTHING_CHOSEN = 5  # what pytest says when no test was


def main(arguments: list[str]) -> int:
    _compile_kernels()
    codes = [
        subprocess.run([sys.executable, "-m", "pytest", *part, *arguments], cwd=_ROOT).returncode
        for part in _PARTS
    ]
    ran = [code for code in codes if code != _NOTHING_CHOSEN]
    return max(ran, default=_NOTHING_CHOSEN)


def _compile_kernels() -> None:
    with tempfile.TemporaryDirectory() as locks:
        program = [sys.executable, "-m", "failover.services.first_compile", locks]
        lines = [
            [f"{name}={function}" for name, function in line.items()] for line in FIRST_COMPILES
        ]
        for each in [subprocess.Popen([*program, *line], cwd=_ROOT) for line in lines]:
            each.wait()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
