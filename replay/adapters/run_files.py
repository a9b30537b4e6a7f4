"""What a run leaves in `--out DIR`: report.json, and trades, orders and events as JSON lines."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

import msgspec

from execution.domain.outputs import ExecutionOutput, LogLine, RecordRow
from execution.domain.venue import VenueUpdate
from failover.adapters.files import write_atomically
from failover.domain.errors import StorageError
from market.domain.frames import Frames
from strategy.domain.messages import ScoreUpdate, StateEvent, StrategyOutput


class OutputFolderInUse(ValueError):
    """Name another folder: nothing is written over."""


class RunFiles:
    """A pipeline observer that writes; every record carries the run id."""

    def __init__(
        self, folder: Path, run_id: str, names: Sequence[str] = ("trades", "orders", "events")
    ) -> None:
        """Make `folder`; records without a file in `names` are left out.

        Raises OutputFolderInUse when it holds anything, OSError when it cannot be made.
        """
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise OutputFolderInUse(f"{folder}: is not empty; name a new folder for the results")
        self._folder = folder
        self._run_id = run_id
        self._files: dict[str, IO[bytes]] = {
            name: (folder / f"{name}.jsonl").open("wb") for name in names
        }

    def on_frames(self, frames: Frames) -> None:
        """Frames are many and can be computed again: they are not written."""

    def on_strategy(self, outputs: Sequence[StrategyOutput], now_ns: int) -> None:
        del now_ns
        for output in outputs:
            if isinstance(output, StateEvent):
                self._write("events", msgspec.to_builtins(output))
            elif isinstance(output, ScoreUpdate):
                self._write("scores", msgspec.to_builtins(output))

    def on_execution(self, outputs: Sequence[ExecutionOutput], now_ns: int) -> None:
        del now_ns
        for output in outputs:
            if isinstance(output, LogLine):
                self._write("orders", output.record)
            elif isinstance(output, RecordRow) and output.row.get("record") == "TRADE":
                self._write("trades", output.row)

    def on_venue(self, update: VenueUpdate, now_ns: int) -> None:
        """The order log has it all."""

    def write_report(self, report: dict[str, Any]) -> None:
        """The run has ended well; without a report.json it has not.

        So its other files are whole on disk before, and it is written last and at once.
        Raises: OSError.
        """
        for file in self._files.values():
            file.flush()
            os.fsync(file.fileno())
        text = msgspec.json.format(msgspec.json.encode(report), indent=2)
        try:
            write_atomically(self._folder / "report.json", text + b"\n")
        except StorageError as error:
            raise OSError(error.errno, error.reason, error.path) from error

    def close(self) -> None:
        for file in self._files.values():
            file.close()

    def _write(self, name: str, record: dict[str, Any]) -> None:
        if name not in self._files:
            return
        line = msgspec.json.encode({"runId": self._run_id, **record})
        self._files[name].write(line + b"\n")
