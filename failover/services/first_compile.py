"""Kernels of a first start, compiled while the services still import and the database is made:

    python -m failover.services.first_compile FOLDER NAME=MODULE:FUNCTION…

Each FUNCTION compiles one service's kernels, or loads them from numba's cache; they run in the given order.
The process holds a lock for each NAME from its start on until that one is done, and a service takes the same
lock (`compile_once`) before it compiles: what one process is at, no other does a second time. A process that
dies lets go of its locks, and the service compiles for itself.
"""

from __future__ import annotations

import fcntl
import os
import pkgutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from failover.services.guarded import SUPERVISOR_PID_VARIABLE
from failover.services.valkey import guarded


def compile_once(folder: Path, name: str, compile_kernels: Callable[[], bool]) -> bool:
    """What `compile_kernels` gives; while another process is at `name`, wait, then load what it made."""
    handle = _locked(folder, name)
    try:
        return compile_kernels()
    finally:
        os.close(handle)


def start_compiling(
    folder: Path, lines: Iterable[Mapping[str, str]], project_dir: Path
) -> list[subprocess.Popen[bytes]]:
    """A process for each line of work (name -> `module:function`), side by side; they end by themselves."""
    program = [sys.executable, "-m", "failover.services.first_compile", str(folder)]
    return [
        subprocess.Popen(  # noqa: S603  (our own program)
            guarded([*program, *(f"{name}={function}" for name, function in line.items())]),
            cwd=project_dir,
            env={**os.environ, SUPERVISOR_PID_VARIABLE: str(os.getpid())},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,  # what cannot be compiled is for its service to report
        )
        for line in lines
        if line
    ]


def forget_locks(folder: Path, names: Iterable[str]) -> None:
    """Remove the lock files; for when nothing runs any more."""
    for name in names:
        _lock_path(folder, name).unlink(missing_ok=True)


def main(arguments: Sequence[str]) -> None:
    folder, work = Path(arguments[0]), [each.partition("=") for each in arguments[1:]]
    locks = {name: _locked(folder, name) for name, _, _ in work}
    for name, _, function in work:
        pkgutil.resolve_name(function)()
        os.close(locks[name])


def _locked(folder: Path, name: str) -> int:
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    handle = os.open(_lock_path(folder, name), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(handle, fcntl.LOCK_EX)
    return handle


def _lock_path(folder: Path, name: str) -> Path:
    return folder / f"compile-{name}.lock"


if __name__ == "__main__":
    main(sys.argv[1:])
