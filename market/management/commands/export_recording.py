"""Writes recorded markets for other tools: Parquet, or hftbacktest's npz."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, ArgumentTypeError
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from tqdm import tqdm

from market.domain.imports import ExportRefused
from market.exporting import SUFFIXES, export_market, target_of
from market.recordings import BadRecording, MarketData, open_market_data


class Command(BaseCommand):
    help = "Export recordings, ours or others', one file a symbol: OUT/SYMBOL.parquet or OUT/SYMBOL.npz."
    requires_system_checks = []  # works without a database and without Redis

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "paths", nargs="+", type=Path, metavar="PATH", help="what run_replay takes"
        )
        parser.add_argument("--format", choices=sorted(SUFFIXES), required=True)
        parser.add_argument("--out", type=Path, required=True, help="folder of the new files")
        parser.add_argument(
            "--symbol", action="append", default=[], help="only this one; repeatable"
        )
        parser.add_argument("--from", dest="from_", type=_instant, help="core time, ISO 8601, UTC")
        parser.add_argument("--to", type=_instant, help="core time, exclusive, ISO 8601, UTC")
        parser.add_argument("--instruments", type=Path, help="trading rules that override ours")
        parser.add_argument("--as-linear", action="store_true", help="as import_recording has it")

    def handle(self, **options: Any) -> None:
        try:
            wanted = [s for text in options["symbol"] for s in text.split(",") if s] or None
            symbols = self._open(options, wanted).symbols
            targets = {s: target_of(options["out"], s, options["format"]) for s in symbols}
            for symbol, path in targets.items():
                self._export(self._open(options, [symbol]), path, options["format"])
        except (BadRecording, ExportRefused) as error:
            raise CommandError(str(error)) from None
        except OSError as error:
            raise CommandError(f"{error.filename}: {error.strerror}") from None

    def _open(self, options: dict[str, Any], symbols: list[str] | None) -> MarketData:
        return open_market_data(
            options["paths"],
            symbols=symbols,
            from_ns=options["from_"],
            to_ns=options["to"],
            instruments_file=options["instruments"],
            as_linear=options["as_linear"],
        )

    def _export(self, data: MarketData, path: Path, form: str) -> None:
        with tqdm(
            total=data.progress.bytes_total, unit="B", unit_scale=True, leave=False, desc=path.name,
            disable=not sys.stderr.isatty(), file=sys.stderr,
        ) as bar:  # fmt: skip
            rows = export_market(
                data, path, form, on_progress=lambda: bar.update(data.progress.bytes_read - bar.n)
            )
        self.stdout.write(f"{path}: {rows} rows")
        if data.faults.counts:
            counts = ", ".join(f"{n} x {kind}" for kind, n in sorted(data.faults.counts.items()))
            self.stdout.write(f"data faults: {counts}")


def _instant(text: str) -> int:
    """ISO 8601 as ns since the epoch; without a zone it is UTC."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is no ISO 8601 time") from None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return int(moment.timestamp() // 1) * 1_000_000_000 + moment.microsecond * 1000
