"""What services of the floor ask of adapters that are handed to them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, Protocol

from failover.domain.journal import JournalRecord


class JournalRun(NamedTuple):
    """One run of one core and its files, oldest day first."""

    core: str
    run_id: str
    paths: tuple[Path, ...]


class FoundBlock(NamedTuple):
    """Records `first` .. of a run in one of its files; `end` is the place behind them.

    `skipped_bytes` stand between the block before and this one and cannot be read.
    """

    first: int
    records: list[JournalRecord]
    end: int
    skipped_bytes: int


class JournalFiles(Protocol):
    """The folder of the decision journal, to look at: `failover.adapters.journal_reader.JournalFolder`."""

    def runs(self) -> list[JournalRun]:
        """The runs by core and run id."""

    def blocks_after(self, path: Path, position: int, until: int) -> Iterator[FoundBlock]:
        """The whole blocks between two places of a file. Raises: OSError."""

    def locked_inodes(self) -> set[int]:
        """The files that writers have open."""
