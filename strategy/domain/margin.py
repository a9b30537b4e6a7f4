"""Margin of a linear perpetual: initial, maintenance by tier, bankruptcy and liquidation prices. Pure, exact.

Source: the venue's formulas as checked against captures (USDT linear, one-way). With t the taker rate,
`sign` +1 for a long and -1 for a short, prices and money in USDT, `qty` in base coin:

    bankruptcy price   entry * (1 - sign / leverage)
    fee to close       qty * bankruptcy price * t
    initial margin     qty * entry / leverage + fee to close
    maintenance        qty * entry * tier rate - tier deduction + fee to close
    liquidation price  where initial margin + unrealised PnL = maintenance margin

The deduction makes maintenance continuous where a position grows into the next tier.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from decimal import Decimal
from itertools import pairwise
from typing import Annotated

from msgspec import Meta, Struct

_BPS = Decimal(10_000)


class MarginTier(Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """One step of a risk-limit table."""

    up_to_usdt: Annotated[
        float, Meta(description="Largest position value of this tier, USDT.", gt=0, le=1e15)
    ]
    maintenance_bps: Annotated[
        float,
        Meta(description="Maintenance margin rate of this tier, bps of value.", gt=0, lt=10_000),
    ]
    max_leverage: Annotated[float, Meta(description="Highest leverage of this tier.", ge=1, le=200)]


# BTCUSDT in the venue's documentation of GET /v5/market/risk-limit; other symbols' tiers are steeper.
DEFAULT_TIERS: tuple[MarginTier, ...] = tuple(
    MarginTier(up_to_usdt=value, maintenance_bps=rate, max_leverage=leverage)
    for value, rate, leverage in (
        (2_000_000.0, 50.0, 100.0),
        (2_600_000.0, 56.0, 90.0),
        (3_200_000.0, 63.0, 80.0),
        (3_800_000.0, 67.0, 75.0),
        (4_400_000.0, 71.0, 70.0),
        (5_000_000.0, 77.0, 65.0),
        (5_600_000.0, 91.0, 55.0),
        (8_500_000.0, 100.0, 50.0),
        (10_000_000.0, 130.0, 45.0),
        (14_000_000.0, 150.0, 40.0),
        (20_000_000.0, 160.0, 35.0),
        (28_000_000.0, 200.0, 30.0),
        (38_000_000.0, 250.0, 25.0),
        (50_000_000.0, 290.0, 20.0),
    )
)


class MarginTable:
    """Tiers in ascending order of value; a value above the last tier keeps the last tier's rate."""

    def __init__(self, tiers: Sequence[MarginTier] = DEFAULT_TIERS) -> None:
        """Raises: ValueError when there is no tier, or values or rates do not rise."""
        if reasons := tier_faults(tiers):
            raise ValueError("; ".join(reasons))
        self._limits = [_exact(tier.up_to_usdt) for tier in tiers]
        self._rates = [_exact(tier.maintenance_bps) / _BPS for tier in tiers]
        self._leverages = [_exact(tier.max_leverage) for tier in tiers]
        self._largest: dict[Decimal, Decimal] = {}  # by leverage
        self._deductions = [Decimal(0)]
        for limit, rate, next_rate in zip(self._limits, self._rates, self._rates[1:], strict=False):
            self._deductions.append(self._deductions[-1] + limit * (next_rate - rate))

    def _tier(self, value_usdt: Decimal) -> int:
        return min(bisect_left(self._limits, value_usdt), len(self._limits) - 1)

    def rate(self, value_usdt: Decimal) -> Decimal:
        """Maintenance margin rate of a position of this value, a fraction."""
        return self._rates[self._tier(value_usdt)]

    def deduction_usdt(self, value_usdt: Decimal) -> Decimal:
        return self._deductions[self._tier(value_usdt)]

    def maintenance_usdt(self, value_usdt: Decimal) -> Decimal:
        """Maintenance margin of a position of this value, the fee to close it apart."""
        tier = self._tier(value_usdt)
        return value_usdt * self._rates[tier] - self._deductions[tier]

    def max_leverage(self, value_usdt: Decimal) -> Decimal:
        return self._leverages[self._tier(value_usdt)]

    def largest_value_at(self, leverage: Decimal) -> Decimal:
        """The largest position value, USDT, that may be held at this leverage; 0 where none may."""
        largest = self._largest.get(leverage)
        if largest is None:
            tiers = zip(self._limits, self._leverages, strict=True)
            allowed = [limit for limit, highest in tiers if leverage <= highest]
            largest = self._largest[leverage] = allowed[-1] if allowed else Decimal(0)
        return largest


def tier_faults(tiers: Sequence[MarginTier]) -> list[str]:
    """Every reason why `tiers` are no table, in words."""
    if not tiers:
        return ["margin tiers: at least one is needed"]
    faults = []
    for below, above in pairwise(tiers):
        if above.up_to_usdt <= below.up_to_usdt:
            faults.append(
                f"margin tiers: {above.up_to_usdt} does not rise above {below.up_to_usdt}"
            )
        if above.maintenance_bps < below.maintenance_bps:
            faults.append(
                f"margin tiers: rate {above.maintenance_bps} bps falls below {below.maintenance_bps}"
            )
    return faults


def bankruptcy_price(sign: int, entry: Decimal, leverage: Decimal) -> Decimal:
    """Where the margin of a position is used up."""
    return entry * (1 - sign / leverage)


def fee_to_close_usdt(
    sign: int, entry: Decimal, qty: Decimal, leverage: Decimal, taker_rate: Decimal
) -> Decimal:
    """Taker fee of closing at the bankruptcy price; `qty` >= 0, `taker_rate` a fraction."""
    return qty * bankruptcy_price(sign, entry, leverage) * taker_rate


def initial_margin_usdt(
    sign: int, entry: Decimal, qty: Decimal, leverage: Decimal, taker_rate: Decimal
) -> Decimal:
    """What opening `qty` at `entry` locks; `qty` >= 0."""
    fee = fee_to_close_usdt(sign, entry, qty, leverage, taker_rate)
    return qty * entry / leverage + fee


def maintenance_margin_usdt(
    sign: int,
    entry: Decimal,
    qty: Decimal,
    leverage: Decimal,
    taker_rate: Decimal,
    table: MarginTable,
) -> Decimal:
    """What must be left of it; `qty` >= 0."""
    fee = fee_to_close_usdt(sign, entry, qty, leverage, taker_rate)
    return table.maintenance_usdt(qty * entry) + fee


def liquidation_price(
    sign: int,
    entry: Decimal,
    qty: Decimal,
    leverage: Decimal,
    table: MarginTable,
    extra_margin_usdt: Decimal = Decimal(0),
) -> Decimal:
    """Mark price at which an isolated position is liquidated; below zero = never reached.

    `qty` > 0. `extra_margin_usdt` is margin beyond the initial one (negative where funding ate of it).
    The fee to close stands on both sides of the condition and falls out of it.
    """
    value = qty * entry
    spare = value / leverage - table.maintenance_usdt(value) + extra_margin_usdt
    return entry - sign * spare / qty


def _exact(number: float) -> Decimal:
    return Decimal(repr(float(number)))
