"""The report page: tables of ready words from a judgement, charts, one HTML file without a network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from django.template.loader import render_to_string
from django.utils.safestring import mark_safe

from replay.domain.assumptions import NOT_MODELLED
from replay.domain.backtest_parts import PartResult
from replay.domain.curves import falls_below_peak
from replay.domain.judgement import profit_line
from replay.domain.trade_results import TradeResult
from replay.services.backtest_charts import Link, Mark, clock, line_chart, number, price_chart
from replay.services.backtest_tables import (
    capacity_table,
    cost_table,
    data_table,
    group_table,
    percent,
    plain,
    run_table,
    sensitivity_table,
    signed,
    statistics_table,
    trade_table,
)

TEMPLATE = "replay/backtest_report.html"
_PRICE_CHARTS = 24
Row = dict[str, Any]


class Chart(NamedTuple):
    title: str
    svg: str
    note: str = ""


def render_report(judgement: Row, parts: Sequence[PartResult]) -> str:
    """The whole page. `parts` are those of the base run; `judgement` is what report.json holds."""
    spans = [(part.from_ns, part.to_ns) for part in parts]
    profit = profit_line(parts)
    return render_to_string(
        TEMPLATE,
        {
            "run": judgement["run"],
            "verdict": judgement["verdict"],
            "figures": _figures(judgement),
            "assumptions": _assumptions(judgement),
            "not_modelled": NOT_MODELLED,
            "charts": [
                _chart(
                    "Equity: profit of all accounts, open positions at mid",
                    line_chart(profit, spans, unit="USDT", kind="profit"),
                ),
                _chart(
                    "Drawdown: distance below the highest profit so far",
                    line_chart(falls_below_peak(profit), spans, unit="USDT", kind="fall"),
                ),
            ],
            "tables": [
                cost_table(judgement["costs"]),
                statistics_table(judgement["statistics"]),
                sensitivity_table(judgement["sensitivity"]),
                group_table("Per symbol", judgement["bySymbol"], {"symbol": "symbol"}),
                group_table("Per hour of the day (UTC)", judgement["byHour"], {"hour": "hour"}),
                group_table(
                    "Per regime at the entry",
                    judgement["byRegime"],
                    {"regime": "symbol", "globalRegime": "market", "rv60s": "volatility, bps/√s"},
                ),
                group_table(
                    "Per exit", judgement["byExit"], {"exitReason": "exit", "side": "side"}
                ),
                capacity_table(judgement["capacity"]),
            ],
            "price_charts": _price_charts(parts),
            "data_tables": [data_table(one) for one in judgement["data"]],
            "failures": judgement["failures"],
            "run_table": run_table(judgement["runs"]),
            "trade_table": trade_table(judgement["trades"]),
        },
    )


# -- page one --------------------------------------------------------------------------------------------


def _figures(judgement: Row) -> list[tuple[str, str, str]]:
    """(name, value, small print) of the figures at the top."""
    result, found = judgement["result"], judgement["statistics"]
    fall, between = result["maxDrawdown"], found["interval"]
    net = f"{signed(result['returnPct'], 3)} % of {plain(result['capital'], 0)} USDT"
    range_ = f"95 %: {plain(between['low'], 3)} to {plain(between['high'], 3)}" if between else ""
    return [
        ("Net result", f"{signed(result['netPnl'])} USDT", net),
        (
            "Trades",
            plain(result["trades"]),
            f"{result['wins']} won, hit rate {percent(result['hitRate'])}",
        ),
        (
            "Expectancy",
            f"{signed(result['expectancy'], 3)} USDT a trade",
            f"{signed(result['expectancyBps'])} bps of its value",
        ),
        ("Profit factor", plain(result["profitFactor"]), "won / lost"),
        (
            "Largest drawdown",
            f"{plain(fall['usdt'])} USDT",
            f"{plain(fall['pct'], 3)} % of the peak",
        ),
        ("Sharpe per trade", plain(found["sharpe"], 3), range_ or found["why"]),
        (
            "Probabilistic Sharpe",
            plain(found["probabilisticSharpe"], 3),
            "chance that the true ratio is above 0",
        ),
        (
            "Deflated Sharpe",
            plain(found["deflatedSharpe"], 3),
            f"after {found['trials']} trial(s) on these data",
        ),
        (
            "Turnover",
            f"{plain(result['turnover'])} x capital",
            "under a day of data: no rate per day"
            if result["turnoverPerDay"] is None
            else f"{plain(result['turnoverPerDay'], 1)} x a day",
        ),
        (
            "Open at the end",
            plain(result["openPositions"]),
            f"{signed(result['openResult'])} USDT at mid, not in the net result",
        ),
    ]


def _assumptions(judgement: Row) -> list[tuple[str, str]]:
    run, data = judgement["run"], judgement["data"]
    trials = judgement["statistics"]["trials"]
    rows = [
        ("Config", f"{run['profile']}, version {run['configVersion']}"),
        ("Time covered", "; ".join(f"{one['from']} to {one['to']}" for one in data)),
        ("Core time", "receive time made monotone; exchange time where none was recorded"),
        ("Trials on these data", f"{trials} (this one included; ledger {run['ledger']})"),
    ]
    for assumed in [one["assumptions"] for one in data[:1]]:
        fees = f"{assumed['makerFeeBps']:g} bps maker, {assumed['takerFeeBps']:g} bps taker"
        account = f"{assumed['startBalance']:,.0f} USDT to start with, one account per recording"
        rows += [
            ("Fees", f"{fees}, of the notional"),
            ("Order latency", _latency_words(assumed)),
            ("Queue model", f"{assumed['queueModel']} (docs/simulation.md)"),
            ("Account", account),
        ]
    own = sorted({symbol for one in data for symbol in one["assumptions"]["symbolsWithOverrides"]})
    if own:
        rows.append(("Symbols with overrides", f"{', '.join(own)}: there the config differs"))
    rows += [("Instruments", _instrument_words(one)) for one in data]
    return rows + [("Data", _data_words(one)) for one in data]


def _latency_words(assumed: Row) -> str:
    parts = [f"{assumed['orderLatencyMs']} ms to the venue and as long back"]
    parts += [
        f"{name} {assumed[field]:g} ms to the venue"
        for name, field in (("amends", "amendLatencyMs"), ("cancels", "cancelLatencyMs"))
        if assumed[field] >= 0
    ]
    jitter_ms = assumed["latencyJitterMs"]
    parts.append(f"jitter up to {jitter_ms:g} ms more" if jitter_ms else "no jitter")
    return ", ".join(parts)


def _instrument_words(one: Row) -> str:
    return "; ".join(
        f"{rule['symbol']}: tick {rule['tickSize']}, lot {rule['qtyStep']}, "
        f"min {rule['minNotional']} USDT"
        for rule in one["assumptions"]["instruments"]
    )


def _data_words(one: Row) -> str:
    faults = sum(one["faults"]["counts"].values())
    gaps = one["messagesByKind"].get("FEED_GAP", 0)
    notes = "; ".join(one["assumptions"]["notes"])
    return (
        f"{one['name']}: {one['format']}; {sum(one['messagesByKind'].values()):,} messages, "
        f"{faults:,} defects, {gaps:,} feed gaps" + (f"; {notes}" if notes else "")
    )


# -- charts --------------------------------------------------------------------------------------------------


def _chart(title: str, svg: str, note: str = "") -> Chart:
    """The SVG is ours; every text in it was escaped where it was drawn."""
    return Chart(title, mark_safe(svg), note)  # noqa: S308


def _price_charts(parts: Sequence[PartResult]) -> list[Chart]:
    """One per recording and symbol, the traded ones first when there are too many."""
    pairs = [(part, symbol) for part in parts for symbol in part.symbols if part.prices.get(symbol)]
    pairs.sort(key=lambda pair: not any(t.symbol == pair[1] for t in pair[0].trades))
    return [
        _price_chart(part, symbol)
        for part, symbol in pairs[:_PRICE_CHARTS]
        if part.prices[symbol].last
    ]


def _price_chart(part: PartResult, symbol: str) -> Chart:
    trades = [trade for trade in part.trades if trade.symbol == symbol]
    marks: list[Mark] = []
    links: list[Link] = []
    for trade in trades:
        start, end = _entry_mark(trade), _exit_mark(trade)
        marks += [start, end]
        links.append(Link(start=start, end=end, is_win=trade.net_usdt > 0))
    seconds = part.prices[symbol].bucket_ns / 1e9
    note = f"{len(trades)} trade(s); each point covers {seconds:g} s, sampled each second"
    svg = price_chart(part.prices[symbol], marks, links, unit="USDT")
    return _chart(f"{symbol}: {part.name}", svg, note)


def _entry_mark(trade: TradeResult) -> Mark:
    text = (
        f"{trade.side} {number(trade.qty)} {trade.symbol} at {number(trade.entry_price)}, "
        f"{clock(trade.opened_ns)}"
    )
    kind = "long" if trade.side == "LONG" else "short"
    return Mark(ts_ns=trade.opened_ns, value=trade.entry_price, kind=kind, text=text)


def _exit_mark(trade: TradeResult) -> Mark:
    text = (
        f"{trade.exit_reason} at {number(trade.exit_price)}, net {trade.net_usdt:+,.4f} USDT, "
        f"{clock(trade.closed_ns)}"
    )
    kind = "exit-win" if trade.net_usdt > 0 else "exit-loss"
    return Mark(ts_ns=trade.closed_ns, value=trade.exit_price, kind=kind, text=text)
