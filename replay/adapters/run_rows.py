"""Keeps the results of replays and backtests in the database."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec
from django.db import DatabaseError, connection
from django.db.models import Model

from replay.domain.verify_report import MARKET, VerifyReport
from replay.models import BacktestRun, ReplayRun


def save_run(report: dict[str, Any]) -> str:
    """Write the row; returns "" or why it could not be written, in one line."""
    counts, result = report["counts"], report["result"]
    row = ReplayRun(
        run_id=report["runId"],
        mode=report["mode"],
        recording=report["recording"],
        paths=report["paths"],
        symbols=report["symbols"],
        range_from=datetime.fromisoformat(report["from"]),
        range_to=datetime.fromisoformat(report["to"]),
        config_version=report["assumptions"]["configVersion"],
        digest=report["digest"],
        complete=report["complete"],
        messages=counts["messages"],
        frames=counts["frames"],
        orders=counts["orders"],
        fills=counts["fills"],
        trades=counts["trades"],
        fees_usdt=result["fees"],
        gross_pnl_usdt=result["grossPnl"],
        net_pnl_usdt=result["netPnl"],
        elapsed_s=report["elapsedSeconds"],
        report=report,
    )
    return _save(row)


def save_verification(report: VerifyReport, data_dir: str) -> str:
    """Write the row of a verification; returns "" or why it could not be written, in one line."""
    if report.from_ is None or report.to is None:
        return "nothing was fed, so there is no time that it was of"
    market = report.cores.get(MARKET)
    row = ReplayRun(
        run_id=report.run_id,
        mode="VERIFY",
        recording=report.digest[:64],
        paths=[data_dir],
        range_from=datetime.fromisoformat(report.from_),
        range_to=datetime.fromisoformat(report.to),
        config_version="as journalled",
        digest=report.digest,
        complete=report.is_equal,
        messages=market.inputs if market else 0,
        frames=market.compared if market else 0,
        elapsed_s=report.elapsed_s,
        report=msgspec.to_builtins(report),
    )
    return _save(row)


def save_backtest(document: dict[str, Any], folder: str) -> str:
    """Write the row of a finished backtest; returns "" or why it could not be written, in one line."""
    run, result, statistics = document["run"], document["result"], document["statistics"]
    data = document["data"]
    kept = ("verdict", "result", "costs", "statistics", "capacity", "sensitivity", "failures")
    return _save(
        BacktestRun(
            run_id=run["runId"],
            profile=run["profile"][:128],
            config_version=run["configVersion"][:128],
            folder=folder[:1024],
            symbols=sorted({symbol for one in data for symbol in one["symbols"]}),
            range_from=datetime.fromisoformat(min(one["from"] for one in data)),
            range_to=datetime.fromisoformat(max(one["to"] for one in data)),
            recordings=len(data),
            failures=len(document["failures"]),
            headline=document["verdict"]["headline"][:255],
            trades=result["trades"],
            trials=statistics["trials"],
            net_pnl_usdt=result["netPnl"],
            max_drawdown_usdt=result["maxDrawdown"]["usdt"],
            sharpe=statistics["sharpe"],
            deflated_sharpe=statistics["deflatedSharpe"],
            figures={name: document[name] for name in kept},
        )
    )


def _save(row: Model) -> str:
    try:
        row.save()
    except DatabaseError as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        return f"{connection.vendor}: {reason}"
    return ""
