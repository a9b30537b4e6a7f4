"""What the simulated venue says of positions and the wallet after an event changed them."""

from __future__ import annotations

from decimal import Decimal

from execution.domain.sim_attached import SimAttached
from execution.domain.sim_floor import SimFloor
from execution.domain.sim_margin import SimMargins
from execution.domain.venue import PositionUpdated, WalletUpdated

_ZERO = Decimal(0)


class SimAccountNews:
    """One position message per changed symbol, by name, then one of the wallet."""

    def __init__(self, floor: SimFloor, margins: SimMargins, attached: SimAttached) -> None:
        self._floor = floor
        self._margins = margins
        self._attached = attached

    def tell(self) -> None:
        if not (self._floor.changed or self._floor.liquidated):
            return
        changed, self._floor.changed = sorted(self._floor.changed), set()
        liquidated, self._floor.liquidated = self._floor.liquidated, set()
        for symbol in changed:
            self._position(symbol, is_liquidated=symbol in liquidated)
        if changed:
            self._wallet()

    def _position(self, symbol: str, *, is_liquidated: bool) -> None:
        floor, position = self._floor, self._floor.position(symbol)
        is_open = position.lots != 0
        take_profit, stop_loss = self._attached.levels(symbol)
        floor.reports.add(
            PositionUpdated(
                symbol=symbol,
                lots=position.lots,
                average_entry_ticks=position.average_entry_ticks,
                leverage=float(self._margins.leverage(symbol)),
                initial_margin_usdt=self._margins.initial_usdt(symbol) if is_open else _ZERO,
                maintenance_margin_usdt=(
                    self._margins.maintenance_usdt(symbol) if is_open else _ZERO
                ),
                liquidation_ticks=self._liquidation_ticks(symbol) if is_open else None,
                take_profit_ticks=take_profit,
                stop_loss_ticks=stop_loss,
                is_liquidated=is_liquidated,
                venue_ts_ns=floor.memory.now_ns,
                deliver_at_ns=floor.reports.heard_at_ns,
            )
        )

    def _liquidation_ticks(self, symbol: str) -> float | None:
        price = self._margins.liquidation_usdt(symbol)
        return float(price / self._floor.instruments[symbol].tick_size) if price > 0 else None

    def _wallet(self) -> None:
        account, reports = self._margins.account(), self._floor.reports
        reports.add(
            WalletUpdated(
                wallet_usdt=account.wallet_usdt,
                equity_usdt=account.equity_usdt,
                available_usdt=account.available_usdt,
                initial_margin_usdt=account.initial_margin_usdt,
                maintenance_margin_usdt=account.maintenance_margin_usdt,
                is_below_zero=account.equity_usdt < 0,
                venue_ts_ns=self._floor.memory.now_ns,
                deliver_at_ns=reports.heard_at_ns,
            )
        )
