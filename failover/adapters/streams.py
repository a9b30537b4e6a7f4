"""Redis Streams as the transport between processes: numbered records, bounded length, honest readers.

An entry carries `r` (the writer's run id), `n` (number of its first record in that run, from 1, gap-free),
`c` (number of records in it) and `d` (payload). Delivery between a living writer and reader is in order and
at least once on the wire; the reader drops what it has seen, so its user sees a record once. What was lost
(trimmed before it was read, or gone with a restarted server) is said with a `Gap`, never silently.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import uuid
from collections import deque
from collections.abc import AsyncIterator, Mapping
from typing import Any, Literal

import msgspec
from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError

from failover.adapters.bus import BLOCK_MS

logger = logging.getLogger(__name__)

_ERRORS = (RedisError, OSError, asyncio.TimeoutError)
_RETRY_MIN_S, _RETRY_MAX_S = 0.02, 1.0
_PIPELINE_ENTRIES = 256


class MessageCodec:
    """msgpack for one message type or tagged union: `MessageCodec(A | B)`, or `MessageCodec(list[A | B])`."""

    def __init__(self, message_type: Any) -> None:
        self._encoder = msgspec.msgpack.Encoder()
        self._decoder = msgspec.msgpack.Decoder(message_type)

    def encode(self, message: Any) -> bytes:
        return self._encoder.encode(message)

    def decode(self, payload: bytes) -> Any:
        """Raises: msgspec.DecodeError (ValidationError) for anything but that type."""
        return self._decoder.decode(payload)


class Position(msgspec.Struct, frozen=True, kw_only=True):
    """Where a reader stands in a stream: store it (msgspec) and resume from it."""

    entry_id: str
    run_id: str = ""
    next_number: int = 0


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """`count` records of a stream, numbered `number` .. `number + count - 1` in the writer's run."""

    stream: str
    entry_id: str
    run_id: str
    number: int
    count: int
    payload: bytes

    @property
    def ts_ms(self) -> int:
        """When the server took it, ms since the epoch."""
        return int(self.entry_id.partition("-")[0])


class Gap(msgspec.Struct, frozen=True, kw_only=True):
    """Said before the entry it is about: records are missing, or the writer is a new one.

    LOST: record `expected` should come and `found` came (`expected` 0: not known how many are missing).
    NEW_RUN: a new writer run; whether its predecessor's last records all came cannot be known.
    """

    stream: str
    kind: Literal["LOST", "NEW_RUN"]
    run_id: str
    previous_run_id: str
    expected: int
    found: int


class StreamWriter:
    """The one writer of a stream. `append` never waits; a task sends what is pending, many at once.

    While the bus is away, up to `max_pending` entries are kept and the oldest dropped (`dropped` counts
    them; readers see the gap). `last_entry_id` is the id of the last entry the server has taken.
    """

    def __init__(
        self,
        client: Redis,
        name: str,
        maxlen: int,
        *,
        run_id: str | None = None,
        max_pending: int = 10_000,
    ) -> None:
        self.name = name
        self.run_id = run_id or uuid.uuid4().hex[:16]
        self.dropped = 0
        self.last_entry_id = ""
        self._client = client
        self._maxlen = maxlen
        self._max_pending = max_pending
        self._next_number = 1
        self._pending: deque[dict[Any, Any]] = deque()
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._task: asyncio.Task[None] | None = None
        self._is_failing = False

    @property
    def pending(self) -> int:
        """Entries not yet taken by the server."""
        return len(self._pending)

    def append(self, payload: bytes, count: int = 1) -> int:
        """Queue one entry of `count` records; returns the number of its first record. Never waits."""
        number = self._next_number
        self._next_number += count
        if len(self._pending) >= self._max_pending:
            self._pending.popleft()
            self.dropped += 1
        self._pending.append({"r": self.run_id, "n": number, "c": count, "d": payload})
        self._idle.clear()
        self._wake.set()
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(
                self._send_pending(), name=f"stream-writer-{self.name}"
            )
        return number

    async def flush(self, timeout_s: float = 2.0) -> bool:
        """Wait until the server has all that was appended; False when it did not within the time."""
        try:
            await asyncio.wait_for(self._idle.wait(), timeout_s)
        except TimeoutError:
            return False
        return True

    async def close(self, timeout_s: float = 2.0) -> bool:
        """Flush (see there), then stop the task; what could not be sent is dropped and counted."""
        is_flushed = await self.flush(timeout_s)
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None
        self.dropped += len(self._pending)
        self._pending.clear()
        return is_flushed

    async def _send_pending(self) -> None:
        retry_s = _RETRY_MIN_S
        while True:
            if not self._pending:
                self._idle.set()
                self._wake.clear()
                await self._wake.wait()
            try:
                await self._send_batch()
            except _ERRORS as error:
                self._announce_failure(error)
                await asyncio.sleep(retry_s)
                retry_s = min(retry_s * 2, _RETRY_MAX_S)
            else:
                self._announce_recovery()
                retry_s = _RETRY_MIN_S

    async def _send_batch(self) -> None:
        """Send the oldest pending entries; those the server has taken leave the queue, in order.

        When the connection breaks in the middle, entries may be sent again: readers drop them by number.
        """
        batch = [self._pending[i] for i in range(min(len(self._pending), _PIPELINE_ENTRIES))]
        pipeline = self._client.pipeline(transaction=False)
        for fields in batch:
            pipeline.xadd(self.name, fields, maxlen=self._maxlen, approximate=True)
        results = await pipeline.execute(raise_on_error=False)
        for fields, result in zip(batch, results, strict=True):
            if isinstance(result, Exception):
                raise result
            # append() may have dropped it from the full queue meanwhile
            if self._pending and self._pending[0] is fields:
                self._pending.popleft()
            self.last_entry_id = result.decode()

    def _announce_failure(self, error: BaseException) -> None:
        if not self._is_failing:
            self._is_failing = True
            logger.warning(
                "stream_write_failing", extra={"stream": self.name, "reason": repr(error)}
            )

    def _announce_recovery(self) -> None:
        if self._is_failing:
            self._is_failing = False
            logger.warning(
                "stream_write_recovered", extra={"stream": self.name, "dropped": self.dropped}
            )


class _Cursor:
    """What a reader knows of one stream."""

    __slots__ = ("entry_id", "is_resumed", "next_number", "run_id", "start", "yielded")

    def __init__(self, start: str | Position) -> None:
        self.start = start.entry_id if isinstance(start, Position) else start
        self.entry_id = ""  # set when the reader opens
        self.run_id = start.run_id if isinstance(start, Position) else ""
        self.next_number = start.next_number if isinstance(start, Position) else 0
        self.is_resumed = False
        self.yielded: Position | None = None


class StreamReader:
    """Reads streams from given places and yields `Entry` and `Gap`, in the order the server took them.

    `start_from` maps each stream to an entry id (exclusive), a `Position`, "$" (what comes after `open`)
    or "0" (all there is). Iterate it (again, if you left the loop: nothing is lost); it goes on through
    server restarts and lost connections. `close()` ends the iteration. `malformed` counts entries without
    the fields of the layout, which are passed over.
    """

    def __init__(
        self, client: Redis, start_from: Mapping[str, str | Position], *, batch: int = 500
    ) -> None:
        self.malformed = 0
        self._client = client
        self._cursors = {name: _Cursor(start) for name, start in start_from.items()}
        self._batch = batch
        self._ready: deque[Entry | Gap] = deque()
        self._is_open = False
        self._is_closed = False
        self._must_check_restart = False
        self._is_failing = False

    def position(self, stream: str) -> Position:
        """Just after the last entry yielded of `stream`."""
        cursor = self._cursors[stream]
        return cursor.yielded or Position(
            entry_id=cursor.entry_id or cursor.start,
            run_id=cursor.run_id,
            next_number=cursor.next_number,
        )

    async def open(self) -> None:
        """Fix where "$" is: what is appended after this returns will be read. Raises RedisError, OSError."""
        for name, cursor in self._cursors.items():
            if not cursor.entry_id:
                await self._place(name, cursor)
        self._is_open = True

    def close(self) -> None:
        self._is_closed = True

    def __aiter__(self) -> AsyncIterator[Entry | Gap]:
        return self._items()

    async def _items(self) -> AsyncIterator[Entry | Gap]:
        while not self._is_closed:
            if not self._ready:
                self._ready.extend(await self._next_batch())
            while self._ready and not self._is_closed:
                item = self._ready.popleft()
                self._mark_yielded(item)
                yield item

    async def batches(self) -> AsyncIterator[list[Entry | Gap]]:
        """As iterating, but what one round trip brought at once (never empty)."""
        while not self._is_closed:
            items = [*self._ready] or await self._next_batch()
            self._ready.clear()
            for item in items:
                self._mark_yielded(item)
            if items:
                yield items

    async def _next_batch(self) -> list[Entry | Gap]:
        """What comes next; empty only when the reader was closed."""
        retry_s = _RETRY_MIN_S
        while not self._is_closed:
            try:
                items = await self._read_once()
            except _ERRORS as error:
                self._must_check_restart = True
                self._announce_failure(error)
                await asyncio.sleep(retry_s)
                retry_s = min(retry_s * 2, _RETRY_MAX_S)
                continue
            retry_s = _RETRY_MIN_S
            self._announce_recovery()
            if items:
                return items
        return []

    def _mark_yielded(self, item: Entry | Gap) -> None:
        if isinstance(item, Entry):
            self._cursors[item.stream].yielded = Position(
                entry_id=item.entry_id,
                run_id=item.run_id,
                next_number=item.number + item.count,
            )

    async def _read_once(self) -> list[Entry | Gap]:
        if not self._is_open:
            await self.open()
        if self._must_check_restart:
            await self._rewind_restarted_streams()
            self._must_check_restart = False
        places: dict[Any, Any] = {name: c.entry_id for name, c in self._cursors.items()}
        reply = await self._client.xread(places, count=self._batch, block=BLOCK_MS)
        # The client may have replaced a dead connection in silence: silence is looked into.
        self._must_check_restart = not reply
        items: list[Entry | Gap] = []
        for name, entry_id, fields in self._in_arrival_order(reply):
            self._take(name, entry_id, fields, items)
        return items

    def _in_arrival_order(self, reply: Any) -> list[tuple[str, str, dict[bytes, bytes]]]:
        """Merge by entry id. Where a stream has more than a batch, later entries of others wait for it."""
        merged: list[tuple[tuple[int, int], str, str, dict[bytes, bytes]]] = []
        cut: tuple[int, int] | None = None
        for raw_name, entries in reply or ():
            name = raw_name.decode()
            for raw_id, fields in entries:
                entry_id = raw_id.decode()
                merged.append((_order(entry_id), name, entry_id, fields))
            if len(entries) >= self._batch:
                last = merged[-1][0]
                cut = last if cut is None else min(cut, last)
        merged.sort(key=lambda item: item[0])
        return [
            (name, entry_id, fields)
            for order, name, entry_id, fields in merged
            if cut is None or order <= cut
        ]

    def _take(
        self, name: str, entry_id: str, fields: dict[bytes, bytes], items: list[Entry | Gap]
    ) -> None:
        cursor = self._cursors[name]
        cursor.entry_id = entry_id
        try:
            entry = Entry(
                stream=name,
                entry_id=entry_id,
                run_id=fields[b"r"].decode(),
                number=int(fields[b"n"]),
                count=int(fields[b"c"]),
                payload=fields[b"d"],
            )
        except (KeyError, ValueError, AttributeError, TypeError):
            self.malformed += 1
            return
        if entry.run_id == cursor.run_id and entry.number < cursor.next_number:
            return  # sent twice by a writer whose connection broke
        items.extend(_gaps(cursor, entry))
        cursor.run_id = entry.run_id
        cursor.next_number = entry.number + entry.count
        cursor.is_resumed = False
        items.append(entry)

    async def _place(self, name: str, cursor: _Cursor) -> None:
        if cursor.start == "$":
            latest: Any = await self._client.xrevrange(name, count=1)
            cursor.entry_id = latest[0][0].decode() if latest else "0-0"
            self._know(cursor, latest[0][1] if latest else {})
        elif cursor.start in ("0", "0-0", ""):
            cursor.entry_id = "0-0"
            cursor.next_number = cursor.next_number or 1
        else:
            if not cursor.run_id:
                found: Any = await self._client.xrange(name, cursor.start, cursor.start, count=1)
                self._know(cursor, found[0][1] if found else {})
                cursor.is_resumed = not found
            cursor.entry_id = cursor.start
            self._must_check_restart = True

    @staticmethod
    def _know(cursor: _Cursor, fields: dict[bytes, bytes]) -> None:
        with contextlib.suppress(KeyError, ValueError):
            cursor.next_number = int(fields[b"n"]) + int(fields[b"c"])
            cursor.run_id = fields[b"r"].decode()

    async def _rewind_restarted_streams(self) -> None:
        """A restarted server has lost its streams; if its clock went back too, ids start below ours."""
        for name, cursor in self._cursors.items():
            try:
                info = await self._client.xinfo_stream(name)
            except ResponseError:  # no such stream (any more): all that comes is new
                cursor.entry_id = "0-0"
                continue
            last_id = info["last-generated-id"]
            last = last_id.decode() if isinstance(last_id, bytes) else last_id
            if _order(last) < _order(cursor.entry_id):
                cursor.entry_id = "0-0"

    def _announce_failure(self, error: BaseException) -> None:
        if not self._is_failing:
            self._is_failing = True
            logger.warning(
                "stream_read_failing",
                extra={"streams": sorted(self._cursors), "reason": repr(error)},
            )

    def _announce_recovery(self) -> None:
        if self._is_failing:
            self._is_failing = False
            logger.warning("stream_read_recovered", extra={"streams": sorted(self._cursors)})


def _gaps(cursor: _Cursor, entry: Entry) -> list[Gap]:
    """What must be said before `entry`: nothing when it is the next record of the same run."""
    is_new_run = bool(cursor.run_id) and cursor.run_id != entry.run_id
    expected = 1 if is_new_run else cursor.next_number
    gaps: list[Gap] = []
    if is_new_run:
        gaps.append(_gap(cursor, entry, "NEW_RUN", 1))
    if cursor.is_resumed and not is_new_run:
        gaps.append(_gap(cursor, entry, "LOST", 0))
    elif expected and entry.number != expected:
        gaps.append(_gap(cursor, entry, "LOST", expected))
    return gaps


def _gap(cursor: _Cursor, entry: Entry, kind: Literal["LOST", "NEW_RUN"], expected: int) -> Gap:
    return Gap(
        stream=entry.stream,
        kind=kind,
        run_id=entry.run_id,
        previous_run_id=cursor.run_id,
        expected=expected,
        found=entry.number,
    )


def _order(entry_id: str) -> tuple[int, int]:
    milliseconds, _, sequence = entry_id.partition("-")
    return int(milliseconds), int(sequence or 0)
