"""Start a program that ends when its parent does, even by `kill -9`:

    python -m failover.services.guarded PROGRAM [ARGUMENT…]

The kernel's promise to signal a child (PR_SET_PDEATHSIG) outlives exec, so this also serves programs that
know nothing of it. `SUPERVISOR_PID_VARIABLE` in the environment names the parent; without it nothing changes.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

SUPERVISOR_PID_VARIABLE = "SCALPER_SUPERVISOR_PID"
_PR_SET_PDEATHSIG = 1


def die_with_supervisor() -> bool:
    """Ask for SIGTERM when the parent dies; False when it is gone already."""
    expected = os.environ.get(SUPERVISOR_PID_VARIABLE, "")
    if not expected.isdigit() or not sys.platform.startswith("linux"):
        return True
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    return os.getppid() == int(expected)


def main(arguments: list[str]) -> None:
    if not die_with_supervisor():
        sys.exit("the process that started this one is gone")
    os.execvp(arguments[0], arguments)  # noqa: S606  (the point of this program)


if __name__ == "__main__":
    main(sys.argv[1:])
