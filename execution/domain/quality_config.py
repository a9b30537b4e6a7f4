"""Thresholds of execution quality and latency (pipeline §8). bps = 1/10,000 of the price."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct


class QualityConfig(Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """When a symbol's orders are carried out too badly to go on, and how it may come back."""

    quality_block: Annotated[
        float, Meta(description="Quality score below which new entries stop, 0..100.", ge=0, le=100)
    ] = 40.0
    quality_recover: Annotated[
        float, Meta(description="Score of the trial that ends a block, 0..100.", ge=0, le=100)
    ] = 60.0
    min_orders: Annotated[
        int, Meta(description="Orders a figure needs before it counts in the score.", ge=1, le=1000)
    ] = 8
    half_life_orders: Annotated[
        float, Meta(description="Orders after which an old one counts half.", ge=1, le=10_000)
    ] = 20.0
    half_life_s: Annotated[
        float,
        Meta(description="Time after which an old order counts half, s.", ge=60, le=31_536_000),
    ] = 14_400.0
    slippage_worst_bps: Annotated[
        float,
        Meta(
            description="Mean slippage beyond the arrival touch that makes the score 0, bps.",
            gt=0,
            le=10_000,
        ),
    ] = 15.0
    markout_worst_bps: Annotated[
        float,
        Meta(
            description="Mean loss to mid 5 s after maker entries that makes the score 0, bps.",
            gt=0,
            le=10_000,
        ),
    ] = 15.0
    reject_worst_pct: Annotated[
        float, Meta(description="Share of rejected orders that makes the score 0, %.", gt=0, le=100)
    ] = 50.0
    fill_ratio_floor_pct: Annotated[
        float,
        Meta(description="Filled share of entries below which the score falls, %.", ge=0, le=100),
    ] = 10.0
    fill_ratio_weight: Annotated[
        float, Meta(description="Part of the score lost when no entry fills, 0..1.", ge=0, le=1)
    ] = 0.3
    block_s: Annotated[
        int, Meta(description="How long a block lasts before a trial, s.", ge=1, le=86_400)
    ] = 900
    probation_entries: Annotated[int, Meta(description="Entries a trial allows.", ge=1, le=100)] = 1
    probation_qty_pct: Annotated[
        float, Meta(description="Size of a trial entry in % of what was asked.", gt=0, le=100)
    ] = 50.0

    def __post_init__(self) -> None:
        """Refuse a trial that could not end the block; the text names both fields."""
        if self.quality_recover < self.quality_block:
            raise ValueError(
                "qualityRecover is below qualityBlock: a recovered symbol blocks at once"
            )


class LatencyConfig(Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """When the way from the exchange's event to the exchange's answer is too slow to trade on."""

    latency_max_ms: Annotated[
        float, Meta(description="Slowest p90 of any stage within a window, ms.", gt=0, le=60_000)
    ] = 1000.0
    latency_windows: Annotated[
        int,
        Meta(description="Windows of 10 s in a row above it that stop entries, and below, that end it.",
             ge=1, le=360),
    ] = 3  # fmt: skip
