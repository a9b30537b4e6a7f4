"""Sums over groups of trades, and how much more size the market could have taken. JSON-ready rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import fmean, median
from typing import Any

from failover.domain.days import iso_ms
from replay.domain.backtest_parts import PartResult
from replay.domain.trade_results import TradeResult, json_costs, total_costs

Row = dict[str, Any]
_HOUR_NS = 3_600_000_000_000
_VOLATILITY_BANDS = ((1.0, "below 1"), (3.0, "1 to 3"), (10.0, "3 to 10"))  # rv60s, bps per sqrt(s)
MOST_VOLUME_SHARE = 0.01  # of what traded in the market meanwhile
MOST_DEPTH_SHARE = 0.10  # of the near side's best 20 levels (pipeline section 5)


def group_row(trades: Sequence[TradeResult]) -> Row:
    """Figures of some trades; ratios are None where there is nothing to divide by."""
    nets = [trade.net_usdt for trade in trades]
    won, lost = [n for n in nets if n > 0], [n for n in nets if n <= 0]
    notional = sum(trade.entry_notional_usdt for trade in trades)
    costs = json_costs(total_costs(trades))
    return {
        "trades": len(trades),
        "wins": len(won),
        "hitRate": ratio(len(won), len(trades)),
        "netPnl": costs["net"],
        "expectancy": ratio(costs["net"], len(trades)),
        "expectancyBps": ratio(costs["net"] * 1e4, notional),
        "profitFactor": ratio(sum(won), -sum(lost)),
        "averageWin": fmean(won) if won else None,
        "averageLoss": fmean(lost) if lost else None,
        "grossPnl": costs["gross"],
        "fees": costs["fees"],
        "medianHoldSeconds": median((t.closed_ns - t.opened_ns) / 1e9 for t in trades)
        if trades
        else None,
    }


def ratio(part: float, whole: float) -> float | None:
    return part / whole if whole else None


def by_symbol(parts: Sequence[PartResult]) -> list[Row]:
    """Every symbol of the data, also those never traded."""
    trades = [trade for part in parts for trade in part.trades]
    symbols = sorted({symbol for part in parts for symbol in part.symbols})
    return [
        {"symbol": symbol, **group_row([t for t in trades if t.symbol == symbol])}
        for symbol in symbols
    ]


def by_hour(parts: Sequence[PartResult]) -> list[Row]:
    """UTC hours of the day that the data cover; a trade counts where it was opened."""
    trades = [trade for part in parts for trade in part.trades]
    covered = sorted({hour for part in parts for hour in _hours_of(part)})
    return [
        {"hour": f"{hour:02d}:00", **group_row([t for t in trades if _hour(t.opened_ns) == hour])}
        for hour in covered
    ]


def _hour(ts_ns: int) -> int:
    return ts_ns // _HOUR_NS % 24


def _hours_of(part: PartResult) -> set[int]:
    first, last = part.from_ns // _HOUR_NS, part.to_ns // _HOUR_NS
    return {hour % 24 for hour in range(first, min(last, first + 23) + 1)}


def by_regime(parts: Sequence[PartResult]) -> list[Row]:
    """Regime of the symbol and of the market at the entry, and how lively the last minute was."""
    return _grouped(
        parts,
        lambda t: {
            "regime": t.context.regime,
            "globalRegime": t.context.global_regime,
            "rv60s": volatility_band(t.context.rv60s_bps),
        },
    )


def by_exit(parts: Sequence[PartResult]) -> list[Row]:
    return _grouped(parts, lambda t: {"exitReason": t.exit_reason, "side": t.side})


def volatility_band(rv60s_bps: float | None) -> str:
    """Bands of the realised volatility of the last minute, bps per sqrt(second)."""
    if rv60s_bps is None:
        return "unknown"
    return next((name for limit, name in _VOLATILITY_BANDS if rv60s_bps < limit), "10 and more")


def _grouped(parts: Sequence[PartResult], key: Callable[[TradeResult], Row]) -> list[Row]:
    groups: dict[tuple[str, ...], tuple[Row, list[TradeResult]]] = {}
    for trade in (trade for part in parts for trade in part.trades):
        names = key(trade)
        groups.setdefault(tuple(names.values()), (names, []))[1].append(trade)
    return [{**names, **group_row(trades)} for _, (names, trades) in sorted(groups.items())]


def capacity(parts: Sequence[PartResult], capital_usdt: float, *, is_judged: bool) -> Row:
    """How many times the size would fit before it is too large a share of volume or depth.

    A rough bound: the simulated venue lets our own orders move nobody. Shares are facts; the multiple is
    only given when there are enough trades.
    """
    trades = [trade for part in parts for trade in part.trades]
    traded = sum(trade.filled_notional_usdt for trade in trades)
    symbols = {trade.symbol for trade in trades}
    market = sum(
        notional
        for part in parts
        for symbol, notional in part.market_notional_usdt.items()
        if symbol in symbols
    )
    volume_share = ratio(traded, market)
    depth_shares = [
        trade.entry_notional_usdt / trade.context.near_depth_usd
        for trade in trades
        if trade.context.near_depth_usd
    ]
    depth_share = median(depth_shares) if depth_shares else None
    limits = [MOST_VOLUME_SHARE / volume_share] if volume_share else []
    limits += [MOST_DEPTH_SHARE / depth_share] if depth_share else []
    multiple = min(limits) if limits and is_judged else None
    return {
        "tradedNotional": traded,
        "marketNotional": market if trades else None,
        "volumeShare": volume_share,
        "medianDepthShare": depth_share,
        "mostVolumeShare": MOST_VOLUME_SHARE,
        "mostDepthShare": MOST_DEPTH_SHARE,
        "sizeMultiple": multiple,
        "capital": capital_usdt * multiple if multiple is not None else None,
    }


def trade_rows(parts: Sequence[PartResult]) -> list[Row]:
    """Every closed trade in order of its end."""
    trades = [(trade, part.name) for part in parts for trade in part.trades]
    trades.sort(key=lambda pair: (pair[0].closed_ns, pair[0].symbol))
    return [
        {
            "recording": name,
            "symbol": trade.symbol,
            "side": trade.side,
            "openedAt": iso_ms(trade.opened_ns),
            "closedAt": iso_ms(trade.closed_ns),
            "qty": trade.qty,
            "entryPrice": trade.entry_price,
            "exitPrice": trade.exit_price,
            "exitReason": trade.exit_reason,
            **json_costs(trade.costs),
            "regime": trade.context.regime,
            "globalRegime": trade.context.global_regime,
            "rv60s": trade.context.rv60s_bps,
        }
        for trade, name in trades
    ]
