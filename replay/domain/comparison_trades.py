"""What the difference in profit of two runs is made of, exactly.

A trade that both have (same symbol and side, opened within a window of time) differs by its entry price,
exit price, quantity, fees and funding, one after the other:

    entry     side (entryA - entryB) qtyA
    exit      side (exitB - exitA) qtyA
    quantity  side (exitB - entryB) (qtyB - qtyA)
    fees      feesA - feesB
    funding   fundingA - fundingB
    rounding  what the records' rounded averages leave

Trades of one side alone count with their whole result. All parts add up to PnL of B less PnL of A to the
last digit of the records.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from decimal import Decimal

from msgspec import Struct

from replay.domain.comparison import paired_in_time

_SIGN = {"LONG": 1, "SHORT": -1}
_ZERO = Decimal(0)


class ComparedTrade(Struct, frozen=True, kw_only=True, rename="camel"):
    """A closed trade; `fees_usdt` and `funding_usdt` are costs, `pnl_usdt` is net of both."""

    symbol: str
    side: str  # LONG | SHORT
    opened_ms: int
    closed_ms: int
    entry_price: Decimal
    exit_price: Decimal
    qty: Decimal
    fees_usdt: Decimal
    funding_usdt: Decimal
    pnl_usdt: Decimal
    exit_reason: str = ""


class PnlParts(Struct, frozen=True, kw_only=True, rename="camel"):
    """USDT, B less A. `total` is the sum of all others."""

    entry: Decimal = _ZERO
    exit: Decimal = _ZERO
    quantity: Decimal = _ZERO
    fees: Decimal = _ZERO
    funding: Decimal = _ZERO
    rounding: Decimal = _ZERO
    only_a: Decimal = _ZERO
    only_b: Decimal = _ZERO

    @property
    def total(self) -> Decimal:
        return sum((getattr(self, name) for name in self.__struct_fields__), _ZERO)

    def plus(self, other: PnlParts) -> PnlParts:
        names = self.__struct_fields__
        return PnlParts(**{name: getattr(self, name) + getattr(other, name) for name in names})


class TradeDifference(Struct, frozen=True, kw_only=True, rename="camel"):
    """One trade that both or one of them has, and what it does to the difference."""

    symbol: str
    side: str
    a: ComparedTrade | None
    b: ComparedTrade | None
    parts: PnlParts
    difference_usdt: Decimal


class Attribution(Struct, frozen=True, kw_only=True, rename="camel"):
    """`difference_usdt` = `pnl_b_usdt` - `pnl_a_usdt` = the sum of `parts`."""

    pnl_a_usdt: Decimal
    pnl_b_usdt: Decimal
    difference_usdt: Decimal
    parts: PnlParts
    trades: tuple[TradeDifference, ...]
    equal_trades: int
    different_trades: int
    only_a_trades: int
    only_b_trades: int


def attribute(
    a: Sequence[ComparedTrade], b: Sequence[ComparedTrade], *, trade_window_ms: int
) -> Attribution:
    """Where the difference in PnL comes from; `trades` in order of opening, those that differ alone."""
    trades = [_difference(one, other) for one, other in _paired(a, b, trade_window_ms)]
    trades.sort(key=lambda each: min(t.opened_ms for t in (each.a, each.b) if t is not None))
    parts = PnlParts()
    for each in trades:
        parts = parts.plus(each.parts)
    pnl_a, pnl_b = (sum((trade.pnl_usdt for trade in side), _ZERO) for side in (a, b))
    both = [each for each in trades if each.a is not None and each.b is not None]
    differing = [each for each in both if _facts(each.a) != _facts(each.b)]
    return Attribution(
        pnl_a_usdt=pnl_a,
        pnl_b_usdt=pnl_b,
        difference_usdt=pnl_b - pnl_a,
        parts=parts,
        trades=tuple(e for e in trades if e.a is None or e.b is None or e in differing),
        equal_trades=len(both) - len(differing),
        different_trades=len(differing),
        only_a_trades=sum(each.b is None for each in trades),
        only_b_trades=sum(each.a is None for each in trades),
    )


def _paired(
    a: Sequence[ComparedTrade], b: Sequence[ComparedTrade], within_ms: int
) -> list[tuple[ComparedTrade | None, ComparedTrade | None]]:
    queues: dict[tuple[str, str], tuple[list[ComparedTrade], list[ComparedTrade]]] = defaultdict(
        lambda: ([], [])
    )
    for number, side in enumerate((a, b)):
        for trade in sorted(side, key=_opened):
            queues[trade.symbol, trade.side][number].append(trade)
    pairs: list[tuple[ComparedTrade | None, ComparedTrade | None]] = []
    for ones, others in queues.values():
        found = list(paired_in_time(ones, others, _opened, within_ms))
        taken = {id(trade) for pair in found for trade in pair}
        pairs += found
        pairs += [(trade, None) for trade in ones if id(trade) not in taken]
        pairs += [(None, trade) for trade in others if id(trade) not in taken]
    return pairs


def _opened(trade: ComparedTrade) -> int:
    return trade.opened_ms


def _facts(trade: ComparedTrade | None) -> tuple[object, ...]:
    """What makes two trades the same; they may have opened and closed at slightly different times."""
    assert trade is not None
    return (
        trade.entry_price, trade.exit_price, trade.qty, trade.fees_usdt, trade.funding_usdt,
        trade.pnl_usdt, trade.exit_reason,
    )  # fmt: skip


def _difference(a: ComparedTrade | None, b: ComparedTrade | None) -> TradeDifference:
    shown = a or b
    assert shown is not None
    if a is None:
        parts = PnlParts(only_b=shown.pnl_usdt)
    elif b is None:
        parts = PnlParts(only_a=-a.pnl_usdt)
    else:
        parts = _parts(a, b)
    return TradeDifference(
        symbol=shown.symbol, side=shown.side, a=a, b=b, parts=parts, difference_usdt=parts.total
    )


def _parts(a: ComparedTrade, b: ComparedTrade) -> PnlParts:
    sign = _SIGN[a.side]
    entry = sign * (a.entry_price - b.entry_price) * a.qty
    exit_ = sign * (b.exit_price - a.exit_price) * a.qty
    quantity = sign * (b.exit_price - b.entry_price) * (b.qty - a.qty)
    fees, funding = a.fees_usdt - b.fees_usdt, a.funding_usdt - b.funding_usdt
    rounding = b.pnl_usdt - a.pnl_usdt - (entry + exit_ + quantity + fees + funding)
    return PnlParts(
        entry=entry, exit=exit_, quantity=quantity, fees=fees, funding=funding, rounding=rounding
    )
