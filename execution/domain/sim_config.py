"""The part of the execution section that says how the simulated venue treats account and orders."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from msgspec import Meta, Struct

from failover.domain.config_sections import ACCOUNT_WIDE, RESTART_ONLY
from strategy.domain.margin import DEFAULT_TIERS, MarginTier, tier_faults


class MarginMode(StrEnum):
    CROSS = "CROSS"  # all equity stands behind every position
    ISOLATED = "ISOLATED"  # a position can lose its own margin and no more


class SimConfig(Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """Margin, latency beyond the common one, and order caps of the simulated venue."""

    seed: Annotated[
        int,
        Meta(
            description="Seed of everything random (the latency jitter).",
            ge=0,
            le=2_147_483_647,
            extra=RESTART_ONLY | ACCOUNT_WIDE,
        ),
    ] = 1
    latency_jitter_ms: Annotated[
        float,
        Meta(
            description="Each command is up to this much later, drawn evenly, ms.",
            ge=0,
            le=60_000,
            extra=ACCOUNT_WIDE,
        ),
    ] = 0.0
    amend_latency_ms: Annotated[
        float,
        Meta(
            description="Way of an amend to the venue, ms; -1: as any order.",
            ge=-1,
            le=60_000,
            extra=ACCOUNT_WIDE,
        ),
    ] = -1.0
    cancel_latency_ms: Annotated[
        float,
        Meta(
            description="Way of a cancel to the venue, ms; -1: as any order.",
            ge=-1,
            le=60_000,
            extra=ACCOUNT_WIDE,
        ),
    ] = -1.0
    margin_mode: Annotated[
        MarginMode,
        Meta(
            description="CROSS or ISOLATED, for the whole account.",
            extra=RESTART_ONLY | ACCOUNT_WIDE,
        ),
    ] = MarginMode.CROSS
    margin_tiers: Annotated[
        tuple[MarginTier, ...],
        Meta(
            description="Risk-limit table: position value, maintenance rate, leverage.",
            max_length=200,
        ),
    ] = DEFAULT_TIERS
    max_active_orders: Annotated[
        int, Meta(description="Live orders of one symbol the venue accepts.", ge=1, le=10_000)
    ] = 500
    max_conditional_orders: Annotated[
        int,
        Meta(description="Waiting conditional orders of one symbol it accepts.", ge=1, le=10_000),
    ] = 10

    def __post_init__(self) -> None:
        if reasons := tier_faults(self.margin_tiers):
            raise ValueError("; ".join(reasons))
