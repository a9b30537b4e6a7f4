"""`manage.py rebuild_session_rows`: the rows of the sessions, made anew from their folders."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError

from replay.adapters.session_store import SessionStore
from replay.services.session_rows import rebuild_rows


class Command(BaseCommand):
    help = "Make the database say of replay sessions what the manifests under data/replay/sessions say."
    requires_system_checks = []

    def handle(self, **options: Any) -> None:
        if problems := settings.ENVIRONMENT_PROBLEMS:
            raise CommandError("; ".join(f"{p.variable}: {p.reason}" for p in problems))
        store = SessionStore(settings.DATA_DIR)
        try:
            changes = rebuild_rows(store.list_sessions())
        except DatabaseError as error:
            raise CommandError(f"the database: {error}") from None
        for word, names in (
            ("added", changes.added), ("changed", changes.changed), ("removed", changes.removed),
        ):  # fmt: skip
            for name in names:
                self.stdout.write(f"{word} {name}")
        self.stdout.write(f"{changes.unchanged} rows were right")
        for name, reason in store.broken_sessions().items():
            self.stderr.write(f"{name}: {reason}")
