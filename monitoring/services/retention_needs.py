"""Who needs which files of the data folder: open positions, sessions, running replays and other readers.

What cannot be asked is answered with "everything": a database that is down keeps the order log.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from pathlib import Path

import msgspec
from django.db import DatabaseError
from django.db.models import Q

from execution.models import OrderRow, Position, ProjectionMark
from failover.adapters.files import read_json_snapshot
from failover.adapters.in_use import claims
from failover.adapters.process_state import FILE_NAME
from failover.domain.errors import DataCorruption, StorageError
from failover.domain.process_state import ProcessState
from monitoring.domain.retention_places import FOLDER_OF, Rule, folder_of
from monitoring.domain.retention_plan import Needs, SessionFacts, Step
from monitoring.domain.times import ms_of_iso
from monitoring.services.history import OPEN_STATUSES
from monitoring.services.retention_jobs import JOB_RULES, paths_of_jobs

_SESSIONS = FOLDER_OF[Rule.REPLAY_SESSIONS]
_TAIL_BYTES = 65_536
_NS_PER_MS = 1_000_000


class _SourceFile(msgspec.Struct):
    path: str


class _Range(msgspec.Struct):
    from_: str = msgspec.field(name="from")
    to: str


class _Manifest(msgspec.Struct, rename="camel"):
    """The part of a ReplayManifest that matters here."""

    source_date_range: _Range
    created_at: str
    files: list[_SourceFile] = []


def sessions_of(data_dir: Path) -> dict[str, SessionFacts | None]:
    """Every session folder with a manifest; None where the manifest says nothing that is understood."""
    found: dict[str, SessionFacts | None] = {}
    folder = data_dir / _SESSIONS
    if not folder.is_dir():
        return found
    for path in sorted(folder.glob("[!.]*/manifest.json")):  # hidden ones are being made or removed
        try:
            found[path.parent.name] = _facts(path, data_dir)
        except (OSError, ValueError, StorageError, DataCorruption):
            found[path.parent.name] = None
    return found


def _facts(path: Path, data_dir: Path) -> SessionFacts:
    manifest: _Manifest = read_json_snapshot(path, _Manifest)
    source = manifest.source_date_range
    files = (_relative(Path(file.path), data_dir) for file in manifest.files)
    return SessionFacts(
        from_ns=ms_of_iso(source.from_) * _NS_PER_MS,
        to_ns=ms_of_iso(source.to) * _NS_PER_MS,
        created_ns=ms_of_iso(manifest.created_at) * _NS_PER_MS,
        files=tuple(file for file in files if file),
    )


def needs_of(data_dir: Path, archive: str = "") -> Needs:
    """What open positions and orders, running replays and other readers need now."""
    unknown: dict[Rule, str] = {}
    paths = _claimed_paths(data_dir, unknown) | paths_of_jobs(data_dir, unknown)
    paths |= _unprojected(data_dir, folder_of(Rule.ORDERS_LOG, archive), unknown)
    since_ns = _open_since_ns(data_dir, unknown)
    return Needs(paths=paths, order_log_since_ns=since_ns, unknown=unknown)


def claim_on(data_dir: Path) -> Callable[[Step], str]:
    """Who needs a step's files by now; asked again before each step."""

    def claimed(step: Step) -> str:
        unknown: dict[Rule, str] = {}
        paths = _claimed_paths(data_dir, unknown)
        if step.rule in JOB_RULES:
            paths |= paths_of_jobs(data_dir, unknown)
        if step.rule in unknown:
            return unknown[step.rule]
        wanted = [step.folder] if step.folder else []
        wanted += [found.path for found in step.files]
        return next((who for path, who in paths.items() if _touches(path, wanted)), "")

    return claimed


def _touches(path: str, wanted: Iterable[str]) -> bool:
    return any(
        path == each or each.startswith(f"{path}/") or path.startswith(f"{each}/")
        for each in wanted
    )


def _claimed_paths(data_dir: Path, unknown: dict[Rule, str]) -> dict[str, str]:
    """Paths in use by running processes; a claim on the whole data folder keeps everything."""
    paths: dict[str, str] = {}
    try:
        found = claims(data_dir)
    except (OSError, ValueError) as error:
        unknown |= dict.fromkeys(Rule, f"who reads files cannot be asked ({error})")
        return paths
    for claim in found:
        for path in map(Path, claim.paths):
            if data_dir.is_relative_to(path):
                unknown |= dict.fromkeys(Rule, f"needed by {claim.who}")
            elif relative := _relative(path, data_dir):
                paths[relative] = claim.who
    return paths


def _relative(path: Path, data_dir: Path) -> str:
    """`path` below the data folder, with `/`; empty when it lies elsewhere."""
    whole = path if path.is_absolute() else data_dir / path
    try:
        return whole.relative_to(data_dir).as_posix()
    except ValueError:
        return ""


def _open_since_ns(data_dir: Path, unknown: dict[Rule, str]) -> int | None:
    """When the oldest open position or order began.

    The tables know since when; the process state, written each second, knows what is open even where the
    tables lag behind. What it names and they do not has no known beginning: then the whole log stays.
    """
    try:
        known, starts = _open_rows()
        state: ProcessState | None = read_json_snapshot(
            data_dir / "system" / FILE_NAME, ProcessState
        )
    except (DatabaseError, StorageError, DataCorruption) as error:
        unknown[Rule.ORDERS_LOG] = f"open positions cannot be asked ({_first_line(error)})"
        return None
    strangers = [name for name in _held(state) if name not in known]
    strangers += [name for name, start_ns in known.items() if start_ns is None]
    if strangers:
        unknown[Rule.ORDERS_LOG] = f"needed by {strangers[0]}, open since an unknown time"
    return min(starts, default=None)


def _open_rows() -> tuple[dict[str, int | None], list[int]]:
    """Open positions by symbol and open orders by id with their beginnings, epoch ns; and all beginnings."""
    known: dict[str, int | None] = {}
    positions = Position.objects.exclude(qty=0)
    for position in positions:
        known[position.symbol] = _ns(position.opened_at) if position.opened_at else None
    plans = [position.plan_id for position in positions if position.plan_id]
    needed = OrderRow.objects.filter(Q(status__in=OPEN_STATUSES) | Q(plan_id__in=plans))
    for order_id, created_at in needed.values_list("client_order_id", "created_at"):
        known[order_id] = _ns(created_at)
    return known, [start_ns for start_ns in known.values() if start_ns is not None]


def _held(state: ProcessState | None) -> list[str]:
    """Symbols of positions and ids of orders that execution holds by its own account."""
    if state is None:
        return []
    positions = [str(row.get("symbol", "")) for row in state.open_positions_snapshot]
    return positions + [str(row.get("clientOrderId", "")) for row in state.open_orders_snapshot]


def _unprojected(data_dir: Path, orders: str, unknown: dict[Rule, str]) -> dict[str, str]:
    """Order logs whose last line the tables have not taken yet: those lines are nowhere else."""
    try:
        mark = ProjectionMark.objects.values_list("log_seq", flat=True).first() or 0
    except DatabaseError as error:
        unknown[Rule.ORDERS_LOG] = f"the tables cannot be asked ({_first_line(error)})"
        return {}
    logs = sorted((data_dir / orders).glob("day-*.jsonl"))
    return {
        f"{orders}/{log.name}": "the database, which has not taken its lines yet"
        for log in logs
        if not log.is_symlink() and _last_seq(log) > mark
    }


def _last_seq(log: Path) -> int:
    """The highest number among the last lines of a log; 0 where there is none."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - _TAIL_BYTES))
            lines = file.read().splitlines()
    except OSError:
        return 0
    return max((_seq(line) for line in lines), default=0)


def _seq(line: bytes) -> int:
    try:
        return msgspec.json.decode(line, type=_Numbered).seq
    except (msgspec.DecodeError, UnicodeDecodeError):
        return 0  # cut by where we began to read, or torn


class _Numbered(msgspec.Struct):
    seq: int = 0


def _ns(moment: datetime) -> int:
    return round(moment.timestamp() * 1e6) * 1000


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
