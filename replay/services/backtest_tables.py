"""The tables of a backtest's report as ready words; what is not known is a dash."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from replay.services.backtest_charts import number

_TRADES_SHOWN = 500
_NOTHING = "-"
Row = dict[str, Any]


class Table(NamedTuple):
    """Cells are text; the first column is a name, the others are aligned as numbers."""

    title: str
    columns: list[str]
    rows: list[list[str]]
    note: str = ""


def plain(value: Any, digits: int = 2) -> str:
    """A figure for the reader; what is not known is a dash."""
    if value is None:
        return _NOTHING
    if isinstance(value, bool | str):
        return str(value)
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:,.{digits}f}"


def signed(value: float | None, digits: int = 2) -> str:
    return _NOTHING if value is None else f"{value:+,.{digits}f}"


def percent(share: float | None, digits: int = 1) -> str:
    return _NOTHING if share is None else f"{share * 100:.{digits}f} %"


def cost_table(costs: Row) -> Table:
    in_bps = costs["bpsOfTraded"]
    names = {
        "gross": "gross: at mid prices, before all costs",
        "spread": "spread: half a spread per taker fill, less what maker fills earn",
        "slippage": "slippage: beyond half a spread, against the mid at the decision or the trigger",
        "fees": "fees",
        "funding": "funding",
        "net": "net = gross - spread - slippage - fees - funding",
    }
    rows = [[text, signed(costs[name], 4), signed(in_bps[name])] for name, text in names.items()]
    return Table(
        "Where the money went",
        ["", "USDT", "bps of traded value"],
        rows,
        "Costs are positive when paid.",
    )


def statistics_table(found: Row) -> Table:
    def between(interval: Row | None) -> str:
        if interval is None:
            return _NOTHING
        return f"{interval['low']:.3f} to {interval['high']:.3f}"

    rows = [
        ["trades counted", plain(found["count"])],
        ["Sharpe ratio per trade", plain(found["sharpe"], 4)],
        ["95 % interval, stationary bootstrap", between(found["interval"])],
        ["95 % interval, Lo (2002) with Mertens' correction", between(found["asymptoticInterval"])],
        ["skewness", plain(found["skew"])],
        ["kurtosis (3 = normal)", plain(found["kurtosis"])],
        ["probabilistic Sharpe", plain(found["probabilisticSharpe"], 4)],
        ["trials on these data", plain(found["trials"])],
        ["best Sharpe to expect of so many trials by luck", plain(found["expectedBestSharpe"], 4)],
        ["deflated Sharpe", plain(found["deflatedSharpe"], 4)],
        ["trades needed for 95 % at this ratio", plain(found["leastTrades"])],
    ]
    note = f"{found['observation']}; bootstrap seed {found['seed']}."
    if found["why"]:
        note = f"{found['why']}. {note}"
    return Table("How sure is that", ["", ""], rows, note)


def sensitivity_table(rows: Sequence[Row]) -> Table:
    return Table(
        "If latency or fees were different (whole re-runs, decisions included)",
        ["", "trades", "hit rate", "net USDT", "expectancy USDT", "gross USDT", "fees USDT"],
        [
            [
                r["variant"],
                plain(r["trades"]),
                percent(r["hitRate"]),
                signed(r["netPnl"]),
                signed(r["expectancy"], 3),
                signed(r["grossPnl"]),
                plain(r["fees"]),
            ]
            for r in rows
        ],
        "" if len(rows) > 1 else "The re-runs were not asked for.",
    )


def group_table(title: str, rows: Sequence[Row], keys: dict[str, str]) -> Table:
    columns = [
        *keys.values(),
        "trades",
        "hit rate",
        "net USDT",
        "expectancy bps",
        "profit factor",
        "gross USDT",
        "fees USDT",
        "median hold s",
    ]
    cells = [
        [
            *(plain(row[key]) for key in keys),
            plain(row["trades"]),
            percent(row["hitRate"]),
            signed(row["netPnl"]),
            signed(row["expectancyBps"]),
            plain(row["profitFactor"]),
            signed(row["grossPnl"]),
            plain(row["fees"]),
            plain(row["medianHoldSeconds"], 1),
        ]
        for row in rows
    ]
    return Table(title, columns, cells, "" if rows else "No trade was closed.")


def capacity_table(found: Row) -> Table:
    rows = [
        ["our traded value, USDT", plain(found["tradedNotional"], 0)],
        ["the market's in the traded symbols, USDT", plain(found["marketNotional"], 0)],
        ["share of the volume", percent(found["volumeShare"], 4)],
        ["entry size over depth of 20 levels, median", percent(found["medianDepthShare"], 3)],
        ["times the size until a limit is met", plain(found["sizeMultiple"], 1)],
        ["capital that could work like this, USDT", plain(found["capital"], 0)],
    ]
    note = (
        f"Limits: {found['mostVolumeShare']:.0%} of the volume, {found['mostDepthShare']:.0%} of the depth. "
        "A rough upper bound; not given with too few trades."
    )
    return Table("How much money it could take", ["", ""], rows, note)


def data_table(one: Row) -> Table:
    rows = [[f"messages: {kind}", plain(count)] for kind, count in one["messagesByKind"].items()]
    rows += [[f"defect: {kind}", plain(count)] for kind, count in one["faults"]["counts"].items()]
    rows += [["kernel: " + name, plain(count)] for name, count in one["kernelCounters"].items()]
    examples = " · ".join(one["faults"]["examples"][:5])
    return Table(f"Data: {one['name']}", [f"{one['from']} to {one['to']}", ""], rows, examples)


def run_table(runs: Sequence[Row]) -> Table:
    return Table(
        "Runs: the same input and config give the same digest",
        ["recording", "variant", "messages", "frames", "orders", "digest"],
        [
            [
                r["name"],
                r["variant"],
                *(plain(r[n]) for n in ("messages", "frames", "orders")),
                r["digest"],
            ]
            for r in runs
        ],
    )


def trade_table(trades: Sequence[Row]) -> Table:
    columns = [
        "closed at",
        "symbol",
        "side",
        "qty",
        "entry",
        "exit",
        "reason",
        "gross",
        "spread",
        "slippage",
        "fees",
        "funding",
        "net USDT",
    ]
    rows = [
        [
            t["closedAt"],
            t["symbol"],
            t["side"],
            number(t["qty"]),
            number(t["entryPrice"]),
            number(t["exitPrice"]),
            t["exitReason"],
            *(
                signed(t[name], 4)
                for name in ("gross", "spread", "slippage", "fees", "funding", "net")
            ),
        ]
        for t in trades[:_TRADES_SHOWN]
    ]
    left = len(trades) - len(rows)
    note = f"{left:,} more are in report.json." if left > 0 else ""
    return Table("Trades", columns, rows, note if trades else "No trade was closed.")
