"""The proof: a whole system trades for some minutes, services are killed meanwhile, and VERIFY must agree.

    python -m tests.proof [--minutes 10] [--keep FOLDER]

`run_all` runs on its own ports and data folder with the local exchange; market, strategy and execution are
ended with `kill -9` in turn, each comes back by itself. At the end the system is stopped and
`manage.py verify_replay` goes over all that was recorded. Exit code 0: at least one trade happened, each of
the three was killed, and there were 0 divergences and nothing refused.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
import time
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from tests.e2e.running_system import System
from tests.proof.verified import said, verified

KILLED = ("market", "strategy", "execution")


def main() -> int:
    options = _options()
    with tempfile.TemporaryDirectory(prefix="proof-") as temporary:
        folder = options.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        return prove(System(folder), options.minutes * 60.0)


def prove(system: System, seconds: float) -> int:
    """Run the system for `seconds`, kill each service once, stop it, verify; the exit code."""
    try:
        system.start()
        _let_it_trade(system, seconds)
        trades = count_records(system, "TRADE")
        code = system.end(signal.SIGTERM)
    finally:
        if system.process is not None:
            system.end(signal.SIGTERM)
    print(f"trades: {trades}, run_all ended with {code}", flush=True)
    report = verified(system.data_dir)
    print("\n".join(said(report)), flush=True)
    is_equal = report["firstDivergence"] is None and not report["refused"]
    is_whole = trades > 0 and all(core["runs"] > 1 for core in report["cores"].values())
    return 0 if is_equal and is_whole else 1


def _let_it_trade(system: System, seconds: float) -> None:
    """Kill one service after each quarter of the time."""
    started_s = time.monotonic()
    for turn, name in enumerate(KILLED, 1):
        _sleep_until(started_s + seconds * turn / (len(KILLED) + 1))
        before = system.beats()[name].pid
        print(f"{time.monotonic() - started_s:6.1f} s: kill -9 {name} ({before})", flush=True)
        os.kill(before, signal.SIGKILL)
        system.until(partial(_is_back, system, name, before), f"{name} to be back", 120.0)
    _sleep_until(started_s + seconds)


def _is_back(system: System, name: str, before: int) -> bool:
    beat = system.beats().get(name)
    return beat is not None and beat.pid != before


def _sleep_until(at_s: float) -> None:
    time.sleep(max(0.0, at_s - time.monotonic()))


def count_records(system: System, record: str) -> int:
    """How many rows of a kind execution has told the screen."""
    entries: Any = system.bus.xrange("scalper-1:bus:execution.records")
    kinds = Counter(
        row.get("record") for _, fields in entries for row in msgspec.msgpack.decode(fields[b"d"])
    )
    return kinds[record]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.proof", description=__doc__)
    parser.add_argument(
        "--minutes", type=float, default=10.0, help="how long it trades (default 10)"
    )
    parser.add_argument("--keep", type=Path, help="leave data and log in this folder")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
