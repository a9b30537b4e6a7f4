"""The overview panel: mode, safety, money, positions, orders, services, and what happened last."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from execution.domain.latency import STAGES
from failover.domain.latency import latency_of
from failover.domain.run_mode import RunMode
from monitoring.domain.health import SERVICES, Beat, service_lamp
from monitoring.domain.lamps import ERROR, WARN
from monitoring.domain.panel import Panel
from strategy.domain.messages import ExecutionSnapshot, RiskSnapshot

EQUITY_POINTS = 3600
EQUITY_STEP_MS = 1000
ACTIVITY_LINES = 80
TRADE_LINES = 30


class Overview:
    """Holds the overview panel; the fold in `monitoring.domain.view` tells it what changed."""

    def __init__(self, *, mode: str, bybit_env: str) -> None:
        self.panel = Panel(
            tables=("positions", "orders", "services", "symbols"),
            series={
                "equity": EQUITY_POINTS,
                "activity": ACTIVITY_LINES,
                "trades": TRADE_LINES,
            },
        )
        self._system = {"mode": mode, "bybitEnv": bybit_env}
        self.panel.set_section("system", {**self._system, "runMode": "LIVE"})
        self.panel.set_section(
            "safety", {"known": False, "safeMode": None, "reasons": [], "since": None, "tradingEnabled": None}
        )  # fmt: skip
        self.panel.set_section("account", None)
        self.panel.set_section("risk", None)
        self.panel.set_section("config", None)
        self.panel.set_section("limits", None)
        self.panel.set_section("latency", {})
        self._safe_since_ms: int | None = None
        self.panel.set_section("alerts", {"count": 0, "items": []})
        self.on_beats(0, {})

    def on_run_mode(self, mode: RunMode) -> None:
        """LIVE, or the session that is replayed: how fast, how far, since when."""
        replay = {
            "mode": "REPLAY",
            "sessionId": mode.session_id,
            "speedFactor": mode.speed_factor,
            "paused": mode.paused,
            "marketTs": mode.market_ts,
            "since": mode.since,
        }
        told = {**self._system, "runMode": mode.run_mode, **(replay if mode.is_replay else {})}
        self.panel.set_section("system", told)

    def on_account(self, snapshot: ExecutionSnapshot) -> None:
        ts_ms = snapshot.ts_ns // 1_000_000
        self.panel.set_section(
            "account",
            {
                "ts": ts_ms,
                "equity": round(snapshot.equity, 4),
                "available": round(snapshot.available, 4),
                "realizedToday": round(snapshot.realized_pnl_today, 4),
                "equityPeak": round(snapshot.equity_peak, 4),
                "lossesInRow": snapshot.losses_in_row,
                "tradesThisHour": snapshot.trades_this_hour,
                "pendingEntries": len(snapshot.pending_entries),
            },
        )
        self._safety(snapshot, ts_ms)
        points = self.panel.items("equity")
        if not points or ts_ms - points[-1][0] >= EQUITY_STEP_MS:
            self.panel.append("equity", [ts_ms, round(snapshot.equity, 4)])

    def _safety(self, snapshot: ExecutionSnapshot, ts_ms: int) -> None:
        """Safe mode's start is what the audit trail says, else the first snapshot that said so."""
        reasons = list(snapshot.safe_mode_reasons)
        before = self.panel.section("safety")
        since = (before["since"] or self._safe_since_ms or ts_ms) if reasons else None
        if before["known"] and not reasons:
            self._safe_since_ms = None  # the next one begins anew
        self.panel.set_section(
            "safety",
            {
                "known": True, "safeMode": bool(reasons), "reasons": reasons, "since": since,
                "tradingEnabled": snapshot.trading_enabled,
            },
        )  # fmt: skip
        self._count_alerts()

    def safe_mode_since(self, since_ms: int) -> None:
        """Told by the audit trail when safe mode was switched on before this process started."""
        self._safe_since_ms = since_ms
        safety = self.panel.section("safety")
        if safety["safeMode"] and safety["since"] != since_ms:
            self.panel.set_section("safety", {**safety, "since": since_ms})

    def on_risk(self, risk: RiskSnapshot) -> None:
        self.panel.set_section(
            "risk",
            {
                "ts": risk.ts_ns // 1_000_000,
                "dailyPnl": round(risk.daily_pnl, 4),
                "drawdownPct": round(risk.drawdown_pct, 3),
                "heatPct": round(risk.heat_pct, 3),
                "openPositions": risk.open_positions,
                "allowNew": risk.flags.risk_allow_new_positions,
                "allowLong": risk.flags.risk_allow_new_long,
                "allowShort": risk.flags.risk_allow_new_short,
                "forceCloseAll": risk.flags.risk_force_close_all,
                "reasons": list(risk.reasons),
            },
        )

    def on_beats(self, now_ms: int, beats: Mapping[str, Beat]) -> None:
        """All heartbeats known at `now_ms`; services beyond the five are shown while they beat."""
        names = [*SERVICES, *sorted(set(beats) - set(SERVICES))]
        for name in names:
            self.panel.set_row("services", name, service_lamp(beats.get(name), now_ms))
        for gone in set(self.panel.rows("services")) - set(names):
            self.panel.remove_row("services", gone)
        self.panel.set_section("latency", latency_by_stage(beats))
        self._count_alerts()

    def on_config(self, config: dict[str, Any]) -> None:
        """What the strategy says it decides with."""
        self.panel.set_section("config", config)
        self._count_alerts()

    def activity(self, ts_ms: int, kind: str, symbol: str, text: str, level: str = "info") -> None:
        self.panel.append(
            "activity", {"ts": ts_ms, "kind": kind, "symbol": symbol, "text": text, "level": level}
        )

    def _count_alerts(self) -> None:
        items = [
            {
                "level": "CRIT" if row["status"] == ERROR else "WARN",
                "text": f"{name}: {row['message']}",
            }
            for name, row in self.panel.rows("services").items()
            if row["status"] in (WARN, ERROR)
        ]
        config = self.panel.section("config") or {}
        if problem := config.get("problem"):
            items.append({"level": "CRIT", "text": problem})
        if config.get("needsRestart"):
            fields = ", ".join(config["needsRestart"])
            items.append({"level": "WARN", "text": f"config waits for a restart: {fields}"})
        reasons = self.panel.section("safety")["reasons"]
        items += [{"level": "CRIT", "text": f"safe mode: {reason}"} for reason in reasons]
        self.panel.set_section("alerts", {"count": len(items), "items": items})


def latency_by_stage(beats: Mapping[str, Beat]) -> dict[str, dict[str, Any]]:
    """What all services measured, in the order of the way: `{stage: {minute: {...}, hour: {...}}}`."""
    found: dict[str, dict[str, Any]] = {}
    for beat in beats.values():
        found |= latency_of(beat.get("details") or {})
    return {
        stage: {span: found[stage].get(span) for span in ("minute", "hour")}
        for stage in STAGES
        if stage in found
    }
