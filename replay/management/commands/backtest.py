"""Judges a profile on recorded markets: many recordings side by side, one report."""

from __future__ import annotations

import os
import sys
import uuid
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from celery import current_app
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from tqdm import tqdm

from failover.adapters.in_use import in_use
from failover.domain.config import BadConfigDocument
from failover.domain.errors import StorageError
from replay.adapters.backtest_files import HTML_NAME, ReportFolder
from replay.adapters.run_files import OutputFolderInUse
from replay.adapters.run_rows import save_backtest
from replay.adapters.session_paths import open_market_data
from replay.adapters.tapes import NoSuchSymbol, find_tapes
from replay.adapters.trial_ledger import Trial, TrialLedger, sources_of, trials_with_this
from replay.domain.backtest_parts import BacktestJob, PartFailure, Tape, Variant
from replay.domain.judgement import judge
from replay.management.arguments import STOPPED, StopOnSignals, instant
from replay.services.backtest import BacktestOptions, BacktestParts, run_backtest
from replay.services.backtest_celery import NoWorkers, run_on_workers
from replay.services.backtest_report import render_report
from replay.services.backtest_reports import REPORTS_FOLDER
from replay.services.backtest_run import Outcome, Stopped
from replay.services.backtest_text import summary_lines
from replay.services.backtest_workers import run_jobs
from replay.wiring import load_settings

Runs = Iterator[tuple[BacktestJob, Outcome]]


class Command(BaseCommand):
    help = (
        "Run a profile over recordings of any kind run_replay reads and judge it: one HTML page and "
        "report.json. Exit code 1 when a recording could not be read, 130 when interrupted."
    )
    requires_system_checks = []  # works without a database; without Redis but for --celery

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("paths", nargs="+", type=Path, metavar="PATH", help="recordings; Binance "
                            "captures of the same time or following each other are taken as one")  # fmt: skip
        parser.add_argument("--profile", help="default, demo or a JSON file (TRADING_CONFIG)")
        parser.add_argument("--out", type=Path, help="new folder (data/backtests/<time>-<id>)")
        parser.add_argument("--symbol", action="append", default=[], help="only this; repeatable")
        parser.add_argument("--from", dest="from_", type=instant, help="core time, ISO 8601, UTC")
        parser.add_argument("--to", type=instant, help="core time, exclusive, ISO 8601, UTC")
        parser.add_argument("--instruments", type=Path, help="trading rules that override ours")
        parser.add_argument("--each-symbol", action="store_true", help="one account per symbol, side "
                            "by side (default: the symbols of a recording share one account)")  # fmt: skip
        parser.add_argument("--no-sensitivity", action="store_true", help="no re-runs with other "
                            "latency and fees")  # fmt: skip
        where = parser.add_mutually_exclusive_group()
        where.add_argument("--jobs", type=_at_least_one, default=os.cpu_count() or 1,
                           help="processes side by side (one per core)")  # fmt: skip
        where.add_argument("--celery", action="store_true", help="on the Celery workers of the bus")
        parser.add_argument("--trials", type=_at_least_one, default=1, help="configurations tried on "
                            "these data, where you know of more than the ledger does")  # fmt: skip
        parser.add_argument("--seed", type=_at_least_zero, default=1, help="of the bootstrap")
        parser.add_argument("--no-save", action="store_true", help="keep no row in the database")

    def handle(self, **options: Any) -> None:
        if problems := settings.ENVIRONMENT_PROBLEMS:
            raise CommandError("; ".join(f"{p.variable}: {p.reason}" for p in problems))
        try:
            failures = self._backtest(options)
        except (
            BadConfigDocument,
            NoSuchSymbol,
            NoWorkers,
            OutputFolderInUse,
            StorageError,
        ) as error:
            raise CommandError(str(error)) from None
        except OSError as error:
            raise CommandError(f"{error.filename}: {error.strerror}") from None
        except Stopped:
            self.stderr.write("interrupted: no report, nothing kept")
            sys.exit(STOPPED)
        if failures:
            count = f"{len(failures)} recording(s) could not be read, the report lacks them"
            raise CommandError(f"{count}: {'; '.join(failure.reason for failure in failures)}")

    def _backtest(self, options: dict[str, Any]) -> Sequence[PartFailure]:
        chosen = self._options(options)
        wanted = [s for text in options["symbol"] for s in text.split(",") if s]
        tapes, bad = find_tapes(
            options["paths"],
            wanted=wanted,
            instruments_file=options["instruments"],
            each_symbol_alone=options["each_symbol"],
        )
        if not tapes:
            raise CommandError("nothing to run: " + "; ".join(failure.reason for failure in bad))
        now = datetime.now(UTC)
        run_id = f"b{uuid.uuid4().hex[:10]}"
        default = settings.DATA_DIR / REPORTS_FOLDER / f"{now:%Y%m%dT%H%M%SZ}-{run_id}"
        stop = StopOnSignals(self.stderr, "stopping the runs")
        out = options["out"] or default
        claim = in_use(settings.DATA_DIR, f"backtest {run_id}", [*options["paths"], out])
        with stop, claim, ReportFolder(out) as folder:
            found = self._run(tapes, chosen, options, stop)
            found.failures[:0] = bad
            if not found.by_variant[Variant.BASE]:
                reasons = "; ".join(failure.reason for failure in found.failures)
                raise CommandError(f"no recording could be read: {reasons}")
            run = {
                "runId": run_id,
                "createdAt": f"{now:%Y-%m-%dT%H:%M:%SZ}",
                "profile": options["profile"] or settings.ENVIRONMENT.trading_config,
                "configVersion": chosen.decision.version,
            }
            document = self._judged(found, run, options)
            folder.write(render_report(document, found.by_variant[Variant.BASE]), document)
        self._tell(document, folder.folder, save=not options["no_save"])
        return found.failures

    def _options(self, options: dict[str, Any]) -> BacktestOptions:
        if options["from_"] and options["to"] and options["to"] <= options["from_"]:
            raise CommandError("--to is not after --from")
        if (rules := options["instruments"]) is not None and not rules.is_file():
            raise CommandError(f"{rules}: no such file")
        profile = options["profile"] or settings.ENVIRONMENT.trading_config
        decision, execution = load_settings(profile)
        return BacktestOptions(
            decision=decision,
            execution=execution.config,
            execution_by_symbol=execution.symbols,
            variants=(Variant.BASE,) if options["no_sensitivity"] else tuple(Variant),
            from_ns=options["from_"],
            to_ns=options["to"],
            instruments_file=str(rules.resolve()) if rules else "",
        )

    def _run(
        self,
        tapes: Sequence[Tape],
        chosen: BacktestOptions,
        options: dict[str, Any],
        stop: StopOnSignals,
    ) -> BacktestParts:
        def run(jobs: Sequence[BacktestJob]) -> Runs:
            if options["celery"]:
                return run_on_workers(
                    current_app, jobs, on_progress=progress.show, should_stop=stop.is_asked
                )
            return run_jobs(
                jobs,
                open_market_data,
                processes=options["jobs"],
                on_progress=progress.show,
                should_stop=stop.is_asked,
            )

        with _Progress() as progress:
            return run_backtest(tapes, chosen, run)

    def _judged(
        self, found: BacktestParts, run: dict[str, Any], options: dict[str, Any]
    ) -> dict[str, Any]:
        """The document of report.json; the trial is in the ledger when this returns."""
        ledger_path = settings.DATA_DIR / REPORTS_FOLDER / "trials.jsonl"
        ledger = TrialLedger(ledger_path)
        used = sorted({path for part in found.by_variant[Variant.BASE] for path in part.paths})
        sources = sources_of([Path(path) for path in used])
        trials = trials_with_this(ledger.trials_of(sources), options["trials"])
        judgement = judge(found.by_variant, found.failures, trials, seed=options["seed"])
        ledger.append(
            Trial(
                run_id=run["runId"],
                at=run["createdAt"],
                config_version=run["configVersion"],
                sources=sources,
                trades=judgement["result"]["trades"],
                sharpe=judgement["statistics"]["sharpe"],
            )
        )
        return {"run": {**run, "ledger": ledger_path.name, "sources": sources}, **judgement}

    def _tell(self, document: dict[str, Any], folder: Path, *, save: bool) -> None:
        for line in summary_lines(document):
            self.stdout.write(line)
        self.stdout.write(f"report: {folder / HTML_NAME}")
        if save and (reason := save_backtest(document, str(folder))):
            self.stderr.write(f"note: the backtest is not kept in the database ({reason})")


class _Progress:
    """One bar over the bytes of all runs, on a terminal; silence elsewhere."""

    def __init__(self) -> None:
        self._bar = tqdm(
            total=0, unit="B", unit_scale=True, leave=False, desc="backtest",
            disable=not sys.stderr.isatty(), file=sys.stderr,
        )  # fmt: skip

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()

    def show(self, done: int, total: int) -> None:
        self._bar.total = total
        self._bar.update(done - self._bar.n)


def _at_least_one(text: str) -> int:
    return _whole_number(text, least=1)


def _at_least_zero(text: str) -> int:
    return _whole_number(text, least=0)


def _whole_number(text: str, *, least: int) -> int:
    try:
        number = int(text)
    except ValueError:
        number = least - 1
    if number < least:
        raise ArgumentTypeError(f"{text!r} is no whole number from {least}")
    return number
