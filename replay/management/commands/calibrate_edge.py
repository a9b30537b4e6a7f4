"""Asks recordings whether the score tells the next move, and whether that pays; proposes what it found."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, ArgumentTypeError
from pathlib import Path
from typing import Any

import msgspec
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError
from tqdm import tqdm

from failover.adapters.in_use import in_use
from failover.domain.config import BadConfigDocument
from failover.services.config_store import propose
from market.domain.recordings import BadRecording
from replay.adapters.file_digests import file_facts
from replay.adapters.session_paths import open_market_data
from replay.domain.calibration_results import CalibrationSettings
from replay.services.calibration import (
    CalibrationReport,
    evidence_of,
    proposed_document,
    run_calibration,
)
from replay.services.calibration_text import calibration_lines
from replay.services.config_documents import configured_name, document_content
from replay.wiring import load_settings

_STOPPED = 130  # as a shell reports a process that Ctrl-C ended
AUTHOR = "calibrate_edge"


class Command(BaseCommand):
    help = (
        "Estimate edge_coef and feature weights per symbol from recordings, walk-forward, and say whether "
        "the expected move pays its cost. Reads what run_replay reads."
    )
    requires_system_checks = []  # works without Redis, and without a database unless it proposes

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("paths", nargs="+", type=Path, metavar="PATH", help="as for run_replay")
        parser.add_argument(
            "--symbol", action="append", default=[], help="only this one; repeatable"
        )
        parser.add_argument("--horizons", type=_horizons, help="seconds, such as 1,5,10,30")
        parser.add_argument("--folds", type=int, help="blocks that are judged (5)")
        parser.add_argument(
            "--embargo", type=float, help="s before a judged block, beyond labels (10)"
        )
        parser.add_argument("--step-ms", type=int, help="grid of the samples (500)")
        parser.add_argument("--resamples", type=int, help="of the bootstrap (1000)")
        parser.add_argument("--seed", type=int, help="of the bootstrap (1)")
        parser.add_argument("--config", help="default, demo, active, v7 or a file (TRADING_CONFIG; "
                            "with --propose what is active)")  # fmt: skip
        parser.add_argument("--warmup", type=int, help="s of data before a sample counts (config)")
        parser.add_argument("--instruments", type=Path, help="trading rules that override ours")
        parser.add_argument("--out", type=Path, help="new JSON file; FILE-profile.json beside it "
                            "holds the proposed document")  # fmt: skip
        parser.add_argument(
            "--propose", action="store_true", help="write a proposed version if there is evidence"
        )
        parser.add_argument("--json", action="store_true", help="print the report as one JSON line")

    def handle(self, **options: Any) -> None:
        if problems := settings.ENVIRONMENT_PROBLEMS:
            raise CommandError("; ".join(f"{p.variable}: {p.reason}" for p in problems))
        if (out := options["out"]) is not None:
            _require_new(out)
        name = options["config"] or _default_config(is_proposing=options["propose"])
        try:
            report = self._calibrate(name, options)
            document = proposed_document(
                msgspec.json.decode(document_content(name)), report.symbols
            )
            self._tell(report, as_json=options["json"])
            if out is not None:
                _write(out, report, document)
            if options["propose"]:
                told = self.stderr if options["json"] else self.stdout
                told.write(_proposed(report, document))
        except (BadRecording, BadConfigDocument) as error:
            raise CommandError(str(error)) from None
        except DatabaseError as error:
            raise CommandError(f"the database does not take the proposal: {error}") from None
        except OSError as error:
            raise CommandError(f"{error.filename}: {error.strerror}") from None
        except KeyboardInterrupt:
            sys.exit(_STOPPED)

    def _calibrate(self, name: str, options: dict[str, Any]) -> CalibrationReport:
        estimation = _settings(options)
        decision, _ = load_settings(name)
        if (warmup_s := options["warmup"]) is not None:
            if warmup_s < 1:
                raise CommandError("--warmup is below 1 s")
            market = msgspec.structs.replace(decision.market, warmup_s=warmup_s)
            decision = msgspec.structs.replace(decision, market=market)
        data = open_market_data(
            options["paths"],
            symbols=[s for text in options["symbol"] for s in text.split(",") if s] or None,
            instruments_file=options["instruments"],
        )
        if estimation.step_ms % decision.market.evaluation_interval_ms:
            raise CommandError(
                f"--step-ms {estimation.step_ms} is not a multiple of the frames' "
                f"{decision.market.evaluation_interval_ms} ms"
            )
        files = file_facts(data.paths)
        with tqdm(
            total=data.progress.bytes_total, unit="B", unit_scale=True, leave=False,
            desc="calibrate", disable=not sys.stderr.isatty(), file=sys.stderr,
        ) as bar, in_use(settings.DATA_DIR, "calibrate_edge", options["paths"]):  # fmt: skip
            return run_calibration(
                data, decision, estimation, files=files,
                on_progress=lambda: bar.update(data.progress.bytes_read - bar.n),
            )  # fmt: skip

    def _tell(self, report: CalibrationReport, *, as_json: bool) -> None:
        if as_json:
            self.stdout.write(msgspec.json.encode(report).decode())
            return
        for line in calibration_lines(report):
            self.stdout.write(line)


def _require_new(out: Path) -> None:
    """Said before the work, not after it."""
    for path in (out, _profile_beside(out)):
        if path.exists():
            raise CommandError(f"{path}: exists; name a new file for the report")
    if not out.parent.is_dir():
        raise CommandError(f"{out.parent}: no such folder; make it or name another for the report")


def _profile_beside(out: Path) -> Path:
    return out.with_name(f"{out.stem}-profile.json")


def _proposed(report: CalibrationReport, document: dict[str, Any] | None) -> str:
    """Write the proposed version, if there is one; what happened, in one line."""
    if document is None:
        return "nothing is proposed: no symbol shows an edge after cost"
    note = "; ".join(f"{each.symbol}: {each.verdict}" for each in report.found)
    version = propose(document, AUTHOR, evidence_of(report), note=note)
    return f"proposed as config version {version.pk}, {version.status}"


def _default_config(*, is_proposing: bool) -> str:
    """A proposal changes what is in force: made from anything else, it would undo what was activated."""
    return configured_name() if is_proposing else str(settings.ENVIRONMENT.trading_config)


def _settings(options: dict[str, Any]) -> CalibrationSettings:
    """What the options say, defaults elsewhere. Raises CommandError that names field and range."""
    given = {
        "horizonsS": options["horizons"],
        "folds": options["folds"],
        "embargoS": options["embargo"],
        "stepMs": options["step_ms"],
        "resamples": options["resamples"],
        "seed": options["seed"],
    }
    said = {name: value for name, value in given.items() if value is not None}
    try:
        found = msgspec.convert(said, CalibrationSettings)
    except msgspec.ValidationError as error:
        raise CommandError(f"options: {error}") from None
    if uneven := [h for h in found.horizons_s if round(h * 1000) % found.step_ms]:
        raise CommandError(
            f"--horizons {uneven[0]:g} s is not a multiple of --step-ms {found.step_ms}"
        )
    return found


def _horizons(text: str) -> tuple[float, ...]:
    try:
        found = tuple(float(part) for part in text.split(","))
    except ValueError:
        found = ()
    if not found or len(set(found)) != len(found):
        raise ArgumentTypeError(f"{text!r} is no list of different seconds, such as 1,5,10,30")
    return found


def _write(path: Path, report: CalibrationReport, document: dict[str, Any] | None) -> None:
    whole = {"report": msgspec.to_builtins(report), "proposal": document}
    path.write_bytes(msgspec.json.format(msgspec.json.encode(whole), indent=2))
    if document is not None:
        _profile_beside(path).write_bytes(
            msgspec.json.format(msgspec.json.encode(document), indent=2)
        )
