"""The account as the strategy knows it: execution's last snapshot plus what it has asked for since."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from market.domain.instruments import Instrument
from strategy.domain.config import RiskConfig, StrategyConfig
from strategy.domain.messages import (
    ExecutionSnapshot,
    ExposureView,
    PositionView,
    Side,
    SymbolState,
)
from strategy.domain.risk import AccountRisk, Exposure
from strategy.domain.tracks import SymbolTrack

_HOLDING = (SymbolState.ENTRY_PENDING, SymbolState.IN_POSITION, SymbolState.EXIT_PENDING)
_NS_PER_S = 1_000_000_000


class AccountState(msgspec.Struct, frozen=True):
    """What the tracker remembers."""

    paused_until_ns: int
    losses_in_row: int
    snapshot: ExecutionSnapshot | None
    safe_mode_reasons: tuple[str, ...]


class AccountTracker:
    """Folds snapshots; a loss streak starts its pause when it is first seen to have grown."""

    def __init__(self, strategy: StrategyConfig, risk: RiskConfig) -> None:
        self._strategy = strategy
        self._risk = risk
        self._paused_until_ns = 0
        self._losses_in_row = 0
        self.snapshot: ExecutionSnapshot | None = None
        self.safe_mode_reasons: tuple[str, ...] = ()

    def configure(self, strategy: StrategyConfig, risk: RiskConfig) -> None:
        """Judge by another version from now on; a pause that runs goes on."""
        self._strategy, self._risk = strategy, risk

    def state(self) -> AccountState:
        return AccountState(
            self._paused_until_ns, self._losses_in_row, self.snapshot, self.safe_mode_reasons
        )

    def restore(self, state: AccountState) -> None:
        self._paused_until_ns, self._losses_in_row = state.paused_until_ns, state.losses_in_row
        self.snapshot, self.safe_mode_reasons = state.snapshot, state.safe_mode_reasons

    def take(self, snapshot: ExecutionSnapshot) -> None:
        grew = snapshot.losses_in_row > self._losses_in_row
        if grew and snapshot.losses_in_row >= self._risk.loss_streak:
            self._paused_until_ns = snapshot.ts_ns + self._risk.loss_streak_pause_s * _NS_PER_S
        self._losses_in_row = snapshot.losses_in_row
        self.snapshot = snapshot

    def silence_reasons(self, ts_ns: int) -> list[str]:
        """Why no entry may leave: execution unknown, silent, in safe mode or told not to trade."""
        snapshot = self.snapshot
        if snapshot is None:
            return ["waiting for execution to say what it holds"]
        reasons = []
        age_ms = (ts_ns - snapshot.ts_ns) // 1_000_000
        if age_ms > self._strategy.execution_silence_ms:
            reasons.append(f"execution silent for {age_ms / 1000:.1f} s")
        if self.safe_mode_reasons:
            reasons.append(f"safe mode: {', '.join(self.safe_mode_reasons)}")
        if not snapshot.trading_enabled:
            reasons.append("trading is switched off")
        return reasons

    def money(self, ts_ns: int) -> AccountRisk | None:
        """The figures that stop every entry: nothing of what is held or under way, symbol by symbol."""
        snapshot = self.snapshot
        return None if snapshot is None else self._risk_of(snapshot, ts_ns)

    def _risk_of(
        self,
        snapshot: ExecutionSnapshot,
        ts_ns: int,
        exposures: tuple[Exposure, ...] = (),
        locked_usdt: float = 0.0,
        under_way: int = 0,
    ) -> AccountRisk:
        return AccountRisk(
            ts_ns=ts_ns,
            equity=snapshot.equity,
            available=max(0.0, snapshot.available - locked_usdt),
            equity_peak=snapshot.equity_peak,
            realized_pnl_today=snapshot.realized_pnl_today,
            unrealized_pnl=sum([each.unrealized_pnl for each in snapshot.positions]),
            exposures=exposures,
            trades_this_hour=snapshot.trades_this_hour + under_way,
            losses_in_row=snapshot.losses_in_row,
            paused_until_ns=max(self._paused_until_ns, snapshot.paused_until_ns),
            day_open_equity=snapshot.day_open_equity,
        )

    def view(self, ts_ns: int, tracks: Iterable[SymbolTrack]) -> AccountRisk | None:
        """Account figures for the limits, worst case of what is still under way included."""
        snapshot = self.snapshot
        if snapshot is None:
            return None
        by_symbol = {track.symbol: track for track in tracks}
        exposures = {
            position.symbol: _exposure(position, by_symbol.get(position.symbol))
            for position in snapshot.positions
        }
        exposures |= {view.symbol: _as_told(view) for view in snapshot.exposures}
        under_way, locked = 0, 0.0
        for symbol, track in by_symbol.items():
            holds = track.pending is not None or track.state in _HOLDING
            if holds and symbol not in exposures:
                exposures[symbol] = self._worst_case(track, snapshot)
                locked += exposures[symbol].notional_usdt / self._risk.leverage
                under_way += symbol not in snapshot.pending_entries
        for symbol in snapshot.pending_entries:
            exposures.setdefault(symbol, self._unknown_entry(symbol, snapshot))
        return self._risk_of(snapshot, ts_ns, tuple(exposures.values()), locked, under_way)

    def _worst_case(self, track: SymbolTrack, snapshot: ExecutionSnapshot) -> Exposure:
        known = track.pending.exposure if track.pending is not None else None
        return known or track.exposure or self._unknown_entry(track.symbol, snapshot)

    def _unknown_entry(self, symbol: str, snapshot: ExecutionSnapshot) -> Exposure:
        """An entry whose plan we do not hold: it was sized by the same rule, so it risks at most this."""
        return Exposure(
            symbol=symbol,
            side=Side.LONG,
            notional_usdt=self._risk.max_notional_usd,
            risk_usdt=snapshot.equity * self._risk.risk_per_trade_pct / 100,
        )


def has_same_money(before: ExecutionSnapshot | None, now: ExecutionSnapshot | None) -> bool:
    """Whether two snapshots say the same of all that `AccountTracker.money` is made of, but the time."""
    if before is now:
        return True
    return (
        before is not None
        and now is not None
        and before.equity == now.equity
        and before.equity_peak == now.equity_peak
        and before.realized_pnl_today == now.realized_pnl_today
        and before.day_open_equity == now.day_open_equity
        and before.losses_in_row == now.losses_in_row
        and before.paused_until_ns == now.paused_until_ns
        and before.positions == now.positions
    )


def _as_told(view: ExposureView) -> Exposure:
    return Exposure(
        symbol=view.symbol,
        side=view.side,
        notional_usdt=view.notional,
        risk_usdt=view.risk,
        margin_usdt=view.margin,
    )


def _exposure(position: PositionView, track: SymbolTrack | None) -> Exposure:
    notional = 0.0
    if track is not None:
        notional = _notional_usdt(track.instrument, position)
    return Exposure(
        symbol=position.symbol,
        side=position.side,
        notional_usdt=notional,
        risk_usdt=position.open_risk,
    )


def _notional_usdt(instrument: Instrument, position: PositionView) -> float:
    tick, lot = float(instrument.tick_size), float(instrument.qty_step)
    return abs(position.qty_lots) * lot * position.avg_entry_ticks * tick
