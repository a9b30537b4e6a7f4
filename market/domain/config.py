"""The market section of the trading config."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from failover.domain.config_sections import RESTART_ONLY


class MarketConfig(Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """Thresholds of the feed, the book and the frames (pipeline §1)."""

    book_depth: Annotated[
        int,
        Meta(
            description="Levels per side subscribed: 50 or 200.", ge=1, le=1000, extra=RESTART_ONLY
        ),
    ] = 50
    evaluation_interval_ms: Annotated[
        int,
        Meta(description="Grid of boundary frames, ms.", ge=10, le=10_000, extra=RESTART_ONLY),
    ] = 100
    trigger_ticks: Annotated[
        int,
        Meta(
            description="Mid move since the last frame that makes a frame at once, ticks.",
            ge=1,
            le=1_000_000,
        ),
    ] = 5
    sweep_levels: Annotated[
        int,
        Meta(description="Levels one taker burst must take to count as a sweep.", ge=2, le=1000),
    ] = 5
    stale_book_ms: Annotated[
        int,
        Meta(
            description="Silence on both book topics that makes a book stale, ms.",
            ge=500,
            le=86_400_000,
        ),
    ] = 6000
    crossed_ms: Annotated[
        int,
        Meta(
            description="How long a book may stay crossed before it is degraded, ms.",
            ge=0,
            le=86_400_000,
        ),
    ] = 250
    warmup_s: Annotated[
        int, Meta(description="Data needed before anything signals, s.", ge=1, le=86_400)
    ] = 600
