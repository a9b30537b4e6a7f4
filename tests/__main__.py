"""`python -m tests [ARGUMENTS OF PYTEST]`: both parts of the test suite, side by side.

The end-to-end tests mostly wait for what real processes do, the others mostly compute: together they take
little longer than either. The kernels are compiled before both, once. Ends with 0 when both parts passed.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import IO

from tests import environment  # before the settings: they read it

assert environment

from scalper_site.settings import FIRST_COMPILES  # noqa: E402

_ROOT = Path(__file__).parents[1]
_COMPUTING = ("-m", "not e2e", "-n", "3", "--dist", "loadfile")
_WAITING = ("-m", "e2e", "-n", "2", "--dist", "loadfile")
_NOTHING_CHOSEN = 5  # what pytest says when no test was


def main(arguments: list[str]) -> int:
    _compile_kernels()
    with tempfile.TemporaryFile() as said:
        computing = _pytest(_COMPUTING, arguments, stdout=said)
        try:
            codes = [_pytest(_WAITING, arguments).wait(), computing.wait()]
        finally:
            if computing.poll() is None:
                computing.send_signal(signal.SIGINT)
                computing.wait()
            said.seek(0)
            sys.stdout.buffer.write(said.read())
            sys.stdout.flush()
    ran = [code for code in codes if code != _NOTHING_CHOSEN]
    return max(ran, default=_NOTHING_CHOSEN)


def _pytest(
    part: tuple[str, ...], arguments: list[str], stdout: IO[bytes] | None = None
) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "pytest", *part, *arguments],
        cwd=_ROOT,
        stdout=stdout,
        stderr=subprocess.STDOUT if stdout else None,
    )


def _compile_kernels() -> None:
    """Four workers that find no machine code would each make it."""
    with tempfile.TemporaryDirectory() as locks:
        program = [sys.executable, "-m", "failover.services.first_compile", locks]
        lines = [
            [f"{name}={function}" for name, function in line.items()] for line in FIRST_COMPILES
        ]
        for each in [subprocess.Popen([*program, *line], cwd=_ROOT) for line in lines]:
            each.wait()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
