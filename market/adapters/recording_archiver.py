"""Finished days of the recording: checked, indexed, compressed. A crash at any instant loses nothing.

Per file: the compressed copy is written beside it, synced, read back and compared with what was checked,
renamed into place, the index completed, and only then is the plain file removed. A plain file that is
still there next to its copy is found on the next run: its lines are in the copy, or are added to it.
What does not match its index is left as it is, for a person to look at.
"""

from __future__ import annotations

import fcntl
import hashlib
import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from enum import StrEnum
from pathlib import Path
from typing import IO

import msgspec
import zstandard

from failover.adapters.files import storage_error, sync_folder, write_atomically
from failover.domain.errors import FileInUse, StorageError
from market.adapters.recording_check import RecordingCheck
from market.adapters.recording_files import (
    BadIndex,
    day_folders,
    index_path,
    open_lines,
    stored_index,
)
from market.adapters.zstd_frames import (
    Frame,
    blocks_of_lines,
    frames_bytes,
    read_seek_table,
    write_frames,
    write_seek_table,
)
from market.domain.recording_checks import CROSSED_MS, FileCheck
from market.domain.recording_findings import FileVerdict, Problem, RecordingReport
from market.domain.recording_index import FileIndex, IndexPart, index_of_parts

logger = logging.getLogger(__name__)

_DAMAGE = frozenset({Problem.CHECKSUM_MISMATCH, Problem.INDEX_MISMATCH, Problem.UNREADABLE_FILE})
_READ_BYTES = 1 << 20


class Outcome(StrEnum):
    """What became of a file."""

    ARCHIVED = "ARCHIVED"
    IN_USE = "IN_USE"
    DAMAGED = "DAMAGED"
    FAILED = "FAILED"


class ArchivedFile(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One plain file of a finished day. `reason` says why it stays as it is."""

    path: str
    outcome: Outcome
    bytes: int
    compressed_bytes: int = 0
    reason: str = ""


class ArchivedDay(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One finished day: what the check of it found, and what became of its files."""

    day: str
    report: RecordingReport
    files: list[ArchivedFile]


class CopyDiffers(Exception):
    """The compressed copy does not read back as its original: keep the original, look at the disk."""


def archive_days(
    market_dir: Path,
    before_day: str,
    *,
    level: int,
    crossed_ms: int = CROSSED_MS,
    on_file: Callable[[Path], None] = lambda _: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> Iterator[ArchivedDay]:
    """Archive every day before `before_day` (YYYY-MM-DD) that has a plain file; oldest first.

    Raises: Stopped between two blocks; StorageError and OSError of one file end up in its outcome.
    """
    for day in day_folders(market_dir, None, None):
        if day.name < before_day and any(day.glob("*.jsonl")):
            check = RecordingCheck(
                day, crossed_ms=crossed_ms, on_file=on_file, should_stop=should_stop
            )
            report = check.run()
            verdicts = {verdict.path: verdict for verdict in report.files}
            files = []
            for path, scan in check.scans.items():
                if path.suffix == ".jsonl":
                    on_file(path)
                    files.append(_archived(path, scan, verdicts[path.name], level))
            yield ArchivedDay(day=day.name, report=report, files=files)


def _archived(path: Path, scan: FileCheck, verdict: FileVerdict, level: int) -> ArchivedFile:
    def told(outcome: Outcome, reason: str = "", compressed: int = 0) -> ArchivedFile:
        return ArchivedFile(
            path=path.name, outcome=outcome, bytes=scan.bytes, reason=reason, compressed_bytes=compressed,
        )  # fmt: skip

    damage = sorted(_DAMAGE & set(verdict.problems))
    if damage:
        return told(Outcome.DAMAGED, ", ".join(damage))
    try:
        with _held(path, scan.bytes):
            return told(Outcome.ARCHIVED, compressed=_archive(path, scan, level))
    except FileInUse as error:
        return told(Outcome.IN_USE, error.reason)
    except (StorageError, OSError, CopyDiffers, BadIndex, zstandard.ZstdError) as error:
        logger.exception("recording_not_archived", extra={"path": str(path)})
        return told(Outcome.FAILED, str(error))


@contextmanager
def _held(path: Path, size: int) -> Iterator[None]:
    """Keep writers off. Raises: FileInUse when one has it open, or has written since the check."""
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise FileInUse(str(path), "a recorder has it open") from error
        if os.fstat(handle).st_size != size:
            raise FileInUse(str(path), "it has grown since it was checked")
        yield
    finally:
        os.close(handle)


def _archive(path: Path, scan: FileCheck, level: int) -> int:
    """Make the copy, complete the index, remove the original; returns the copy's size."""
    copy = path.with_name(path.name + ".zst")
    if not copy.exists():
        return _archive_into(copy, path, scan, level)
    with _held(copy, copy.stat().st_size):  # an import may be joining its lines to it
        return _archive_into(copy, path, scan, level)


def _archive_into(copy: Path, path: Path, scan: FileCheck, level: int) -> int:
    older = _Older.of(copy, scan) if copy.exists() else _Older(0, is_joined=False)
    if not older.is_joined:
        _write_copy(path, copy, scan, older.bytes, level)
    write_atomically(index_path(path), msgspec.json.encode(_index(path, copy, scan, older.bytes)))
    path.unlink()
    sync_folder(path.parent)
    return copy.stat().st_size


class _Older(msgspec.Struct, frozen=True):
    """What a copy that is there already holds: `bytes` before the lines of the plain file.

    `is_joined`: those lines follow in it already; a crash came before the plain file was removed.
    """

    bytes: int
    is_joined: bool

    @classmethod
    def of(cls, copy: Path, scan: FileCheck) -> _Older:
        total = sum(len(piece) for piece in _pieces(copy))
        before = total - scan.bytes
        is_joined = before >= 0 and _digests(copy, before)[1] == scan.sha256
        return cls(before if is_joined else total, is_joined)


def _write_copy(path: Path, copy: Path, scan: FileCheck, older_bytes: int, level: int) -> None:
    temporary = copy.with_name(f".{copy.name}.tmp")
    try:
        with temporary.open("wb") as target:
            frames = _copy_older(copy, target) if older_bytes else []
            with open_lines(path) as source:
                frames += write_frames(blocks_of_lines(source), target, level)
            write_seek_table(frames, target)
            target.flush()
            os.fsync(target.fileno())
        size, digest = _digests(temporary, older_bytes)
        if (size, digest) != (older_bytes + scan.bytes, scan.sha256):
            raise CopyDiffers(f"{temporary}: does not read back as {path.name}")
        times = path.stat()  # retention goes by the age of what is inside
        os.utime(temporary, ns=(times.st_atime_ns, times.st_mtime_ns))
        temporary.replace(copy)
        sync_folder(copy.parent)
    except OSError as error:
        raise storage_error(copy, error) from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def _copy_older(copy: Path, target: IO[bytes]) -> list[Frame]:
    """Take the frames that are there as they are; another tool's file is one frame of ours."""
    frames = read_seek_table(copy)
    if frames is None:
        frames = [Frame(copy.stat().st_size, sum(len(piece) for piece in _pieces(copy)))]
    with copy.open("rb") as source:
        left = frames_bytes(frames)
        while left and (piece := source.read(min(left, _READ_BYTES))):
            target.write(piece)
            left -= len(piece)
    return frames


def _index(path: Path, copy: Path, scan: FileCheck, older_bytes: int) -> FileIndex:
    """Of everything in the copy: parts said at their writing stay, what nobody described is added."""
    known = _index_or_none(path)
    said = {part.offset: part for part in known.parts} if known else {}
    before = [part for part in said.values() if part.offset < older_bytes]
    own = [_shifted(part, older_bytes) for part in scan.parts]
    parts = before + [
        there if (there := said.get(part.offset)) and there.sha256 == part.sha256 else part
        for part in own
    ]
    gaps = [*(known.gaps if known and older_bytes else ()), *scan.gaps]
    index = index_of_parts(scan.symbol, scan.kind, parts, gaps)
    whole = scan.sha256 if not older_bytes else _digests(copy, 0)[1]
    return msgspec.structs.replace(index, sha256=whole)


def _shifted(part: IndexPart, by: int) -> IndexPart:
    return msgspec.structs.replace(part, offset=part.offset + by)


def _index_or_none(path: Path) -> FileIndex | None:
    with suppress(BadIndex):
        return stored_index(path)
    return None


def _digests(path: Path, skip: int) -> tuple[int, str]:
    """Size of the whole content, and the SHA-256 of what follows its first `skip` bytes."""
    digest, size = hashlib.sha256(), 0
    for piece in _pieces(path):
        digest.update(piece[max(0, min(skip - size, len(piece))) :])
        size += len(piece)
    return size, digest.hexdigest()


def _pieces(path: Path) -> Iterator[bytes]:
    reader = zstandard.ZstdDecompressor().stream_reader(
        path.open("rb"), read_across_frames=True, closefd=True
    )
    with reader:
        while piece := reader.read(_READ_BYTES):
            yield piece


def archived_bytes(days: list[ArchivedDay]) -> tuple[int, int]:
    """Bytes before and after, of what was archived."""
    done = [file for day in days for file in day.files if file.outcome is Outcome.ARCHIVED]
    return sum(file.bytes for file in done), sum(file.compressed_bytes for file in done)
