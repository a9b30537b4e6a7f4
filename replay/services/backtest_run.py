"""One job of a backtest in this process: open the recording, run the pipeline, keep what is judged."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

from market.domain.recordings import BadRecording, MarketData
from replay.domain.backtest_parts import BacktestJob, MarketVolume, PartFailure, PartResult
from replay.domain.trade_watch import TradeWatch
from replay.services.run import ReplayOptions, ReplayResult, run_replay

OpenData = Callable[..., MarketData]  # replay.adapters.open_market_data
Outcome = PartResult | PartFailure
OnProgress = Callable[[int, int], None]  # bytes read, bytes in all


class Stopped(Exception):
    """It was asked to stop: nothing came of it."""


def failure_of(job: BacktestJob, reason: str) -> PartFailure:
    return PartFailure(name=job.name, paths=list(job.paths), reason=reason)


def outcome_of(
    job: BacktestJob,
    open_data: OpenData,
    on_progress: OnProgress,
    should_stop: Callable[[], bool],
) -> Outcome:
    """As `run_job`, but a recording that cannot be read is an outcome too. Raises: Stopped."""
    try:
        return run_job(job, open_data, on_progress, should_stop)
    except BadRecording as error:
        return failure_of(job, str(error))
    except OSError as error:
        return failure_of(job, f"{error.filename}: {error.strerror}")


def run_job(
    job: BacktestJob,
    open_data: OpenData,
    on_progress: OnProgress = lambda read, total: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> PartResult:
    """Raises: BadRecording, OSError where the recording breaks; Stopped."""
    data = open_data(
        [Path(path) for path in job.paths],
        symbols=list(job.symbols) or None,
        from_ns=job.from_ns,
        to_ns=job.to_ns,
        instruments_file=Path(job.instruments_file) if job.instruments_file else None,
    )
    progress = data.progress
    watch = TradeWatch(data.instruments, Decimal(repr(job.execution.sim_balance_usdt)))
    volume = MarketVolume(data.instruments)
    data.chunks = volume.watch(data.chunks)
    replay = ReplayOptions(
        run_id=job.name,
        should_stop=should_stop,
        on_progress=lambda: on_progress(progress.bytes_read, progress.bytes_total),
        observers=(watch,),
        execution_by_symbol=job.execution_by_symbol,
        records=False,
    )
    done = run_replay(data, job.decision, job.execution, replay)
    if not done.is_complete:
        raise Stopped
    return _part(job, done, watch, volume)


def _part(
    job: BacktestJob, done: ReplayResult, watch: TradeWatch, volume: MarketVolume
) -> PartResult:
    watch.finish()
    return PartResult(
        name=job.name,
        variant=job.variant,
        paths=list(job.paths),
        symbols=list(done.report["symbols"]),
        from_ns=watch.first_ns,
        to_ns=watch.last_ns,
        warmup_s=job.decision.market.warmup_s,
        digest=done.digest,
        deposit_usdt=watch.deposit_usdt,
        trades=watch.trades,
        open_positions=watch.open_positions,
        unexplained_trades=watch.unexplained,
        fills=done.figures.counts["fills"],
        maker_fills=done.figures.counts["maker fills"],
        equity=watch.equity_points(),
        drawdown=watch.drawdown,
        prices=watch.price_points(),
        market_notional_usdt=volume.by_symbol(),
        report=done.report,
    )
