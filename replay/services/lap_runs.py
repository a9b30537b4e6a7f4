"""What a lap of the engine is in each mode: its pipeline, its files, its report."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Any, Protocol

import msgspec

from execution.domain.profile import ExecutionSettings
from failover.domain.days import iso_ms
from replay.domain.dialogue import PipelineObserver
from replay.domain.run_metrics import run_metrics
from replay.domain.scoring import ScoringPipeline
from replay.domain.trade_watch import TradeWatch
from replay.services.engine import Lap, RunLap
from replay.services.run import ReplayOptions, run_replay
from strategy.domain.config import DecisionConfig

Settings = Callable[[], tuple[DecisionConfig, ExecutionSettings]]


class ResultFiles(PipelineObserver, Protocol):
    """Keeps what a lap leaves."""

    def write_report(self, report: dict[str, Any]) -> None: ...

    def close(self) -> None: ...


OpenFiles = Callable[[Path, str], ResultFiles]  # folder, run id


def full_decision(settings: Settings, open_files: OpenFiles, *, telemetry: bool = False) -> RunLap:
    """The whole pipeline with the simulated exchange. `telemetry`: scores and risk are told as live."""

    def run_lap(lap: Lap) -> dict[str, Any]:
        decision, execution = settings()
        deposit = Decimal(repr(execution.config.sim_balance_usdt))
        watch = TradeWatch(lap.data.instruments, deposit)
        with closing(open_files(lap.folder, lap.run_id)) as files:
            options = ReplayOptions(
                run_id=lap.run_id,
                pacer=lap.pacer,
                should_stop=lambda: lap.pacer.is_stopped,
                observers=(files, watch, *lap.observers),
                execution_by_symbol=execution.symbols,
                records=True,
                telemetry=telemetry,
                on_kernel=lap.on_kernel,
                on_progress=lap.on_piece,
            )
            result = run_replay(lap.data, decision, execution.config, options)
            watch.finish()
            report = result.report | _about(lap) | {
                "metrics": run_metrics(watch.trades, watch.drawdown),
                "deposit": float(deposit),
                "equity": msgspec.to_builtins(watch.equity_points()),
                "drawdown": msgspec.to_builtins(watch.drawdown),
                "openPositions": msgspec.to_builtins(watch.open_positions),
            }  # fmt: skip
            files.write_report(report)
        return report

    return run_lap


def scoring_only(settings: Settings, open_files: OpenFiles) -> RunLap:
    """Regimes and scores: `scores.jsonl` has a line a symbol at the strategy's pace."""

    def run_lap(lap: Lap) -> dict[str, Any]:
        decision, _ = settings()
        with closing(open_files(lap.folder, lap.run_id)) as files:
            observers = (files, *lap.observers)
            pipeline = ScoringPipeline(lap.data.instruments, decision, observers)
            lap.on_kernel(pipeline.kernel)
            started_s = time.perf_counter()
            for chunk in lap.pacer.paced(lap.data.chunks):
                pipeline.feed(chunk)
                lap.on_piece()
            pipeline.finish()
            elapsed_s = time.perf_counter() - started_s
            report = _scoring_report(lap, decision, pipeline, elapsed_s) | _about(lap)
            files.write_report(report)
        return report

    return run_lap


def _about(lap: Lap) -> dict[str, Any]:
    """Where the lap comes from, so that nobody compares what cannot be compared."""
    return {
        "sessionId": lap.manifest.session_id,
        "sessionDigest": lap.manifest.digest,
        "startedAtEvent": lap.data.first_event_index,
        "seekTo": iso_ms(lap.start_ns) if lap.start_ns is not None else None,
        "pace": {
            "speedFactor": lap.pacer.speed,
            "latenessP50Ms": round(lap.pacer.lateness.percentile_ms(50), 3),
            "latenessP99Ms": round(lap.pacer.lateness.percentile_ms(99), 3),
            "pacedEvents": lap.pacer.lateness.messages,
        },
    }


def _scoring_report(
    lap: Lap, decision: DecisionConfig, pipeline: ScoringPipeline, elapsed_s: float
) -> dict[str, Any]:
    """The fields of a FULL_DECISION report that scoring has something to say of, the others at zero."""
    counts = {"messages": pipeline.messages, "frames": pipeline.frames, "scores": pipeline.scores}
    nothing = ("signals", "stateEvents", "requests", "orders", "fills", "makerFills", "trades")
    return {
        "mode": "SCORING_ONLY",
        "recording": lap.data.description,
        "paths": list(lap.data.paths),
        "symbols": list(lap.data.symbols),
        "from": iso_ms(pipeline.first_ns),
        "to": iso_ms(pipeline.last_ns),
        "counts": counts | dict.fromkeys(nothing, 0),
        "result": {"grossPnl": 0.0, "fees": 0.0, "netPnl": 0.0, "wins": 0, "openPositions": 0},
        "assumptions": {"configVersion": decision.version, "notes": list(lap.data.notes)},
        "kernelCounters": {k: v for k, v in pipeline.kernel.counters().items() if v},
        "runId": lap.run_id,
        "digest": pipeline.hexdigest(),
        "complete": not lap.pacer.is_stopped,
        "elapsedSeconds": round(elapsed_s, 3),
        "messagesPerSecond": round(pipeline.messages / max(elapsed_s, 1e-9)),
    }
