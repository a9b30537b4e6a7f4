"""From the parts of a backtest to one judgement: figures, how sure they are, and a plain verdict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

import msgspec

from failover.domain.days import NS_PER_DAY, iso_ms
from replay.domain import judgement_tables as tables
from replay.domain.backtest_parts import PartFailure, PartResult, Variant
from replay.domain.curves import Line, falls_below_peak, summed
from replay.domain.statistics import (
    asymptotic_interval,
    bootstrap_interval,
    expected_best_sharpe,
    least_observations,
    moments,
    probabilistic_sharpe,
    trial_variance,
)
from replay.domain.trade_results import TradeResult, json_costs, total_costs

LEAST_TRADES = 30  # below it, sign and size of every ratio are chance
SURE = 0.95

Row = dict[str, Any]
Parts = Mapping[Variant, Sequence[PartResult]]


class Trials(msgspec.Struct, frozen=True, kw_only=True):
    """Backtests of the same data, this one included; `sharpes` of the earlier ones that had one."""

    count: int
    sharpes: tuple[float, ...] = ()


def judge(parts: Parts, failures: Sequence[PartFailure], trials: Trials, *, seed: int) -> Row:
    """The whole report but its files' names, JSON-ready; a figure the data cannot give is None."""
    base = parts[Variant.BASE]
    capital = capital_usdt(base)
    trades = sorted((t for part in base for t in part.trades), key=lambda t: t.closed_ns)
    statistics = trade_statistics(trades, trials, seed=seed)
    result = _result(base, trades, capital)
    sensitivity = _sensitivity(parts)
    return {
        "verdict": verdict(result, statistics, sensitivity, failures),
        "result": result,
        "costs": _costs(trades),
        "statistics": statistics,
        "capacity": tables.capacity(base, capital, is_judged=len(trades) >= LEAST_TRADES),
        "sensitivity": sensitivity,
        "bySymbol": tables.by_symbol(base),
        "byHour": tables.by_hour(base),
        "byRegime": tables.by_regime(base),
        "byExit": tables.by_exit(base),
        "runs": [_run(part) for found in parts.values() for part in found],
        "data": [_data(part) for part in base],
        "failures": msgspec.to_builtins(list(failures)),
        "trades": tables.trade_rows(base),
    }


def capital_usdt(parts: Sequence[PartResult]) -> float:
    """Deposits of the accounts that ran at the same time, at the most: later ones reuse earlier money."""
    steps = sorted(
        step
        for part in parts
        for step in (
            (part.from_ns, 1, part.deposit_usdt),
            (part.to_ns, 0, -part.deposit_usdt),
        )
    )
    most = held = Decimal(0)
    for _, _, change in steps:
        held += change
        most = max(most, held)
    return float(most)


def covered_span_ns(parts: Sequence[PartResult]) -> int:
    """Time within at least one recording: what ran side by side counts once."""
    covered = reached_ns = 0
    for part in sorted(parts, key=lambda part: part.from_ns):
        covered += max(part.to_ns - max(part.from_ns, reached_ns), 0)
        reached_ns = max(reached_ns, part.to_ns)
    return covered


def profit_line(parts: Sequence[PartResult]) -> Line:
    """Profit of all accounts together over time, open positions at mid."""
    return summed([(part.equity, float(part.deposit_usdt)) for part in parts])


def _result(parts: Sequence[PartResult], trades: Sequence[TradeResult], capital: float) -> Row:
    open_usdt = sum((p.result_usdt for part in parts for p in part.open_positions), Decimal(0))
    figures = tables.group_row(trades)
    traded = sum(trade.filled_notional_usdt for trade in trades)
    capital_days = sum(float(part.deposit_usdt) * part.span_ns for part in parts) / NS_PER_DAY
    covered_ns = covered_span_ns(parts)
    return figures | {
        "openResult": float(open_usdt),
        "openPositions": sum(len(part.open_positions) for part in parts),
        "capital": capital,
        "returnPct": tables.ratio(figures["netPnl"] * 100, capital),
        "maxDrawdown": _drawdown(parts, capital),
        "turnover": tables.ratio(traded, capital),
        "turnoverPerDay": (
            tables.ratio(traded, capital_days) if covered_ns >= NS_PER_DAY else None
        ),
        "coveredSeconds": round(covered_ns / 1e9, 3),
        "neverWarm": sum(part.span_ns < part.warmup_s * 1e9 for part in parts),
        "fills": sum(part.fills for part in parts),
        "makerFills": sum(part.maker_fills for part in parts),
        "unexplainedTrades": sum(part.unexplained_trades for part in parts),
    }


def _drawdown(parts: Sequence[PartResult], capital: float) -> Row:
    """Exact for one account; of several together as fine as their curves."""
    if len(parts) == 1:
        worst = parts[0].drawdown
        deepest, peak, at_ns = worst.deepest_usdt, worst.peak_usdt, worst.at_ns
    else:
        line = profit_line(parts)
        falls = falls_below_peak(line).value
        at = int(falls.argmin())
        deepest, at_ns = abs(float(falls[at])), int(line.ts_ns[at])
        peak = capital + float(line.value[at]) + deepest
    return {
        "usdt": deepest,
        "pct": tables.ratio(deepest * 100, peak),
        "at": iso_ms(at_ns) if deepest else None,
    }


def _costs(trades: Sequence[TradeResult]) -> Row:
    costs = json_costs(total_costs(trades))
    traded = sum(trade.filled_notional_usdt for trade in trades)
    in_bps = {name: tables.ratio(value * 1e4, traded) for name, value in costs.items()}
    return {**costs, "bpsOfTraded": in_bps}


def trade_statistics(trades: Sequence[TradeResult], trials: Trials, *, seed: int) -> Row:
    """Everything that claims more than it saw; all None, with the reason, below LEAST_TRADES."""
    returns = [trade.net_usdt for trade in trades]
    found = moments(returns) if len(returns) >= LEAST_TRADES else None
    silent: Row = dict.fromkeys(
        ("sharpe", "skew", "kurtosis", "interval", "asymptoticInterval", "probabilisticSharpe",
         "deflatedSharpe", "expectedBestSharpe", "leastTrades"),
    )  # fmt: skip
    head = {
        "observation": "net USDT of one closed trade; ratios are per trade, not annualised",
        "count": len(returns),
        "leastCount": LEAST_TRADES,
        "trials": trials.count,
        "seed": seed,
    }
    if found is None:
        return {**head, **silent, "why": _too_little(len(returns))}
    shape = (found.sharpe, found.count, found.skew, found.kurtosis)
    variance = trial_variance(trials.sharpes, found.count)
    bar = expected_best_sharpe(trials.count, variance)
    return {
        **head,
        "sharpe": found.sharpe,
        "skew": found.skew,
        "kurtosis": found.kurtosis,
        "interval": _interval(
            bootstrap_interval(returns, seed=seed), "stationary bootstrap, 2000 draws, percentiles"
        ),
        "asymptoticInterval": _interval(
            asymptotic_interval(found), "normal error of Lo (2002) with Mertens' correction"
        ),
        "probabilisticSharpe": probabilistic_sharpe(*shape),
        "deflatedSharpe": probabilistic_sharpe(*shape, benchmark=bar),
        "expectedBestSharpe": bar,
        "leastTrades": least_observations(found.sharpe, found.skew, found.kurtosis),
        "why": "",
    }


def _too_little(count: int) -> str:
    if count >= LEAST_TRADES:
        return "all trades came to the same: nothing varies, nothing can be judged"
    return f"too few trades to judge: {count}, at least {LEAST_TRADES} are needed"


def _interval(found: Any, method: str) -> Row | None:
    return None if found is None else {**msgspec.to_builtins(found), "method": method}


def verdict(
    result: Row, statistics: Row, sensitivity: Sequence[Row], failures: Sequence[PartFailure]
) -> Row:
    """One sentence a trader can act on, and what weakens it."""
    doubts = [f"{len(failures)} recording(s) could not be read"] if failures else []
    if result["neverWarm"]:
        doubts.append(
            f"{result['neverWarm']} recording(s) are shorter than the warm-up of the config: "
            "nothing could be traded there"
        )
    if result["openPositions"]:
        doubts.append(
            f"{result['openPositions']} position(s) were open when the data ended; they are not in the "
            f"trades and stood at {result['openResult']:+,.2f} USDT at mid"
        )
    if result["unexplainedTrades"]:
        doubts.append(
            f"{result['unexplainedTrades']} trade(s) whose costs do not add up to their result"
        )
    return {
        "canJudge": not statistics["why"],
        "headline": _headline(result, statistics),
        "doubts": doubts + _turned(result["netPnl"], sensitivity),
    }


def _headline(result: Row, statistics: Row) -> str:
    if not result["trades"]:
        return "No trade was closed: there is nothing to judge."
    if statistics["why"]:
        text = statistics["why"]
        return f"{text[0].upper()}{text[1:]}."
    if result["netPnl"] <= 0:
        return "It lost money after costs on these data."
    if result["netPnl"] + result["openResult"] <= 0:
        return "It earned on closed trades, but the positions left open lost as much or more."
    plain, deflated = statistics["probabilisticSharpe"], statistics["deflatedSharpe"]
    if plain is None or plain < SURE:
        return (
            "It earned, but not more surely than luck explains (probabilistic Sharpe below 0.95)."
        )
    if deflated is None or deflated < SURE:
        return (
            f"It earned, but the best of {statistics['trials']} tries without skill may look like this "
            "(deflated Sharpe below 0.95)."
        )
    interval = statistics["interval"]
    if interval is None or interval["low"] <= 0:
        return (
            "It earned, but streaks of trades may explain it "
            "(the bootstrap's 95 % interval of the Sharpe ratio reaches 0)."
        )
    return (
        "It earned more than luck and the number of tries explain, on these data "
        "(deflated Sharpe 0.95 or more)."
    )


def _turned(net_usdt: float, sensitivity: Sequence[Row]) -> list[str]:
    return [
        f"with {row['variant']} the profit turns into a loss"
        for row in sensitivity
        if net_usdt > 0 and row["variant"] != Variant.BASE and row["netPnl"] <= 0
    ]


def _sensitivity(parts: Parts) -> list[Row]:
    """Re-runs of the whole, decisions included; only the base where the others were not asked for."""
    return [
        {
            "variant": str(variant),
            **tables.group_row([trade for part in found for trade in part.trades]),
            "digests": [part.digest for part in found],
        }
        for variant, found in parts.items()
        if found
    ]


def _run(part: PartResult) -> Row:
    counts = part.report["counts"]
    return {
        "name": part.name,
        "variant": str(part.variant),
        "symbols": part.symbols,
        "from": iso_ms(part.from_ns),
        "to": iso_ms(part.to_ns),
        "digest": part.digest,
        "messages": counts["messages"],
        "frames": counts["frames"],
        "orders": counts["orders"],
        "elapsedSeconds": part.report["elapsedSeconds"],
    }


def _data(part: PartResult) -> Row:
    """Where the numbers come from, with its defects."""
    report = part.report
    return {
        "name": part.name,
        "format": report["recording"],
        "paths": part.paths,
        "symbols": part.symbols,
        "from": iso_ms(part.from_ns),
        "to": iso_ms(part.to_ns),
        "messagesByKind": report["messagesByKind"],
        "faults": report["faults"],
        "kernelCounters": report["kernelCounters"],
        "assumptions": report["assumptions"],
    }
