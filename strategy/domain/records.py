"""The owner's record shapes of what the strategy decides: StateEvent and RiskSnapshot as JSON."""

from __future__ import annotations

from typing import Any

from failover.domain.days import iso_ms
from market.domain.instruments import Instrument
from strategy.domain.messages import PositionView, RiskSnapshot, StateEvent

SCHEMA_VERSION = 1


def state_event_record(event: StateEvent, *, run_id: str, number: int) -> dict[str, Any]:
    """Phase 12 §3.1, plus the run and the event's number in it, which make it unique."""
    return {
        "schemaVersion": SCHEMA_VERSION,
        "timestamp": iso_ms(event.ts_ns),
        "symbol": event.symbol,
        "fromState": event.from_state,
        "toState": event.to_state,
        "eventType": event.event_type,
        "reason": event.reason,
        "extra": event.extra,
        "runId": run_id,
        "number": number,
    }


def risk_snapshot_record(
    snapshot: RiskSnapshot,
    positions: tuple[PositionView, ...],
    instruments: dict[str, Instrument],
) -> dict[str, Any]:
    """RiskSnapshot of pipeline §5; prices and quantities as numbers in the venue's units."""
    return {
        "schemaVersion": SCHEMA_VERSION,
        "timestamp": iso_ms(snapshot.ts_ns),
        "account": {
            "equity": snapshot.equity,
            "available": snapshot.available,
            "dailyPnl": snapshot.daily_pnl,
            "drawdownPct": snapshot.drawdown_pct,
        },
        "positions": [_position(position, instruments) for position in positions],
        "openPositions": snapshot.open_positions,
        "heatPct": snapshot.heat_pct,
        "riskFlags": snapshot.flags,
        "reasons": snapshot.reasons,
    }


def _position(position: PositionView, instruments: dict[str, Instrument]) -> dict[str, Any]:
    record: dict[str, Any] = {
        "symbol": position.symbol,
        "side": position.side,
        "planId": position.plan_id,
        "openRisk": position.open_risk,
        "unrealizedPnl": position.unrealized_pnl,
        "openedAt": iso_ms(position.opened_ts_ns),
        "mfeBps": position.mfe_bps,
        "maeBps": position.mae_bps,
    }
    instrument = instruments.get(position.symbol)
    if instrument is not None:
        record["qty"] = float(instrument.lots_to_qty(position.qty_lots))
        record["avgEntry"] = position.avg_entry_ticks * float(instrument.tick_size)
        if position.stop_ticks is not None:
            record["stopPrice"] = float(instrument.ticks_to_price(position.stop_ticks))
    return record
