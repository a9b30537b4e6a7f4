"""`manage.py index_journals`: the rows of the journal's files, made anew from the files."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from typing import Any

import msgspec
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError

from failover.adapters.journal_reader import JournalFolder
from failover.services.journal_index import AlreadyRunning, JournalIndexed, index_journals


class Command(BaseCommand):
    help = (
        "Make the database say of the decision journal what the files under data/journal say. The worker "
        "does so every five minutes with what is new. Exit code 1 when a file could not be read."
    )
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", help="print what was done as JSON")

    def handle(self, **options: Any) -> None:
        if problems := settings.ENVIRONMENT_PROBLEMS:
            raise CommandError("; ".join(f"{p.variable}: {p.reason}" for p in problems))
        files = JournalFolder(settings.DATA_DIR / "journal")
        try:
            done = index_journals(settings.DATA_DIR, files, is_anew=True)
        except DatabaseError as error:
            raise CommandError(f"the database: {error}") from None
        except AlreadyRunning as error:
            raise CommandError(f"another one is at it (pid {error}): try again soon") from None
        except OSError as error:
            raise CommandError(f"{error.filename}: {error.strerror}") from None
        if options["json"]:
            self.stdout.write(msgspec.json.encode(done).decode())
        else:
            self._print(done)
        if done.errors:
            sys.exit(1)

    def _print(self, done: JournalIndexed) -> None:
        for path, reason in done.errors.items():
            self.stderr.write(f"{path}: {reason}")
        self.stdout.write(
            f"{done.added} rows added, {done.changed} changed, {done.removed} removed, "
            f"{done.unchanged} were right ({done.read_bytes / 1e6:,.1f} MB read)"
        )
