"""The account as execution keeps it: money, streaks, safe mode; the basis of account-wide limits."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal

import msgspec

from execution.domain.exposure import trade_exposure
from execution.domain.orders import Order
from execution.domain.trade import ManagedTrade, Quote
from failover.domain.days import utc_day
from market.domain.instruments import Instrument
from strategy.domain.config import RiskConfig
from strategy.domain.risk import AccountRisk, Exposure

_HOUR_NS = 3_600_000_000_000


class AccountBook(msgspec.Struct, kw_only=True):
    """A fold of closed trades. `safe_mode` maps a reason to the instant it began."""

    deposit_usdt: Decimal
    realized_usdt: Decimal = Decimal(0)
    realized_today_usdt: Decimal = Decimal(0)
    day: str = ""
    day_open_usdt: float | None = None  # equity when the day began; None = what it closed with
    equity_peak_usdt: float = 0.0
    losses_in_row: int = 0
    paused_until_ns: int = 0
    entry_times_ns: list[int] = []
    closed_trades: int = 0
    safe_mode: dict[str, int] = {}
    trading_enabled: bool = True

    def roll_day(self, now_ns: int, equity_usdt: float | None = None) -> None:
        """A new UTC day begins with nothing won or lost, whatever is open by then."""
        if (day := utc_day(now_ns)) == self.day:
            return
        is_first = not self.day
        self.day, self.realized_today_usdt = day, Decimal(0)
        self.day_open_usdt = float(self.deposit_usdt) if is_first else equity_usdt

    def on_entry(self, now_ns: int) -> None:
        self.entry_times_ns = [*self.entry_times_ns, now_ns]

    def roll_hour(self, now_ns: int) -> None:
        if self.entry_times_ns and self.entry_times_ns[0] <= now_ns - _HOUR_NS:
            self.entry_times_ns = [t for t in self.entry_times_ns if t > now_ns - _HOUR_NS]

    def on_closed(self, realized_usdt: Decimal, now_ns: int, limits: RiskConfig) -> None:
        self.roll_day(now_ns)
        self.realized_usdt += realized_usdt
        self.realized_today_usdt += realized_usdt
        self.closed_trades += 1
        self.losses_in_row = self.losses_in_row + 1 if realized_usdt < 0 else 0
        if self.losses_in_row >= limits.loss_streak:
            self.paused_until_ns = now_ns + limits.loss_streak_pause_s * 1_000_000_000

    def on_cost(self, cost_usdt: Decimal, now_ns: int) -> None:
        """Something paid (negative: received) that belongs to no trade any more."""
        self.roll_day(now_ns)
        self.realized_usdt -= cost_usdt
        self.realized_today_usdt -= cost_usdt

    def trades_this_hour(self, now_ns: int) -> int:
        times_ns = self.entry_times_ns  # in order
        if not times_ns or times_ns[0] > now_ns - _HOUR_NS:
            return len(times_ns)
        return len(times_ns) - bisect_right(times_ns, now_ns - _HOUR_NS)


def open_result_usdt(
    trade: ManagedTrade, price_ticks: float, instrument: Instrument
) -> tuple[float, float]:
    """(net result so far of an open trade, its unrealised part), USDT; `price_ticks` 0 = not known."""
    unrealized = trade.unrealized_usdt(instrument, price_ticks or trade.average_entry_ticks)
    return float(trade.realized_usdt(instrument)) + unrealized, unrealized


def _price_ticks(trade: ManagedTrade, quote: Quote | None) -> float:
    """The price of now, else what it was last valued at: an empty book undoes no loss; 0 = unknown."""
    return (quote.price_ticks if quote is not None else 0.0) or trade.valued_ticks


def _available_usdt(equity: float, exposures: Sequence[Exposure]) -> float:
    """What nothing has locked."""
    locked = math.fsum([each.margin_usdt for each in exposures]) if exposures else 0.0
    free = equity - locked
    return max(free, 0.0)


def account_risk(
    book: AccountBook,
    trades: Iterable[ManagedTrade],
    orders: Mapping[str, Order],
    quotes: Mapping[str, Quote],
    instruments: Mapping[str, Instrument],
    limits_for: Callable[[str], RiskConfig],
    now_ns: int,
) -> AccountRisk:
    """All figures the limits look at; what is pending counts at its worst case.

    Notes what each trade was valued at. Where a price is unknown, no peak and no new day come of it.
    `limits_for` a symbol say what its fees and slippage are, as when its entry was judged.
    """
    exposures, open_usdt, unpriced = [], 0.0, []
    for trade in trades:
        symbol = trade.plan.symbol
        instrument = instruments[symbol]
        if trade.entered_lots:
            price_ticks = _price_ticks(trade, quotes.get(symbol))
            if trade.entered_lots > trade.exited_lots:
                trade.valued_ticks = price_ticks
                if not price_ticks:
                    unpriced.append(symbol)
            open_usdt += open_result_usdt(trade, price_ticks, instrument)[0]
        exposures.append(trade_exposure(trade, orders, instrument, limits_for(symbol)))
    equity = float(book.deposit_usdt + book.realized_usdt) + open_usdt
    if not unpriced:
        book.roll_day(now_ns, equity)
        if equity > book.equity_peak_usdt:
            book.equity_peak_usdt = equity
    return AccountRisk(
        ts_ns=now_ns,
        equity=equity,
        available=_available_usdt(equity, exposures),
        equity_peak=book.equity_peak_usdt,
        realized_pnl_today=float(book.realized_today_usdt),
        unrealized_pnl=open_usdt,
        exposures=tuple(exposures),
        trades_this_hour=book.trades_this_hour(now_ns),
        losses_in_row=book.losses_in_row,
        paused_until_ns=book.paused_until_ns,
        day_open_equity=book.day_open_usdt,
        unpriced=tuple(unpriced),
    )
