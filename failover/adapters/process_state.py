"""The process state file, `data/system/process_state.json`.

store = ProcessStateStore(settings.DATA_DIR / "system", run_mode="SIM")
before = store.load()                       # what the last process knew; None the first time
store.update(phase="RUNNING", open_orders_snapshot=orders)
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import msgspec

from failover.adapters.files import read_json_snapshot, write_json_snapshot
from failover.domain.days import iso_ms
from failover.domain.process_state import ProcessState

FILE_NAME = "process_state.json"


class ProcessStateStore:
    """One writer: the execution service. Each write replaces the file whole and waits for the disk."""

    def __init__(self, folder: Path, *, run_mode: str) -> None:
        self.path = folder / FILE_NAME
        self._run_mode = run_mode
        self._state: ProcessState | None = None

    def load(self) -> ProcessState | None:
        """What the last process wrote. Raises: DataCorruption, StorageError."""
        state: ProcessState | None = read_json_snapshot(self.path, ProcessState)
        return state

    def save(self, state: ProcessState) -> None:
        """Raises: StorageError (DiskFull)."""
        write_json_snapshot(self.path, state)
        self._state = state

    def update(self, **changes: Any) -> ProcessState:
        """Write the state with some fields changed; time and pid are set. Raises: StorageError, TypeError."""
        now = iso_ms(time.time_ns())
        base = self._state or ProcessState(
            last_update=now, pid=os.getpid(), run_mode=self._run_mode, phase="STARTING"
        )
        state = msgspec.structs.replace(base, **{**changes, "last_update": now, "pid": os.getpid()})
        self.save(state)
        return state
