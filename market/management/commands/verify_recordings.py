"""`manage.py verify_recordings [PATH] [--json]`: is what was recorded whole, in order, and unchanged?"""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

import msgspec
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from failover.services.config_reader import active_document
from market.adapters.recording_check import NothingToCheck, RecordingCheck
from market.adapters.recording_reports import keep_report
from market.domain.recording_findings import Finding, RecordingReport, Severity

_MOST_LINES = 40


class Command(BaseCommand):
    help = (
        "Look for torn, missing, reordered, repeated or changed lines, crossed books and foreign files "
        "in recorded markets. Exit code 1 when something is found; what the recording itself admits "
        "(its gaps) is told and is no fault."
    )
    requires_system_checks = []  # works without Redis

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "path", nargs="?", type=Path, help="days, one day, or one file (DATA_DIR/market)"
        )
        parser.add_argument("--json", action="store_true", help="print the RecordingReport")
        parser.add_argument("--no-row", action="store_true", help="keep no row in the database")

    def handle(self, **options: Any) -> None:
        path = options["path"] or Path(settings.DATA_DIR) / "market"
        market = active_document()["market"]
        try:
            report = RecordingCheck(path.resolve(), crossed_ms=market.crossed_ms).run()
        except (NothingToCheck, OSError) as error:
            raise CommandError(str(error), returncode=2) from None
        if options["json"]:
            self.stdout.write(msgspec.json.encode(report).decode())
        else:
            self._print(report)
        if not options["no_row"] and (reason := keep_report(report, "COMMAND")):
            self.stderr.write(f"note: the report is not kept in the database ({reason})")
        if not report.is_clean:
            sys.exit(1)

    def _print(self, report: RecordingReport) -> None:
        faults = [each for each in report.findings if each.severity is not Severity.INFO]
        for finding in faults[:_MOST_LINES]:
            self.stdout.write(_line(finding))
        if (more := len(faults) - _MOST_LINES) > 0:
            self.stdout.write(f"… and {more} more (--json lists them)")
        for problem, count in report.problems.items():
            self.stdout.write(f"{problem}: {count}")
        rate = report.rows / report.seconds if report.seconds else 0.0
        self.stdout.write(
            f"{len(report.files)} files, {report.rows:,} lines ({report.bytes / 1e6:,.1f} MB) in "
            f"{report.seconds:.1f} s ({rate:,.0f} lines/s): {report.errors} errors, "
            f"{report.warnings} warnings"
        )


def _line(finding: Finding) -> str:
    place = finding.path or "all files"
    if finding.line is not None:
        place += f" line {finding.line}"
    run = f" [run {finding.recorder_run}]" if finding.recorder_run else ""
    return f"{finding.severity} {finding.problem} {place}{run}: {finding.detail}"
