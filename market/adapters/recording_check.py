"""Reads recordings from end to end and tells what is wrong with them; changes nothing.

Memory does not grow with the files: a block of lines at a time, and one bit a message of each run. A file
that is being written is judged up to where it was when the check began.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, date, datetime
from pathlib import Path
from typing import NamedTuple

import msgspec
import zstandard

from failover.adapters.file_locks import locked_inodes
from market.adapters.recording_files import (
    INDEX_SUFFIX,
    SUFFIXES,
    BadIndex,
    day_folders,
    files_in,
    is_day,
    open_lines,
    read_index,
    symbol_and_kind,
    variants,
)
from market.adapters.zstd_frames import blocks_of_lines, frames_bytes, read_seek_table
from market.domain.instruments import Instrument
from market.domain.raw_events import RawFile
from market.domain.recording_checks import CROSSED_MS, FileCheck
from market.domain.recording_findings import (
    FileVerdict,
    FindingList,
    Problem,
    RecordingReport,
)
from market.domain.recording_index import FileIndex, IndexPart
from market.domain.recording_runs import RunSeen

_BLOCK_BYTES = 1 << 20
_EPOCH = date(1970, 1, 1)
_DAMAGED = (zstandard.ZstdError, EOFError, OSError)
_decode_table = msgspec.json.Decoder(list[Instrument]).decode


class NothingToCheck(ValueError):
    """The path holds no recording; the text says what was looked for and where."""


class Stopped(Exception):
    """Somebody asked to stop; nothing was changed."""


class _Target(NamedTuple):
    """One recorded file as it was when the check began. `size`: None reads to the end."""

    path: Path
    symbol: str
    kind: RawFile
    size: int | None
    is_open: bool


class RecordingCheck:
    """One check of `path`: the folder of all days, one day, or one file of a day."""

    def __init__(
        self,
        path: Path,
        *,
        crossed_ms: int = CROSSED_MS,
        on_file: Callable[[Path], None] = lambda _: None,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> None:
        """Raises: NothingToCheck."""
        self.findings = FindingList()
        self.runs: dict[str, RunSeen] = {}
        self.verdicts: list[FileVerdict] = []
        self.scans: dict[Path, FileCheck] = {}
        self._crossed_ms = crossed_ms
        self._on_file, self._should_stop = on_file, should_stop
        self._path = path
        self._days = _days_under(path)
        self._root = path if path.is_dir() else path.parent
        locked = locked_inodes()
        targets = [target for day in self._days for target in _targets(day, locked)]
        self._targets = [each for each in targets if path.is_dir() or each.path == path]
        if path.is_file() and not self._targets:  # the variant that readers pass over
            name = symbol_and_kind(path)
            assert name is not None
            self._targets = [_Target(path, *name, None, is_open=False)]
        if not self._targets and not any(any(day.iterdir()) for day in self._days):
            raise NothingToCheck(f"{path}: no recorded day (YYYY-MM-DD) and no recorded file")

    def run(self) -> RecordingReport:
        """Check everything. Raises: Stopped."""
        started_s, now = time.perf_counter(), datetime.now(UTC)
        for target in self._targets:
            self._on_file(target.path)
            self._check_target(target)
        if self._path.is_dir():
            self._check_folders()
            for run in sorted(self.runs):
                self.runs[run].report_holes(run, self.findings)
        return RecordingReport(
            timestamp=now.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            path=str(self._path),
            files=self.verdicts,
            findings=self.findings.listed,
            problems=self.findings.totals(),
            bytes=sum(verdict.bytes for verdict in self.verdicts),
            rows=sum(verdict.rows for verdict in self.verdicts),
            seconds=round(time.perf_counter() - started_s, 3),
        )

    def _check_target(self, target: _Target) -> None:
        name = self._name(target.path)
        index = self._index(target.path, name)
        check = self.scans[target.path] = self._scan(target, name, index)
        if index is not None and not target.is_open:
            self._compare(name, index, check)
        elif index is None and not target.is_open:
            self.findings.add(Problem.NOT_INDEXED, name, "no index beside it yet")
        if target.path.suffix == ".zst":
            self._check_frames(target.path, name, check.bytes)
        self._note_closed(check, index, is_open=target.is_open)
        self.verdicts.append(
            FileVerdict(
                path=name,
                bytes=check.bytes,
                rows=check.rows,
                sha256=check.sha256,
                is_indexed=index is not None,
                runs=sorted({part.recorder_run for part in check.parts}),
                problems=self.findings.of(name),
            )
        )

    def _scan(self, target: _Target, name: str, index: FileIndex | None) -> FileCheck:
        """Judge the lines of one file. Raises: Stopped."""
        check = FileCheck(
            name,
            target.symbol,
            target.kind,
            self.findings,
            self.runs,
            day=_day_number(target.path.parent.name),
            boundaries=_boundaries(index),
            crossed_ms=self._crossed_ms,
        )
        try:
            for block in _blocks(target):
                if self._should_stop():
                    raise Stopped
                check.take(block)
        except _DAMAGED as error:
            self.findings.add(
                Problem.UNREADABLE_FILE,
                name,
                f"after {check.bytes} bytes: {error}",
                offset=check.bytes,
            )
        check.finish()
        return check

    def _index(self, path: Path, name: str) -> FileIndex | None:
        try:
            return read_index(path)
        except (BadIndex, OSError) as error:
            self.findings.add(Problem.BAD_INDEX, name, str(error))
            return None

    def _compare(self, name: str, index: FileIndex, check: FileCheck) -> None:
        """What the index says against what is there."""
        is_longer = check.bytes > index.bytes and not name.endswith(".jsonl")
        if index.bytes > check.bytes or is_longer:  # a plain file may have grown since
            self._mismatch(name, f"{check.bytes} bytes, the index says {index.bytes}")
        elif index.bytes == check.bytes and index.sha256 not in ("", check.sha256):
            self.findings.add(Problem.CHECKSUM_MISMATCH, name, "not the content that was indexed")
        found = {part.offset: part for part in check.parts}
        for part in index.parts:
            there = found.get(part.offset)
            if there is None or there.bytes != part.bytes or there.rows != part.rows:
                self._mismatch(
                    name,
                    f"run {part.recorder_run}: {part.rows} rows, {part.bytes} bytes from byte "
                    f"{part.offset} expected, "
                    + (f"{there.rows} rows, {there.bytes} bytes found" if there else "none found"),
                )
            elif there.sha256 != part.sha256:
                self.findings.add(
                    Problem.CHECKSUM_MISMATCH,
                    name,
                    f"changed between byte {part.offset} and {part.offset + part.bytes}",
                    offset=part.offset,
                    recorder_run=part.recorder_run,
                )
            elif _places(there) != _places(part):
                self._mismatch(
                    name, f"run {part.recorder_run}: other times or numbers than indexed"
                )

    def _mismatch(self, name: str, detail: str) -> None:
        self.findings.add(Problem.INDEX_MISMATCH, name, detail)

    def _check_frames(self, path: Path, name: str, content_bytes: int) -> None:
        try:
            frames = read_seek_table(path)
            size = path.stat().st_size
        except OSError:
            return  # told while it was read
        if frames is None:
            return  # packed by another tool
        fits = (
            frames_bytes(frames) <= size and sum(frame.content for frame in frames) == content_bytes
        )
        if not fits:
            self._mismatch(name, "the table of its frames tells of another content")

    def _note_closed(self, check: FileCheck, index: FileIndex | None, *, is_open: bool) -> None:
        closed = {part.offset for part in index.parts if part.is_closed} if index else set()
        for part in check.parts:
            if part.offset not in closed and (seen := self.runs.get(part.recorder_run)):
                seen.is_closed = False
                seen.is_open = seen.is_open or is_open

    def _check_folders(self) -> None:
        for day in self._days:
            for path in sorted(day.iterdir()):
                self._check_entry(path)
        if self._days != [self._path]:
            for path in sorted(self._root.iterdir()):
                if path not in self._days and not path.name.startswith(".import-"):
                    self._foreign(path)
        known = {path.name[12:-5] for day in self._days for path in day.glob("instruments-*.json")}
        for run in sorted(set(self.runs) - known - {""}):
            self.findings.add(
                Problem.UNKNOWN_RUN, "", f"run {run} has no instruments-{run}.json beside its files",
                recorder_run=run,
            )  # fmt: skip

    def _check_entry(self, path: Path) -> None:
        if path.is_dir() or path.is_symlink():
            self._foreign(path)
        elif path.name.startswith("instruments-") and path.suffix == ".json":
            self._check_table(path)
        elif path.name.startswith("import-") and path.suffix == ".json":
            pass  # where an imported run came from
        elif ".jsonl.torn-" in path.name or ".jsonl.damaged-" in path.name:
            self.findings.add(
                Problem.TORN_ASIDE, self._name(path), f"{path.stat().st_size} bytes set aside"
            )
        elif symbol_and_kind(path) is None:
            self._foreign(path)
        elif path.name.endswith(INDEX_SUFFIX):
            if not variants(path):
                self.findings.add(
                    Problem.FILE_MISSING, self._name(path), "an index without its file"
                )
        elif not path.name.endswith(SUFFIXES):
            self._foreign(path)
        elif len(variants(path)) > 1 and path == variants(path)[0]:
            self.findings.add(Problem.TWO_VARIANTS, self._name(path), "the archiver will join them")

    def _check_table(self, path: Path) -> None:
        try:
            _decode_table(path.read_bytes())
        except (msgspec.MsgspecError, OSError) as error:
            self.findings.add(Problem.UNREADABLE_FILE, self._name(path), str(error))

    def _foreign(self, path: Path) -> None:
        self.findings.add(Problem.FOREIGN_FILE, self._name(path), "no file of a recording")

    def _name(self, path: Path) -> str:
        return str(path.relative_to(self._root))


def _days_under(path: Path) -> list[Path]:
    if path.is_file():
        if symbol_and_kind(path) is None or not path.name.endswith(SUFFIXES):
            raise NothingToCheck(f"{path}: not a recorded file (SYMBOL-trades.jsonl and the like)")
        return [path.parent]
    if not path.is_dir():
        raise NothingToCheck(f"{path}: no such file or folder")
    if is_day(path.name):
        return [path]
    days = day_folders(path, None, None)
    if not days:
        raise NothingToCheck(f"{path}: no day (YYYY-MM-DD) in it")
    return days


def _targets(day: Path, locked: set[int]) -> Iterator[_Target]:
    names = {symbol_and_kind(path) for path in day.iterdir() if path.name.endswith(SUFFIXES)}
    for symbol, kind in sorted(name for name in names if name is not None):
        for path in files_in(day, symbol, kind):
            there = path.stat()
            is_plain = path.suffix == ".jsonl"
            yield _Target(
                path=path,
                symbol=symbol,
                kind=kind,
                size=there.st_size if is_plain else None,
                is_open=is_plain and there.st_ino in locked,
            )


def _blocks(target: _Target) -> Iterator[bytes]:
    with open_lines(target.path) as file:
        left = target.size if target.size is not None else 1 << 62
        for block in blocks_of_lines(file, _BLOCK_BYTES):
            if left <= 0:
                return
            taken, left = block[:left], left - len(block)
            if target.is_open and not taken.endswith(b"\n"):
                taken = taken[: taken.rfind(b"\n") + 1]
            yield taken


def _boundaries(index: FileIndex | None) -> set[int]:
    if index is None:
        return set()
    starts = {part.offset for part in index.parts}
    return starts | {part.offset + part.bytes for part in index.parts}


def _places(part: IndexPart) -> tuple[str, int, int, int, int]:
    return (part.recorder_run, part.first_ts, part.last_ts, part.first_seq, part.last_seq)


def _day_number(name: str) -> int | None:
    with suppress(ValueError):
        return (date.fromisoformat(name) - _EPOCH).days
    return None
