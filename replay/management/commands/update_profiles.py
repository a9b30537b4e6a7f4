"""Runs `profileUpdater` now: thresholds per symbol from our own recordings, proposed with their evidence."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError

from failover.domain.config import BadConfigDocument
from replay.adapters.session_paths import open_market_data
from replay.services.profile_run import update_lines, update_profiles

_STOPPED = 130


class Command(BaseCommand):
    help = "Propose thresholds per symbol from the recordings of the last days, as the worker does daily."
    requires_system_checks = []  # works without Redis

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--days", type=int, help="days looked at, today included (config)")
        parser.add_argument("--data", type=Path, help="folder of recorded days (DATA_DIR/market)")
        parser.add_argument("--dry-run", action="store_true", help="say it, write nothing")

    def handle(self, **options: Any) -> None:
        if problems := settings.ENVIRONMENT_PROBLEMS:
            raise CommandError("; ".join(f"{p.variable}: {p.reason}" for p in problems))
        if (days := options["days"]) is not None and not 1 <= days <= 90:
            raise CommandError(f"--days {days}: 1 to 90 are possible")
        folder = options["data"] or settings.DATA_DIR / "market"
        if not folder.is_dir():
            raise CommandError(f"{folder}: no such folder; name one of recorded days with --data")
        try:
            update = update_profiles(
                lambda day: open_market_data([day]),
                folder=folder, days=days, is_dry=options["dry_run"],
            )  # fmt: skip
        except BadConfigDocument as error:
            raise CommandError(str(error)) from None
        except DatabaseError as error:
            raise CommandError(f"the database does not answer: {error}") from None
        except KeyboardInterrupt:
            sys.exit(_STOPPED)
        for line in update_lines(update):
            self.stdout.write(line)
