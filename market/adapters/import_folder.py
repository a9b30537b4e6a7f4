"""Where an import grows until it is whole, and how it becomes part of `data/market` at one stroke.

    data/market/.import-<key>/state.json        how far it is; `<key>` is derived from what is imported
    data/market/.import-<key>/2026-01-31/...     its files, as they will be

Lines of a run whose `instruments-<run>.json` is not there are no recording to any reader: all other files
are put in place first and that one last. Killed at any point, the next start goes on: before the last
step nothing of the import can be seen, after it everything.
"""

from __future__ import annotations

import fcntl
import gzip
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Self

import msgspec
import zstandard

from failover.adapters.files import storage_error, sync_folder, write_atomically
from market.adapters.recording_files import open_lines, variants
from market.domain.imports import ImportRefused

_COPY_BYTES = 1 << 20
_DAY_S = 86_400


class ImportState(msgspec.Struct, kw_only=True, rename="camel"):
    """`seq`: last message whose lines are in the files of `sizes`; once `is_written`, only moving is left."""

    recorder_run: str = ""
    seq: int = 0
    sizes: dict[str, int] = {}
    is_written: bool = False


class ImportFolder:
    """One import on its way into `market_dir`. Use as a context: it locks out a second one of the same.

    Raises: ImportRefused (another import of the same runs), StorageError, DiskFull.
    """

    def __init__(self, market_dir: Path, key: str) -> None:
        self._market_dir = market_dir
        self.path = market_dir / f".import-{key}"
        self.state = ImportState()
        self._files: dict[str, IO[bytes]] = {}
        self._was_written = False  # by an earlier process, which may have begun to publish
        self._lock: IO[bytes] | None = None

    def __enter__(self) -> Self:
        with _storage_errors(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
            self._lock = (self.path / "lock").open("ab")
            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                self._lock.close()
                raise ImportRefused(
                    f"{self.path}: another process is importing the same; wait for it"
                ) from None
            self._load()
        return self

    def __exit__(self, *_: object) -> None:
        for file in self._files.values():
            file.close()
        if self._lock is not None:
            self._lock.close()

    # --- growing

    def append(self, day: int, name: str, lines: list[str]) -> None:
        """Add lines to the file `name` of `day` (days since the epoch)."""
        relative = f"{datetime.fromtimestamp(day * _DAY_S, UTC):%Y-%m-%d}/{name}"
        with _storage_errors(self.path / relative):
            file = self._files.get(relative)
            if file is None:
                path = self.path / relative
                path.parent.mkdir(parents=True, exist_ok=True)
                file = self._files[relative] = path.open("ab", buffering=_COPY_BYTES)
            file.write(("\n".join(lines) + "\n").encode())

    def save(self, seq: int) -> None:
        """Make everything up to message `seq` survive any end of this process or of the machine."""
        with _storage_errors(self.path):
            for file in self._files.values():
                file.flush()
                os.fdatasync(file.fileno())
            self.state.seq = seq
            self.state.sizes |= {name: file.tell() for name, file in self._files.items()}
        self._write_state()

    def written(self, seq: int) -> None:
        """The last line is in: from here on the import is only moved."""
        self.save(seq)
        self.state.is_written = True
        self._write_state()

    def days(self) -> list[str]:
        return sorted({name.partition("/")[0] for name in self.state.sizes})

    # --- moving

    def publish(self, at_last: dict[str, bytes]) -> None:
        """Put the files in place, then `at_last` (name -> content) into each of its days. Again: no harm.

        Raises: ImportRefused where a recorder still writes one of the day's files; run it again later.
        """
        days = self.days()
        for name in sorted(self.state.sizes):
            staged, target = self.path / name, self._market_dir / name
            with _storage_errors(target):
                target.parent.mkdir(parents=True, exist_ok=True)
                if staged.exists():
                    self._move(staged, target)
        for day in days:
            for name, content in at_last.items():
                write_atomically(self._market_dir / day / name, content)
        with _storage_errors(self.path):
            shutil.rmtree(self.path)

    def _move(self, staged: Path, target: Path) -> None:
        """A link fails where the file is there already, be it since a moment: nothing is overwritten."""
        there = variants(target)
        if not there:
            try:
                os.link(staged, target)
            except FileExistsError:
                there = [target]
        if there and not (self._was_written and self._holds_the_run(there)):
            if (
                len(there) > 1
            ):  # the archiver tells by its end whether the plain one is in the packed one
                raise ImportRefused(
                    f"{target}: is there plain and packed; run archive_recordings, then import again"
                )
            _join(there[0], staged)
        sync_folder(target.parent)
        staged.unlink()

    def _holds_the_run(self, files: list[Path]) -> bool:
        """Whether a publication that was cut off got as far as this file."""
        mark = f'"recorderRun":"{self.state.recorder_run}"'.encode()
        for path in files:
            with open_lines(path) as lines:
                if any(mark in line for line in lines):
                    return True
        return False

    def discard(self) -> None:
        """What was written is of no use: the source cannot be read to its end."""
        shutil.rmtree(self.path, ignore_errors=True)

    # --- inside

    def _load(self) -> None:
        """Take up what an earlier process left; what it had not saved is cut off."""
        try:
            self.state = msgspec.json.decode(
                (self.path / "state.json").read_bytes(), type=ImportState
            )
        except (FileNotFoundError, msgspec.MsgspecError):
            self.state = ImportState()
        self._was_written = self.state.is_written
        if self._was_written:
            return
        for path in self.path.glob("*/*"):
            size = self.state.sizes.get(str(path.relative_to(self.path)))
            if size is None:
                path.unlink()
            else:
                os.truncate(path, size)

    def _write_state(self) -> None:
        write_atomically(self.path / "state.json", msgspec.json.encode(self.state))


def _join(target: Path, staged: Path) -> None:
    """Put the lines of `staged` behind those of `target`, which a reader sees with all of them or none."""
    with target.open("rb") as old:
        try:
            fcntl.flock(old, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ImportRefused(
                f"{target}: is being recorded; import again when its day is over, or with --into elsewhere"
            ) from None
        if not _is_still(old, target):
            raise ImportRefused(f"{target}: has just been packed or replaced; import again")
        joined = target.with_name(f".{target.name}.import")
        with joined.open("wb") as new, staged.open("rb") as lines:
            shutil.copyfileobj(old, new, _COPY_BYTES)
            _append(lines, new, target)
            new.flush()
            os.fsync(new.fileno())
        joined.replace(target)


def _is_still(file: IO[bytes], path: Path) -> bool:
    """Whether an open file is what the name stands for: it may have been packed before it was locked."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def _append(lines: IO[bytes], new: IO[bytes], target: Path) -> None:
    """In the target's own packing: zstd frames and gzip members may follow each other."""
    if target.suffix == ".zst":
        zstandard.ZstdCompressor(level=3).copy_stream(lines, new)
    elif target.suffix == ".gz":
        with gzip.GzipFile(fileobj=new, mode="wb", mtime=0) as packed:
            shutil.copyfileobj(lines, packed, _COPY_BYTES)
    else:
        if _lacks_line_feed(target):
            new.write(b"\n")
        shutil.copyfileobj(lines, new, _COPY_BYTES)


def _lacks_line_feed(path: Path) -> bool:
    with path.open("rb") as file:
        if file.seek(0, os.SEEK_END) == 0:
            return False
        file.seek(-1, os.SEEK_END)
        return file.read(1) != b"\n"


@contextmanager
def _storage_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise storage_error(path, error) from error
