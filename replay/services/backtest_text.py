"""The judgement in a few lines for a terminal."""

from __future__ import annotations

from typing import Any

from replay.services.backtest_tables import percent, plain, signed


def summary_lines(document: dict[str, Any]) -> list[str]:
    """Verdict, figures, sensitivity and digests; report.json holds the rest."""
    result, costs, found = document["result"], document["costs"], document["statistics"]
    verdict, fall = document["verdict"], result["maxDrawdown"]
    return [
        verdict["headline"],
        *(f"  but {doubt}" for doubt in verdict["doubts"]),
        "",
        (
            f"trades {result['trades']} ({result['wins']} won, {percent(result['hitRate'])})   "
            f"net {signed(result['netPnl'], 4)} USDT   expectancy {signed(result['expectancy'], 4)} USDT   "
            f"profit factor {plain(result['profitFactor'])}"
        ),
        (
            f"gross {signed(costs['gross'], 4)}   spread {signed(costs['spread'], 4)}   "
            f"slippage {signed(costs['slippage'], 4)}   fees {signed(costs['fees'], 4)}   "
            f"funding {signed(costs['funding'], 4)} USDT"
        ),
        (
            f"drawdown {plain(fall['usdt'])} USDT   turnover {plain(result['turnover'], 3)} x capital   "
            f"open at the end {result['openPositions']} ({signed(result['openResult'])} USDT)"
        ),
        (
            f"Sharpe per trade {plain(found['sharpe'], 3)}   "
            f"probabilistic {plain(found['probabilisticSharpe'], 3)}   "
            f"deflated {plain(found['deflatedSharpe'], 3)}   trials {found['trials']}"
        ),
        "",
        *(
            f"{row['variant']:>13}: {row['trades']} trades, net {signed(row['netPnl'], 4)} USDT"
            for row in document["sensitivity"]
        ),
        "",
        *(
            f"{run['name']}: {run['from']} to {run['to']}, digest {run['digest']}"
            for run in document["runs"]
            if run["variant"] == "base"
        ),
    ]
