"""`manage.py export_config`: a version of the trading config as a JSON document."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError

from failover.domain.config import load_document
from failover.domain.config_versions import resolved
from failover.models import ConfigVersion
from failover.services.config_store import NoSuchVersion, active_version, get_version

MISSING, UNUSABLE = 2, 3


class Command(BaseCommand):
    help = (
        "Print a version of the trading config as its author wrote it (what it leaves out has its "
        "default), or with --resolved every value that holds. Exit code 2: there is no such version; 3: "
        "this build cannot resolve it."
    )

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        """Here `--version` is the config's and not Django's."""
        return super().create_parser(prog_name, subcommand, conflict_handler="resolve", **kwargs)

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--version",
            type=int,
            metavar="N",
            help="number of the version; default: the active one",
        )
        parser.add_argument(
            "--resolved", action="store_true", help="every value that holds, defaults included"
        )
        parser.add_argument("--out", type=Path, help="a file instead of standard output")

    def handle(self, **options: Any) -> None:
        version = _chosen(options["version"])
        written = _resolved(version) if options["resolved"] else version.document
        text = msgspec.json.format(written, indent=2) + "\n"
        if options["out"] is None:
            self.stdout.write(text, ending="")
            return
        try:
            options["out"].write_text(text, encoding="utf-8")
        except OSError as error:
            raise CommandError(f"{options['out']}: {error.strerror}") from None
        self.stderr.write(f"version {version.pk} ({version.content}) is in {options['out']}")


def _chosen(number: int | None) -> ConfigVersion:
    try:
        version = active_version() if number is None else get_version(number)
    except NoSuchVersion as error:
        raise CommandError(str(error), returncode=MISSING) from None
    except DatabaseError as error:
        raise CommandError(f"the database cannot be used ({error}): manage.py migrate") from None
    if version is None:
        text = "no version is active yet: start the services once, or import_config FILE --activate"
        raise CommandError(text, returncode=MISSING)
    return version


def _resolved(version: ConfigVersion) -> str:
    document, errors = load_document(version.document.encode())
    if document is None:
        reasons = "; ".join(map(str, errors))
        text = f"version {version.pk} cannot be used by this build: {reasons}"
        raise CommandError(text, returncode=UNUSABLE)
    return msgspec.json.encode(resolved(document)).decode()
