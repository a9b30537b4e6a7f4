"""Turns recordings that others made into ordinary recordings under data/market."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from tqdm import tqdm

from failover.domain.errors import StorageError
from market.domain.imports import ImportReceipt, ImportRefused
from market.importing import import_market
from market.recordings import BadRecording, MarketData, RecordingFormat, open_market_data


class Command(BaseCommand):
    help = (
        "Import recorded markets into data/market/YYYY-MM-DD. Importing the same again changes nothing; "
        "after an interruption the same command goes on. Until it is done nothing of it can be seen."
    )
    requires_system_checks = []  # works without a database and without Redis

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("paths", nargs="+", type=Path, metavar="PATH", help="files of one market "
                            "that follow each other, or of several symbols or kinds")  # fmt: skip
        parser.add_argument(
            "--symbol", action="append", default=[], help="only this one; repeatable"
        )
        parser.add_argument("--format", choices=[one.short for one in RecordingFormat],
                            help="refuse anything else (formats are told by content)")  # fmt: skip
        parser.add_argument("--instruments", type=Path, help="trading rules that override ours")
        parser.add_argument(
            "--as-linear",
            action="store_true",
            help="take a spot, inverse or quanto market for a USDT linear perpetual; its notes say how",
        )
        parser.add_argument("--into", type=Path, help="another folder than data/market")

    def handle(self, **options: Any) -> None:
        market_dir = options["into"] or settings.DATA_DIR / "market"
        try:
            data = open_market_data(
                options["paths"],
                symbols=[s for text in options["symbol"] for s in text.split(",") if s] or None,
                instruments_file=options["instruments"],
                as_linear=options["as_linear"],
                expected=_format(options["format"]),
            )
            receipt, is_new = self._import(data, market_dir)
        except (BadRecording, ImportRefused, StorageError) as error:
            raise CommandError(str(error)) from None
        except OSError as error:
            raise CommandError(f"{error.filename}: {error.strerror}") from None
        self._print(receipt, market_dir, is_new=is_new)

    def _import(self, data: MarketData, market_dir: Path) -> tuple[ImportReceipt, bool]:
        with tqdm(
            total=data.progress.bytes_total, unit="B", unit_scale=True, leave=False, desc="import",
            disable=not sys.stderr.isatty(), file=sys.stderr,
        ) as bar:  # fmt: skip
            return import_market(
                data, market_dir, on_progress=lambda: bar.update(data.progress.bytes_read - bar.n)
            )

    def _print(self, receipt: ImportReceipt, market_dir: Path, *, is_new: bool) -> None:
        what = "imported" if is_new else "is imported already, nothing changed:"
        self.stdout.write(
            f"{what} {receipt.format} of {', '.join(receipt.symbols)} as run {receipt.recorder_run} "
            f"into {market_dir}"
        )
        counts = ", ".join(f"{n} {kind}" for kind, n in receipt.messages.items())
        self.stdout.write(f"messages: {counts}")
        for kind, n in receipt.faults.items():
            self.stdout.write(f"data fault: {n} x {kind}")
        for note in receipt.notes:
            self.stdout.write(f"note: {note}")


def _format(short: str | None) -> RecordingFormat | None:
    return next((one for one in RecordingFormat if one.short == short), None)
