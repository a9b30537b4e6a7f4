"""The venv of hftbacktest and the process that runs it there."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from market.domain.events import EventChunk

ROOT = Path(__file__).parents[2]
VENV = ROOT / ".venv-bench-hft"
REQUIREMENTS = ROOT / "requirements" / "bench-hft.txt"


class PeerMissing(RuntimeError):
    """The peer cannot run here; the text says why. Report our figure without a ratio."""


def peer_python() -> Path:
    """Interpreter of the peer's venv, made on first use from hashed requirements."""
    python = VENV / "bin" / "python"
    if (VENV / "ready").exists():
        return python
    pip = [str(python), "-m", "pip", "install", "-q", "--require-hashes", "-r", str(REQUIREMENTS)]
    for command in ([sys.executable, "-m", "venv", "--clear", str(VENV)], pip):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            last = (done.stderr or done.stdout).strip().splitlines()[-1:]
            raise PeerMissing(f"no venv for hftbacktest: {' '.join(last)}")
    (VENV / "ready").touch()
    return python


class Peer:
    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.version: str = self._answer()["version"]

    def run(self) -> dict[str, Any]:
        """One timed backtest: seconds, steps, trades."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise PeerMissing(f"hftbacktest ended with code {self._process.wait()}")
        answer: dict[str, Any] = json.loads(line)
        return answer


@contextmanager
def running_peer(stream: EventChunk, folder: Path) -> Iterator[Peer]:
    """hftbacktest with the stream loaded. Raises PeerMissing."""
    path = folder / "stream.npz"
    np.savez(
        path, kind=stream.kind, core_ts=stream.core_ts_ns, offset=stream.level_offset,
        side=stream.side, tick=stream.tick, lot=stream.lot,
    )  # fmt: skip
    script = Path(__file__).with_name("hftbacktest_peer.py")
    process = subprocess.Popen(
        [str(peer_python()), str(script), str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield Peer(process)
    finally:
        if process.stdin is not None:
            process.stdin.close()
        process.wait(30)
