"""Runs the retention job now: deletes what is old and needed by nothing, and reports every file."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from collections import Counter
from datetime import UTC, datetime
from typing import Any

import msgspec
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from failover.domain.config import BadConfigDocument
from monitoring.domain.retention_report import RetentionReport
from monitoring.services.retention import (
    AlreadyRunning,
    configured_retention,
    keep_failure,
    keep_report,
    run_retention,
)
from replay.management.arguments import instant

_MOST_LINES = 40


class Command(BaseCommand):
    help = (
        "Delete old files that nothing needs, as the worker does daily (config section retention)."
    )
    requires_system_checks = []  # works without Redis

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="say it, delete nothing")
        parser.add_argument("--now", type=instant, help="count ages from then (ISO 8601, UTC)")
        parser.add_argument("--json", action="store_true", help="print the RetentionReport")

    def handle(self, **options: Any) -> None:
        if problems := settings.ENVIRONMENT_PROBLEMS:
            raise CommandError("; ".join(f"{p.variable}: {p.reason}" for p in problems))
        now = self._now(options)
        try:
            config = configured_retention()
            report = run_retention(now=now, is_dry=options["dry_run"], config=config)
        except AlreadyRunning as error:
            raise CommandError(f"another retention run is at it (pid {error})") from None
        except (BadConfigDocument, OSError) as error:
            raise self._failed(error, options) from None
        reason = keep_report(report, config)
        if options["json"]:
            self.stdout.write(msgspec.json.encode(report).decode())
        else:
            self._print(report)
        if reason:
            self.stderr.write(f"note: the report is not kept in the database ({reason})")
        if report.errors:
            sys.exit(1)

    def _failed(self, error: BadConfigDocument | OSError, options: dict[str, Any]) -> CommandError:
        if not options["dry_run"] and (reason := keep_failure(error)):
            self.stderr.write(f"note: the failure is not kept in the database ({reason})")
        if isinstance(error, OSError):
            return CommandError(f"{error.filename}: {error.strerror}")
        return CommandError(str(error))

    def _now(self, options: dict[str, Any]) -> datetime:
        present = datetime.now(UTC)
        if options["now"] is None:
            return present
        now = datetime.fromtimestamp(options["now"] / 1e9, UTC)
        if now > present and not options["dry_run"]:
            # The files of today would count as old.
            raise CommandError("--now lies in the future: possible with --dry-run only")
        return now

    def _print(self, report: RetentionReport) -> None:
        verb = "would delete" if report.dry_run else "deleted"
        for path in report.deleted_files[:_MOST_LINES]:
            self.stdout.write(f"{verb} {path}: {report.reasons[path]}")
        if (more := len(report.deleted_files) - _MOST_LINES) > 0:
            self.stdout.write(f"… and {more} more (--json lists them)")
        for path in report.foreign_files[:_MOST_LINES]:
            self.stdout.write(f"kept {path}: {report.reasons[path]}")
        for error in report.errors:
            self.stdout.write(f"ERROR {error.file}: {error.error}")
        kept = Counter(_kind(report.reasons[path]) for path in report.kept_files)
        for reason, count in kept.most_common():
            self.stdout.write(f"kept {count}: {reason}")
        self.stdout.write(
            f"{verb} {len(report.deleted_files)} files ({report.freed_bytes / 1e6:,.1f} MB), "
            f"kept {len(report.kept_files)}, errors {len(report.errors)}"
        )


def _kind(reason: str) -> str:
    """Reasons that differ by a time or a name only are counted together."""
    return reason if not reason.startswith("until ") else f"young{reason[reason.index(' (') :]}"
