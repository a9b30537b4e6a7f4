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

from failover.adapters.journal_reader import JournalReader, journal_runs
from failover.domain.days import utc_day
from failover.domain.journal import Begun, Numbered, Stood
from failover.ports import JournalRun
from replay.domain.verify_core import Window, at_of, verify_run
from replay.domain.verify_coverage import Span, asked_spans, clipped, stretches_without
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
    LAST_MOMENT_NS,
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
    market = proofs[MARKET].spans if MARKET in proofs else None
    for core, report in reports.items():
        report.refused += _unspoken_of(core, report, window, proofs[core].spans, market)
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


class _Stretch(NamedTuple):
    """Where to begin with a run, and the core times its journal speaks of."""

    start: int
    start_ns: int | None
    span: Span


class _Proofs:
    """Proves the runs of one core, oldest first."""

    def __init__(self, core: str, runs: list[JournalRun], place: _Place) -> None:
        self._core, self._place = core, place
        self.spans: list[Span] = []  # core times that the runs' journals speak of
        tails: Tails = {}
        for run in runs if core != MARKET else ():
            if run.core == core:
                add_tails(tails, JournalReader(run).records())
        self._market = RecordedMarket(place.market_dir, place.markets, tails)
        self._execution = ExecutionProofs(self._market)

    def prove(self, run: JournalRun, window: Window, told: _Told) -> CoreReport:
        if not _is_readable(run):
            return self._refused(run, "nothing in its journal can be read", window)
        stretch = _stretch_of(run, window)
        if stretch is None:
            return CoreReport(core=self._core)
        self.spans.append(stretch.span)
        reader = JournalReader(run)
        try:
            report = self._proved(run, told.through(reader.records()), stretch, window)
        except (msgspec.MsgspecError, ValueError) as error:
            reason = f"its journal is of another build or not readable: {error}"
            return CoreReport(
                core=self._core,
                runs=1,
                refused=[_refusal(self._core, reason, None, None, run.run_id)],
            )
        report.unproved += len(reader.torn)
        return report

    def _refused(self, run: JournalRun, reason: str, window: Window) -> CoreReport:
        """Of a file whose times are not known its folder's name is."""
        days = [path.parent.name for path in run.paths]
        if window.to_ns is not None and min(days) > utc_day(window.to_ns):
            return CoreReport(core=self._core)
        if window.from_ns is not None and max(days) < utc_day(window.from_ns):
            return CoreReport(core=self._core)
        refusal = _refusal(self._core, reason, window.from_ns, window.to_ns, run.run_id)
        return CoreReport(core=self._core, runs=1, refused=[refusal])

    def _proved(
        self, run: JournalRun, records: Iterator[Numbered], stretch: _Stretch, window: Window
    ) -> CoreReport:
        start = stretch.start
        if self._core == EXECUTION:
            return self._execution.prove(records, start=start, window=window)
        if self._core == STRATEGY:
            strategy = StrategyUnderProof(self._market)
            return verify_run(STRATEGY, records, strategy, start=start, window=window)
        is_whole = is_ended(run)
        raw = RawCursor(
            self._place.market_dir,
            run.run_id,
            is_ended=is_whole,
            from_ns=stretch.start_ns,
            is_strict=True,
        )
        report = verify_run(MARKET, records, MarketUnderProof(raw), start=start, window=window)
        is_at_end = window.to_ns is None or stretch.span.to_ns < window.to_ns
        if is_at_end and not is_whole and not report.refused:
            report.refused += _recorded_behind(run, raw)
        return report


def _recorded_behind(run: JournalRun, raw: RawCursor) -> list[Refusal]:
    """Of a killed market more than a last moment was recorded behind the end of its journal."""
    recorded_ns = raw.recorded_until_ns()
    last_ns = _last_ns(run)  # only now: a market that lives goes on writing both
    if recorded_ns - last_ns <= LAST_MOMENT_NS:
        return []
    reason = "its journal ends there, and its recording goes on: the journal's end is gone"
    return [_refusal(MARKET, reason, last_ns, recorded_ns, run.run_id)]


def _began_ns(run: JournalRun) -> int:
    return next((at_of(record) or 0 for _, record in JournalReader(run).records()), 0)


def _is_readable(run: JournalRun) -> bool:
    return any(at_of(record) is not None for _, record in JournalReader(run).records())


def _last_ns(run: JournalRun) -> int:
    times = [at_of(record) for _, record in JournalReader(run).records()]
    return max((at_ns for at_ns in times if at_ns is not None), default=0)


def _stretch_of(run: JournalRun, window: Window) -> _Stretch | None:
    """None when the run was not at work in the window."""
    start, start_ns = 1, None
    times: list[int] = []  # the first and the last
    is_past = False
    for number, record in JournalReader(run).records():
        at_ns = at_of(record)
        if isinstance(record, Begun) and window.to_ns is not None and record.at_ns >= window.to_ns:
            return None
        if isinstance(record, Stood) and window.from_ns is not None and not is_past:
            is_past = record.at_ns > window.from_ns
            if not is_past:
                start, start_ns = number, record.at_ns
        if at_ns is not None and not (isinstance(record, Begun) and number > 1):
            times = [*times[:1], at_ns]
    if not times or (window.from_ns is not None and times[-1] < window.from_ns):
        return None
    return _Stretch(start, start_ns, Span(times[0], times[-1]))


def _unspoken_of(
    core: str, report: CoreReport, window: Window, spans: list[Span], market: list[Span] | None
) -> list[Refusal]:
    """What was asked for, or was going on in the market, and no journal of `core` speaks of."""
    if not report.runs:
        reason = f"no journal of {core} is there for that time: nothing can be proved"
        return [_refusal(core, reason, window.from_ns, window.to_ns)]
    if not (report.inputs or report.refused or report.divergences):
        reason = f"the journals of {core} hold no input of that time: nothing can be proved"
        return [_refusal(core, reason, window.from_ns, window.to_ns)]
    wanted = asked_spans(window.from_ns, window.to_ns, spans)
    reason = f"no journal of {core} speaks of it"
    if core != MARKET and market:
        wanted = clipped(market, window.from_ns, window.to_ns)
        reason = f"the market was at work and {reason}: it did not run, or its journal is gone"
    return [_refusal(core, reason, *each) for each in stretches_without(wanted, spans)]


def _refusal(
    core: str, reason: str, from_ns: int | None, to_ns: int | None, run_id: str = ""
) -> Refusal:
    return Refusal(core=core, run_id=run_id, reason=reason, from_ns=from_ns, to_ns=to_ns)
