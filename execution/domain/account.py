"""The account as execution keeps it: money, streaks, safe mode; the basis of account-wide limits."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal

import msgspec

from execution.domain.trade import ManagedTrade, Quote
from failover.domain.days import utc_day
from market.domain.instruments import Instrument
from strategy.domain.config import RiskConfig
from strategy.domain.messages import RiskSnapshot
from strategy.domain.risk import AccountRisk, Exposure, assess

_HOUR_NS = 3_600_000_000_000


class AccountBook(msgspec.Struct, kw_only=True):
    """A fold of closed trades. `safe_mode` maps a reason to the instant it began."""

    deposit_usdt: Decimal
    realized_usdt: Decimal = Decimal(0)
    realized_today_usdt: Decimal = Decimal(0)
    day: str = ""
    equity_peak_usdt: float = 0.0
    losses_in_row: int = 0
    paused_until_ns: int = 0
    entry_times_ns: list[int] = []
    closed_trades: int = 0
    safe_mode: dict[str, int] = {}
    trading_enabled: bool = True

    def roll_day(self, now_ns: int) -> None:
        if (day := utc_day(now_ns)) != self.day:
            self.day, self.realized_today_usdt = day, Decimal(0)

    def on_entry(self, now_ns: int) -> None:
        self.entry_times_ns = [*self.entry_times_ns, now_ns]

    def roll_hour(self, now_ns: int) -> None:
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
        return sum(1 for t in self.entry_times_ns if t > now_ns - _HOUR_NS)


def open_result_usdt(
    trade: ManagedTrade, quote: Quote | None, instrument: Instrument
) -> tuple[float, float]:
    """(net result so far of an open trade, its unrealised part), USDT; without a quote at entry price."""
    price = trade.average_entry_ticks
    if quote is not None and quote.bid_ticks > 0:
        price = quote.mark_ticks or quote.mid_ticks
    unrealized = trade.unrealized_usdt(instrument, price)
    return float(trade.realized_usdt(instrument)) + unrealized, unrealized


def account_risk(
    book: AccountBook,
    trades: Iterable[ManagedTrade],
    quotes: Mapping[str, Quote],
    instruments: Mapping[str, Instrument],
    limits: RiskConfig,
    now_ns: int,
) -> AccountRisk:
    """All figures the limits look at; a pending entry counts at its worst case."""
    exposures, open_usdt, locked = [], 0.0, 0.0
    for trade in trades:
        instrument = instruments[trade.symbol]
        open_usdt += open_result_usdt(trade, quotes.get(trade.symbol), instrument)[0]
        exposures.append(_exposure(trade, instrument, limits))
        locked += exposures[-1].notional_usdt / max(trade.plan.leverage, 1.0)
    equity = float(book.deposit_usdt + book.realized_usdt) + open_usdt
    book.equity_peak_usdt = max(book.equity_peak_usdt, equity)
    return AccountRisk(
        ts_ns=now_ns,
        equity=equity,
        available=max(equity - locked, 0.0),
        equity_peak=book.equity_peak_usdt,
        realized_pnl_today=float(book.realized_today_usdt),
        unrealized_pnl=open_usdt,
        exposures=tuple(exposures),
        trades_this_hour=book.trades_this_hour(now_ns),
        losses_in_row=book.losses_in_row,
        paused_until_ns=book.paused_until_ns,
    )


def _exposure(trade: ManagedTrade, instrument: Instrument, limits: RiskConfig) -> Exposure:
    unit = float(instrument.tick_size * instrument.qty_step)
    entry = trade.average_entry_ticks or float(
        trade.plan.entry.price_ticks or trade.decision_mid_ticks
    )
    pending = 0 if trade.phase != "ENTERING" else trade.qty_lots - trade.entered_lots
    lots = max(trade.position_lots, 0) + max(pending, 0)
    distance = (entry - trade.stop_ticks) * trade.plan.side.sign
    fee = trade.stop_ticks * limits.taker_fee_bps / 1e4
    return Exposure(
        symbol=trade.symbol,
        side=trade.plan.side,
        notional_usdt=entry * lots * unit,
        risk_usdt=(distance + fee) * lots * unit,
    )


def assess_account(account: AccountRisk, limits: RiskConfig) -> RiskSnapshot:
    """Strategy's own rules, a second time, account-wide."""
    return assess(account, limits)
