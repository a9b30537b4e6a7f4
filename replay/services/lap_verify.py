"""A lap of the engine in mode VERIFY: not the session's events go to the cores, but what they consumed then.

The session says which time is asked for; journals and recording of that time must still be there.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, Protocol

import msgspec

from failover.domain.days import iso_ms
from replay.domain.verify_report import CoreReport, VerifyReport
from replay.services.engine import Lap, RunLap
from replay.services.pacer import Pacer
from replay.services.verify import Stopped, VerifyProgress, verify_session
from replay.services.verify_text import verdict

_LOOK_AGAIN_S = 0.05
_NOTHING = CoreReport(core="")


class ReportFile(Protocol):
    """Keeps the report of a lap."""

    def write_report(self, report: dict[str, Any]) -> None: ...

    def close(self) -> None: ...


def verification(data_dir: Path, open_files: Callable[[Path, str], ReportFile]) -> RunLap:
    """Prove the session's time from the journals under `data_dir`."""

    def run_lap(lap: Lap) -> dict[str, Any]:
        with closing(open_files(lap.folder, lap.run_id)) as files:
            report = _report(lap, _verified(lap, data_dir))
            files.write_report(report)
        return report

    return run_lap


def _verified(lap: Lap, data_dir: Path) -> VerifyReport:
    total = lap.manifest.total_events

    def show(progress: VerifyProgress) -> None:
        lap.pacer.messages = total * (progress.run - 1) // progress.runs
        lap.pacer.market_ns = progress.at_ns
        lap.on_piece()

    try:
        report = verify_session(
            data_dir,
            run_id=lap.run_id,
            from_ns=lap.manifest.from_ns if lap.start_ns is None else lap.start_ns,
            to_ns=lap.manifest.to_ns,
            on_progress=show,
            should_stop=lambda: _is_stopped(lap.pacer),
        )
    except Stopped:
        return VerifyReport(run_id=lap.run_id)
    lap.pacer.messages = total
    return report


def _is_stopped(pacer: Pacer) -> bool:
    """Waits while it is paused."""
    while pacer.is_paused and not pacer.is_stopped:
        time.sleep(_LOOK_AGAIN_S)
    return pacer.is_stopped


def _report(lap: Lap, found: VerifyReport) -> dict[str, Any]:
    """The fields of any run's report, those of trading at zero, and what was found."""
    market = found.cores.get("market", _NOTHING)
    counts = {"messages": market.inputs, "frames": market.compared}
    nothing = ("scores", "signals", "stateEvents", "requests", "orders", "fills", "trades")
    return {
        "mode": "VERIFY",
        "runId": lap.run_id,
        "sessionId": lap.manifest.session_id,
        "sessionDigest": lap.manifest.digest,
        "recording": lap.data.description,
        "paths": list(lap.data.paths),
        "symbols": list(lap.data.symbols),
        "from": found.from_ or iso_ms(lap.manifest.from_ns),
        "to": found.to or iso_ms(lap.manifest.to_ns),
        "counts": counts | dict.fromkeys(nothing, 0),
        "result": {"grossPnl": 0.0, "fees": 0.0, "netPnl": 0.0, "wins": 0, "openPositions": 0},
        "assumptions": {"configVersion": "as journalled", "notes": [verdict(found)]},
        "digest": found.digest,
        "complete": found.is_equal,
        "elapsedSeconds": found.elapsed_s,
        "messagesPerSecond": round(market.inputs / max(found.elapsed_s, 1e-9)),
        "verify": msgspec.to_builtins(found),
    }
