"""Regimes of a symbol and of the market (pipeline §2): their names, and why one holds in a trader's words.

The compiled path (`numeric_kernel`) judges every frame; this module says for one frame what it was judged
by. Both follow docs/scoring.md. Codes are the places in `REGIMES` and `GLOBAL_REGIMES`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import StrEnum

from market.domain.frames import BookState
from strategy.domain import numeric_layout as at
from strategy.domain.config import StrategyConfig
from strategy.domain.evaluations import Evaluations


class Regime(StrEnum):
    NORMAL = "NORMAL"
    PUMP = "PUMP"
    DUMP = "DUMP"
    NEWS = "NEWS"
    MANIPULATED = "MANIPULATED"
    ILLIQUID = "ILLIQUID"
    STALE = "STALE"


class GlobalRegime(StrEnum):
    GLOBAL_NORMAL = "GLOBAL_NORMAL"
    GLOBAL_RISK_OFF = "GLOBAL_RISK_OFF"
    GLOBAL_PANIC = "GLOBAL_PANIC"


REGIMES: tuple[Regime, ...] = tuple(Regime)
GLOBAL_REGIMES: tuple[GlobalRegime, ...] = tuple(GlobalRegime)
Figures = dict[str, float]


@dataclass(frozen=True, slots=True)
class RegimeStatus:
    """The regime in force since its last change, why, and the figures of the frame that changed it."""

    regime: Regime = Regime.NORMAL
    reason: str = ""
    figures: Figures = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class GlobalStatus:
    """The market's regime in force since its last change, and why."""

    regime: GlobalRegime = GlobalRegime.GLOBAL_NORMAL
    reason: str = ""
    figures: Figures = field(default_factory=dict)


def regime_at(evaluations: Evaluations, row: int, config: StrategyConfig) -> RegimeStatus:
    """The regime in force at a row, told by that row's figures."""
    regime = REGIMES[int(evaluations.out_i[row, at.IN_REGIME])]
    figures = _figures(evaluations, row)
    tell = {
        Regime.NORMAL: _calm,
        Regime.PUMP: _run,
        Regime.DUMP: _run,
        Regime.NEWS: _news,
        Regime.MANIPULATED: _manipulated,
        Regime.ILLIQUID: _illiquid,
        Regime.STALE: _stale,
    }[regime]
    if regime is Regime.NORMAL or _speaks_for(evaluations, row, regime):
        reason = tell(figures, config)
    else:
        reason = f"seen less than {config.regime_exit_s:g} s ago"
    known = {name: value for name, value in figures.items() if math.isfinite(value)}
    return RegimeStatus(regime, reason, known)


def global_at(evaluations: Evaluations, row: int, config: StrategyConfig) -> GlobalStatus:
    """The market's regime at a row by leader and symbols (safe mode comes on top, see `with_safe_mode`)."""
    regime = GLOBAL_REGIMES[int(evaluations.out_i[row, at.IN_GLOBAL])]
    figures = evaluations.out_f[row]
    ret_bps = float(figures[at.LEADER_RET_NOW])
    dumps, seen = int(figures[at.DUMPS_NOW]), int(figures[at.SEEN_NOW])
    if regime is GlobalRegime.GLOBAL_NORMAL:
        reason = f"calm for {config.regime_exit_s:g} s"
    else:
        part = 1.0 if regime is GlobalRegime.GLOBAL_PANIC else config.risk_off_fraction
        reason = (
            f"{config.leader_symbol} moved {ret_bps:+.0f} bps in 300 s "
            f"(limit {part * config.panic_ret_bps:g}), {dumps} of {seen} symbols in DUMP "
            f"(limit {part * config.panic_dump_share:.0%} of at least {config.panic_min_symbols})"
        )
    told = {"leaderRet300s": ret_bps, "symbolsInDump": float(dumps), "symbols": float(seen)}
    return GlobalStatus(regime, reason, told)


def with_safe_mode(market: GlobalStatus, safe_mode_reasons: tuple[str, ...]) -> GlobalStatus:
    """Safe mode is risk-off at least."""
    if not safe_mode_reasons or market.regime is not GlobalRegime.GLOBAL_NORMAL:
        return market
    reason = f"safe mode: {', '.join(safe_mode_reasons)}"
    return GlobalStatus(GlobalRegime.GLOBAL_RISK_OFF, reason, market.figures)


def _speaks_for(evaluations: Evaluations, row: int, regime: Regime) -> bool:
    """Whether the row itself shows the regime; if not, it still holds from a row before."""
    return bool(evaluations.out_i[row, at.VERDICTS] >> REGIMES.index(regime) & 1)


def _figures(evaluations: Evaluations, row: int) -> Figures:
    frame, judged = evaluations.frames[row], evaluations.out_f[row]
    names = {
        "ret60s": "ret60s", "notionalRate5s": "notional_rate5s", "rv10s": "rv10s",
        "spreadBps": "spread_bps", "flicker": "flicker", "bidDepthUsd20": "bid_depth_usd20",
        "askDepthUsd20": "ask_depth_usd20", "bookAgeMs": "book_age_ms",
        "tradeAgeMs": "trade_age_ms", "bookState": "book_state",
    }  # fmt: skip
    bars = {
        "ret60sBar": at.PUMP_BAR, "notionalRate5sBar": at.FLOW_BAR, "rv10sBar": at.VOL_BAR,
        "spreadBpsBar": at.SPREAD_BAR, "flickerForS": at.FLICKER_FOR_S,
        "printOutsideBps": at.OUTSIDE_BPS, "proximity": at.PROXIMITY,
    }  # fmt: skip
    figures = {name: float(frame[column]) for name, column in names.items()}
    return figures | {name: float(judged[place]) for name, place in bars.items()}


def _calm(figures: Figures, config: StrategyConfig) -> str:
    del figures
    return f"calm for {config.regime_exit_s:g} s"


def _run(figures: Figures, config: StrategyConfig) -> str:
    del config
    return (
        f"{figures['ret60s']:+.1f} bps in 60 s (limit {figures['ret60sBar']:.1f}) at "
        f"{figures['notionalRate5s']:,.0f} USD/s of trades (limit "
        f"{figures['notionalRate5sBar']:,.0f})"
    )


def _news(figures: Figures, config: StrategyConfig) -> str:
    del config
    return (
        f"10 s volatility {figures['rv10s']:.2f} bps (limit {figures['rv10sBar']:.2f}) and spread "
        f"{figures['spreadBps']:.2f} bps (limit {figures['spreadBpsBar']:.2f})"
    )


def _manipulated(figures: Figures, config: StrategyConfig) -> str:
    if figures["printOutsideBps"] > config.print_outside_bps:
        return (
            f"a trade printed {figures['printOutsideBps']:.1f} bps outside the book "
            f"(limit {config.print_outside_bps:g})"
        )
    return (
        f"flicker {figures['flicker']:.2f} per s for {figures['flickerForS']:.1f} s "
        f"(limit {config.flicker_max:g} for {config.flicker_s:g} s)"
    )


def _illiquid(figures: Figures, config: StrategyConfig) -> str:
    spread_bps = figures["spreadBps"]
    if math.isnan(spread_bps):
        return "no spread: a side of the book is empty"
    if spread_bps > config.max_spread_bps:
        return f"spread {spread_bps:.2f} bps above {config.max_spread_bps:g} bps"
    side = "bid" if not figures["bidDepthUsd20"] >= config.min_depth_usd else "ask"
    depth_usd = figures[f"{side}DepthUsd20"]
    return f"{side} depth {depth_usd:,.0f} USD below {config.min_depth_usd:,.0f} USD"


def _stale(figures: Figures, config: StrategyConfig) -> str:
    state = BookState(int(figures["bookState"]))
    if state is not BookState.OK:
        return f"order book is {state.name.lower()}"
    if figures["bookAgeMs"] > config.max_book_age_ms:
        return f"no word of the book for {figures['bookAgeMs'] / 1000:.1f} s"
    if math.isnan(figures["tradeAgeMs"]):
        return "no trade yet"
    return f"no trade for {figures['tradeAgeMs'] / 1000:.0f} s"
