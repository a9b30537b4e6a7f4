"""`manage.py build_session`: a stretch of the recording under data/market becomes a replay session."""

from __future__ import annotations

import signal
import sys
from argparse import ArgumentParser, ArgumentTypeError
from types import FrameType
from typing import Any, Self

import msgspec
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError
from tqdm import tqdm

from failover.domain.config import BadConfigDocument
from replay.adapters.session_store import SessionStore
from replay.domain.sessions import (
    EVENT_TYPES,
    BuildProgress,
    BuildReplayOptions,
    ReplayManifest,
    SessionRefused,
)
from replay.management.arguments import STOPPED
from replay.services.session_build import build_session
from replay.services.session_build_job import run_build
from replay.services.session_jobs import facts_in_force, with_default_limit
from replay.services.session_rows import keep_row


class Command(BaseCommand):
    help = "Build a replay session from the recording under data/market, or say why it cannot be."
    requires_system_checks = []  # works without a database and without Redis

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--from", dest="from_", help="core time, ISO 8601, UTC")
        parser.add_argument("--to", help="core time, exclusive, ISO 8601, UTC")
        parser.add_argument(
            "--symbols", default="", help="which ones, with commas: BTCUSDT,ETHUSDT"
        )
        parser.add_argument(
            "--types", default=",".join(EVENT_TYPES), help="with commas; default all: %(default)s"
        )
        parser.add_argument(
            "--max-events", type=_limit, default="config",
            help="a number, none, or config (default): replay.maxEventsPerSession",
        )  # fmt: skip
        parser.add_argument("--session-id", help="its name; default from range and symbols")
        parser.add_argument("--notes", help="kept in the manifest")
        parser.add_argument("--json", action="store_true", help="print the manifest as one line")
        parser.add_argument(
            "--job", type=int, help="carry out the build with this id (the worker does)"
        )

    def handle(self, **options: Any) -> None:
        if problems := settings.ENVIRONMENT_PROBLEMS:
            raise CommandError("; ".join(f"{p.variable}: {p.reason}" for p in problems))
        store = SessionStore(settings.DATA_DIR)
        with _Stop() as stop:
            if options["job"] is not None:
                run_build(options["job"], store, should_stop=stop.is_asked)
                return
            try:
                manifest = self._build(options, store, stop)
            except SessionRefused as refused:
                if refused.code == "STOPPED":
                    self.stderr.write("stopped: nothing was built")
                    sys.exit(STOPPED)
                fields = "".join(f"\n  {name}: {why}" for name, why in refused.fields.items())
                raise CommandError(f"{refused.code}: {refused.message}{fields}") from None
            except BadConfigDocument as error:
                raise CommandError(str(error)) from None
        try:
            keep_row(manifest)
        except DatabaseError as error:
            reason = str(error).partition("\n")[0]
            self.stderr.write(
                f"note: no row in the database ({reason}); later: manage.py rebuild_session_rows"
            )
        self._print(manifest, as_json=options["json"])

    def _build(self, options: dict[str, Any], store: SessionStore, stop: _Stop) -> ReplayManifest:
        missing = [name for name in ("from_", "to", "symbols") if not options[name]]
        if missing:
            named = ", ".join(f"--{name.rstrip('_')}" for name in missing)
            raise CommandError(f"say {named}")
        asked = BuildReplayOptions(
            from_=options["from_"],
            to=options["to"],
            symbols=_names(options["symbols"]),
            include_types=_names(options["types"]),
            session_id=options["session_id"],
            max_events=options["max_events"] or None,
            notes=options["notes"],
        )
        if options["max_events"] is None:
            asked = with_default_limit(asked)
        with _Bar() as bar:
            return build_session(
                asked,
                store,
                on_progress=bar.show,
                should_stop=stop.is_asked,
                facts=facts_in_force(),
            )

    def _print(self, manifest: ReplayManifest, *, as_json: bool) -> None:
        if as_json:
            self.stdout.write(msgspec.json.encode(manifest).decode())
            return
        self.stdout.write(f"session {manifest.session_id}")
        kinds = ", ".join(f"{n:,} {kind}" for kind, n in manifest.event_counts.items())
        self.stdout.write(f"  {manifest.total_events:,} events: {kinds}")
        if manifest.truncated:
            self.stdout.write(
                "  cut at the limit of events: --max-events none builds the whole range"
            )
        for kind, count in manifest.faults.items():
            self.stdout.write(f"  data faults: {count} {kind}")
        self.stdout.write(f"  digest: {manifest.digest}")


def _names(text: str) -> list[str]:
    return [name for name in (part.strip() for part in text.split(",")) if name]


def _limit(text: str) -> int | None:
    """A number; 0 for no limit; None for the config's."""
    if text == "config":
        return None
    if text == "none":
        return 0
    if not text.isdecimal() or not int(text):
        raise ArgumentTypeError(f"{text!r} is neither a number above 0, none nor config")
    return int(text)


class _Stop:
    """Ctrl-C and SIGTERM end the build after the block at hand; nothing is left of it."""

    def __init__(self) -> None:
        self._asked = False
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        for name in (signal.SIGINT, signal.SIGTERM):
            self._before[name] = signal.signal(name, self._ask)
        return self

    def __exit__(self, *_: object) -> None:
        for name, handler in self._before.items():
            signal.signal(name, handler)

    def is_asked(self) -> bool:
        return self._asked

    def _ask(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        self._asked = True


class _Bar:
    """A bar over the bytes of the recording, on a terminal; silence elsewhere."""

    def __enter__(self) -> Self:
        self._bar = tqdm(
            unit="B", unit_scale=True, leave=False, desc="build", file=sys.stderr,
            disable=not sys.stderr.isatty(),
        )  # fmt: skip
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()

    def show(self, progress: BuildProgress) -> None:
        self._bar.total = progress.bytes_total
        self._bar.update(progress.bytes_read - self._bar.n)
