"""The execution section of the trading config (phase 10 §2; one unit for fractions: bps)."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

from execution.domain.quality_config import LatencyConfig, QualityConfig
from execution.domain.sim_config import SimConfig
from failover.domain.config_sections import ACCOUNT_WIDE, RESTART_ONLY


class ExecutionConfig(
    Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True
):
    """Guards, order handling and the assumptions of the simulated venue."""

    max_slippage_bps: Annotated[
        float,
        Meta(description="How far through the touch a limit may be priced, bps.", gt=0, le=10_000),
    ] = 10.0
    max_spread_bps: Annotated[
        float, Meta(description="Widest spread an entry accepts, bps.", gt=0, le=10_000)
    ] = 15.0
    max_price_distance_bps: Annotated[
        float,
        Meta(description="Fat finger: farthest any price may lie from mid, bps.", gt=0, le=10_000),
    ] = 300.0
    order_timeout_ms: Annotated[
        int,
        Meta(description="Age at which any resting entry is cancelled, ms.", ge=100, le=86_400_000),
    ] = 120_000
    max_retry_count: Annotated[
        int, Meta(description="Attempts to place one protective or closing leg.", ge=1, le=20)
    ] = 3
    leg_retry_ms: Annotated[
        int,
        Meta(
            description="Pause before a leg is tried again, doubled each time, ms.",
            ge=50,
            le=86_400_000,
        ),
    ] = 250
    leg_retry_max_ms: Annotated[
        int,
        Meta(description="Longest pause between two orders of a leg, ms.", ge=50, le=86_400_000),
    ] = 5000
    min_notional_usdt: Annotated[
        float, Meta(description="Smallest entry, USDT at its price.", ge=0, le=1e12)
    ] = 5.0
    max_notional_usdt: Annotated[
        float,
        Meta(description="Largest entry, USDT; a bigger one is cut down to it.", gt=0, le=1e12),
    ] = 10_000.0  # phase 10: 500; sizing by risk (pipeline §5) needs room
    max_open_orders: Annotated[
        int,
        Meta(
            description="Live orders of the account an entry may not exceed.",
            ge=1,
            le=500,
            extra=ACCOUNT_WIDE,
        ),
    ] = 40
    client_order_id_prefix: Annotated[
        str,
        Meta(
            description="Begins every clientOrderId.",
            pattern="^[A-Za-z0-9_]{1,10}$",
            extra=RESTART_ONLY | ACCOUNT_WIDE,
        ),
    ] = "AISCLP"
    protect_deadline_ms: Annotated[
        int,
        Meta(
            description="A position without a stop for longer is closed, ms.", ge=100, le=86_400_000
        ),
    ] = 1500
    stale_quote_ms: Annotated[
        int,
        Meta(
            description="Age at which a quote no longer allows an entry, ms.", ge=100, le=86_400_000
        ),
    ] = 6000
    trailing_interval_ms: Annotated[
        int, Meta(description="Shortest time between two trailing amends, ms.", ge=0, le=86_400_000)
    ] = 1000
    reprice_interval_ms: Annotated[
        int,
        Meta(
            description="Shortest time between two re-pricings of an entry, ms.",
            ge=0,
            le=86_400_000,
        ),
    ] = 200
    maker_fee_bps: Annotated[
        float, Meta(description="Fee of a resting fill, bps.", ge=-5, le=100, extra=ACCOUNT_WIDE)
    ] = 2.0
    taker_fee_bps: Annotated[
        float, Meta(description="Fee of an aggressive fill, bps.", ge=0, le=100, extra=ACCOUNT_WIDE)
    ] = 5.5
    sim_latency_ms: Annotated[
        int,
        Meta(
            description="Way to and way back of the simulated venue, ms each.",
            ge=0,
            le=60_000,
            extra=ACCOUNT_WIDE,
        ),
    ] = 20
    sim_balance_usdt: Annotated[
        float,
        Meta(
            description="Wallet of a new simulated account, USDT.",
            gt=0,
            le=1e12,
            extra=RESTART_ONLY | ACCOUNT_WIDE,
        ),
    ] = 10_000.0
    sim_leverage: Annotated[
        float,
        Meta(description="Leverage of the simulated account.", ge=1, le=125),
    ] = 10.0
    sim_price_band_bps: Annotated[
        float,
        Meta(description="A market order walks at most this far from last, bps.", gt=0, le=10_000),
    ] = 500.0
    queue_model: Annotated[
        Literal["conservative", "proportional"],
        Meta(
            description="What advances the queue ahead of a resting order: only trades at its price"
            " (conservative), or cancels there too, pro rata (proportional)."
        ),
    ] = "conservative"
    quality: QualityConfig = QualityConfig()
    latency: Annotated[LatencyConfig, Meta(extra=ACCOUNT_WIDE)] = LatencyConfig()
    sim: SimConfig = SimConfig()
