"""VERIFY: what the cores consumed is fed to them again, and they must give the same, byte for byte.

    report = verify_session(settings.DATA_DIR, run_id="v1", from_ns=..., to_ns=...)

Works on `data/journal` and `data/market` alone: no bus, no database, no clock in what it computes. Each core
starts at the start of its run, or at its last recorded state before `from_ns`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec

from failover.adapters.journal_reader import JournalReader, JournalRun, journal_runs
from failover.domain.journal import Begun, Numbered, Stood
from replay.domain.verify_core import CoreUnderProof, Window, at_of, verify_run
from replay.domain.verify_market import MarketUnderProof
from replay.domain.verify_report import (
    EXECUTION,
    MARKET,
    STRATEGY,
    CoreReport,
    Refusal,
    VerifyReport,
)
from replay.domain.verify_strategy import StrategyUnderProof
from replay.services.recorded_market import (
    RawCursor,
    RecordedMarket,
    Tails,
    add_tails,
    is_ended,
    market_runs,
)
from replay.services.verify_execution import ExecutionProofs

CORES = (MARKET, STRATEGY, EXECUTION)
_TOLD_EVERY = 1000


class VerifyProgress(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """How far a verification is: `run` of `runs`, and the core time it has come to."""

    core: str
    run_id: str
    run: int
    runs: int
    at_ns: int


class Stopped(Exception):
    """Asked to stop; nothing is claimed."""


def verify_session(
    data_dir: Path,
    *,
    run_id: str,
    from_ns: int | None = None,
    to_ns: int | None = None,
    cores: Iterable[str] = CORES,
    on_progress: Callable[[VerifyProgress], object] | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> VerifyReport:
    """Verify every run of `cores` that was at work between `from_ns` and `to_ns` (core times, open ends).

    Raises: Stopped; OSError when a file cannot be read.
    """
    started_s = time.monotonic()
    window = Window(from_ns, to_ns)
    runs = sorted(journal_runs(data_dir / "journal"), key=_began_ns)
    work = [(core, run) for core in CORES if core in set(cores) for run in runs if run.core == core]
    reports = {core: CoreReport(core=core) for core in CORES if core in set(cores)}
    place = _Place(data_dir / "market", market_runs(runs))
    proofs = {core: _Proofs(core, runs, place) for core in reports}
    for number, (core, run) in enumerate(work, 1):
        told = _Told(on_progress, should_stop, core, run.run_id, number, len(work))
        reports[core].add(proofs[core].prove(run, window, told))
    for core, report in reports.items():
        if not report.runs:
            report.refused.append(_nothing_there(core, window))
    return VerifyReport.of(run_id, list(reports.values()), round(time.monotonic() - started_s, 3))


class _Place(NamedTuple):
    market_dir: Path
    markets: dict[str, JournalRun]


class _Told:
    """Passes records through, telling how far they are; raises Stopped when asked to."""

    def __init__(
        self,
        on_progress: Callable[[VerifyProgress], object] | None,
        should_stop: Callable[[], bool] | None,
        core: str,
        run_id: str,
        run: int,
        runs: int,
    ) -> None:
        self._on_progress, self._should_stop = on_progress, should_stop
        self._progress = VerifyProgress(core=core, run_id=run_id, run=run, runs=runs, at_ns=0)

    def through(self, records: Iterable[Numbered]) -> Iterator[Numbered]:
        for count, numbered in enumerate(records):
            if count % _TOLD_EVERY == 0:
                if self._should_stop is not None and self._should_stop():
                    raise Stopped
                if self._on_progress is not None:
                    at_ns = at_of(numbered.record) or self._progress.at_ns
                    self._progress = msgspec.structs.replace(self._progress, at_ns=at_ns)
                    self._on_progress(self._progress)
            yield numbered


class _Span(NamedTuple):
    """Where to begin with a run, and what its journal says of itself."""

    start: int
    start_ns: int | None


class _Proofs:
    """Proves the runs of one core, oldest first."""

    def __init__(self, core: str, runs: list[JournalRun], place: _Place) -> None:
        self._core, self._place = core, place
        tails: Tails = {}
        for run in runs if core != MARKET else ():
            if run.core == core:
                add_tails(tails, JournalReader(run).records())
        self._market = RecordedMarket(place.market_dir, place.markets, tails)
        self._execution = ExecutionProofs(self._market)

    def prove(self, run: JournalRun, window: Window, told: _Told) -> CoreReport:
        span = _span_of(run, window)
        if span is None:
            return CoreReport(core=self._core)
        records = told.through(JournalReader(run).records())
        try:
            return self._proved(run, records, span, window)
        except (msgspec.MsgspecError, ValueError) as error:
            reason = f"its journal is of another build or not readable: {error}"
            refusal = Refusal(core=self._core, run_id=run.run_id, reason=reason)
            return CoreReport(core=self._core, runs=1, refused=[refusal])

    def _proved(
        self, run: JournalRun, records: Iterator[Numbered], span: _Span, window: Window
    ) -> CoreReport:
        if self._core == EXECUTION:
            return self._execution.prove(records, start=span.start, window=window)
        return verify_run(
            self._core, records, self._under_proof(run, span), start=span.start, window=window
        )

    def _under_proof(self, run: JournalRun, span: _Span) -> CoreUnderProof:
        if self._core == STRATEGY:
            return StrategyUnderProof(self._market)
        raw = RawCursor(
            self._place.market_dir,
            run.run_id,
            is_ended=is_ended(run),
            from_ns=span.start_ns,
            is_strict=True,
        )
        return MarketUnderProof(raw)


def _began_ns(run: JournalRun) -> int:
    return next((at_of(record) or 0 for _, record in JournalReader(run).records()), 0)


def _span_of(run: JournalRun, window: Window) -> _Span | None:
    """None when the run was not at work in the window."""
    start, start_ns, last_ns = 1, None, None
    is_past = False
    for number, record in JournalReader(run).records():
        at_ns = at_of(record)
        if isinstance(record, Begun) and window.to_ns is not None and record.at_ns >= window.to_ns:
            return None
        if isinstance(record, Stood) and window.from_ns is not None and not is_past:
            is_past = record.at_ns > window.from_ns
            if not is_past:
                start, start_ns = number, record.at_ns
        last_ns = last_ns if at_ns is None else at_ns
    if last_ns is None or (window.from_ns is not None and last_ns < window.from_ns):
        return None
    return _Span(start, start_ns)


def _nothing_there(core: str, window: Window) -> Refusal:
    return Refusal(
        core=core,
        run_id="",
        reason=f"no journal of {core} is there for that time: nothing can be proved",
        from_ns=window.from_ns,
        to_ns=window.to_ns,
    )
