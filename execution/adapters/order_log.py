"""The write-ahead order log and the checkpoint that make execution survive `kill -9` at any instant.

Per step of the core, in this order:

1. one record is appended to the redo file: the step's log lines, its commands, its news, and the whole
   state (core, venue without books, updates on their way, stream positions) as it is before the commands;
2. the lines are appended to `data/orders/day-YYYY-MM-DD.jsonl` with one write();
3. only then commands reach the venue;
4. their SENT lines are appended: SENT means that the venue was really given the command;
5. the news goes to the bus.

A crash before 1 is as if the step never happened: its input is read again. A crash after 1 is completed
on start: missing lines are appended, the commands are submitted (the venue knows a duplicate id) and then
called sent, the news is sent again. Once a second the checkpoint file takes over everything and the redo
file starts anew.
"""

from __future__ import annotations

import os
import zlib
from pathlib import Path
from typing import Any

import msgspec

from execution.domain.outputs import LogLine
from execution.ports import Commit, Recovered
from failover.adapters.archive import Archive, DayFiles
from failover.adapters.files import read_jsonl, storage_error, write_atomically
from failover.domain.errors import DataCorruption

_HEADER_BYTES = 8  # length and CRC-32 of a redo record, little-endian


class CommitStore:
    """Checkpoint and redo file in one folder. One process owns them (the order log holds the lock)."""

    def __init__(self, folder: Path) -> None:
        self._checkpoint_path = folder / "execution_checkpoint.msgpack"
        self._redo_path = folder / "execution_redo.bin"
        self._encoder = msgspec.msgpack.Encoder()
        self._decoder = msgspec.msgpack.Decoder(Commit)
        self._redo: int | None = None

    def recover(self) -> Recovered:
        """Read both files. Raises DataCorruption when the checkpoint itself cannot be read."""
        checkpoint = self._read_checkpoint()
        commits, torn = self._read_redo()
        base = checkpoint.number if checkpoint else 0
        newer = [commit for commit in commits if commit.number > base]
        return Recovered(
            checkpoint=checkpoint, newest=newer[-1] if newer else None, torn_bytes=torn
        )

    def append(self, commit: Commit) -> None:
        """Make one step survive `kill -9`. Raises: StorageError (DiskFull)."""
        payload = self._encoder.encode(commit)
        header = len(payload).to_bytes(4, "little") + zlib.crc32(payload).to_bytes(4, "little")
        data = header + payload
        try:
            if self._redo is None:
                flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
                self._redo_path.parent.mkdir(parents=True, exist_ok=True)
                self._redo = os.open(self._redo_path, flags, 0o644)
            size = os.fstat(self._redo).st_size
            if os.write(self._redo, data) != len(data):
                os.ftruncate(self._redo, size)
                raise OSError(28, "no space left for a redo record")
        except OSError as error:
            raise storage_error(self._redo_path, error) from error

    def write_checkpoint(self, commit: Commit) -> None:
        """Replace the checkpoint (may run in a thread). Raises: StorageError (DiskFull)."""
        write_atomically(self._checkpoint_path, self._encoder.encode(commit))

    def drop_redo(self) -> None:
        """Forget redo records; only when the checkpoint on disk covers every one of them."""
        try:
            if self._redo is not None:
                os.ftruncate(self._redo, 0)
        except OSError as error:
            raise storage_error(self._redo_path, error) from error

    def close(self) -> None:
        if self._redo is not None:
            os.close(self._redo)
            self._redo = None

    def _read_checkpoint(self) -> Commit | None:
        try:
            data = self._checkpoint_path.read_bytes()
        except FileNotFoundError:
            return None
        try:
            return self._decoder.decode(data)
        except msgspec.DecodeError as error:
            raise DataCorruption(str(self._checkpoint_path), str(error), 0) from error

    def _read_redo(self) -> tuple[list[Commit], int]:
        """Whole records in order; the first torn one ends the file (it was never acted upon)."""
        try:
            data = self._redo_path.read_bytes()
        except FileNotFoundError:
            return [], 0
        commits, position = [], 0
        while position + _HEADER_BYTES <= len(data):
            length = int.from_bytes(data[position : position + 4], "little")
            crc = int.from_bytes(data[position + 4 : position + 8], "little")
            payload = data[position + _HEADER_BYTES : position + _HEADER_BYTES + length]
            if len(payload) < length or zlib.crc32(payload) != crc:
                break
            commits.append(self._decoder.decode(payload))
            position += _HEADER_BYTES + length
        if position < len(data):
            os.truncate(self._redo_path, position)
        return commits, len(data) - position


class OrderLog:
    """The write-ahead order log, through the archive: whole lines, one write() a step."""

    def __init__(self, archive: Archive) -> None:
        self._archive = archive

    def append(self, lines: list[LogLine], ts_ns: int) -> None:
        """Raises: StorageError (DiskFull)."""
        self._archive.log_order([line.record for line in lines], ts_ns=ts_ns)

    def open(self, day: str) -> None:
        """Take the day's file now: sets a torn tail aside, refuses a second process (FileInUse)."""
        self._archive.orders.open(day)

    def last_seq(self) -> int:
        """The `seq` of the newest line on disk, 0 when there is none."""
        for path in self._archive.orders.newest_first():
            seqs = [int(row["seq"]) for row in read_jsonl(path, on_bad=_pass_over) if "seq" in row]
            if seqs:
                return max(seqs)
        return 0

    def close(self) -> None:
        self._archive.orders.close()


def _pass_over(_: DataCorruption) -> None:
    """A damaged line is reported by the reader of its file; its neighbours still count."""


class TradeLog:
    """Closed trades through the archive, one line each, known by its plan."""

    def __init__(self, archive: Archive) -> None:
        self._archive = archive

    def append(self, record: Any, *, ts_ns: int) -> None:
        """Raises: StorageError (DiskFull)."""
        self._archive.log_trade(record, ts_ns=ts_ns)

    def has(self, identity: str) -> bool:
        """Whether it is on disk already; looked up only when a crash is completed."""
        return _has_line(self._archive.trades, "planId", identity)


class QualityLog:
    """How orders were carried out, through the archive, one line an order that is over."""

    def __init__(self, archive: Archive) -> None:
        self._archive = archive

    def append(self, record: Any, *, ts_ns: int) -> None:
        """Raises: StorageError (DiskFull)."""
        self._archive.log_order_quality(record, ts_ns=ts_ns)

    def has(self, identity: str) -> bool:
        """Whether it is on disk already; looked up only when a crash is completed."""
        return _has_line(self._archive.order_quality, "clientOrderId", identity)


def _has_line(days: DayFiles, key: str, identity: str) -> bool:
    """What a step writes bears its day or the one before."""
    return any(
        row.get(key) == identity
        for path in days.newest_first()[:2]
        for row in read_jsonl(path, on_bad=_pass_over)
    )
