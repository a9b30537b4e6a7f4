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

from failover.services.first_compile import start_compiling  # noqa: E402
from scalper_site.settings import FIRST_COMPILES  # noqa: E402

_ROOT = Path(__file__).parents[1]
_WORKERS = ("-n", "3", "--dist", "loadfile")
# Of the end-to-end tests the folder is named: a worker imports all it is given, only to leave most of it out.
_UNITS = ("-m", "not e2e", *_WORKERS)
_SYSTEMS = ("-m", "e2e", *_WORKERS)
_FOLDER_OF_SYSTEMS = "tests/e2e"
_NOTHING_CHOSEN = 5  # what pytest says when no test was


def main(arguments: list[str]) -> int:
    _compile_kernels()
    units, systems = [*_UNITS, *arguments], [*_SYSTEMS, *arguments]
    if not any((_ROOT / each.partition("::")[0]).exists() for each in arguments):
        units.append(f"--ignore={_FOLDER_OF_SYSTEMS}")
        systems.append(_FOLDER_OF_SYSTEMS)
    codes = [
        subprocess.run([sys.executable, "-m", "pytest", *part], cwd=_ROOT).returncode
        for part in (units, systems)
    ]
    ran = [code for code in codes if code != _NOTHING_CHOSEN]
    return max(ran, default=_NOTHING_CHOSEN)


def _compile_kernels() -> None:
    with tempfile.TemporaryDirectory() as locks:
        for each in start_compiling(Path(locks), FIRST_COMPILES, _ROOT):
            each.wait()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
