"""Follows the bus and folds it into the dashboard's view: one task per web process.

It starts a little in the past, so that a fresh page has charts and books, goes on through bus restarts, and
shows what it cannot know as unknown: without a bus the lamps go out, and without an unbroken raw stream the
ladders stay empty.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec
from redis.asyncio import Redis
from redis.exceptions import RedisError

from failover.adapters.bus import connect_bus
from failover.adapters.heartbeats import read_heartbeats
from failover.adapters.streams import Entry, Gap, StreamReader
from market.domain.events import unpack_chunk
from market.domain.frames import unpack_frames
from market.domain.instruments import Instrument
from monitoring.domain.health import SERVICES
from monitoring.domain.times import iso_of_ms
from monitoring.domain.trading import BadRecord
from monitoring.domain.view import (
    BeatsSeen,
    ChunkSeen,
    FeedGapSeen,
    FramesSeen,
    InstrumentsSeen,
    RecordSeen,
    ViewMessage,
)
from monitoring.services.fanout import Fanout
from monitoring.services.limits_follower import LimitsFollower, ReadLimits
from monitoring.services.recorded_books import recorded_books
from strategy.domain.messages import (
    ExecutionEvent,
    ExecutionSnapshot,
    RiskSnapshot,
    ScoreUpdate,
    StateEvent,
)

logger = logging.getLogger(__name__)

BEAT_EVERY_S = 0.5
LOCAL_SERVICES = ("exchange",)

# How far back each stream is read at the start, seconds; None = all there is.
LOOK_BACK_S: dict[str, float | None] = {
    "market.symbols": None,
    "market.frames": 300,
    "strategy.events": 300,
    "execution.events": 3600,
    "execution.records": 3600,
}
RAW_LOOK_BACK_S = (
    20  # books begin where the recording stands, which is a fraction of a second behind
)
RECORDED_AFTER_S = 0.5  # by when the recorder has written what the stream said

_instruments = msgspec.msgpack.Decoder(tuple[Instrument, ...])
_strategy = msgspec.msgpack.Decoder(list[StateEvent | ScoreUpdate | RiskSnapshot])
_execution = msgspec.msgpack.Decoder(list[ExecutionEvent | ExecutionSnapshot])
_records = msgspec.msgpack.Decoder(list[dict[str, Any]])

DECODERS: dict[str, Callable[[bytes], Iterable[ViewMessage]]] = {
    "market.symbols": lambda data: [InstrumentsSeen(_instruments.decode(data))],
    "market.frames": lambda data: [FramesSeen(unpack_frames(data))],
    "market.raw": lambda data: [ChunkSeen(unpack_chunk(data))],
    "strategy.events": _strategy.decode,
    "execution.events": _execution.decode,
    "execution.records": lambda data: [RecordSeen(row) for row in _records.decode(data)],
}


class BusView:
    """Reads the streams of one bus into a fanout. `unreadable` counts what broke its contract, by stream."""

    def __init__(
        self,
        fanout: Fanout,
        *,
        url: str,
        prefix: str,
        recordings: Path | None = None,
        read_limits: ReadLimits | None = None,
    ) -> None:
        """`read_limits` finds the thresholds of a config version; it blocks and runs in a thread."""
        self.unreadable: Counter[str] = Counter()
        self.beats: dict[str, dict[str, Any]] = {}
        self.bus_lag_ms: float | None = None
        self._fanout = fanout
        self._url = url
        self._prefix = prefix
        self._namespace = ""
        self._on_new_run: Callable[[], None] = lambda: None
        self._recordings = recordings
        self._limits = LimitsFollower(fanout, read_limits)
        self._replayed_version = ""  # of the config that the replay which is shown decides with

    async def run(
        self,
        earlier: Iterable[ViewMessage] = (),
        *,
        namespace: str = "",
        on_new_run: Callable[[], None] = lambda: None,
    ) -> None:
        """Until cancelled. `earlier` is what the database still knew of before this process.

        `namespace` names the streams of a replay below the prefix; heartbeats are always the real ones.
        There `on_new_run` is called before another run of the replay is told of.
        """
        self._namespace, self._on_new_run = namespace, on_new_run
        self._begin_anew()
        for message in earlier:
            self._fanout.apply(message)
        client = connect_bus(self._url)
        tasks = [
            asyncio.create_task(self._fanout.run(), name="dashboard-fanout"),
            asyncio.create_task(self._follow(client, LOOK_BACK_S), name="dashboard-streams"),
            asyncio.create_task(self._follow_books(client), name="dashboard-books"),
            asyncio.create_task(self._watch_heartbeats(client), name="dashboard-heartbeats"),
        ]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()  # none of them ends but by an error
        finally:
            await _end(tasks)
            await client.aclose()

    async def _follow(self, client: Redis, look_back_s: Mapping[str, float | None]) -> None:
        start = {
            self._stream(name): "0" if seconds is None else _entry_id_before(seconds)
            for name, seconds in look_back_s.items()
        }
        reader = StreamReader(client, start)
        async for batch in reader.batches():
            for item in batch:
                self._take(item)
            await asyncio.sleep(0)  # a long catch-up must not keep the sockets waiting

    def _stream(self, name: str) -> str:
        return self._prefix + self._namespace + name

    async def _follow_books(self, client: Redis) -> None:
        """The raw stream, begun and after each gap helped by the recording: it repeats no snapshot."""
        while not self._fanout.books_wanted()[0]:  # noqa: ASYNC110  (the view has no event)
            await asyncio.sleep(0.05)
        await self._read_recorded_books()
        start = {self._stream("market.raw"): _entry_id_before(RAW_LOOK_BACK_S)}
        async for batch in StreamReader(client, start).batches():
            for item in batch:
                self._take(item)
            if any(isinstance(item, Gap) for item in batch):
                await asyncio.sleep(RECORDED_AFTER_S)
                await self._read_recorded_books()
            await asyncio.sleep(0)

    async def _read_recorded_books(self) -> None:
        instruments, wanted = self._fanout.books_wanted()
        if self._recordings is None or self._namespace or not wanted:
            return
        try:
            chunk = await asyncio.to_thread(
                recorded_books, self._recordings, instruments, wanted, time.time_ns()
            )
        except (KeyError, ValueError) as error:
            self._count("recording", error)
            return
        self._fanout.apply(ChunkSeen(chunk))

    def _take(self, item: Entry | Gap) -> None:
        name = item.stream.removeprefix(self._prefix + self._namespace)
        if isinstance(item, Gap):
            if self._namespace and (name, item.kind) == ("market.symbols", "NEW_RUN"):
                self._on_new_run()
                self._begin_anew()
            elif name == "market.raw" and not self._namespace:  # a replay tells whole books
                self._fanout.apply(FeedGapSeen())
            return
        try:
            messages = DECODERS[name](item.payload)
        except (msgspec.DecodeError, ValueError) as error:
            self._count(name, error)
            return
        for message in messages:
            if self._namespace and isinstance(message, ScoreUpdate):
                self._replayed_version = message.config_version
            try:
                self._fanout.apply(message)
            except BadRecord as error:
                self._count(name, error)

    def _begin_anew(self) -> None:
        """The view is another one: it knows nothing of what was told before."""
        self._limits.forget()
        self._replayed_version = ""

    def _count(self, name: str, error: Exception) -> None:
        """Logged once for each stream: a broken writer must not fill the disk."""
        self.unreadable[name] += 1
        if self.unreadable[name] == 1:
            logger.warning(
                "dashboard_entry_unreadable", extra={"stream": name, "reason": str(error)[:300]}
            )

    async def _watch_heartbeats(self, client: Redis) -> None:
        while True:
            bus_beat = await self._read_heartbeats(client)
            now_ms = time.time_ns() // 1_000_000
            bus_beat |= {"ts": iso_of_ms(now_ms)}
            self._fanout.apply(BeatsSeen(now_ms, {**self.beats, "bus": bus_beat}))
            await self._limits.follow(self._version_in_force())
            await asyncio.sleep(BEAT_EVERY_S)

    def _version_in_force(self) -> str:
        """The config that the strategy which is shown decides with; empty when it has not said."""
        if self._namespace:
            return self._replayed_version
        details = (self.beats.get("strategy") or {}).get("details") or {}
        return str(details.get("configSavedAs") or details.get("configVersion") or "")

    async def _read_heartbeats(self, client: Redis) -> dict[str, Any]:
        """Refresh `beats` and return the bus's own. Without the bus the last beats stay and grow old."""
        started_s = time.perf_counter()
        try:
            async with asyncio.timeout(BEAT_EVERY_S * 2):
                found = await read_heartbeats(client, self._prefix, (*SERVICES, *LOCAL_SERVICES))
        except (RedisError, OSError, TimeoutError, msgspec.DecodeError) as error:
            self.bus_lag_ms = None
            return {"phase": "STOPPED", "message": f"unreachable ({type(error).__name__})"}
        self.bus_lag_ms = (time.perf_counter() - started_s) * 1000
        self.beats = {name: msgspec.to_builtins(beat) for name, beat in found.items()}
        return {"phase": "RUNNING", "lagMs": self.bus_lag_ms}


async def _end(tasks: list[asyncio.Task[None]]) -> None:
    """Cancel until they have ended: the Redis client may swallow a cancellation while it times out."""
    pending = set(tasks)
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=0.2)


def _entry_id_before(seconds: float) -> str:
    return f"{int((time.time() - seconds) * 1000)}-0"
