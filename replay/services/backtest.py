"""A whole backtest: recordings to jobs, jobs to parts, parts to a judgement."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from execution.domain.config import ExecutionConfig
from replay.domain.backtest_parts import (
    BacktestJob,
    PartFailure,
    PartResult,
    Tape,
    Variant,
    with_variant,
)
from replay.services.backtest_run import Outcome
from strategy.domain.config import DecisionConfig

Runner = Callable[[Sequence[BacktestJob]], Iterator[tuple[BacktestJob, Outcome]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class BacktestOptions:
    """What is the same for every tape."""

    decision: DecisionConfig
    execution: ExecutionConfig
    execution_by_symbol: dict[str, ExecutionConfig] = field(default_factory=dict)
    variants: tuple[Variant, ...] = tuple(Variant)
    from_ns: int | None = None
    to_ns: int | None = None
    instruments_file: str = ""


@dataclass(slots=True)
class BacktestParts:
    """What all jobs came to; a tape is in `by_variant` with all its variants or not at all."""

    by_variant: dict[Variant, list[PartResult]]
    failures: list[PartFailure] = field(default_factory=list)


def run_backtest(tapes: Sequence[Tape], options: BacktestOptions, run: Runner) -> BacktestParts:
    """Run every tape under every variant; what fails whole is tried symbol by symbol."""
    found, failed = _run_all(tapes, options, run)
    again = [one for tape, _ in failed for one in tape.alone]
    failures = [failure for tape, failure in failed if not tape.alone]
    if again:
        more, still = _run_all(again, options, run)
        found += more
        failures += [failure for _, failure in still]
    found.sort(key=lambda part: (part.from_ns, part.name))
    by_variant = {v: [part for part in found if part.variant is v] for v in options.variants}
    return BacktestParts(by_variant=by_variant, failures=failures)


def _run_all(
    tapes: Sequence[Tape], options: BacktestOptions, run: Runner
) -> tuple[list[PartResult], list[tuple[Tape, PartFailure]]]:
    by_name = {tape.name: tape for tape in tapes}
    jobs = [job for tape in tapes for job in jobs_of(tape, options)]
    parts: list[PartResult] = []
    failed: dict[str, PartFailure] = {}
    for job, outcome in run(jobs):
        if isinstance(outcome, PartFailure):
            failed.setdefault(job.name, outcome)
        else:
            parts.append(outcome)
    whole = [part for part in parts if part.name not in failed]
    return whole, [(by_name[name], failure) for name, failure in failed.items()]


def jobs_of(tape: Tape, options: BacktestOptions) -> list[BacktestJob]:
    """One job per variant."""
    job = BacktestJob(
        name=tape.name,
        paths=tape.paths,
        decision=options.decision,
        execution=options.execution,
        execution_by_symbol=options.execution_by_symbol,
        symbols=tape.symbols,
        from_ns=options.from_ns,
        to_ns=options.to_ns,
        instruments_file=options.instruments_file,
        size_bytes=tape.size_bytes,
    )
    return [with_variant(job, variant) for variant in options.variants]
