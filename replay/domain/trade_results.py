"""Closed trades with their costs taken apart, exactly: gross - spread - slippage - fees - funding = net.

Per fill, with s = +1 for a buy, p its price, h half the spread our last frame showed:
- a maker fill earns h (spread cost -h); no slippage;
- a taker fill pays h; slippage is what it paid beyond that against the mid at the decision, or against the
  trigger price for a triggered order;
- gross is what the trade would have made at those reference prices, at no cost.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import msgspec

_ZERO = Decimal(0)


class Costs(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """USDT, exact. Costs are positive when paid; `gross_usdt` is before all of them."""

    gross_usdt: Decimal = _ZERO
    spread_usdt: Decimal = _ZERO
    slippage_usdt: Decimal = _ZERO
    fees_usdt: Decimal = _ZERO
    funding_usdt: Decimal = _ZERO

    @property
    def net_usdt(self) -> Decimal:
        return (
            self.gross_usdt
            - self.spread_usdt
            - self.slippage_usdt
            - self.fees_usdt
            - self.funding_usdt
        )

    def __add__(self, other: Costs) -> Costs:
        return Costs(
            gross_usdt=self.gross_usdt + other.gross_usdt,
            spread_usdt=self.spread_usdt + other.spread_usdt,
            slippage_usdt=self.slippage_usdt + other.slippage_usdt,
            fees_usdt=self.fees_usdt + other.fees_usdt,
            funding_usdt=self.funding_usdt + other.funding_usdt,
        )


class Fill(msgspec.Struct, frozen=True, kw_only=True):
    """One execution with what is needed to judge its price; ticks may be halves where it is a mid."""

    sign: int
    price_ticks: int
    lots: int
    fee_usdt: Decimal
    is_maker: bool
    half_spread_ticks: Decimal = _ZERO
    reference_ticks: Decimal | None = None  # mid at the decision, or the trigger price


def costs_of(fill: Fill, tick_lot_usdt: Decimal) -> Costs:
    """`gross_usdt` is the fill's cash flow at its reference price; over a closed trade it is a result."""
    unit = fill.lots * tick_lot_usdt
    cash = -fill.sign * fill.price_ticks * unit
    spread = fill.half_spread_ticks * unit * (-1 if fill.is_maker else 1)
    slippage = _ZERO
    if not fill.is_maker and fill.reference_ticks is not None:
        slippage = fill.sign * (fill.price_ticks - fill.reference_ticks) * unit - spread
    return Costs(
        gross_usdt=cash + spread + slippage,
        spread_usdt=spread,
        slippage_usdt=slippage,
        fees_usdt=fill.fee_usdt,
    )


class EntryContext(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What the market was like when the trade was asked for; None where the frame had no figure."""

    regime: str = ""
    global_regime: str = ""
    rv60s_bps: float | None = None
    spread_bps: float | None = None
    near_depth_usd: float | None = None


class TradeResult(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One closed trade."""

    symbol: str
    side: str
    plan_id: str
    opened_ns: int
    closed_ns: int
    qty: float
    entry_price: float
    exit_price: float
    entry_notional_usdt: float
    filled_notional_usdt: float  # entry and exit
    exit_reason: str
    costs: Costs
    context: EntryContext

    @property
    def net_usdt(self) -> float:
        return float(self.costs.net_usdt)


class OpenPosition(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Held when the data ended: valued at the last mid, no exit cost taken off."""

    symbol: str
    side: str
    qty: float
    entry_price: float
    result_usdt: Decimal


def total_costs(trades: Sequence[TradeResult]) -> Costs:
    return sum((trade.costs for trade in trades), Costs())


def json_costs(costs: Costs) -> dict[str, Any]:
    """As numbers, `net` included."""
    return {
        "gross": float(costs.gross_usdt),
        "spread": float(costs.spread_usdt),
        "slippage": float(costs.slippage_usdt),
        "fees": float(costs.fees_usdt),
        "funding": float(costs.funding_usdt),
        "net": float(costs.net_usdt),
    }
