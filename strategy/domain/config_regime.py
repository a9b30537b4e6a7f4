"""Thresholds of the regimes and of the scorer: the first part of the strategy section (pipeline §2, §3).

Every baseline an event is measured against is lagged, so that the event cannot raise its own bar, and has
a floor, so that a dead market does not turn a tick into a pump.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct, field

from failover.domain.config_sections import ACCOUNT_WIDE, SYMBOL_NAMES

LONGEST_LAG_S = 120  # how far back the baselines are kept


class RegimeThresholds(
    Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True
):
    """When a symbol, or the whole market, is not fit to be traded."""

    # ILLIQUID, STALE
    min_depth_usd: Annotated[
        float,
        Meta(
            description="Depth of 20 levels a side below which a book is thin, USD.", ge=0, le=1e12
        ),
    ] = 20_000.0
    max_spread_bps: Annotated[
        float, Meta(description="Spread above which a book is thin, bps.", gt=0, le=1000)
    ] = 15.0
    max_book_age_ms: Annotated[
        float,
        Meta(
            description="Silence of the book that makes a symbol stale, ms.", ge=100, le=86_400_000
        ),
    ] = 6000.0
    max_trade_age_ms: Annotated[
        float,
        Meta(
            description="Time without a trade that makes a symbol stale, ms.", ge=100, le=86_400_000
        ),
    ] = 600_000.0
    # baselines
    baseline_s: Annotated[
        float,
        Meta(description="Data a baseline must rest on before it counts, s.", ge=0, le=3600),
    ] = 60.0
    # PUMP, DUMP
    pump_z: Annotated[
        float,
        Meta(description="60 s return of a pump, in usual volatility * sqrt(60 s).", gt=0, le=100),
    ] = 4.0
    pump_volume_x: Annotated[
        float, Meta(description="Trade flow of a pump, in usual flow.", gt=0, le=1000)
    ] = 4.0
    pump_lag_s: Annotated[
        int,
        Meta(description="Age of a pump's baselines, s.", ge=1, le=LONGEST_LAG_S),
    ] = 60
    notional_half_life_s: Annotated[
        float, Meta(description="Half-life of the usual trade flow, s.", ge=1, le=86_400)
    ] = 3600.0
    vol_floor_bps: Annotated[
        float, Meta(description="Least usual volatility, bps per sqrt(s).", gt=0, le=1000)
    ] = 0.2
    notional_floor_usd: Annotated[
        float, Meta(description="Least usual trade flow, USD per s.", gt=0, le=1e12)
    ] = 500.0
    # NEWS
    news_vol_x: Annotated[
        float, Meta(description="10 s volatility of news, in usual volatility.", gt=0, le=100)
    ] = 4.0
    news_spread_x: Annotated[
        float, Meta(description="Spread of news, in usual spread.", gt=0, le=1000)
    ] = 3.0
    news_lag_s: Annotated[
        int,
        Meta(description="Age of the baselines of news, s.", ge=1, le=LONGEST_LAG_S),
    ] = 30
    spread_half_life_s: Annotated[
        float, Meta(description="Half-life of the usual spread, s.", ge=1, le=86_400)
    ] = 600.0
    spread_floor_bps: Annotated[
        float, Meta(description="Least usual spread, bps.", gt=0, le=1000)
    ] = 0.2
    # MANIPULATED
    flicker_max: Annotated[
        float, Meta(description="Depth cancelled untraded, share of depth per s.", gt=0, le=1000)
    ] = 3.0
    flicker_s: Annotated[
        float, Meta(description="How long flicker must last to be manipulation, s.", ge=0, le=600)
    ] = 5.0
    print_outside_bps: Annotated[
        float,
        Meta(description="Trade beyond the book that is manipulation, bps.", gt=0, le=10_000),
    ] = 20.0
    # leaving, and what disarms
    regime_exit_s: Annotated[
        float, Meta(description="Calm needed before a regime is left, s.", ge=0, le=3600)
    ] = 20.0
    feed_silence_ms: Annotated[
        int,
        Meta(
            description="Gap between a symbol's frames that disarms it, ms.", ge=500, le=86_400_000
        ),
    ] = 3000
    # the whole market
    leader_symbol: Annotated[
        str,
        Meta(
            description="Symbol whose fall or rise is the market's.",
            max_length=40,
            extra=ACCOUNT_WIDE | SYMBOL_NAMES,
        ),
    ] = "BTCUSDT"
    panic_ret_bps: Annotated[
        float,
        Meta(
            description="300 s return of the leader that is panic, bps.",
            gt=0,
            le=10_000,
            extra=ACCOUNT_WIDE,
        ),
    ] = 250.0
    panic_dump_share: Annotated[
        float,
        Meta(description="Share of symbols in DUMP that is panic.", gt=0, le=1, extra=ACCOUNT_WIDE),
    ] = 0.6
    panic_min_symbols: Annotated[
        int, Meta(description="Symbols that share must be of.", ge=1, le=1000, extra=ACCOUNT_WIDE)
    ] = 5
    risk_off_fraction: Annotated[
        float,
        Meta(
            description="Part of the panic thresholds that is risk-off.",
            gt=0,
            le=1,
            extra=ACCOUNT_WIDE,
        ),
    ] = 0.5
    # phase 10 has this name in the execution section; the decision falls here
    panic_closes: Annotated[
        bool, Meta(description="Close positions when the market is in panic.")
    ] = field(default=True, name="panicCloseOnGlobalPanic")


class ScorerSettings(RegimeThresholds, frozen=True, kw_only=True, rename="camel"):
    """Which scorer is asked, and what it may cost before its symbol goes without signal."""

    scorer: Annotated[
        str,
        Meta(
            description="Dotted path of the scorer's class, from an allowed package.",
            pattern=r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)+$",
            max_length=200,
        ),
    ] = "strategy.domain.scorer.LinearScorer"
    scorer_params: Annotated[
        dict[str, Annotated[float, Meta(ge=-1e12, le=1e12)]],
        Meta(description="Numbers handed to the scorer, by name.", max_length=200),
    ] = {}
    scorer_limit_ms: Annotated[
        float, Meta(description="Time a scorer may take for one frame, ms.", gt=0, le=1000)
    ] = 20.0
    scorer_probation_s: Annotated[
        float, Meta(description="No signal after a scorer failed, s.", ge=0, le=86_400)
    ] = 60.0
    checkpoint_max_age_s: Annotated[
        float,
        Meta(
            description="Age of a checkpoint that is not used any more, s.",
            ge=0,
            le=31_536_000,
            extra=ACCOUNT_WIDE,
        ),
    ] = 3600.0
