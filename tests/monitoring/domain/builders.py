"""Messages of the services as the dashboard hears them, and a view to show them."""

from __future__ import annotations

import itertools
from decimal import Decimal
from typing import Any

import numpy as np

from market.domain.events import ChunkBuilder, EventKind
from market.domain.frames import FRAME_DTYPE
from market.domain.instruments import Instrument
from monitoring.domain.times import iso_of_ms
from monitoring.domain.view import (
    OVERVIEW,
    ChunkSeen,
    DashboardView,
    FramesSeen,
    InstrumentsSeen,
    RecordSeen,
)
from strategy.domain.messages import (
    ExecutionSnapshot,
    PositionView,
    RiskFlags,
    RiskSnapshot,
    ScoreUpdate,
    Side,
    SymbolState,
)

T0_MS = 1_760_000_000_000
SYMBOLS = ("BTCUSDT", "ETHUSDT")
SEQS = itertools.count(1)


def an_instrument(symbol: str = "BTCUSDT", tick: str = "0.1", scale: int = 1) -> Instrument:
    return Instrument(
        symbol=symbol,
        tick_size=Decimal(tick),
        qty_step=Decimal("0.001"),
        min_qty=Decimal("0.001"),
        max_qty=Decimal(100),
        max_market_qty=Decimal(50),
        min_notional=Decimal(5),
        min_price=Decimal(tick),
        max_price=Decimal(1999999),
        min_leverage=Decimal(1),
        max_leverage=Decimal(100),
        leverage_step=Decimal("0.01"),
        price_scale=scale,
        funding_interval_min=480,
        base_coin=symbol.removesuffix("USDT"),
    )


INSTRUMENTS = InstrumentsSeen((an_instrument(), an_instrument("ETHUSDT", "0.01", 2)))


def frames(*rows: dict[str, Any]) -> FramesSeen:
    array = np.zeros(len(rows), FRAME_DTYPE)
    for name in FRAME_DTYPE.names or ():
        if FRAME_DTYPE[name].kind == "f":
            array[name] = np.nan
    for i, row in enumerate(rows):
        for name, value in row.items():
            array[i][name] = value
    return FramesSeen(array)


def a_frame(mid: float, at_ms: int = 0, symbol: int = 0, **fields: Any) -> FramesSeen:
    return frames({"symbol": symbol, "ts_ns": (T0_MS + at_ms) * 10**6, "mid": mid, **fields})


def an_order(
    client_id: str = "AISCLP-1", status: str = "NEW", at_ms: int = 0, **fields: Any
) -> RecordSeen:
    row = {
        "record": "ORDER", "timestamp": iso_of_ms(T0_MS + at_ms), "clientOrderId": client_id,
        "symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT", "timeInForce": "PostOnly",
        "price": 50_000.0, "qty": 0.01, "reduceOnly": False, "status": status, "filledQty": 0.0,
        "avgFillPrice": None, "notionalUsd": 500.0, "source": "STATE_MACHINE", "lastError": None,
        "leg": "ENTRY", "planId": "p-1",
    }  # fmt: skip
    return RecordSeen(row | fields)


def a_position(qty: float = 0.01, at_ms: int = 0, **fields: Any) -> RecordSeen:
    row = {
        "record": "POSITION", "timestamp": iso_of_ms(T0_MS + at_ms), "symbol": "BTCUSDT",
        "side": "LONG", "qty": qty, "avgEntry": 50_000.0, "planId": "p-1", "stopPrice": 49_900.0,
        "tps": [{"level": 1, "price": 50_100.0, "qty": 0.004, "state": "NEW"}],
    }  # fmt: skip
    return RecordSeen(row | fields)


def an_execution_snapshot(at_ms: int = 0, **fields: Any) -> ExecutionSnapshot:
    values: dict[str, Any] = {
        "ts_ns": (T0_MS + at_ms) * 10**6,
        "execution_run": "x1",
        "requests_stream_id": "0-0",
        "equity": 1000.0,
        "available": 900.0,
        "realized_pnl_today": 1.5,
        "equity_peak": 1001.0,
        "positions": (),
        "pending_entries": {},
        "safe_mode_reasons": (),
        "trading_enabled": True,
    }
    return ExecutionSnapshot(**(values | fields))


def a_held_position(**fields: Any) -> PositionView:
    values: dict[str, Any] = {
        "symbol": "BTCUSDT",
        "side": Side.LONG,
        "qty_lots": 10,
        "avg_entry_ticks": 500_000.0,
        "plan_id": "p-1",
        "request_id": "r-1",
        "stop_ticks": 499_000,
        "open_risk": 1.2,
        "unrealized_pnl": 0.0,
        "opened_ts_ns": T0_MS * 10**6,
    }
    return PositionView(**(values | fields))


def a_view() -> DashboardView:
    view = DashboardView(mode="SIM", bybit_env="LOCAL")
    view.apply(INSTRUMENTS)
    for panel in view.panels():
        view.drain(panel)
    return view


def shown(view: DashboardView, panel: str = OVERVIEW) -> dict[str, Any]:
    view.drain(panel)
    state: dict[str, Any] = view.snapshot(panel)["state"]
    return state


def a_chunk(kind: EventKind, levels: list[tuple[int, int, int]], symbol: int = 0) -> ChunkSeen:
    builder = ChunkBuilder()
    builder.add(kind, symbol=symbol, seq=next(SEQS), core_ts_ns=1, exchange_ts_ns=1, levels=levels)
    return ChunkSeen(builder.take())


def a_score(**fields: Any) -> ScoreUpdate:
    values: dict[str, Any] = {
        "ts_ns": T0_MS * 10**6,
        "symbol": "BTCUSDT",
        "state": SymbolState.WATCH,
        "final_score_long": 61.26,
        "final_score_short": 31.0,
        "signal_long": False,
        "signal_short": False,
        "expected_move_bps": 3.456,
        "cost_bps": 4.0,
        "contributions": {"imb5": 0.12345},
        "blocked_reasons": ("expected move does not pay",),
        "regime": "NORMAL",
    }
    return ScoreUpdate(**(values | fields))


def a_risk(at_ms: int = 0, **fields: Any) -> RiskSnapshot:
    values: dict[str, Any] = {
        "ts_ns": (T0_MS + at_ms) * 10**6,
        "equity": 1000.0,
        "available": 900.0,
        "daily_pnl": -3.2,
        "drawdown_pct": 0.4,
        "heat_pct": 1.25,
        "open_positions": 1,
        "flags": RiskFlags(),
        "reasons": (),
    }
    return RiskSnapshot(**(values | fields))


SPAN = {"n": 9, "p50Ms": 1.0, "p90Ms": 2.0, "p99Ms": 3.0, "maxMs": 4.0}
SPANS = {"window": SPAN, "minute": SPAN, "hour": SPAN}


def a_beat(at_ms: int = 0, **details: Any) -> dict[str, Any]:
    return {"ts": iso_of_ms(T0_MS + at_ms), "phase": "RUNNING", "details": details}
