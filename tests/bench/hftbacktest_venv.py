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


def peer_python(
    name: str = "hftbacktest",
    venv: Path = VENV,
    requirements: Path = REQUIREMENTS,
    interpreter: str = sys.executable,
) -> Path:
    """Interpreter of the peer's venv, made on first use by `interpreter` from hashed requirements."""
    python = venv / "bin" / "python"
    if (venv / "ready").exists():
        return python
    pip = [str(python), "-m", "pip", "install", "-q", "--require-hashes", "-r", str(requirements)]
    for command in ([interpreter, "-m", "venv", "--clear", str(venv)], pip):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            last = (done.stderr or done.stdout).strip().splitlines()[-1:]
            raise PeerMissing(f"no venv for {name}: {' '.join(last)}")
    (venv / "ready").touch()
    return python


class Peer:
    def __init__(self, process: subprocess.Popen[str], name: str = "hftbacktest") -> None:
        self._process = process
        self._name = name
        self.version: str = self._answer()["version"]

    def run(self, strategy: str = "") -> dict[str, Any]:
        """One timed backtest by the strategy so named, else its only one or first: seconds, steps, trades."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{strategy}\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise PeerMissing(f"{self._name} ended with code {self._process.wait()}")
        answer: dict[str, Any] = json.loads(line)
        return answer


@contextmanager
def running_peer(stream: EventChunk, folder: Path) -> Iterator[Peer]:
    """hftbacktest with the stream loaded. Raises PeerMissing."""
    with peer_process("hftbacktest", peer_python(), stream, folder) as peer:
        yield peer


@contextmanager
def peer_process(name: str, python: Path, stream: EventChunk, folder: Path) -> Iterator[Peer]:
    """`<name>_peer.py` under `python`, with the stream loaded. Raises PeerMissing."""
    path = folder / "stream.npz"
    np.savez(
        path, kind=stream.kind, core_ts=stream.core_ts_ns, offset=stream.level_offset,
        side=stream.side, tick=stream.tick, lot=stream.lot,
    )  # fmt: skip
    script = Path(__file__).with_name(f"{name}_peer.py")
    process = subprocess.Popen(
        [str(python), str(script), str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield Peer(process, name)
    finally:
        if process.stdin is not None:
            process.stdin.close()
        process.wait(30)
