"""Section `replay` of the trading config: phase 12 §1.3, and the time limits of a shared replay."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

ReplayMode = Literal["SCORING_ONLY", "FULL_DECISION", "VERIFY"]


class ReplayConfig(Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """How sessions are built and replayed."""

    enabled: Annotated[
        bool, Meta(description="Whether the API and the dashboard may start replays.")
    ] = True
    default_speed_factor: Annotated[
        float,
        Meta(description="Market seconds per second where a run names no speed.", ge=0.1, le=1000),
    ] = 4.0
    max_events_per_session: Annotated[
        int,
        Meta(description="Most events of a session whose builder names no limit.", ge=1, le=10**9),
    ] = 500_000
    mode: Annotated[
        ReplayMode, Meta(description="What a run does where its order names no injectMode.")
    ] = "FULL_DECISION"
    max_isolated_runs: Annotated[
        int, Meta(description="Isolated replays at the same time; more are refused.", ge=1, le=64)
    ] = 2
    loop_runs_kept: Annotated[
        int, Meta(description="Laps of a looping replay whose results are kept.", ge=1, le=1000)
    ] = 5
    start_timeout_s: Annotated[
        float,
        Meta(
            description="A replay that has not begun by then is given up, and LIVE returns, s.",
            ge=5,
            le=600,
        ),
    ] = 60.0
    heartbeat_timeout_s: Annotated[
        float,
        Meta(
            description="An engine silent for longer is taken for dead, and LIVE returns, s.",
            ge=2,
            le=120,
        ),
    ] = 10.0
    switch_timeout_s: Annotated[
        float,
        Meta(
            description="By then market and execution must have left LIVE, or the replay is refused, s.",
            ge=1,
            le=60,
        ),
    ] = 10.0
    build_wait_s: Annotated[
        float,
        Meta(
            description="POST /api/replay/sessions waits as long for a small build before it answers "
            "with the job instead of the manifest, s.",
            ge=0,
            le=30,
        ),
    ] = 4.0
    compare_tolerance_ms: Annotated[
        int,
        Meta(
            description="Equal decisions of two runs may be that far apart in time, ms.",
            ge=0,
            le=60_000,
        ),
    ] = 0
    compare_live_tolerance_ms: Annotated[
        int,
        Meta(
            description="The same where one side was decided live: its own clock told of fills, ms.",
            ge=0,
            le=60_000,
        ),
    ] = 500
    compare_pair_window_ms: Annotated[
        int,
        Meta(
            description="Decisions of the same role that differ are one row up to that far apart, ms.",
            ge=0,
            le=600_000,
        ),
    ] = 2000
    compare_trade_window_ms: Annotated[
        int,
        Meta(
            description="Trades opened no further apart than this are the same trade, ms.",
            ge=0,
            le=3_600_000,
        ),
    ] = 5000
    compare_max_records: Annotated[
        int,
        Meta(
            description="Most records of one side that a comparison reads; more is refused.",
            ge=1000,
            le=50_000_000,
        ),
    ] = 1_000_000
