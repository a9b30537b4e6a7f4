"""Opens a session for replay: finds its columnar cache in order, or makes it from events.jsonl."""

from __future__ import annotations

import shutil
import uuid
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import msgspec

from failover.adapters.files import storage_error
from failover.domain.errors import StorageError
from market.domain.events import EventChunk
from market.domain.priming import Primer
from market.domain.recordings import MarketData, count_kinds
from replay.adapters.session_columns import (
    CacheFacts,
    ColumnWriter,
    SessionColumns,
    file_digest,
    file_stamp,
    read_cache_facts,
    write_cache_facts,
)
from replay.adapters.session_errors import refusal_of
from replay.adapters.session_events import EventsReader
from replay.adapters.session_shelf import COLUMNS, EVENTS
from replay.domain.recordings import FaultLog, ReadProgress
from replay.domain.sessions import ReplayManifest, SessionRefused

_MOST_FRAMES_AHEAD = 100_000  # of all symbols, in one chunk
_USUAL_BOUNDARY_NS = 100_000_000


def open_session_folder(folder: Path, manifest: ReplayManifest, start_ns: int | None) -> MarketData:
    """Raises: SessionRefused (NO_DATA, BROKEN, STORAGE, DISK_FULL)."""
    try:
        facts = current_cache(folder, manifest)
        columns = SessionColumns(folder / COLUMNS, facts)
    except OSError as error:
        raise refusal_of(storage_error(folder, error)) from error
    except StorageError as error:
        raise refusal_of(error) from error
    data = MarketData(
        instruments=tuple(manifest.instruments),
        chunks=iter(()),
        description="replay session",
        paths=(str(folder),),
        faults=FaultLog(counts=Counter(manifest.faults) + Counter(facts.faults)),
        progress=ReadProgress(bytes_total=facts.events_bytes),
        notes=[f"session {manifest.session_id}", *([manifest.notes] if manifest.notes else [])],
        exchange_ahead_ns=manifest.exchange_ahead_ns,
    )
    if manifest.digest and facts.digest != manifest.digest:
        data.faults.add(
            "changed_events",
            folder / EVENTS,
            0,
            f"digest {facts.digest}, made as {manifest.digest}",
        )
    first = 0 if start_ns is None else columns.message_at(start_ns)
    if first >= columns.messages:
        raise SessionRefused("NO_DATA", "the session has no event at or after that time")
    data.first_event_index = first
    data.chunks = _chunks(columns, data, first, start_ns)
    return data


def _chunks(
    columns: SessionColumns, data: MarketData, first: int, start_ns: int | None
) -> Iterator[EventChunk]:
    share = data.progress.bytes_total / columns.messages
    if start_ns is not None and first:
        primer = Primer(len(data.instruments))
        begin, state = columns.state_before(first)
        if state is not None:
            primer.restore(state)
        for chunk in columns.chunks(begin, stop=first):
            primer.skip(chunk)
        if len(statement := primer.statement(start_ns)):
            count_kinds(data.message_counts, statement)
            yield statement
    done = first
    most_ns = _MOST_FRAMES_AHEAD // len(data.instruments) * _USUAL_BOUNDARY_NS
    for chunk in columns.chunks(first, most_ns=most_ns):
        count_kinds(data.message_counts, chunk)
        done += len(chunk)
        data.progress.bytes_read = int(done * share)
        yield chunk


def current_cache(folder: Path, manifest: ReplayManifest) -> CacheFacts:
    """The facts of a cache that is of this events.jsonl, made now where there is none.

    Raises: OSError, StorageError.
    """
    events_bytes, mtime_ns = file_stamp(folder / EVENTS)
    facts = read_cache_facts(folder / COLUMNS)
    if facts is not None and facts.events_bytes == events_bytes:
        if facts.events_mtime_ns == mtime_ns:
            return facts
        if facts.events_sha256 == file_digest(folder / EVENTS):  # copied or touched: the same file
            return _stamped(folder, facts, mtime_ns)
    return rebuilt_cache(folder, manifest, mtime_ns)


def _stamped(folder: Path, facts: CacheFacts, mtime_ns: int) -> CacheFacts:
    fresh = msgspec.structs.replace(facts, events_mtime_ns=mtime_ns)
    write_cache_facts(folder / COLUMNS, fresh)
    return fresh


def rebuilt_cache(folder: Path, manifest: ReplayManifest, mtime_ns: int) -> CacheFacts:
    """Beside the old one, which is then replaced: who has it open goes on reading it."""
    made = folder / f".{COLUMNS}-{uuid.uuid4().hex[:8]}"
    try:
        reader = EventsReader(folder / EVENTS, manifest.instruments)
        with ColumnWriter(made, manifest.instruments) as writer:
            for chunk in reader.chunks():
                writer.add(chunk)
            digest = writer.finish()
        assert reader.file is not None
        facts = CacheFacts(
            events_bytes=reader.file.bytes,
            events_mtime_ns=mtime_ns,
            events_sha256=reader.file.sha256,
            messages=writer.messages,
            entries=writer.entries,
            digest=digest,
            faults=dict(reader.problems),
            seek=writer.seek,
        )
        write_cache_facts(made, facts)
        _replace(folder / COLUMNS, made)
    finally:
        shutil.rmtree(made, ignore_errors=True)
    return facts


def _replace(old: Path, made: Path) -> None:
    aside = old.with_name(f"{made.name}-old")
    if old.exists():
        old.rename(aside)
    try:
        made.rename(old)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
