"""One running system for the browser's tests and, after them, the tests that kill its parts."""

from __future__ import annotations

import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.running_system import ROOT, System


@pytest.fixture(scope="session")
def system() -> Iterator[System]:
    """`run_all` on a fresh data directory and free ports; stopped, all of it, at the end."""
    # a short path: unix socket addresses have room for 108 bytes
    with tempfile.TemporaryDirectory(prefix="scalper-e2e-", ignore_cleanup_errors=True) as folder:
        system = System(Path(folder))
        try:
            system.start()
            yield system
        finally:
            if system.process is not None:
                system.end(signal.SIGINT)
            artefacts = ROOT / "tests" / "artefacts"
            artefacts.mkdir(exist_ok=True)
            shutil.copy(system.log, artefacts / "run_all.log")
