"""One replay from an opened recording to figures and digest, paced or as fast as it goes."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from execution.domain.config import ExecutionConfig
from failover.domain.days import iso_ms
from market.domain.kernel import MarketKernel
from market.domain.recordings import MarketData
from replay.domain.digest import RunDigest
from replay.domain.figures import DigestObserver, RunFigures
from replay.domain.pipeline import Pipeline, PipelineObserver
from replay.services.pacer import Pacer
from strategy.domain.config import DecisionConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayResult:
    """A finished (or stopped) run."""

    run_id: str
    digest: str
    figures: RunFigures
    report: dict[str, Any]
    is_complete: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayOptions:
    """`pacer` hands messages out at their time; None: as fast as it goes.

    `telemetry`: observers are told scores and risk at the strategy's pace, as the dashboard is.
    `records`: observers want order log lines and rows of every kind; None: wherever there are observers.
    """

    run_id: str
    pacer: Pacer | None = None
    should_stop: Callable[[], bool] = lambda: False
    on_progress: Callable[[], None] = lambda: None
    observers: tuple[PipelineObserver, ...] = ()
    execution_by_symbol: Mapping[str, ExecutionConfig] = field(default_factory=dict)
    records: bool | None = None
    telemetry: bool = False
    on_kernel: Callable[[MarketKernel], None] = lambda kernel: None


def run_replay(
    data: MarketData, decision: DecisionConfig, execution: ExecutionConfig, options: ReplayOptions
) -> ReplayResult:
    """Run FULL_DECISION over `data`. Raises BadRecording where the recording breaks."""
    figures = RunFigures()
    own = dict(options.execution_by_symbol)
    assumed = (list(data.instruments), decision, execution, data.exchange_ahead_ns)
    digest = RunDigest(*assumed, *([own] if own else []))
    pipeline = Pipeline(
        data.instruments,
        decision,
        execution,
        (DigestObserver(digest), figures, *options.observers),
        exchange_ahead_ns=data.exchange_ahead_ns,
        execution_by_symbol=own,
        records=bool(options.observers) if options.records is None else options.records,
        telemetry=options.telemetry,
    )
    options.on_kernel(pipeline.kernel)
    started = time.perf_counter()
    is_complete = _feed_all(pipeline, data, options)
    pipeline.finish()
    elapsed_s = time.perf_counter() - started
    report = _report(data, decision, execution, pipeline, figures)
    report["assumptions"]["symbolsWithOverrides"] = sorted(
        {*decision.symbols, *own} & set(data.symbols)
    )
    report |= {
        "runId": options.run_id,
        "digest": digest.hexdigest(),
        "complete": is_complete,
        "elapsedSeconds": round(elapsed_s, 3),
        "messagesPerSecond": round(pipeline.messages / max(elapsed_s, 1e-9)),
    }
    return ReplayResult(
        run_id=options.run_id,
        digest=digest.hexdigest(),
        figures=figures,
        report=report,
        is_complete=is_complete,
    )


def _feed_all(pipeline: Pipeline, data: MarketData, options: ReplayOptions) -> bool:
    """Feed chunk after chunk; False when it was asked to stop before the end."""
    chunks = data.chunks if options.pacer is None else options.pacer.paced(data.chunks)
    for chunk in chunks:
        if options.should_stop():
            return False
        pipeline.feed(chunk)
        options.on_progress()
    return not options.should_stop()


def _report(
    data: MarketData,
    decision: DecisionConfig,
    execution: ExecutionConfig,
    pipeline: Pipeline,
    figures: RunFigures,
) -> dict[str, Any]:
    """Everything a reader needs to take the result for what it is, JSON-ready."""
    risk = pipeline.execution.risk(pipeline.last_ns)
    counts = figures.counts
    return {
        "mode": "FULL_DECISION",
        "recording": data.description,
        "paths": list(data.paths),
        "symbols": list(data.symbols),
        "from": iso_ms(pipeline.first_ns),
        "to": iso_ms(pipeline.last_ns),
        "counts": {
            "messages": pipeline.messages,
            "frames": counts["frames"],
            "triggerFrames": counts["trigger frames"],
            "crossedFrames": figures.crossed_frames,
            "signals": counts["signals"],
            "stateEvents": counts["state events"],
            "requests": sum(n for name, n in counts.items() if name.startswith("requests ")),
            "orders": counts["orders"],
            "fills": counts["fills"],
            "makerFills": counts["maker fills"],
            "trades": len(figures.trades),
        },
        "messagesByKind": dict(sorted(data.message_counts.items())),
        "linesByKind": dict(sorted(data.line_counts.items())),
        "result": {
            "grossPnl": round(figures.gross_usdt, 8),
            "fees": float(figures.fees_usdt),
            "netPnl": round(figures.net_usdt, 8),
            "wins": figures.wins,
            "equity": risk.equity,
            "openPositions": risk.open_positions,
        },
        "assumptions": _assumptions(data, decision, execution),
        "faults": {
            "counts": dict(sorted(data.faults.counts.items())),
            "examples": data.faults.examples,
        },
        "kernelCounters": {k: v for k, v in pipeline.kernel.counters().items() if v},
    }


def _assumptions(
    data: MarketData, decision: DecisionConfig, execution: ExecutionConfig
) -> dict[str, Any]:
    return {
        "configVersion": decision.version,
        "makerFeeBps": execution.maker_fee_bps,
        "takerFeeBps": execution.taker_fee_bps,
        "orderLatencyMs": execution.sim_latency_ms,
        "latencyJitterMs": execution.sim.latency_jitter_ms,
        "amendLatencyMs": execution.sim.amend_latency_ms,
        "cancelLatencyMs": execution.sim.cancel_latency_ms,
        "queueModel": execution.queue_model,
        "startBalance": execution.sim_balance_usdt,
        "exchangeClockAheadMs": data.exchange_ahead_ns / 1e6,
        "notes": list(data.notes),
        "instruments": [msgspec.to_builtins(i, str_keys=True) for i in data.instruments],
    }
