"""Replays recorded markets through the whole decision system, in its own process and in event time."""

from __future__ import annotations

import signal
import sys
import uuid
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from types import FrameType
from typing import Any, Self

import msgspec
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from tqdm import tqdm

from failover.adapters.in_use import in_use
from failover.domain.config import BadConfigDocument
from market.domain.recordings import BadRecording, MarketData
from replay.adapters.run_files import OutputFolderInUse, RunFiles
from replay.adapters.run_rows import save_run
from replay.adapters.session_paths import open_market_data
from replay.management.arguments import STOPPED, instant
from replay.services.pacer import Pacer
from replay.services.report_text import report_lines
from replay.services.run import ReplayOptions, ReplayResult, run_replay
from replay.wiring import load_settings


class Command(BaseCommand):
    help = (
        "Replay a recording: our own (a data/market folder, a day, a file), a raw Bybit v5 capture, a "
        "Bybit order book archive or Binance USD-M captures. Touches no live row, stream or snapshot."
    )
    requires_system_checks = []  # works without a database and without Redis

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("paths", nargs="+", type=Path, metavar="PATH", help="files that follow "
                            "each other, files of several symbols, or one folder")  # fmt: skip
        parser.add_argument(
            "--symbol", action="append", default=[], help="only this one; repeatable"
        )
        parser.add_argument("--from", dest="from_", type=instant, help="core time, ISO 8601, UTC")
        parser.add_argument("--to", type=instant, help="core time, exclusive, ISO 8601, UTC")
        parser.add_argument("--speed", type=_speed, default=None, help="max (default) or a factor")
        parser.add_argument("--config", help="default, demo or a JSON file (TRADING_CONFIG)")
        parser.add_argument("--instruments", type=Path, help="trading rules that override ours")
        parser.add_argument("--as-linear", action="store_true", help="take a spot, inverse or quanto "
                            "market for a USDT linear perpetual; the notes say how")  # fmt: skip
        parser.add_argument(
            "--out", type=Path, help="new folder for report, trades, orders, events"
        )
        parser.add_argument("--json", action="store_true", help="print the report as one JSON line")
        parser.add_argument("--no-save", action="store_true", help="keep no row in the database")

    def handle(self, **options: Any) -> None:
        if problems := settings.ENVIRONMENT_PROBLEMS:
            raise CommandError("; ".join(f"{p.variable}: {p.reason}" for p in problems))
        try:
            result = self._replay(options)
        except (BadRecording, BadConfigDocument, OutputFolderInUse) as error:
            raise CommandError(str(error)) from None
        except OSError as error:
            raise CommandError(f"{error.filename}: {error.strerror}") from None
        except KeyboardInterrupt:  # the second one: at once
            sys.exit(STOPPED)
        self._print(result, as_json=options["json"])
        if not options["no_save"] and (reason := save_run(result.report)):
            self.stderr.write(f"note: the run is not kept in the database ({reason})")
        self.stdout.write(f"digest: {result.digest}")
        if not result.is_complete:
            sys.exit(STOPPED)

    def _replay(self, options: dict[str, Any]) -> ReplayResult:
        if options["from_"] and options["to"] and options["to"] <= options["from_"]:
            raise CommandError("--to is not after --from")
        with _Stop(self) as stop:
            if (speed := options["speed"]) is not None:
                self.stderr.write(f"replaying at {speed:g}x the recorded pace; Ctrl-C ends it")
            decision, execution = load_settings(
                options["config"] or settings.ENVIRONMENT.trading_config
            )
            data = open_market_data(
                options["paths"],
                symbols=[s for text in options["symbol"] for s in text.split(",") if s] or None,
                from_ns=options["from_"],
                to_ns=options["to"],
                instruments_file=options["instruments"],
                as_linear=options["as_linear"],
            )
            pacer = None if speed is None else Pacer(speed)
            stop.on_ask = pacer.stop if pacer else None
            run_id = f"r{uuid.uuid4().hex[:10]}"
            with ExitStack() as stack:
                claim = in_use(settings.DATA_DIR, f"run_replay {run_id}", options["paths"])
                stack.enter_context(claim)
                files = RunFiles(options["out"], run_id) if options["out"] else None
                if files:
                    stack.callback(files.close)
                progress = stack.enter_context(_Progress(data))
                replay = ReplayOptions(
                    run_id=run_id,
                    pacer=pacer,
                    should_stop=lambda: stop.asked,
                    on_progress=progress.show,
                    observers=(files,) if files else (),
                    execution_by_symbol=execution.symbols,
                )
                result = run_replay(data, decision, execution.config, replay)
                if files:
                    files.write_report(result.report)
        return result

    def _print(self, result: ReplayResult, *, as_json: bool) -> None:
        if as_json:
            document = {**result.report, "trades": result.figures.trades}
            self.stdout.write(msgspec.json.encode(document).decode())
            return
        for line in report_lines(result.report, result.figures.trades):
            self.stdout.write(line)
        if not result.is_complete:
            self.stdout.write("stopped before the end: figures and digest cover what was replayed")


class _Stop:
    """Ctrl-C (and SIGTERM) ask for an end after the current chunk; a second Ctrl-C ends at once."""

    def __init__(self, command: BaseCommand) -> None:
        self.asked = False
        self.on_ask: Callable[[], None] | None = None
        self._command = command
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        for name in (signal.SIGINT, signal.SIGTERM):
            self._before[name] = signal.signal(name, self._ask)
        return self

    def __exit__(self, *_: object) -> None:
        for name, handler in self._before.items():
            signal.signal(name, handler)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        self.asked = True
        if self.on_ask:
            self.on_ask()
        signal.signal(signal.SIGINT, signal.default_int_handler)
        self._command.stderr.write("stopping after the messages at hand")


class _Progress:
    """A bar over the bytes on disk, on a terminal; silence elsewhere."""

    def __init__(self, data: MarketData) -> None:
        self._progress = data.progress
        self._bar = tqdm(
            total=data.progress.bytes_total, unit="B", unit_scale=True, leave=False,
            desc="replay", disable=not sys.stderr.isatty(), file=sys.stderr,
        )  # fmt: skip

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()

    def show(self) -> None:
        self._bar.update(self._progress.bytes_read - self._bar.n)


def _speed(text: str) -> float | None:
    """`max` (None) or a factor above 0."""
    try:
        factor = None if text == "max" else float(text)
    except ValueError:
        factor = 0.0
    if factor is not None and not 0 < factor < 1e6:
        raise ArgumentTypeError(f"{text!r} is neither max nor a factor above 0")
    return factor
