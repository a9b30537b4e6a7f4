"""A shared replay on the bus: the streams of docs/contracts.md under a namespace of their own.

Everything goes below `<prefix>replay.`, so no reader of the live streams ever meets it, and no name that a
live service writes can be formed here. The thread that replays only queues; another one talks to the server.
What is told is what a screen can use: per beat of `_FLUSH_S` each symbol's newest frame and score, its book
as the kernel has it, the newest snapshot of execution, and every state event, order, fill and trade.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from redis.asyncio import Redis

from execution.domain.outputs import ExecutionOutput, RecordRow
from execution.domain.venue import VenueUpdate
from failover.adapters.bus import connect_bus
from failover.adapters.streams import StreamWriter
from market.domain.events import ASK, BID, ChunkBuilder, EventKind, pack_chunk
from market.domain.frames import BookState, Frames, pack_frames
from market.domain.instruments import Instrument
from strategy.domain.messages import (
    ExecutionEvent,
    ExecutionSnapshot,
    OrderRequest,
    RepriceHint,
    ScoreUpdate,
    StrategyOutput,
)

if TYPE_CHECKING:  # the dashboard wants the names of streams, and not numba with them
    from market.domain.kernel import MarketKernel

REPLAY_NAMESPACE = "replay."
_FLUSH_S = 0.05
_BOOK_EVERY_S = 0.1
_BOOK_LEVELS = 25
_KEPT = {
    "market.symbols": 16, "market.frames": 6_000, "market.raw": 3_000, "strategy.events": 20_000,
    "execution.events": 20_000, "execution.records": 20_000,
}  # fmt: skip
_encode = msgspec.msgpack.Encoder().encode


class ReplayBus:
    """Writers of the replay's streams, in a thread with a loop of its own; begins with empty streams."""

    def __init__(self, url: str, prefix: str, run_id: str) -> None:
        self._url, self._prefix, self._run_id = url, prefix + REPLAY_NAMESPACE, run_id
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._serve, name="replay-bus", daemon=True)
        self._client: Redis | None = None
        self._writers: dict[str, StreamWriter] = {}

    def start(self) -> None:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._open(), self._loop).result()

    def append(self, name: str, payload: bytes, count: int = 1) -> None:
        """From any thread; never waits."""
        self._loop.call_soon_threadsafe(self._writers[name].append, payload, count)

    def close(self) -> None:
        """Send what is pending, within the writers' time limits."""
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()

    async def _open(self) -> None:
        self._client = connect_bus(self._url)
        self._writers = {
            name: StreamWriter(self._client, self._prefix + name, kept, run_id=self._run_id)
            for name, kept in _KEPT.items()
        }

    async def _close(self) -> None:
        for writer in self._writers.values():
            await writer.close()
        if self._client is not None:
            await self._client.aclose()


class Broadcast:
    """A pipeline observer that tells the bus; `on_kernel` and `on_piece` are called by who drives it."""

    def __init__(self, bus: ReplayBus, instruments: Sequence[Instrument]) -> None:
        self._bus = bus
        self._kernel: MarketKernel | None = None
        self._frames: dict[int, Any] = {}
        self._scores: dict[str, ScoreUpdate] = {}
        self._told: list[Any] = []
        self._snapshot: ExecutionSnapshot | None = None
        self._flushed_s = self._booked_s = 0.0
        bus.append("market.symbols", _encode(list(instruments)))

    def on_kernel(self, kernel: MarketKernel) -> None:
        self._kernel = kernel

    def on_piece(self) -> None:
        """A piece has been replayed: tell what came of it, when it is time to."""
        now_s = time.monotonic()
        if now_s - self._flushed_s >= _FLUSH_S:
            self._flushed_s = now_s
            self.flush(with_books=now_s - self._booked_s >= _BOOK_EVERY_S)

    # -- what the pipeline tells -----------------------------------------------------------------------

    def on_frames(self, frames: Frames) -> None:
        """The newest of each symbol."""
        symbols, last = np.unique(frames["symbol"][::-1], return_index=True)
        for symbol, back in zip(symbols.tolist(), last.tolist(), strict=True):
            row = frames.size - 1 - back
            self._frames[symbol] = frames[row : row + 1].copy()

    def on_strategy(self, outputs: Sequence[StrategyOutput], now_ns: int) -> None:
        del now_ns
        for output in outputs:
            if isinstance(output, ScoreUpdate):
                self._scores[output.symbol] = output
            elif not isinstance(output, OrderRequest | RepriceHint):
                self._told.append(output)

    def on_execution(self, outputs: Sequence[ExecutionOutput], now_ns: int) -> None:
        del now_ns
        events, rows = [], []
        for output in outputs:
            if isinstance(output, ExecutionSnapshot):
                self._snapshot = output
            elif isinstance(output, ExecutionEvent):
                events.append(output)
            elif isinstance(output, RecordRow):
                rows.append(output.row)
        if events:
            self._bus.append("execution.events", _encode(events), len(events))
        if rows:
            self._bus.append("execution.records", _encode(rows), len(rows))

    def on_venue(self, update: VenueUpdate, now_ns: int) -> None:
        """Execution tells what came of it."""

    # -- the bus ------------------------------------------------------------------------------------------

    def flush(self, *, with_books: bool = True) -> None:
        """Tell all that waits."""
        newest_ns = 0
        if self._frames:
            frames = np.concatenate(sorted(self._frames.values(), key=lambda row: row["ts_ns"][0]))
            newest_ns = int(frames["ts_ns"][-1])
            self._bus.append("market.frames", pack_frames(frames), frames.size)
        if told := [*self._told, *self._scores.values()]:
            self._bus.append("strategy.events", _encode(told), len(told))
        if self._snapshot is not None:
            self._bus.append("execution.events", _encode([self._snapshot]))
        if with_books and newest_ns:
            self._booked_s = time.monotonic()
            self._tell_books(newest_ns)
        self._frames, self._scores, self._told, self._snapshot = {}, {}, [], None

    def _tell_books(self, now_ns: int) -> None:
        """Whole books: a screen that missed some needs no other."""
        if self._kernel is None:
            return
        chunk = ChunkBuilder()
        for symbol, row in self._frames.items():
            if row["book_state"][0] != BookState.OK:
                kind, levels = EventKind.FEED_GAP, []
            else:
                bids, asks = self._kernel.book_levels(symbol, _BOOK_LEVELS)
                kind = EventKind.BOOK_SNAPSHOT
                levels = [(BID, *level) for level in bids.tolist()]
                levels += [(ASK, *level) for level in asks.tolist()]
            chunk.add(
                kind, symbol=symbol, seq=int(row["last_seq"][0]), core_ts_ns=now_ns,
                exchange_ts_ns=now_ns, levels=levels,
            )  # fmt: skip
        self._bus.append("market.raw", pack_chunk(chunk.take()), len(self._frames))


async def forget_replay(client: Redis, prefix: str) -> None:
    """Remove the streams of the last replay. Raises: RedisError, OSError."""
    await client.delete(*(prefix + REPLAY_NAMESPACE + name for name in _KEPT))
