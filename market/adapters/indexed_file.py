"""A recorded file that knows what was put into it, and says so beside it when it is closed.

What a killed process had written since it opened the file has no part in the index; the archiver reads it
again (`recording_archiver`). Nothing of the file is read here: closing costs the same for every size.
"""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Iterable
from pathlib import Path

import msgspec

from failover.adapters.files import write_atomically
from failover.adapters.jsonl import JsonlAppender
from market.adapters.recording_files import BadIndex, index_path, stored_index, symbol_and_kind
from market.domain.recording_index import FileIndex, IndexPart, RecordedGap, index_of_parts

logger = logging.getLogger(__name__)

_PLACE = re.compile(rb'"recorderRun":"([^"]*)","seq":(\d+),"recvTs":(\d+)')
_GAP_MARK = b'"subtype":"GAP"'


class _GapPayload(msgspec.Struct, rename="camel"):
    dropped: int = 0
    from_seq: int = 0


class _GapLine(msgspec.Struct, rename="camel"):
    type: str
    recorder_run: str
    seq: int
    recv_ts: int
    payload: _GapPayload


_decode_gap = msgspec.json.Decoder(_GapLine).decode


class IndexedFile:
    """A `LineFile` of one recorder run. Raises as `JsonlAppender` does."""

    def __init__(self, path: Path) -> None:
        self._file = JsonlAppender(path)
        self._path = self._file.open()
        self._offset = self._size = path.stat().st_size
        self._hash = hashlib.sha256()
        self._rows = 0
        self._first: re.Match[bytes] | None = None
        self._last: re.Match[bytes] | None = None
        self._gaps: list[RecordedGap] = []

    def append_lines(self, lines: Iterable[bytes]) -> None:
        """Write records (no line feeds inside) with one write(). Raises: StorageError, DiskFull."""
        records = list(lines)
        self._file.append_lines(records)
        if not records:
            return
        data = b"\n".join(records) + b"\n"
        self._hash.update(data)
        self._size += len(data)
        self._rows += len(records)
        self._first = self._first or _PLACE.search(records[0])
        self._last = _PLACE.search(records[-1]) or self._last
        if _GAP_MARK in data:
            self._gaps += [_gap(record) for record in records if _GAP_MARK in record]

    def sync(self) -> None:
        self._file.sync()

    def close(self) -> None:
        """Sync, close, and write the index. Raises: StorageError."""
        self._file.close()
        if self._first is None or self._last is None:
            return
        if self._path.stat().st_size != self._size:
            # Half a line of ours was taken back, or somebody else wrote too: who reads it can tell.
            return
        index = self._with_our_part()
        if index is not None:
            write_atomically(index_path(self._path), msgspec.json.encode(index))

    def _with_our_part(self) -> FileIndex | None:
        assert self._first is not None
        assert self._last is not None
        name = symbol_and_kind(self._path)
        if name is None:
            return None
        run, first_seq, first_ts = self._first.groups()
        _, last_seq, last_ts = self._last.groups()
        part = IndexPart(
            recorder_run=run.decode(),
            offset=self._offset,
            bytes=self._size - self._offset,
            rows=self._rows,
            first_ts=int(first_ts),
            last_ts=int(last_ts),
            first_seq=int(first_seq),
            last_seq=int(last_seq),
            sha256=self._hash.hexdigest(),
        )
        try:
            before = stored_index(self._path)
        except BadIndex as error:
            logger.warning("recording_index_unreadable", extra={"reason": str(error)})
            before = None
        if before is None:
            return index_of_parts(*name, [part], self._gaps)
        if before.bytes > self._offset:
            return None  # it tells of the day's compressed file; the archiver joins the two
        return index_of_parts(*name, [*before.parts, part], [*before.gaps, *self._gaps])


def _gap(record: bytes) -> RecordedGap:
    line = _decode_gap(record)
    return RecordedGap(
        kind=line.type if line.type == "RECORDER_GAP" else "FEED_GAP",
        recorder_run=line.recorder_run,
        seq=line.seq,
        ts=line.recv_ts,
        dropped=line.payload.dropped,
        from_seq=line.payload.from_seq,
    )
