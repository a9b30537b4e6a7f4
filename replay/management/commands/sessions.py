"""`manage.py sessions list|show|verify|delete|export|import`: what lies under data/replay/sessions."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError

from replay.adapters.session_export import export_to_file
from replay.adapters.session_import import import_session
from replay.adapters.session_store import SessionStore
from replay.domain.sessions import SessionRefused
from replay.services.session_jobs import delete_session
from replay.services.session_rows import keep_row


class Command(BaseCommand):
    help = "List, show, verify, delete, export and import replay sessions. See also build_session."
    requires_system_checks = []  # works without Redis; without a database but for delete

    def add_arguments(self, parser: ArgumentParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True)
        verbs.add_parser("list", help="all sessions, newest first")
        for verb, text in (
            ("show", "the manifest of one"),
            ("verify", "whether its events are what its manifest says"),
            ("delete", "remove it with all its files"),
        ):
            verbs.add_parser(verb, help=text).add_argument("session_id")
        export = verbs.add_parser("export", help="write it as one file, <id>.tar.zst")
        export.add_argument("session_id")
        export.add_argument("to", nargs="?", type=Path, default=Path(), help="folder or new file")
        bring = verbs.add_parser("import", help="take in a file that export wrote")
        bring.add_argument("file", type=Path)
        bring.add_argument("--session-id", help="another id than the one it carries")

    def handle(self, **options: Any) -> None:
        if problems := settings.ENVIRONMENT_PROBLEMS:
            raise CommandError("; ".join(f"{p.variable}: {p.reason}" for p in problems))
        verbs: dict[str, Callable[[SessionStore, dict[str, Any]], None]] = {
            "list": self._list, "show": self._show, "verify": self._verify,
            "delete": self._delete, "export": self._export, "import": self._import,
        }  # fmt: skip
        try:
            verbs[options["verb"]](SessionStore(settings.DATA_DIR), options)
        except SessionRefused as refused:
            raise CommandError(f"{refused.code}: {refused.message}") from None
        except OSError as error:
            raise CommandError(f"{error.filename}: {error.strerror}") from None

    def _list(self, store: SessionStore, options: dict[str, Any]) -> None:
        del options
        for manifest in store.list_sessions():
            span = manifest.source_date_range
            self.stdout.write(
                f"{manifest.session_id}  {span.from_} .. {span.to}  "
                f"{','.join(manifest.symbols)}  {manifest.total_events:,} events  {manifest.digest[:12]}"
            )
        for name, reason in store.broken_sessions().items():
            self.stderr.write(f"{name}: {reason}")

    def _show(self, store: SessionStore, options: dict[str, Any]) -> None:
        manifest = store.require(options["session_id"])
        self.stdout.write(msgspec.json.format(msgspec.json.encode(manifest)).decode())

    def _verify(self, store: SessionStore, options: dict[str, Any]) -> None:
        facts = store.verify(options["session_id"])
        self.stdout.write(f"{facts.messages:,} events, digest {facts.digest}: as the manifest says")

    def _delete(self, store: SessionStore, options: dict[str, Any]) -> None:
        try:
            is_deleted = delete_session(options["session_id"], store)
        except DatabaseError as error:
            raise CommandError(
                f"the database does not say whether it is in use ({error}); nothing was deleted"
            ) from None
        if not is_deleted:
            raise CommandError(f"there is no session {options['session_id']!r}")
        self.stdout.write(f"deleted {options['session_id']}")

    def _export(self, store: SessionStore, options: dict[str, Any]) -> None:
        path = export_to_file(store, options["session_id"], options["to"])
        self.stdout.write(f"wrote {path} ({path.stat().st_size:,} bytes)")

    def _import(self, store: SessionStore, options: dict[str, Any]) -> None:
        with options["file"].open("rb") as file:
            manifest = import_session(store, file, session_id=options["session_id"])
        try:
            keep_row(manifest)
        except DatabaseError as error:
            reason = str(error).partition("\n")[0]
            self.stderr.write(
                f"note: no row in the database ({reason}); later: manage.py rebuild_session_rows"
            )
        self.stdout.write(f"session {manifest.session_id}: {manifest.total_events:,} events")
