"""The retention section of the trading config: how long each kind of file is kept (phase 12 §1.2)."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

_MOST_DAYS = 3650


class RetentionConfig(
    Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True
):
    """Ages after which files go, unless something needs them (docs/operations.md, "Retention")."""

    trades_log_days: Annotated[
        int, Meta(description="Closed trades, days.", ge=1, le=_MOST_DAYS)
    ] = 30
    orders_log_days: Annotated[
        int,
        Meta(
            description="Order log, days; what an open position or order needs stays longer.",
            ge=1,
            le=_MOST_DAYS,
        ),
    ] = 30
    events_days: Annotated[
        int, Meta(description="State events of each symbol, days.", ge=1, le=_MOST_DAYS)
    ] = 7
    replay_sessions_days: Annotated[
        int,
        Meta(
            description="Replay sessions, days since the end of the market time they hold.",
            ge=1,
            le=_MOST_DAYS,
        ),
    ] = 30
    new_sessions_days: Annotated[
        int,
        Meta(
            description="Days since its building during which a session stays, however old its market.",
            ge=1,
            le=_MOST_DAYS,
        ),
    ] = 7
    raw_market_data_hours: Annotated[
        int, Meta(description="Raw market recordings, hours.", ge=1, le=24 * _MOST_DAYS)
    ] = 48
    imported_market_data_days: Annotated[
        int,
        Meta(
            description="Days since an import during which the recordings of its days stay.",
            ge=1,
            le=_MOST_DAYS,
        ),
    ] = 30
    journal_hours: Annotated[
        int,
        Meta(
            description="Decision journals, hours; a kept journal keeps the raw data of its day.",
            ge=1,
            le=24 * _MOST_DAYS,
        ),
    ] = 48
    quality_log_days: Annotated[
        int, Meta(description="How orders were carried out, days.", ge=1, le=_MOST_DAYS)
    ] = 30
    replay_runs_days: Annotated[
        int, Meta(description="Files of finished replay runs, days.", ge=1, le=_MOST_DAYS)
    ] = 30
    backtests_days: Annotated[
        int, Meta(description="Backtest reports, days.", ge=1, le=_MOST_DAYS)
    ] = 180
    bench_days: Annotated[
        int, Meta(description="Benchmark results but the latest, days.", ge=1, le=_MOST_DAYS)
    ] = 90
    retention_reports_days: Annotated[
        int, Meta(description="Retention reports in the database, days.", ge=1, le=_MOST_DAYS)
    ] = 365
