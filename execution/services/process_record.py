"""`data/system/process_state.json` (phase 17 §3): what the next process should know of this one."""

from __future__ import annotations

import logging
import os
import time

import msgspec

from execution.services.simulated_account import SimulatedAccount
from failover.adapters.process_state import ProcessStateStore
from failover.domain.days import iso_ms
from failover.domain.errors import DataCorruption, StorageError
from failover.domain.process_state import (
    FailureEvent,
    ProcessPhase,
    ProcessState,
    ended_in_the_middle,
)

logger = logging.getLogger(__name__)


class ProcessRecord:
    """Written at start, each second, and at the end; a process that ends by itself leaves STOPPING.

    The account itself comes back from its own journal: this file is for people and for recovery plans.
    """

    def __init__(self, store: ProcessStateStore, account: SimulatedAccount) -> None:
        self.has_recovered = False  # the account took up an earlier process
        self._store = store
        self._account = account
        self._state = ProcessState(last_update="", pid=os.getpid(), run_mode="", phase="STARTING")

    def begin(self) -> None:
        """Note how the last process ended, and that this one starts. Raises: StorageError."""
        try:
            before = self._store.load()
        except DataCorruption as error:
            logger.error("data_corruption", extra={"reason": str(error)})
            before = None
            self._fail("DATA_CORRUPTION", str(error))
        if before is not None:
            self._follow(before)
        self.write(
            msgspec.structs.replace(
                self._state, last_update=iso_ms(time.time_ns()), run_mode=self._account.core.mode
            )
        )

    def _follow(self, before: ProcessState) -> None:
        """Until the account is back, the positions and orders of the last process stand."""
        self._state = msgspec.structs.replace(before, pid=os.getpid(), phase="STARTING")
        if ended_in_the_middle(before):
            text = f"process {before.pid} ended in phase {before.phase}, last seen {before.last_update}"
            logger.warning("unexpected_shutdown", extra={"reason": text})
            self._fail("UNEXPECTED_SHUTDOWN", text)

    def next(self, *, is_ready: bool) -> ProcessState:
        """The state as of now; RECOVERING until the market missed meanwhile has been applied."""
        if is_ready and self.has_recovered:
            self.has_recovered = False
            now = iso_ms(time.time_ns())
            self._state = msgspec.structs.replace(self._state, last_recovery_at=now)
        return self._next("RECOVERING" if self.has_recovered else "RUNNING")

    def write(self, state: ProcessState) -> None:
        """Raises: StorageError."""
        self._store.save(state)

    def end(self) -> None:
        """The process ends by itself."""
        try:
            self.write(self._next("STOPPING"))
        except StorageError as error:
            logger.error("process_state_unwritable", extra={"reason": str(error)})

    def _next(self, phase: ProcessPhase) -> ProcessState:
        core = self._account.core
        self._state = msgspec.structs.replace(
            self._state,
            last_update=iso_ms(time.time_ns()),
            run_mode=core.mode,
            phase=phase,
            active_symbols=self._account.symbols,
            open_positions_snapshot=core.position_snapshots(),
            open_orders_snapshot=core.order_snapshots(),
        )
        return self._state

    def _fail(self, kind: str, text: str) -> None:
        event = FailureEvent(
            timestamp=iso_ms(time.time_ns()), type=kind, source="EXECUTION_ENGINE", message=text
        )
        self._state = msgspec.structs.replace(self._state, last_failure=event)
