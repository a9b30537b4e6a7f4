"""Money of the simulated account, exact: whole tick-lots for trades, Decimal of 1e-8 for fees and funding.

Each symbol keeps the signed position and `spent_tick_lots`, the sum of signed quantity times price since
the account began. Cash is therefore never rounded by an average price:

    equity = deposit - fees - funding - sum(spent) + sum(position * mark)

and it balances to the last unit whatever the order of fills.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import ROUND_HALF_EVEN, Context, Decimal, Inexact
from fractions import Fraction
from functools import lru_cache

import msgspec

from execution.domain.venue import OrderSide
from market.domain.instruments import Instrument

_EXACT = Context(traps=[Inexact])
_ZERO = Decimal(0)
FEE_STEP = Decimal("0.00000001")  # Bybit's execFee has 8 decimals


class SimPosition(msgspec.Struct, kw_only=True):
    """One-way position of a symbol; the cost of what is open is an exact fraction, signed like `lots`."""

    lots: int = 0  # signed
    spent_tick_lots: int = 0
    entry_numerator: int = 0  # tick-lots
    entry_denominator: int = 1
    fees_usdt: Decimal = Decimal(0)
    funding_usdt: Decimal = Decimal(0)  # paid so far, less received
    margin_eaten_usdt: Decimal = Decimal(
        0
    )  # isolated: what funding took from this position's margin

    @property
    def has_traded(self) -> bool:
        return bool(self.lots or self.spent_tick_lots or self.paid_usdt)

    @property
    def paid_usdt(self) -> Decimal:
        return self.fees_usdt + self.funding_usdt

    @property
    def entry_cost(self) -> Fraction:
        return Fraction(self.entry_numerator, self.entry_denominator)

    @property
    def average_entry_ticks(self) -> float:
        if not self.lots:
            return 0.0
        return self.entry_numerator / (self.entry_denominator * self.lots)


class _NotWhole(ArithmeticError):
    """Reckon with fractions."""


def _as_quotient(value: Decimal) -> Decimal:
    """Written as `decimal_of` its ratio would be: no zeros behind the last digit that counts."""
    return _EXACT.add(value.normalize(_EXACT), _ZERO)


def decimal_of(value: Fraction) -> Decimal:
    """To 28 digits: for figures that are shown or compared, not for the books."""
    return Decimal(value.numerator) / Decimal(value.denominator)


def tick_lot_usdt(instrument: Instrument) -> Decimal:
    """What one tick times one lot is worth."""
    return instrument.tick_size * instrument.qty_step


def fee_usdt(instrument: Instrument, price_ticks: int, lots: int, rate_bps: float) -> Decimal:
    """Fee of one fill, positive when paid, in steps of 1e-8."""
    rate = _fraction(rate_bps)
    return (instrument.notional(price_ticks, lots) * rate).quantize(FEE_STEP, ROUND_HALF_EVEN)


@lru_cache(maxsize=256)
def _fraction(rate_bps: float) -> Decimal:
    """As it is written in the config."""
    return Decimal(repr(rate_bps)) / 10_000


class SimLedger(msgspec.Struct, kw_only=True):
    """Deposit, and a position per symbol name."""

    deposit_usdt: Decimal
    positions: dict[str, SimPosition] = {}

    def position(self, symbol: str) -> SimPosition:
        position = self.positions.get(symbol)
        if position is None:
            position = self.positions[symbol] = SimPosition()
        return position

    def apply(
        self, symbol: str, side: OrderSide, price_ticks: int, lots: int, fee: Decimal
    ) -> None:
        """Book one fill."""
        position, signed = self.position(symbol), side.sign * lots
        held = position.lots
        position.lots += signed
        position.spent_tick_lots += signed * price_ticks
        position.fees_usdt += fee
        if held * signed >= 0:
            position.entry_numerator += signed * price_ticks * position.entry_denominator
        elif abs(signed) >= abs(held):  # what is left opens the other side
            position.entry_numerator = position.lots * price_ticks
            position.entry_denominator = 1
        else:
            cost = position.entry_cost * Fraction(abs(held) - abs(signed), abs(held))
            position.entry_numerator, position.entry_denominator = cost.as_integer_ratio()
        if not position.lots:
            position.margin_eaten_usdt = Decimal(0)

    def equity_usdt(
        self, instruments: Mapping[str, Instrument], mark_usdt: Mapping[str, Decimal]
    ) -> Decimal:
        """Wallet plus unrealised PnL at the given marks (only symbols with a position need one)."""
        equity = self.deposit_usdt
        for symbol, position in self.positions.items():
            spent, lots = position.spent_tick_lots, position.lots
            if not (lots or spent or position.paid_usdt):
                continue
            instrument = instruments[symbol]
            equity -= position.paid_usdt + spent * tick_lot_usdt(instrument)
            if lots:
                equity += instrument.qty_step * lots * mark_usdt[symbol]
        return equity

    def wallet_usdt(self, instruments: Mapping[str, Instrument]) -> Decimal:
        """What would be left if every open position were closed at its average entry, free of cost."""
        try:
            return _as_quotient(self._whole_wallet_usdt(instruments))
        except (Inexact, _NotWhole):
            return decimal_of(self._exact_wallet_usdt(instruments))

    def _whole_wallet_usdt(self, instruments: Mapping[str, Instrument]) -> Decimal:
        """The wallet while every entry cost is a whole number of tick-lots.

        Raises: _NotWhole, Inexact: it takes fractions to say it.
        """
        wallet = self.deposit_usdt
        for symbol, position in self.positions.items():
            if not position.has_traded:
                continue
            if position.entry_denominator != 1:
                raise _NotWhole
            unit = tick_lot_usdt(instruments[symbol])
            gained = _EXACT.multiply(unit, position.entry_numerator - position.spent_tick_lots)
            wallet = _EXACT.add(wallet, _EXACT.subtract(gained, position.paid_usdt))
        return wallet

    def _exact_wallet_usdt(self, instruments: Mapping[str, Instrument]) -> Fraction:
        wallet = Fraction(self.deposit_usdt)
        for symbol, position in self.positions.items():
            if not position.has_traded:
                continue
            unit = Fraction(tick_lot_usdt(instruments[symbol]))
            wallet += (position.entry_cost - position.spent_tick_lots) * unit
            wallet -= Fraction(position.paid_usdt)
        return wallet
