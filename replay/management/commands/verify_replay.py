"""Feeds the cores what they consumed once more, and demands the same decisions, byte for byte."""

from __future__ import annotations

import sys
import uuid
from argparse import ArgumentParser
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from tqdm import tqdm

from failover.adapters.in_use import in_use
from replay.adapters.run_rows import save_verification
from replay.adapters.session_store import SessionStore
from replay.domain.verify_report import VerifyReport
from replay.management.arguments import STOPPED, StopOnSignals, instant
from replay.services.verify import CORES, Stopped, VerifyProgress, verify_session
from replay.services.verify_text import verify_lines

_DIFFERENT = 1


class Command(BaseCommand):
    help = (
        "Prove that the recorded decisions follow from the recorded inputs: market, strategy and execution "
        "are fed their journals (data/journal) and the raw recording (data/market) again. Exit code 0: all "
        "the same; 1: something differs or could not be proved."
    )
    requires_system_checks = []  # works without a database and without Redis

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--session", help="the time that a session is of")
        parser.add_argument("--from", dest="from_", type=instant, help="core time, ISO 8601, UTC")
        parser.add_argument("--to", type=instant, help="core time, exclusive, ISO 8601, UTC")
        parser.add_argument("--data", type=Path, help="data folder (default: the configured one)")
        parser.add_argument("--core", action="append", choices=CORES, help="only this; repeatable")
        parser.add_argument("--json", action="store_true", help="print the report as one JSON line")
        parser.add_argument("--no-save", action="store_true", help="keep no row in the database")

    def handle(self, **options: Any) -> None:
        data_dir = options["data"] or settings.DATA_DIR
        if not data_dir.is_dir():
            raise CommandError(f"--data {data_dir}: no such folder")
        from_ns, to_ns = self._window(options, data_dir)
        try:
            report = self._verified(data_dir, from_ns, to_ns, options["core"] or CORES)
        except Stopped:
            self.stderr.write("stopped: nothing is claimed")
            sys.exit(STOPPED)
        except OSError as error:
            raise CommandError(f"{error.filename}: {error.strerror}") from None
        self._tell(report, as_json=options["json"])
        if not options["no_save"] and (reason := save_verification(report, str(data_dir))):
            self.stderr.write(f"note: the run is not kept in the database ({reason})")
        if not report.is_equal:
            sys.exit(_DIFFERENT)

    def _window(self, options: dict[str, Any], data_dir: Path) -> tuple[int | None, int | None]:
        from_ns, to_ns = options["from_"], options["to"]
        if options["session"]:
            if from_ns is not None or to_ns is not None:
                raise CommandError("--session says the time; leave --from and --to out")
            manifest = SessionStore(data_dir).get_session(options["session"])
            if manifest is None:
                raise CommandError(f"--session {options['session']}: no such session")
            return manifest.from_ns, manifest.to_ns
        if from_ns is not None and to_ns is not None and to_ns <= from_ns:
            raise CommandError("--to is not after --from")
        return from_ns, to_ns

    def _verified(
        self, data_dir: Path, from_ns: int | None, to_ns: int | None, cores: Sequence[str]
    ) -> VerifyReport:
        bar = tqdm(disable=not sys.stderr.isatty(), unit=" runs", file=sys.stderr)

        def show(progress: VerifyProgress) -> None:
            bar.total, bar.n = progress.runs, progress.run - 1
            bar.set_description(f"{progress.core} {progress.run_id}")

        run_id = f"v{uuid.uuid4().hex[:12]}"
        read = [data_dir / "market", data_dir / "journal"]
        claim = in_use(data_dir, f"verify_replay {run_id}", read)
        with StopOnSignals(self.stderr, "stopping") as stop, bar, claim:
            return verify_session(
                data_dir,
                run_id=run_id,
                from_ns=from_ns,
                to_ns=to_ns,
                cores=cores,
                on_progress=show,
                should_stop=stop.is_asked,
            )

    def _tell(self, report: VerifyReport, *, as_json: bool) -> None:
        if as_json:
            self.stdout.write(msgspec.json.encode(report).decode())
            return
        for line in verify_lines(report):
            self.stdout.write(line)
