"""Margin of the simulated account: what is locked, what is free, and where it is liquidated."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from functools import lru_cache
from typing import NamedTuple

from execution.domain.sim_config import MarginMode
from execution.domain.sim_floor import SimFloor
from execution.domain.sim_ledger import SimPosition, tick_lot_usdt
from execution.domain.sim_memory import SimulatedAccount
from execution.domain.sim_orders import SimOrder
from execution.domain.venue import TriggerBy
from strategy.domain.margin import (
    bankruptcy_price,
    initial_margin_usdt,
    liquidation_price,
    maintenance_margin_usdt,
)

_ZERO, _ONE = Decimal(0), Decimal(1)


class _Figures(NamedTuple):
    """A position's money."""

    entry_value_usdt: Decimal
    initial_usdt: Decimal
    maintenance_usdt: Decimal


class SimMargins:
    """Figures of positions and orders. The formulas are linear: value stands in for price, at qty 1."""

    def __init__(self, floor: SimFloor) -> None:
        self._floor = floor
        self._figures_of: dict[str, tuple[int, tuple[object, ...], _Figures]] = {}  # moment, basis
        self._leverages: dict[str, tuple[float, Decimal]] = {}  # as wanted, and as it is
        self._equity = (-1, _ZERO)  # moment and value
        self._liquidations: dict[str, tuple[int, Decimal]] = {}  # moments and prices
        self._levels_1e9: dict[str, int] = {}  # marks up to which nothing is liquidated

    @property
    def is_isolated(self) -> bool:
        return self._floor.settings.base.sim.margin_mode is MarginMode.ISOLATED

    def leverage(self, symbol: str) -> Decimal:
        """Set by command, else by config; never more than the instrument allows."""
        wanted = self._floor.memory.leverage.get(symbol)
        if wanted is None:
            wanted = self._floor.settings.of(symbol).sim_leverage
        known = self._leverages.get(symbol)
        if known is None or known[0] != wanted:
            exact = min(_exact(wanted), self._floor.instruments[symbol].max_leverage)
            known = self._leverages[symbol] = (wanted, exact)
        return known[1]

    # -- positions ----------------------------------------------------------------------------------

    def entry_value_usdt(self, symbol: str) -> Decimal:
        """Value of a position at its average entry, >= 0."""
        return self._figures(symbol).entry_value_usdt

    def initial_usdt(self, symbol: str) -> Decimal:
        margin = self._figures(symbol).initial_usdt
        return margin - self._floor.position(symbol).margin_eaten_usdt

    def maintenance_usdt(self, symbol: str) -> Decimal:
        return self._figures(symbol).maintenance_usdt

    def _figures(self, symbol: str) -> _Figures:
        """Reckoned once for a position: asked for at every event that finds it."""
        floor, known = self._floor, self._figures_of.get(symbol)
        if known is not None and known[0] == floor.moment:
            return known[2]
        position, leverage = floor.position(symbol), self.leverage(symbol)
        basis = (
            position.lots, position.entry_numerator, position.entry_denominator, leverage, floor.settings,
        )  # fmt: skip
        if known is not None and known[1] == basis:
            figures = known[2]
        else:
            figures = self._reckoned(symbol, position, leverage)
        self._figures_of[symbol] = (floor.moment, basis, figures)
        return figures

    def _reckoned(self, symbol: str, position: SimPosition, leverage: Decimal) -> _Figures:
        floor = self._floor
        sign, taker = _sign(position.lots), floor.settings.taker_rate(symbol)
        cost = Decimal(abs(position.entry_numerator)) / Decimal(position.entry_denominator)
        value, table = cost * tick_lot_usdt(floor.instruments[symbol]), floor.settings.table(symbol)
        return _Figures(
            value,
            initial_margin_usdt(sign, value, _ONE, leverage, taker),
            maintenance_margin_usdt(sign, value, _ONE, leverage, taker, table),
        )

    def isolated_liquidation_usdt(self, symbol: str) -> Decimal:
        """Mark price at which an isolated position is liquidated."""
        position = self._floor.position(symbol)
        qty = self._floor.instruments[symbol].lots_to_qty(abs(position.lots))
        return liquidation_price(
            _sign(position.lots),
            self.entry_value_usdt(symbol) / qty,
            qty,
            self.leverage(symbol),
            self._floor.settings.table(symbol),
            -position.margin_eaten_usdt,
        )

    def isolated_bankruptcy_usdt(self, symbol: str) -> Decimal:
        position = self._floor.position(symbol)
        qty = self._floor.instruments[symbol].lots_to_qty(abs(position.lots))
        sign, entry = _sign(position.lots), self.entry_value_usdt(symbol) / qty
        price = bankruptcy_price(sign, entry, self.leverage(symbol))
        return price + sign * position.margin_eaten_usdt / qty

    def spare_usdt(self) -> Decimal:
        """Cross: equity above the maintenance margin of all positions; at zero the account is liquidated."""
        needed = sum((self.maintenance_usdt(symbol) for symbol in self._floor.held), _ZERO)
        return self.equity_usdt() - needed

    def liquidation_usdt(self, symbol: str) -> Decimal:
        """Mark price at which the position is liquidated, other marks standing still; may be below zero.

        Cross, several positions: each is given an equal part of what is spare. The first to lose its part
        is looked at again, so none can use up the account unseen.
        """
        moment = self._floor.moment
        known = self._liquidations.get(symbol)
        if known is None or known[0] != moment:
            known = self._liquidations[symbol] = (moment, self._liquidation_usdt(symbol))
        return known[1]

    def _liquidation_usdt(self, symbol: str) -> Decimal:
        if self.is_isolated:
            return self.isolated_liquidation_usdt(symbol)
        lots = self._floor.position(symbol).lots
        part = self.spare_usdt() / len(self._floor.held)
        qty = self._floor.instruments[symbol].lots_to_qty(abs(lots))
        return self._floor.market.mark_usdt(symbol) - _sign(lots) * part / qty

    # -- what is far from liquidation ---------------------------------------------------------------

    def forget_levels(self) -> None:
        """The account has changed: what was reckoned of its margin does not hold."""
        self._levels_1e9.clear()

    def level_1e9(self, symbol: str) -> int:
        """Mark up to which a position is not liquidated, rounded towards it; holds until told to forget.

        Also when other marks move: the account is used up only after one position has lost its part.
        """
        level = self._levels_1e9.get(symbol)
        if level is None:
            rounding = ROUND_CEILING if self._floor.position(symbol).lots > 0 else ROUND_FLOOR
            price = self.liquidation_usdt(symbol).scaleb(9)
            level = self._levels_1e9[symbol] = int(price.to_integral_value(rounding))
        return level

    def are_safe(self, held: Iterable[str]) -> bool:
        """Whether all these positions are known to be short of their levels."""
        for symbol in held:
            level = self._levels_1e9.get(symbol)
            mark = self._floor.market.trigger_price_1e9(symbol, TriggerBy.MARK)
            if level is None or not mark:
                return False
            if mark <= level if self._floor.position(symbol).lots > 0 else mark >= level:
                return False
        return True

    # -- orders -------------------------------------------------------------------------------------

    def order_usdt(self, symbol: str, sign: int, price_ticks: int, lots: int) -> Decimal:
        """What an order locks: initial margin, the fee to open and the fee to close."""
        value = self._floor.instruments[symbol].notional(price_ticks, lots)
        taker = self._floor.settings.taker_rate(symbol)
        return initial_margin_usdt(sign, value, _ONE, self.leverage(symbol), taker) + value * taker

    def orders_usdt(
        self, symbol: str, *, without: str = "", plus: SimOrder | None = None
    ) -> Decimal:
        """All resting entries of a symbol; what only takes the position back to flat locks nothing."""
        orders = [
            order
            for order in self._floor.memory.orders.values()
            if order.symbol == symbol
            and order.rests
            and not order.reduce_only
            and order.client_order_id != without
        ]
        if plus is not None:
            orders.append(plus)
        locked = _ZERO
        if not orders:
            return locked
        position_lots = self._floor.position(symbol).lots
        for sign in (1, -1):
            free_lots = max(-sign * position_lots, 0)
            for order in orders:
                if order.side.sign == sign:
                    closing = min(free_lots, order.leaves_lots)
                    free_lots -= closing
                    locked += self.order_usdt(
                        symbol, sign, order.price_ticks or 0, order.leaves_lots - closing
                    )
        return locked

    def added_usdt(self, wanted: SimOrder) -> Decimal:
        """How much more is locked with `wanted` (priced) in the place of the order of its id."""
        symbol = wanted.symbol
        after = self.orders_usdt(symbol, without=wanted.client_order_id, plus=wanted)
        return after - self.orders_usdt(symbol)

    # -- account ------------------------------------------------------------------------------------

    def equity_usdt(self) -> Decimal:
        """Reckoned once for a moment of the venue."""
        floor = self._floor
        moment, equity = self._equity
        if moment != floor.moment:
            marks = {symbol: floor.market.mark_usdt(symbol) for symbol in floor.held}
            equity = floor.memory.ledger.equity_usdt(floor.instruments, marks)
            self._equity = (floor.moment, equity)
        return equity

    def available_usdt(self) -> Decimal:
        """What an order may still lock; as in `account`, without the figures that it does not need."""
        floor = self._floor
        if self.is_isolated:
            return floor.memory.ledger.wallet_usdt(floor.instruments) - self._locked_usdt()
        return self.equity_usdt() - self._locked_usdt()

    def _locked_usdt(self) -> Decimal:
        """Initial margin of all positions and orders."""
        initial, locked = _ZERO, _ZERO
        for symbol in self._floor.held:
            initial += self.initial_usdt(symbol)
        for symbol in sorted({order.symbol for order in self._floor.memory.orders.values()}):
            locked += self.orders_usdt(symbol)
        return initial + locked

    def account(self) -> SimulatedAccount:
        """The account as the venue would show it."""
        floor, held = self._floor, self._floor.held
        equity, wallet = self.equity_usdt(), floor.memory.ledger.wallet_usdt(floor.instruments)
        initial = self._locked_usdt()
        return SimulatedAccount(
            equity_usdt=equity,
            available_usdt=(wallet if self.is_isolated else equity) - initial,
            positions=floor.memory.ledger.positions,
            wallet_usdt=wallet,
            initial_margin_usdt=initial,
            maintenance_margin_usdt=sum((self.maintenance_usdt(s) for s in held), _ZERO),
        )


@lru_cache(maxsize=256)
def _exact(figure: float) -> Decimal:
    """As it is written in the config."""
    return Decimal(repr(figure))


def _sign(lots: int) -> int:
    return -1 if lots < 0 else 1
