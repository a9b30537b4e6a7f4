"""Risk limits (pipeline §5): pure, and used twice.

Strategy gates with them; execution, which sees the whole account, enforces them on every entry. Money in
USDT, percentages in percent, distances in bps of the entry price. Orders in doubt count at their worst.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import msgspec

from strategy.domain.config import RiskConfig
from strategy.domain.messages import RiskFlags, RiskSnapshot, Side

_HAIR = 1.0 + 1e-9  # limits hold up to the rounding of floats


class Exposure(msgspec.Struct, frozen=True, kw_only=True):
    """A position, or an entry that may still become one (then at its worst case)."""

    symbol: str
    side: Side
    notional_usdt: float
    risk_usdt: (
        float  # loss at the stop, fees and slippage included; negative: the stop is in profit
    )
    margin_usdt: float = 0.0  # what it locks


class AccountRisk(msgspec.Struct, frozen=True, kw_only=True):
    """All the account-wide figures the limits look at, at core time `ts_ns`."""

    ts_ns: int
    equity: float
    available: float
    equity_peak: float
    realized_pnl_today: float
    unrealized_pnl: float
    exposures: tuple[Exposure, ...]  # positions and orders in doubt, one per symbol
    trades_this_hour: int = 0
    losses_in_row: int = 0
    paused_until_ns: int = 0  # end of a loss-streak pause
    day_open_equity: float | None = None  # at the last UTC midnight; None = all of it is of today
    unpriced: tuple[str, ...] = ()  # held symbols whose price nobody knows: equity is a guess

    @property
    def daily_pnl(self) -> float:
        """Net result of the UTC day so far, open positions included, deposits excluded."""
        if self.day_open_equity is not None:
            return self.equity - self.day_open_equity
        return self.realized_pnl_today + self.unrealized_pnl

    @property
    def daily_pnl_pct(self) -> float:
        """Percent of the equity the day began with."""
        daily_pnl = self.daily_pnl
        began_with = self.equity - daily_pnl
        return 100.0 * daily_pnl / began_with if began_with > 0 else 0.0

    @property
    def drawdown_pct(self) -> float:
        peak, equity = self.equity_peak, self.equity
        if equity >= peak:
            return 0.0
        return 100.0 * (peak - equity) / peak if peak > 0 else 0.0

    @property
    def heat_pct(self) -> float:
        """Open risk to stop over equity; a stop in profit does not pay for another trade's risk."""
        risks = [exposure.risk_usdt for exposure in self.exposures if exposure.risk_usdt > 0.0]
        open_risk = math.fsum(risks) if risks else 0.0
        return 100.0 * open_risk / self.equity if self.equity > 0 else math.inf


def assess(account: AccountRisk, config: RiskConfig) -> RiskSnapshot:
    """The account against its limits: what may still be opened, and every reason why not."""
    reasons = _all_stops(account, config)
    allowed = not reasons
    return RiskSnapshot(
        ts_ns=account.ts_ns,
        equity=account.equity,
        available=account.available,
        daily_pnl=account.daily_pnl,
        drawdown_pct=account.drawdown_pct,
        heat_pct=account.heat_pct,
        open_positions=len(account.exposures),
        flags=RiskFlags(
            risk_allow_new_positions=allowed,
            risk_allow_new_long=allowed,
            risk_allow_new_short=allowed,
            risk_force_close_all=forces_close(account, config),
        ),
        reasons=tuple(reasons),
    )


def _all_stops(account: AccountRisk, config: RiskConfig) -> list[str]:
    reasons = account_stops(account, config) + _capacity_stops(account, config)
    if forces_close(account, config):
        reasons.append(
            f"day's loss {-account.daily_pnl_pct:.2f} % beyond {config.daily_loss_close_pct:g} %: "
            "all positions are to be closed"
        )
    return reasons


def forces_close(account: AccountRisk, config: RiskConfig) -> bool:
    """The day's loss is so large that everything is to be closed; as in `assess`, and far cheaper."""
    return not account.unpriced and account.daily_pnl_pct <= -config.daily_loss_close_pct


def account_stops(account: AccountRisk, config: RiskConfig) -> list[str]:
    """Reasons that stop every entry and take back those not yet filled."""
    reasons = []
    if account.unpriced:
        reasons.append(f"no price is known of {', '.join(account.unpriced)}")
    if not account.equity > 0:
        reasons.append("no equity")
    if account.daily_pnl_pct <= -config.daily_loss_limit_pct:
        reasons.append(
            f"day's loss {-account.daily_pnl_pct:.2f} % reached {config.daily_loss_limit_pct:g} %: "
            "no new positions until UTC midnight"
        )
    if account.drawdown_pct >= config.max_drawdown_pct:
        reasons.append(
            f"equity {account.drawdown_pct:.2f} % below its peak "
            f"(limit {config.max_drawdown_pct:g} %)"
        )
    if account.ts_ns < account.paused_until_ns:
        left_s = (account.paused_until_ns - account.ts_ns) / 1e9
        reasons.append(f"{account.losses_in_row} losses in a row: paused for {left_s:.0f} s more")
    return reasons


def _capacity_stops(account: AccountRisk, config: RiskConfig) -> list[str]:
    """Reasons that stop further entries only: the account holds as much as it may."""
    reasons = []
    if len(account.exposures) >= config.max_positions:
        reasons.append(
            f"{len(account.exposures)} positions and pending entries (limit {config.max_positions})"
        )
    if account.trades_this_hour >= config.max_trades_per_hour:
        reasons.append(
            f"{account.trades_this_hour} entries this hour (limit {config.max_trades_per_hour})"
        )
    if account.heat_pct >= config.max_heat_pct:
        reasons.append(f"heat {account.heat_pct:.2f} % (limit {config.max_heat_pct:g} %)")
    return reasons


class EntryRisk(NamedTuple):
    """An entry to be judged: what it would hold at its worst, and the leverage it asks for."""

    exposure: Exposure
    leverage: float


def entry_stops(symbol: str, account: AccountRisk, config: RiskConfig) -> list[str]:
    """Every reason why this account may not open anything in `symbol` now, however small."""
    return [*_all_stops(account, config), *_group_stops(symbol, account, config)]


def entry_refusals(
    entry: EntryRisk, account: AccountRisk, config: RiskConfig, own: RiskConfig | None = None
) -> list[tuple[str, str]]:
    """(code, words) of each limit that `entry` would break on top of what the account holds.

    Limits of one position come from `own`, the symbol's section, all others from the account's `config`.
    """
    own = own or config
    new, reasons = entry.exposure, []
    if group := _group_stops(new.symbol, account, config):
        reasons.append(("RISK_GROUP", group[0]))
    heat_pct = account.heat_pct + _pct(max(0.0, new.risk_usdt), account.equity)
    if heat_pct > config.max_heat_pct * _HAIR:
        reasons.append(
            ("RISK_HEAT", f"heat {heat_pct:.2f} % with it (limit {config.max_heat_pct:g} %)")
        )
    if new.notional_usdt > own.max_notional_usd * _HAIR:
        reasons.append(
            ("RISK_NOTIONAL", f"{new.notional_usdt:.2f} USDT (limit {own.max_notional_usd:g})")
        )
    if entry.leverage > own.max_leverage:
        reasons.append(("RISK_LEVERAGE", f"{entry.leverage:g}x (limit {own.max_leverage:g}x)"))
    margin = new.notional_usdt / max(entry.leverage, 1.0)
    if margin > account.available * _HAIR:
        reasons.append(
            ("RISK_MARGIN", f"needs {margin:.2f} USDT of {account.available:.2f} available")
        )
    return reasons


def _group_stops(symbol: str, account: AccountRisk, config: RiskConfig) -> list[str]:
    reasons = []
    for group in config.groups:
        if symbol not in group.symbols:
            continue
        held = sum(exposure.symbol in group.symbols for exposure in account.exposures)
        if held >= group.max_positions:
            reasons.append(
                f"{held} positions and pending entries in group {group.name} "
                f"(limit {group.max_positions})"
            )
    return reasons


def _pct(part: float, whole: float) -> float:
    return 100.0 * part / whole if whole > 0 else math.inf


def loss_at_stop_usdt(
    average: float, stop: float, units_usdt: float, sign: int, config: RiskConfig
) -> float:
    """Loss of a position when its stop is hit: distance, taker exit fee and expected slippage.

    `average` and `stop` in ticks, `units_usdt` = lots * tick size * lot size; negative = a gain.
    """
    extra_bps = config.taker_fee_bps + config.stop_slippage_bps
    return ((average - stop) * sign + average * extra_bps / 1e4) * units_usdt


def funding_refusals(
    side: Side, funding_rate: float, seconds_to_funding: float, config: RiskConfig
) -> list[str]:
    """Refuse an entry just before it would pay funding; unknown funding (NaN) refuses nothing."""
    pays = funding_rate * side.sign > 0
    if pays and 0 <= seconds_to_funding < config.funding_guard_s:
        return [f"funding of {funding_rate * 1e4:.2f} bps is paid in {seconds_to_funding:.0f} s"]
    return []
