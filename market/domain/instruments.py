"""Instrument rules and the rounding that everything leaving the system passes through.

Inside the system prices are whole ticks and quantities whole lots (`int`); `Decimal` stands at the
edges. A price or quantity reaches an exchange, a file or a page only through an `Instrument`.
"""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from functools import cached_property

import msgspec


class BadQuantity(ValueError):
    """The caller must choose another quantity or price; the text says which rule it breaks."""


class Instrument(msgspec.Struct, frozen=True, kw_only=True, rename="camel", dict=True):
    """Trading rules of one USDT linear perpetual, as the venue states them.

    `tick_size` and `qty_step` are positive; the quantity limits are multiples of `qty_step`.
    `index` is the symbol's place in the run's symbol table (see `EventChunk.symbol`).
    """

    symbol: str
    tick_size: Decimal
    qty_step: Decimal
    min_qty: Decimal
    max_qty: Decimal
    max_market_qty: Decimal
    min_notional: Decimal
    min_price: Decimal
    max_price: Decimal
    min_leverage: Decimal
    max_leverage: Decimal
    leverage_step: Decimal
    price_scale: int
    funding_interval_min: int
    base_coin: str
    quote_coin: str = "USDT"
    status: str = "Trading"

    @cached_property
    def tick_lot_value(self) -> Decimal:
        """What one lot is worth per tick, quote coin."""
        return self.tick_size * self.qty_step

    @cached_property
    def tick_lot_usdt(self) -> float:
        """`tick_lot_value`, where floats are reckoned with."""
        return float(self.tick_lot_value)

    @cached_property
    def most_lots(self) -> int:
        """What an order may hold that must be closed by one at market."""
        return self.qty_to_lots(min(self.max_qty, self.max_market_qty))

    @cached_property
    def _limits(self) -> tuple[int, int, int, int, int, int]:
        """In ticks and lots: least and most lots, most at market; least and most ticks; least of both."""
        step, tick = self.qty_step, self.tick_size
        return (
            _up(self.min_qty, step), _down(self.max_qty, step), _down(self.max_market_qty, step),
            _up(self.min_price, tick), _down(self.max_price, tick),
            _up(self.min_notional, self.tick_lot_value),
        )  # fmt: skip

    def price_to_ticks(self, price: Decimal) -> int:
        """Whole ticks of an on-grid price; a price between ticks is an error, not a guess."""
        numerator, denominator = _ratio(price, self.tick_size)
        ticks, rest = divmod(numerator, denominator)
        if rest:
            raise BadQuantity(
                f"{self.symbol}: price {price} is not a multiple of tick size {self.tick_size}"
            )
        return ticks

    def qty_to_lots(self, qty: Decimal) -> int:
        """Whole lots of an on-grid quantity in base coin."""
        numerator, denominator = _ratio(qty, self.qty_step)
        lots, rest = divmod(numerator, denominator)
        if rest:
            raise BadQuantity(
                f"{self.symbol}: quantity {qty} is not a multiple of step {self.qty_step}"
            )
        return lots

    def ticks_to_price(self, ticks: int) -> Decimal:
        return self.tick_size * ticks

    def lots_to_qty(self, lots: int) -> Decimal:
        return self.qty_step * lots

    def round_price_down(self, price: float | Decimal) -> int:
        """Ticks of the nearest on-grid price at or below `price`."""
        numerator, denominator = _ratio(price, self.tick_size)
        return numerator // denominator

    def round_price_up(self, price: float | Decimal) -> int:
        """Ticks of the nearest on-grid price at or above `price`."""
        numerator, denominator = _ratio(price, self.tick_size)
        return -(-numerator // denominator)

    def round_price_nearest(self, price: float | Decimal) -> int:
        """Ticks of the nearest on-grid price; of two equally near, the even one."""
        return round(Fraction(*_ratio(price, self.tick_size)))

    def round_qty_down(self, qty: float | Decimal) -> int:
        """Lots that fit into `qty`; rounding up would risk more than was sized."""
        numerator, denominator = _ratio(qty, self.qty_step)
        return numerator // denominator

    def format_price(self, ticks: int) -> str:
        """The venue's text for a price: on the tick grid, padded to the price scale."""
        return f"{self.ticks_to_price(ticks):.{self.price_scale}f}"

    def format_qty(self, lots: int) -> str:
        """The venue's text for a quantity: on the lot grid, no exponent."""
        return f"{self.lots_to_qty(lots):f}"

    def notional(self, ticks: int, lots: int) -> Decimal:
        """Value in quote coin of `lots` at `ticks`."""
        return (self.tick_size * ticks) * (self.qty_step * lots)

    def refusals(self, ticks: int, lots: int, *, is_market: bool, reduce_only: bool) -> list[str]:
        """Every instrument rule the order breaks, in words; empty when it may leave the system.

        The venue does not ask a reduce-only order for the minimum notional.
        """
        least, most, most_at_market, lowest, highest, least_value = self._limits
        if (
            least <= lots <= (most_at_market if is_market else most)
            and lowest <= ticks <= highest
            and (reduce_only or ticks * lots >= least_value)
        ):
            return []
        reasons = []
        qty, price = self.qty_step * lots, self.tick_size * ticks
        limit = self.max_market_qty if is_market else self.max_qty
        if qty < self.min_qty:
            reasons.append(f"quantity {qty} below minimum {self.min_qty}")
        if qty > limit:
            reasons.append(f"quantity {qty} above maximum {limit}")
        if not self.min_price <= price <= self.max_price:
            reasons.append(f"price {price} outside {self.min_price}..{self.max_price}")
        if not reduce_only and qty * price < self.min_notional:
            reasons.append(f"notional {qty * price} below minimum {self.min_notional}")
        return reasons


def _down(value: Decimal, unit: Decimal) -> int:
    numerator, denominator = _ratio(value, unit)
    return numerator // denominator


def _up(value: Decimal, unit: Decimal) -> int:
    numerator, denominator = _ratio(value, unit)
    return -(-numerator // denominator)


def _ratio(value: float | Decimal, unit: Decimal) -> tuple[int, int]:
    """value / unit as numerator and positive denominator, exactly.

    In integers, because a Decimal division rounds to 28 digits first: a hair below a tick became the
    tick, and rounding down then rounded up. A float (numpy's too) counts as its shortest text.
    """
    exact = Decimal(repr(float(value))) if isinstance(value, float) else value
    numerator, denominator = exact.as_integer_ratio()
    unit_numerator, unit_denominator = unit.as_integer_ratio()
    return numerator * unit_denominator, denominator * unit_numerator
