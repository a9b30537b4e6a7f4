"""Compares two replay runs, or a run with what was decided live over the same stretch of time."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

import msgspec
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError

from failover.domain.config import BadConfigDocument
from failover.services.archive_place import archive_folder
from failover.services.config_reader import load_config
from replay.domain.config import ReplayConfig
from replay.services.compare import (
    LIVE,
    Comparison,
    ComparisonRefused,
    compare,
)
from replay.services.compare_sources import run_folder
from replay.services.compare_text import comparison_lines
from replay.services.config_documents import configured_name


class Command(BaseCommand):
    help = (
        "Compare what two runs decided: first divergence, counts, and what the difference in PnL is made "
        "of. Exit code 0: no divergence, 1: they differ."
    )
    requires_system_checks = []  # works without Redis

    def add_arguments(self, parser: ArgumentParser) -> None:
        run = "id of a run, or the folder that `run_replay --out` wrote"
        parser.add_argument("a", metavar="A", help=f"{run}; or live")
        parser.add_argument("b", metavar="B", help=f"{run}; or live")
        parser.add_argument("--json", action="store_true", help="print everything as one JSON line")
        parser.add_argument("--tolerance-ms", type=int, help="equal decisions may be so far apart")

    def handle(self, **options: Any) -> None:
        if problems := settings.ENVIRONMENT_PROBLEMS:
            raise CommandError("; ".join(f"{p.variable}: {p.reason}" for p in problems))
        try:
            found = self._compare(options["a"], options["b"], self._config(options["tolerance_ms"]))
        except (ComparisonRefused, BadConfigDocument) as error:
            raise CommandError(str(error)) from None
        except DatabaseError as error:
            raise CommandError(f"the database does not answer: {error}") from None
        except OSError as error:
            raise CommandError(f"{error.filename}: {error.strerror}") from None
        if options["json"]:
            encoder = msgspec.json.Encoder(decimal_format="number")
            self.stdout.write(encoder.encode(found).decode())
        else:
            for line in comparison_lines(found):
                self.stdout.write(line)
        if not found.equal:
            sys.exit(1)

    def _config(self, tolerance_ms: int | None) -> ReplayConfig:
        config: ReplayConfig = load_config(configured_name())["replay"]
        if tolerance_ms is None:
            return config
        if not 0 <= tolerance_ms <= 60_000:
            raise CommandError(f"--tolerance-ms {tolerance_ms}: 0 to 60000 are possible")
        return msgspec.structs.replace(
            config, compare_tolerance_ms=tolerance_ms, compare_live_tolerance_ms=tolerance_ms
        )

    def _compare(self, a: str, b: str, config: ReplayConfig) -> Comparison:
        archive = archive_folder() if LIVE in (a, b) else settings.DATA_DIR
        return compare(
            a, b, data_dir=settings.DATA_DIR, archive=archive, config=config, resolve=_folder
        )


def _folder(data_dir: Path, name: str) -> Path:
    """A folder that somebody named on the command line, else the run of that id."""
    folder = Path(name)
    return folder if (folder / "report.json").is_file() else run_folder(data_dir, name)
