"""Small things tests of the strategy are told with: instruments, frames, snapshots, events."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import numpy as np

from market.domain.config import MarketConfig
from market.domain.frames import FRAME_DTYPE, BookState, FrameReason, Frames
from market.domain.instruments import Instrument
from strategy.domain.config import DecisionConfig, RiskConfig, StrategyConfig
from strategy.domain.messages import (
    EventType,
    ExecutionEvent,
    ExecutionSnapshot,
    PositionView,
    Side,
)

START_NS = 1_763_424_000_000_000_000
MS = 1_000_000
S = 1_000_000_000


def an_instrument(symbol: str = "BTCUSDT", **changes: Any) -> Instrument:
    values: dict[str, Any] = {
        "symbol": symbol,
        "tick_size": Decimal("0.1"),
        "qty_step": Decimal("0.001"),
        "min_qty": Decimal("0.001"),
        "max_qty": Decimal(1000),
        "max_market_qty": Decimal(100),
        "min_notional": Decimal(5),
        "min_price": Decimal("0.1"),
        "max_price": Decimal(2_000_000),
        "min_leverage": Decimal(1),
        "max_leverage": Decimal(100),
        "leverage_step": Decimal("0.01"),
        "price_scale": 2,
        "funding_interval_min": 480,
        "base_coin": symbol.removesuffix("USDT"),
    }
    return Instrument(**(values | changes))


def a_config(*, strategy: dict[str, Any] | None = None, **risk: Any) -> DecisionConfig:
    """Signals of strong frames pass the gate: the edge is set high, the warm-up to a second."""
    chosen = {"edge_coef": 5.0} | (strategy or {})
    return DecisionConfig(
        market=MarketConfig(warmup_s=1),
        strategy=StrategyConfig(**chosen),
        risk=RiskConfig(**risk),
        version="test:1",
    )


# What a frame says when nothing else is asked for: a sound, quiet book around 100,000.
_QUIET = {
    "bid_tick": 1_000_000, "ask_tick": 1_000_001, "bid": 100_000.0, "ask": 100_000.1,
    "mid": 100_000.05, "microprice": 100_000.05, "spread_bps": 0.01, "last_price": 100_000.0,
    "bid_depth_usd20": 1e6, "ask_depth_usd20": 1e6, "depth_span_bps": 2.0,
    "rv10s": 2.0, "rv60s": 2.0, "rv300s": 2.0, "vpin": 0.3,
    "imb1": 0.0, "imb5": 0.0, "imb20": 0.0, "ofi1s": 0.0, "ofi5s": 0.0, "flow_ratio5s": 0.0,
    "ret5s": 0.0, "basis_bps": 0.0, "funding_rate": 0.0001, "seconds_to_funding": 20_000.0,
}  # fmt: skip


class Feed:
    """Makes the frames of one run: numbers and boundary times go on by themselves."""

    def __init__(self, symbols: int = 1, start_ns: int = START_NS) -> None:
        self._symbols = symbols
        self._seq = [0] * symbols
        self.now_ns = start_ns

    def frames(self, count: int, **values: Any) -> Frames:
        """`count` boundaries, 100 ms apart, of every symbol."""
        rows = np.zeros(count * self._symbols, FRAME_DTYPE)
        for row in range(len(rows)):
            symbol = row % self._symbols
            if symbol == 0:
                self.now_ns += 100 * MS
            self._seq[symbol] += 1
            rows[row] = self._row(symbol, values)
        return rows

    def frame(self, symbol: int = 0, **values: Any) -> Frames:
        """One frame of one symbol at the present time."""
        self._seq[symbol] += 1
        rows = np.zeros(1, FRAME_DTYPE)
        rows[0] = self._row(symbol, values)
        return rows

    def restart(self) -> None:
        """Market starts anew: frame numbers begin at 1 again."""
        self._seq = [0] * self._symbols

    def _row(self, symbol: int, values: dict[str, Any]) -> np.void:
        row = np.zeros(1, FRAME_DTYPE)
        row["symbol"], row["frame_seq"] = symbol, self._seq[symbol]
        row["ts_ns"] = self.now_ns
        row["warm"], row["book_state"] = 1, BookState.OK
        row["reason"] = FrameReason.BOUNDARY
        for name, value in (_QUIET | values).items():
            row[name] = value
        return row[0]


def balanced(feed: Feed, seconds: float) -> Frames:
    """Frames of size 0.1 that point both ways at once: the scales settle there, the pressure stays 0."""
    return feed.frames(
        round(seconds * 10), imb5=0.1, flow_ratio5s=-0.1, ofi1s=0.1, ofi5s=-0.1, imb20=0.1
    )


STRONG_LONG = {"imb5": 0.4, "imb20": 0.4, "ofi1s": 0.4, "ofi5s": 0.4, "flow_ratio5s": 0.4}
STRONG_SHORT = {name: -value for name, value in STRONG_LONG.items()}


def a_snapshot(ts_ns: int, **changes: Any) -> ExecutionSnapshot:
    values: dict[str, Any] = {
        "ts_ns": ts_ns,
        "execution_run": "x1",
        "requests_stream_id": "0-0",
        "equity": 10_000.0,
        "available": 10_000.0,
        "realized_pnl_today": 0.0,
        "equity_peak": 10_000.0,
        "positions": (),
        "pending_entries": {},
        "safe_mode_reasons": (),
        "trading_enabled": True,
    }
    return ExecutionSnapshot(**(values | changes))


def a_position(symbol: str = "BTCUSDT", **changes: Any) -> PositionView:
    values: dict[str, Any] = {
        "symbol": symbol,
        "side": Side.LONG,
        "qty_lots": 10,
        "avg_entry_ticks": 1_000_000.0,
        "plan_id": "p-1",
        "request_id": "p-1",
        "stop_ticks": 998_000,
        "open_risk": 5.0,
        "unrealized_pnl": 0.0,
        "opened_ts_ns": START_NS,
    }
    return PositionView(**(values | changes))


def an_event(event_type: EventType, ts_ns: int = START_NS, **values: Any) -> ExecutionEvent:
    return ExecutionEvent(**({"type": event_type, "symbol": "BTCUSDT", "ts_ns": ts_ns} | values))
