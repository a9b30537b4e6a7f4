"""What a recorded file holds, as said beside it: `SYMBOL-<kind>.index.json`.

The recorder writes it when it closes a file, from what it wrote itself; the archiver completes it. A file
grows by *parts*: each is what one recorder run wrote between opening and closing it.
"""

from __future__ import annotations

import msgspec

INDEX_SCHEMA_VERSION = 1


class RecordedGap(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A stretch the recording itself says it does not have.

    `kind` RECORDER_GAP: messages after `from_seq` up to `seq` were dropped before they reached the disk.
    `kind` FEED_GAP: the venue's own numbers jumped or the line was down before `seq`.
    """

    kind: str
    recorder_run: str
    seq: int
    ts: int  # core time, ns
    dropped: int = 0
    from_seq: int = 0  # first message that may be missing; 0 where the line does not say


class IndexPart(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One stretch of the file's bytes, written by one run. Times are core time in ns, of its lines.

    `is_closed`: the writer itself closed it, so nothing of it can be missing at its end.
    """

    recorder_run: str
    offset: int
    bytes: int
    rows: int
    first_ts: int
    last_ts: int
    first_seq: int
    last_seq: int
    sha256: str
    is_closed: bool = True


class RunSpan(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What the file holds of one recorder run (checkpoint lines count as rows)."""

    recorder_run: str
    first_ts: int
    last_ts: int
    first_seq: int
    last_seq: int
    rows: int


class FileIndex(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Everything about one file of one symbol, kind and day; sizes and hashes of its uncompressed content.

    `sha256` is that of the first `bytes`, "" until a second part, or one written by a killed process, was
    read again by the archiver; the parts have theirs at once. A plain file may have grown beyond `bytes`.
    """

    symbol: str
    kind: str
    bytes: int
    rows: int
    sha256: str
    runs: list[RunSpan]
    parts: list[IndexPart]
    gaps: list[RecordedGap]
    schema_version: int = INDEX_SCHEMA_VERSION

    @property
    def first_ts(self) -> int:
        """Core time of the first line, ns; 0 of an empty file."""
        return min((run.first_ts for run in self.runs), default=0)

    @property
    def last_ts(self) -> int:
        """Core time of the newest line, ns; 0 of an empty file."""
        return max((run.last_ts for run in self.runs), default=0)


def index_of_parts(
    symbol: str, kind: str, parts: list[IndexPart], gaps: list[RecordedGap]
) -> FileIndex:
    """The index that these parts, in order of their offsets, make together."""
    whole = parts[0].sha256 if len(parts) == 1 and parts[0].offset == 0 else ""
    return FileIndex(
        symbol=symbol,
        kind=kind,
        bytes=max((part.offset + part.bytes for part in parts), default=0),
        rows=sum(part.rows for part in parts),
        sha256=whole,
        runs=_spans(parts),
        parts=parts,
        gaps=gaps,
    )


def _spans(parts: list[IndexPart]) -> list[RunSpan]:
    spans: dict[str, RunSpan] = {}
    for part in parts:
        known = spans.get(part.recorder_run)
        spans[part.recorder_run] = RunSpan(
            recorder_run=part.recorder_run,
            first_ts=part.first_ts if known is None else min(known.first_ts, part.first_ts),
            last_ts=part.last_ts if known is None else max(known.last_ts, part.last_ts),
            first_seq=part.first_seq if known is None else min(known.first_seq, part.first_seq),
            last_seq=part.last_seq if known is None else max(known.last_seq, part.last_seq),
            rows=part.rows + (0 if known is None else known.rows),
        )
    return list(spans.values())
