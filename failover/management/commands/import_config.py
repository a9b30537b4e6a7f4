"""`manage.py import_config FILE`: a JSON document becomes a new version of the trading config."""

from __future__ import annotations

import getpass
import sys
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError

from failover.domain.config import BadConfigDocument
from failover.models import AuditSource
from failover.services.audit import Actor
from failover.services.config_files import read_document
from failover.services.config_store import NotActivated, activate, save_version

REFUSED, NOT_ACTIVATED = 2, 3


class Command(BaseCommand):
    help = (
        "Write a JSON document as a new version of the trading config. Exit code 2: the document is "
        "refused, nothing is written; 3: it is written and could not be activated."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "file",
            metavar="FILE",
            help="a JSON document, or a built-in one (default, demo); - reads standard input",
        )
        parser.add_argument("--activate", action="store_true", help="make it the active version")
        parser.add_argument("--note", default="", help="why; kept with the version")

    def handle(self, **options: Any) -> None:
        actor = Actor(name=_user(), source=AuditSource.CLI)
        try:
            version = save_version(_read(options["file"]), actor=actor, note=options["note"])
        except BadConfigDocument as bad:
            lines = "\n".join(f"  {reason}" for reason in bad.reasons)
            text = f"{options['file']} is refused, nothing is written:\n{lines}"
            raise CommandError(text, returncode=REFUSED) from None
        except DatabaseError as error:
            raise CommandError(
                f"the database cannot be used ({error}): manage.py migrate"
            ) from None
        self.stdout.write(f"version {version.pk} ({version.content}) is written")
        if options["activate"]:
            self._activate(version.pk, actor, options["note"])

    def _activate(self, number: int, actor: Actor, note: str) -> None:
        try:
            activate(number, actor=actor, reason=note)
        except (NotActivated, DatabaseError) as error:
            raise CommandError(str(error), returncode=NOT_ACTIVATED) from None
        self.stdout.write(f"version {number} is active")


def _read(name: str) -> bytes:
    if name == "-":
        return sys.stdin.buffer.read()
    try:
        return read_document(name, settings.TRADING_PROFILES_DIR)
    except BadConfigDocument as bad:
        raise CommandError(f"{name}: {bad.errors[0].reason}") from None


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        return "command line"
