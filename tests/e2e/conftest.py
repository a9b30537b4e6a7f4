"""One running system for the browser's tests and, after them, the tests that kill its parts."""

from __future__ import annotations

import json
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.running_system import ROOT, System

# The demo as it is, but it enters at every chance: what is asked here needs trades, not good ones.
_AT_EVERY_CHANCE = {
    "market": {"warmupS": 20},
    "strategy": {
        "baselineS": 10, "edgeCoef": 1.0, "feeMultiple": 1.0, "cooldownS": 5, "regimeExitS": 5,
    },
    "risk": {
        "lossStreak": 1000, "maxTradesPerHour": 1000,
        "dailyLossLimitPct": 50, "dailyLossClosePct": 60, "maxDrawdownPct": 90,
    },
}  # fmt: skip


@pytest.fixture(scope="session")
def system() -> Iterator[System]:
    """`run_all` on a fresh data directory and free ports; stopped, all of it, at the end."""
    # a short path: unix socket addresses have room for 108 bytes
    with tempfile.TemporaryDirectory(prefix="scalper-e2e-", ignore_cleanup_errors=True) as folder:
        system = System(Path(folder), _trading_config(Path(folder)))
        try:
            system.start()
            yield system
        finally:
            if system.process is not None:
                system.end(signal.SIGINT)
            artefacts = ROOT / "tests" / "artefacts"
            artefacts.mkdir(exist_ok=True)
            shutil.copy(system.log, artefacts / "run_all.log")


def _trading_config(folder: Path) -> str:
    """A document made of the demo profile."""
    document = json.loads((ROOT / "strategy" / "profiles" / "demo.json").read_text())
    for name, fields in _AT_EVERY_CHANCE.items():
        document[name] |= fields
    path = folder / "trading.json"
    path.write_text(json.dumps(document))
    return str(path)
