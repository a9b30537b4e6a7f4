"""What is asked of the engine, and what it says of itself (phase 12 §8.2 and §8.3)."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from replay.domain.config import ReplayMode

MIN_SPEED: Final = 0.1
MAX_SPEED: Final = 1000.0


class RunReplayOptions(Struct, frozen=True, kw_only=True, rename="camel"):
    """`speed_factor` is market seconds per second, None for as fast as it goes; `from_ns` begins there."""

    speed_factor: float | None = None
    loop: bool = False
    inject_mode: ReplayMode = "FULL_DECISION"
    paused: bool = False
    from_ns: int | None = None


class ReplayStatus(Struct, frozen=True, kw_only=True, rename="camel"):
    """`current_event_index` events of the session have been handed out; `running` also while paused.

    `eta_seconds` None: not known (paused, or nothing to go by). `lap` counts runs of this order from 1: each
    loop and each seek begins a new one, with a run id of its own.
    """

    session_id: str | None = None
    running: bool = False
    current_event_index: int = 0
    total_events: int = 0
    started_at: str | None = None
    last_event_timestamp: str | None = None
    speed_factor: float | None = None
    paused: bool = False
    mode: str | None = None
    progress_pct: float = 0.0
    eta_seconds: float | None = None
    run_id: str | None = None
    loop: bool = False
    lap: int = 0
    events_per_second: float = 0.0
    lateness_p99_ms: float | None = None
    error: str | None = None


IDLE = ReplayStatus()


def eta_seconds(
    *, market_left_ns: int, events_left: int, speed: float | None, events_per_second: float
) -> float | None:
    """By the pace where there is one, else by the rate so far."""
    if speed is not None:
        return round(max(market_left_ns, 0) / 1e9 / speed, 1)
    if events_per_second <= 0:
        return None
    return round(events_left / events_per_second, 1)
