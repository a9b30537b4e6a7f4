"""`manage.py archive_recordings`: check, index and compress the recorded files of finished days, now."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

import msgspec
from django.conf import settings
from django.core.management.base import BaseCommand

from failover.services.config_reader import active_document
from market.adapters.recording_archiver import ArchivedDay, Outcome, archived_bytes
from market.adapters.recording_job import archive_finished_days


class Command(BaseCommand):
    help = (
        "Check, index and compress (zstd) the recorded files of finished days, as the worker does daily. "
        "Exit code 1 when a file stays as it is, because it is damaged or in use."
    )
    requires_system_checks = []  # works without Redis

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("path", nargs="?", type=Path, help="folder of days (DATA_DIR/market)")
        parser.add_argument("--json", action="store_true", help="print what was done as JSON")

    def handle(self, **options: Any) -> None:
        folder = (options["path"] or Path(settings.DATA_DIR) / "market").resolve()
        document, days = active_document(), []
        for day in archive_finished_days(
            folder, document["recording"], document["market"], source="COMMAND"
        ):
            days.append(day)
            if not options["json"]:
                self._print(day)
        if options["json"]:
            self.stdout.write(msgspec.json.encode(days).decode())
        else:
            before, after = archived_bytes(days)
            self.stdout.write(f"{len(days)} days, {before / 1e6:,.1f} MB -> {after / 1e6:,.1f} MB")
        if any(file.outcome is not Outcome.ARCHIVED for day in days for file in day.files):
            sys.exit(1)

    def _print(self, day: ArchivedDay) -> None:
        report = day.report
        self.stdout.write(
            f"{day.day}: {len(day.files)} files, {report.rows:,} lines, {report.errors} errors, "
            f"{report.warnings} warnings"
        )
        for file in day.files:
            if file.outcome is not Outcome.ARCHIVED:
                self.stdout.write(f"  {file.path} stays as it is: {file.outcome} ({file.reason})")
