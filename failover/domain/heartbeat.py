"""The sign of life every service gives each second."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

Phase = Literal["STARTING", "RUNNING", "DRAINING", "STOPPED"]


class Heartbeat(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What a service says of itself. `ts` is ISO-8601 UTC; `lag_ms` how late it runs (loop or reported)."""

    service: str
    boot_id: str
    pid: int
    phase: Phase
    lag_ms: float
    message: str
    details: dict[str, Any]
    ts: str
