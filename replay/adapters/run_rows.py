"""Keeps the result of a run in the database."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db import DatabaseError, connection

from replay.models import ReplayRun


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
    try:
        row.save()
    except DatabaseError as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        return f"{connection.vendor}: {reason}"
    return ""
