"""Reads the decision journal back (layout: `journal_blocks.py`): runs, records in order, what is damaged.

Nothing that cannot be read is passed over: where a block is damaged or a day's file is gone, a `Missing`
record stands in its place. A file that ends inside a block has a torn tail: the end of a killed run.
"""

from __future__ import annotations

import fcntl
import mmap
import os
from collections.abc import Iterator
from pathlib import Path

from failover.adapters.file_locks import locked_inodes
from failover.adapters.files import write_atomically
from failover.adapters.journal_blocks import (
    SUFFIX,
    Block,
    block_at,
    end_of_block,
    is_block_at,
    is_cut_short,
    next_block,
)
from failover.domain.journal import Missing, Numbered
from failover.ports import FoundBlock, JournalRun

_DAYS_MENDED = 2
_WINDOW_BYTES = 16 * 1024 * 1024


def journal_runs(folder: Path, core: str | None = None) -> list[JournalRun]:
    """The runs found under `folder` (`data/journal`), by core and run id."""
    found: dict[tuple[str, str], list[Path]] = {}
    for path in sorted(folder.glob(f"????-??-??/*{SUFFIX}")):
        name, _, run_id = path.name.removesuffix(SUFFIX).partition("-")
        if run_id and core in (None, name):
            found.setdefault((name, run_id), []).append(path)
    return [JournalRun(*key, tuple(paths)) for key, paths in sorted(found.items())]


class JournalReader:
    """The records of a run. `torn` names files that end inside a block, `damage` what else is wrong."""

    def __init__(self, run: JournalRun) -> None:
        self.run = run
        self.torn: list[str] = []
        self.damage: list[str] = []

    def records(self) -> Iterator[Numbered]:
        """Every record in order; `Missing` where some cannot be had. Raises: OSError."""
        expected = 1
        for path in self.run.paths:
            for block in self._blocks(_content(path), path):
                if block is None:
                    reason = f"{path.name}: what follows record {expected - 1} cannot be read"
                    yield Numbered(expected, Missing(0, reason))
                    continue
                if block.first != expected:
                    lost = max(0, block.first - expected)
                    reason = f"{path.name}: record {block.first} follows {expected - 1}"
                    yield Numbered(expected, Missing(lost, reason))
                for place, record in enumerate(block.records):
                    yield Numbered(block.first + place, record)
                expected = block.first + len(block.records)

    def _blocks(self, data: bytes, path: Path) -> Iterator[Block | None]:
        """None: bytes that no write left half done; how many records they were is not known."""
        position = 0
        while position < len(data):
            block = block_at(data, position)
            if block is not None:
                yield block
                position = block.end
                continue
            following = next_block(data, position + 1)
            if following < 0 and is_cut_short(data, position):
                self.torn.append(
                    f"{path}: the last {len(data) - position} bytes are no whole block"
                )
                return
            following = following if following > 0 else len(data)
            if following == len(data):
                yield None
            self.damage.append(f"{path}: bytes {position} to {following - 1} cannot be read")
            position = following


def _content(path: Path) -> bytes:
    """With what was set aside of it."""
    aside = _aside(path)
    return path.read_bytes() + (aside.read_bytes() if aside.exists() else b"")


def _aside(path: Path) -> Path:
    return path.with_name(f"{path.name}.torn")


class JournalFolder:
    """`data/journal`, to look at without a core's noticing (`failover.ports.JournalFiles`)."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def runs(self) -> list[JournalRun]:
        return journal_runs(self._folder)

    def blocks_after(self, path: Path, position: int, until: int) -> Iterator[FoundBlock]:
        return blocks_after(path, position, until)

    def locked_inodes(self) -> set[int]:
        return locked_inodes()


def blocks_after(
    path: Path, position: int, until: int, *, window_bytes: int = _WINDOW_BYTES
) -> Iterator[FoundBlock]:
    """The whole blocks between two places of a file that may be growing; a day's file is large.

    What no whole block follows (a torn tail, a block being written) is passed over: the next call goes on
    from the last block's end. Raises: OSError.
    """
    with path.open("rb") as file:
        file.seek(position)
        data, skipped = b"", 0
        while more := file.read(min(window_bytes, until - position - len(data))):
            data, place = data + more, 0
            while place < len(data):
                block = block_at(data, place)
                if block is not None:
                    yield FoundBlock(block.first, block.records, position + block.end, skipped)
                    skipped, place = 0, block.end
                elif (following := next_block(data, place + 1)) >= 0:
                    skipped, place = skipped + following - place, following
                else:
                    break  # it may go on in the next window
            data, position = data[place:], position + place


def set_torn_tails_aside(folder: Path, core: str) -> list[Path]:
    """Cut what follows the last whole block of dead runs' files into `<file>.torn`; returns those files.

    Looks at the newest days alone; a file that a living run holds is left as it is. Raises: OSError.
    """
    mended = []
    for day in sorted(folder.glob("????-??-??"))[-_DAYS_MENDED:]:
        for path in sorted(day.glob(f"{core}-*{SUFFIX}")):
            aside = _mended(path)
            if aside is not None:
                mended.append(aside)
    return mended


def _mended(path: Path) -> Path | None:
    with path.open("r+b") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return None  # its run lives
        size = os.fstat(file.fileno()).st_size
        if not size:
            return None
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:  # a day's file is large
            end = _end_of_blocks(data)
            tail = data[end:]
        if not tail:
            return None
        aside = _aside(path)
        write_atomically(aside, tail)
        file.truncate(end)
        os.fsync(file.fileno())
    return aside


def _end_of_blocks(data: mmap.mmap) -> int:
    """Where the last whole block ends."""
    position = 0
    while position < len(data):
        begin = position if is_block_at(data, position) else next_block(data, position + 1)
        if begin < 0:
            return position
        position = end_of_block(data, begin)
    return position
