"""Positions, orders, fills and trades on the screen: a fold of execution's events, snapshots and records."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from monitoring.domain.overview import Overview
from monitoring.domain.symbol_view import SymbolView
from monitoring.domain.times import ms_of_iso
from strategy.domain.messages import EventType, ExecutionEvent, ExecutionSnapshot, PositionView

ORDERS_SHOWN = 300
FINAL_ORDER_STATES = frozenset(("FILLED", "CANCELED", "REJECTED", "EXPIRED"))


class BadRecord(ValueError):
    """A row of `execution.records` that does not say what the contract promises; count it and go on."""


class TradingFold:
    """Keeps the trading rows of the overview and of the symbol panels. Shares both with the view."""

    def __init__(self, overview: Overview, symbols: dict[str, SymbolView]) -> None:
        self.overview = overview
        self._symbols = symbols
        self._mids: dict[str, float] = {}
        self._position_ms: dict[str, int] = {}  # when each symbol's position was last told of

    def on_mid(self, symbol: str, mid: float | None) -> None:
        """A new mid marks the open position of its symbol."""
        if mid is None or self._mids.get(symbol) == mid:
            return
        self._mids[symbol] = mid
        if row := self.overview.panel.rows("positions").get(symbol):
            self._set_position(symbol, _marked(row, mid))

    def forget(self, symbol: str) -> None:
        self._mids.pop(symbol, None)
        self._position_ms.pop(symbol, None)

    def on_event(self, event: ExecutionEvent) -> None:
        """Orders, fills and positions come as records; here only what no record tells."""
        ts_ms = event.ts_ns // 1_000_000
        if event.type in _ANNOUNCED:
            level = _ANNOUNCED[event.type]
            text = event.type.value.removeprefix("EXECUTION_").replace("_", " ").lower()
            reason = f" · {event.reason}" if event.reason else ""
            self.overview.activity(ts_ms, "EXECUTION", event.symbol, text + reason, level)

    def on_snapshot(self, snapshot: ExecutionSnapshot) -> None:
        """The whole truth once a second; news that is younger than it stands."""
        self.overview.on_account(snapshot)
        self._quality_told(snapshot)
        ts_ms = snapshot.ts_ns // 1_000_000
        held = {position.symbol for position in snapshot.positions}
        for position in snapshot.positions:
            if self._position_ms.get(position.symbol, 0) <= ts_ms:
                self._position_ms[position.symbol] = ts_ms
                self._position_told(position)
        for symbol in set(self.overview.panel.rows("positions")) - held:
            if self._position_ms.get(symbol, 0) <= ts_ms:
                self._remove_position(symbol)

    def _quality_told(self, snapshot: ExecutionSnapshot) -> None:
        for symbol, view in self._symbols.items():
            quality = snapshot.quality.get(symbol)
            view.on_quality(quality)
            row = self.overview.panel.rows("symbols").get(symbol, {})
            shown = None if quality is None else round(quality.score)
            blocked = quality is not None and quality.blocked
            self.overview.panel.set_row(
                "symbols", symbol, {**row, "quality": shown, "qualityBlocked": blocked}
            )

    def _position_told(self, position: PositionView) -> None:
        view = self._symbols.get(position.symbol)
        if view is None:
            return
        to_price, scale = view.instrument.ticks_to_price, view.instrument.price_scale
        before = self.overview.panel.rows("positions").get(position.symbol, {})
        stop = position.stop_ticks
        row = {
            "symbol": position.symbol,
            "side": position.side.value,
            "qty": float(view.instrument.lots_to_qty(position.qty_lots)),
            "avgEntry": round(
                position.avg_entry_ticks * float(view.instrument.tick_size), scale + 2
            ),
            "stopPrice": None if stop is None else float(to_price(stop)),
            "planId": position.plan_id,
            "openedAt": position.opened_ts_ns // 1_000_000,
            "openRisk": round(position.open_risk, 4),
            "mfeBps": round(position.mfe_bps, 2),
            "maeBps": round(position.mae_bps, 2),
            **(_kept_of_plan(before) if before.get("planId") == position.plan_id else _NO_LEGS),
        }
        self._set_position(position.symbol, _marked(row, self._mids.get(position.symbol)))

    def _set_position(self, symbol: str, row: dict[str, Any]) -> None:
        self.overview.panel.set_row("positions", symbol, row)
        if view := self._symbols.get(symbol):
            view.panel.set_section("position", row)

    def _remove_position(self, symbol: str) -> None:
        self.overview.panel.remove_row("positions", symbol)
        if view := self._symbols.get(symbol):
            view.panel.set_section("position", None)

    # --- rows of execution.records -------------------------------------------------------------------

    def on_record(self, row: Mapping[str, Any]) -> None:
        """One row of docs/contracts.md. Raises BadRecord when a promised field is missing or wrong."""
        try:
            match row.get("record"):
                case "ORDER":
                    self._order_row(row)
                case "FILL":
                    self._fill_row(row)
                case "POSITION":
                    self._position_row(row)
                case "TRADE":
                    self._trade_row(row)
                case "OPERATOR_RESULT":
                    level = "warn" if row["ok"] else "error"
                    ts_ms = int(row["tsNs"]) // 1_000_000
                    self.overview.activity(
                        ts_ms, "OPERATOR", "", f"{row['action']}: {row['message']}", level
                    )
        except (KeyError, TypeError, ValueError) as error:
            raise BadRecord(f"{row.get('record')} row: {error!r}") from error

    def _order_row(self, row: Mapping[str, Any]) -> None:
        order = {name: row[name] for name in _ORDER_REQUIRED} | {
            name: row.get(name) for name in _ORDER_OPTIONAL
        }
        order["ts"] = ms_of_iso(row.get("updatedAt") or row["timestamp"])
        panels = [self.overview.panel]
        if view := self._symbols.get(order["symbol"]):
            panels.append(view.panel)
        for panel in panels:
            if order["status"] in FINAL_ORDER_STATES:
                panel.remove_row("orders", order["clientOrderId"])
            elif order["clientOrderId"] in panel.rows("orders") or (
                len(panel.rows("orders")) < ORDERS_SHOWN
            ):
                panel.set_row("orders", order["clientOrderId"], order)
        if order["status"] == "REJECTED":
            text = (
                f"{order['side']} {order['leg'] or order['type']} rejected · {order['lastError']}"
            )
            self.overview.activity(order["ts"], "ORDER", order["symbol"], text, "warn")

    def _fill_row(self, row: Mapping[str, Any]) -> None:
        ts_ms, symbol = ms_of_iso(row["timestamp"]), str(row["symbol"])
        mark = {
            "ts": ts_ms, "kind": "FILL", "side": row["side"], "price": row["price"],
            "qty": row["qty"], "leg": row.get("leg") or "", "isMaker": row.get("isMaker"),
        }  # fmt: skip
        if view := self._symbols.get(symbol):
            view.on_fill(mark)
        leg = f" · {mark['leg']}" if mark["leg"] else ""
        text = f"{row['side']} {row['qty']:g} @ {row['price']:.10g}{leg}"
        self.overview.activity(ts_ms, "FILL", symbol, text)

    def _position_row(self, row: Mapping[str, Any]) -> None:
        symbol, ts_ms = str(row["symbol"]), ms_of_iso(row["timestamp"])
        if self._position_ms.get(symbol, 0) > ts_ms:
            return
        self._position_ms[symbol] = ts_ms
        if not row["qty"]:
            self._remove_position(symbol)
            return
        before = self.overview.panel.rows("positions").get(symbol, {})
        if before.get("planId") != row.get("planId"):
            before = {"openedAt": ts_ms, "openRisk": None, "mfeBps": 0.0, "maeBps": 0.0}
        told = {
            "symbol": symbol, "side": row["side"], "qty": row["qty"], "avgEntry": row["avgEntry"],
            "planId": row.get("planId"), "stopPrice": row.get("stopPrice"),
            **_kept_of_plan(row),
        }  # fmt: skip
        self._set_position(symbol, _marked({**before, **told}, self._mids.get(symbol)))

    def _trade_row(self, row: Mapping[str, Any]) -> None:
        trade = {name: row.get(name) for name in _TRADE_FIELDS}
        ts_ms = trade["ts"] = ms_of_iso(row["timestamp"])
        self.overview.panel.append("trades", trade)
        pnl = float(row["realizedPnl"])
        text = f"{row['side']} closed {pnl:+.2f} USDT · {row.get('exitReason') or 'closed'}"
        level = "good" if pnl >= 0 else "bad"
        self.overview.activity(ts_ms, "TRADE", str(row["symbol"]), text, level)


_ANNOUNCED: dict[EventType, str] = {
    EventType.EXECUTION_ERROR: "error",
    EventType.SAFE_MODE_ON: "error",
    EventType.SAFE_MODE_OFF: "good",
    EventType.PANIC_CLOSE_TRIGGERED: "error",
    EventType.POSITION_RESYNC: "warn",
    EventType.POSITION_CLOSED_BY_EXCHANGE: "warn",
}

_ORDER_REQUIRED = ("clientOrderId", "symbol", "side", "type", "status", "qty")
_ORDER_OPTIONAL = (
    "price", "triggerPrice", "filledQty", "avgFillPrice", "timeInForce", "reduceOnly", "leg",
    "source", "createdAt", "lastError", "planId", "notionalUsd",
)  # fmt: skip
_TRADE_FIELDS = (
    "symbol", "side", "entryPrice", "closePrice", "qty", "realizedPnl", "fees", "durationSeconds",
    "exitReason", "planId",
)  # fmt: skip


# What only execution's POSITION rows tell of a plan; a snapshot keeps it.
_NO_LEGS: dict[str, Any] = {
    "tps": [], "dcas": [], "breakEvenMoved": None, "trailing": None, "timeStopAt": None,
    "profile": None, "leverage": None, "liquidationPrice": None,
}  # fmt: skip


def _kept_of_plan(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: list(row.get(name) or []) if isinstance(empty, list) else row.get(name)
        for name, empty in _NO_LEGS.items()
    }


def _marked(row: dict[str, Any], mid: float | None) -> dict[str, Any]:
    """A position row with its live figures at `mid`: PnL before exit fees, distance to the stop."""
    if mid is None:
        return {**row, "mid": None, "pnl": None, "pnlBps": None, "stopDistanceBps": None}
    sign, entry, stop = (1 if row["side"] == "LONG" else -1), row["avgEntry"], row.get("stopPrice")
    move = (mid - entry) * sign
    return {
        **row,
        "mid": mid,
        "pnl": round(move * row["qty"], 4),
        "pnlBps": round(move / entry * 1e4, 2) if entry else None,
        "stopDistanceBps": None if stop is None else round((mid - stop) * sign / mid * 1e4, 2),
    }
