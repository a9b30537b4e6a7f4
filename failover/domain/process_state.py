"""What a process knew before it ended (phase 17 §3.1): read at start, written while it runs.

Positions, orders and failures are records of the app that owns them, ready for JSON: this module knows
their names only.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

ProcessPhase = Literal["IDLE", "STARTING", "RUNNING", "STOPPING", "RECOVERING"]
FAILURE_TYPES = (
    "EXCHANGE_UNAVAILABLE",
    "PRIVATE_WS_DISCONNECTED",
    "PUBLIC_WS_DEGRADED",
    "NON_SYNC_STATE",
    "LATENCY_TOO_HIGH",
    "INTERMITTENT",
    "MODULE_CRASH",
    "DATA_CORRUPTION",
    "CONFIG_INVALID",
    "PROCESS_RESTART",
    "UNEXPECTED_SHUTDOWN",
)


class FailureEvent(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One failure; `type` is one of `FAILURE_TYPES`, `timestamp` ISO-8601 UTC."""

    timestamp: str
    type: str
    source: str
    message: str
    details: dict[str, Any] = {}
    schema_version: int = 1


class ProcessState(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """`last_update` and `last_recovery_at` are ISO-8601 UTC with ms."""

    last_update: str
    pid: int
    run_mode: str
    phase: ProcessPhase
    active_symbols: tuple[str, ...] = ()
    open_positions_snapshot: tuple[dict[str, Any], ...] = ()
    open_orders_snapshot: tuple[dict[str, Any], ...] = ()
    last_recovery_at: str | None = None
    last_failure: FailureEvent | None = None
    schema_version: int = 1


def ended_in_the_middle(state: ProcessState | None) -> bool:
    """Whether the process that wrote `state` did not end by itself (UNEXPECTED_SHUTDOWN)."""
    return state is not None and state.phase not in ("IDLE", "STOPPING")
