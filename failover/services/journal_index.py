"""The files of the decision journal as rows: read from the files alone, and made anew from them at any time.

files = JournalFolder(settings.DATA_DIR / "journal")
done = index_journals(settings.DATA_DIR, files)                # what is new since the rows were written
done = index_journals(settings.DATA_DIR, files, is_anew=True)  # everything

It looks and takes no lock on a journal: a core that writes never notices.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec

from failover.domain.journal import Ended, JournalRecord, Missing, Stood
from failover.models import JournalFile
from failover.ports import FoundBlock, JournalFiles, JournalRun
from failover.services.run_lock import AlreadyRunning, sole_run

__all__ = ["AlreadyRunning", "JournalIndexed", "forget_deleted_journals", "index_journals"]

logger = logging.getLogger(__name__)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NAME = re.compile(
    r"[A-Za-z0-9_.-]{1,60}/[A-Za-z0-9_.-]{1,190}"
)  # core and run, as columns hold them
_KEPT_EVERY_BYTES = 16 * 1024 * 1024  # a killed reader goes on from there
_READ: dict[str, Any] = {
    "first_at": None, "last_at": None, "records": 0, "bytes": 0, "checkpoints": 0, "missing_records": 0,
    "damaged_bytes": 0, "torn_bytes": 0, "is_complete": False, "is_open": False, "read_bytes": 0,
    "first_number": None, "last_number": None,
}  # fmt: skip


class JournalIndexed(msgspec.Struct, kw_only=True, rename="camel"):
    """What became of the rows. `errors`: files that could not be read, and why; their rows stay."""

    added: int = 0
    changed: int = 0
    unchanged: int = 0
    removed: int = 0
    read_bytes: int = 0
    is_stopped: bool = False
    errors: dict[str, str] = msgspec.field(default_factory=dict)


def index_journals(
    data_dir: Path,
    files: JournalFiles,
    *,
    is_anew: bool = False,
    should_stop: Callable[[], bool] = lambda: False,
) -> JournalIndexed:
    """Make the rows say what the `files` in `data_dir` say, reading what the rows do not know yet.

    Raises: AlreadyRunning when another one is at it, DatabaseError.
    """
    with sole_run(data_dir / "run" / "journal_index.lock"):
        return _Indexing(data_dir, files, is_anew, should_stop).run()


def forget_deleted_journals(data_dir: Path) -> int:
    """Drop the rows whose files are gone; returns how many. Raises: DatabaseError."""
    paths = JournalFile.objects.values_list("path", flat=True)
    gone = [path for path in paths if not (data_dir / path).exists()]
    for path in gone:
        JournalFile.objects.filter(path=path).delete()
    return len(gone)


class _Indexing:
    def __init__(
        self,
        data_dir: Path,
        files: JournalFiles,
        is_anew: bool,
        should_stop: Callable[[], bool],
    ) -> None:
        self._data_dir, self._files = data_dir, files
        self._is_anew, self._should_stop = is_anew, should_stop
        self._done = JournalIndexed()
        self._rows = {row.path: row for row in JournalFile.objects.all()}

    def run(self) -> JournalIndexed:
        for run in self._files.runs():
            self._index_run(run)
            if self._done.is_stopped:
                return self._done
        self._done.removed = forget_deleted_journals(self._data_dir)
        return self._done

    def _index_run(self, run: JournalRun) -> None:
        """Day by day; a day is written once it is known whether the run went on in the next one."""
        before: _Look | None = None
        for path in run.paths:
            row = self._row(path, run.core, run.run_id)
            if row is None or not self._may_go_on():
                continue
            look = _Look(row)
            if self._is_read(path, look, before):
                if before is not None:
                    before.row.is_complete |= _goes_on(before.row, row)
                    self._finish(before)
                before = look
        if before is not None:
            self._finish(before)

    def _may_go_on(self) -> bool:
        self._done.is_stopped = self._done.is_stopped or self._should_stop()
        return not self._done.is_stopped

    def _row(self, path: Path, core: str, run_id: str) -> JournalFile | None:
        """The row of a file, of before or a new one; None when the file is not the journal's."""
        name = path.relative_to(self._data_dir).as_posix()
        if (found := self._rows.get(name)) is not None:
            return found
        day = _day(path.parent.name)
        if day is None or not _NAME.fullmatch(f"{core}/{run_id}"):
            return None
        return JournalFile(core=core, run_id=run_id, day=day, path=name)

    def _is_read(self, path: Path, look: _Look, before: _Look | None) -> bool:
        """Bring the row up to date; where its file cannot be read it stays as it was."""
        try:
            self._read(path, look, before)
        except FileNotFoundError:
            return False  # retention took it
        except OSError as error:
            self._done.errors[look.row.path] = error.strerror or str(error)
            logger.warning(
                "journal_not_indexed", extra={"path": look.row.path, "reason": str(error)}
            )
            return False
        return True

    def _read(self, path: Path, look: _Look, before: _Look | None) -> None:
        row = look.row
        held = (
            self._files.locked_inodes()
        )  # asked first: what is written after it belongs to the next look
        stat = path.stat()
        if self._is_anew or stat.st_size < row.read_bytes:
            for name, value in _READ.items():
                setattr(row, name, value)
        is_read = stat.st_size == row.bytes or self._read_blocks(path, look, before, stat.st_size)
        row.is_open = stat.st_ino in held
        row.bytes = stat.st_size if is_read else row.read_bytes
        tail = row.bytes - row.read_bytes
        row.torn_bytes = _set_aside(path) + (0 if row.is_open else tail)

    def _read_blocks(self, path: Path, look: _Look, before: _Look | None, until: int) -> bool:
        """False when it was stopped."""
        row, kept_at = look.row, look.row.read_bytes
        for found in self._files.blocks_after(path, row.read_bytes, until):
            self._done.read_bytes += found.end - row.read_bytes
            _take(row, found, before.row if before is not None else None)
            if not self._may_go_on():
                return False
            if row.read_bytes - kept_at >= _KEPT_EVERY_BYTES:
                row.bytes = kept_at = row.read_bytes
                _keep(row)
        return True

    def _finish(self, look: _Look) -> None:
        if look.is_new:
            self._done.added += 1
        elif look.is_changed():
            self._done.changed += 1
        else:
            self._done.unchanged += 1
            return
        _keep(look.row)


class _Look:
    """A row being brought up to date, and what it said before."""

    def __init__(self, row: JournalFile) -> None:
        self.row, self.is_new = row, not row.pk
        self._known = _values(row)

    def is_changed(self) -> bool:
        return _values(self.row) != self._known


def _take(row: JournalFile, found: FoundBlock, before: JournalFile | None) -> None:
    """One more block of the row's file."""
    row.missing_records += max(0, found.first - _expected(row, found, before))
    row.damaged_bytes += found.skipped_bytes
    if row.first_number is None:
        row.first_number = found.first
    row.last_number = found.first + len(found.records) - 1
    row.records += len(found.records)
    row.read_bytes = found.end
    for record in found.records:
        _note(row, record)
    row.is_complete = bool(found.records) and isinstance(found.records[-1], Ended)


def _expected(row: JournalFile, found: FoundBlock, before: JournalFile | None) -> int:
    """The number that this block should begin with."""
    if row.last_number is not None:
        return row.last_number + 1
    if before is not None and before.last_number is not None:
        return before.last_number + 1
    # The days before may have been deleted in order; a damaged beginning is told.
    return 1 if found.skipped_bytes else found.first


def _note(row: JournalFile, record: JournalRecord) -> None:
    if isinstance(record, Missing):
        row.missing_records += record.records
    elif isinstance(record, Stood):
        row.checkpoints += 1
    at_ns: int | None = getattr(record, "at_ns", None)
    if at_ns is None:
        return
    first, last = _instant(at_ns), _instant(getattr(record, "until_ns", at_ns))
    row.first_at = first if row.first_at is None else min(row.first_at, first)
    row.last_at = last if row.last_at is None else max(row.last_at, last)


def _goes_on(before: JournalFile, row: JournalFile) -> bool:
    return before.last_number is not None and row.first_number == before.last_number + 1


def _keep(row: JournalFile) -> None:
    """Write the row; one that was deleted meanwhile is not made again."""
    row.indexed_at = datetime.now(UTC)
    if not row.pk:
        row.save()
    else:
        JournalFile.objects.filter(pk=row.pk).update(**_values(row), indexed_at=row.indexed_at)


def _values(row: JournalFile) -> dict[str, Any]:
    return {name: getattr(row, name) for name in _READ}


def _set_aside(path: Path) -> int:
    """Bytes that the next run of the core has cut off."""
    try:
        return path.with_name(f"{path.name}.torn").stat().st_size
    except FileNotFoundError:
        return 0


def _instant(at_ns: int) -> datetime:
    return _EPOCH + timedelta(microseconds=at_ns // 1000)


def _day(name: str) -> date | None:
    try:
        return date.fromisoformat(name)
    except ValueError:
        return None
