"""The venv of nautilus_trader and the process that runs it there. It needs Python 3.12 or newer."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from market.domain.events import EventChunk
from tests.bench.hftbacktest_venv import ROOT, Peer, PeerMissing, peer_process, peer_python

VENV = ROOT / ".venv-bench-nautilus"
REQUIREMENTS = ROOT / "requirements" / "bench-nautilus.txt"
VERSIONS = ("3.13", "3.12")
CHOSEN = "BENCH_NAUTILUS_PYTHON"  # names the interpreter where none is found


def _interpreter() -> str:
    """A Python that runs the peer. Raises PeerMissing."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    candidates = [os.environ.get(CHOSEN), *(shutil.which(f"python{v}") for v in VERSIONS)]
    candidates += [str(p) for v in VERSIONS for p in sorted(pyenv.glob(f"{v}.*/bin/python"))]
    for candidate in filter(None, candidates):
        probe = [candidate, "-c", "import sys; sys.exit(sys.version_info < (3, 12))"]
        if subprocess.run(probe, capture_output=True, check=False).returncode == 0:
            return candidate
    raise PeerMissing(f"nautilus_trader needs Python 3.12 or newer; set {CHOSEN} to one")


@contextmanager
def running_nautilus(stream: EventChunk, folder: Path) -> Iterator[Peer]:
    """nautilus_trader with the stream loaded. Raises PeerMissing."""
    is_made = (VENV / "ready").exists()
    interpreter = "" if is_made else _interpreter()
    python = peer_python("nautilus_trader", VENV, REQUIREMENTS, interpreter)
    with peer_process("nautilus", python, stream, folder) as peer:
        yield peer
