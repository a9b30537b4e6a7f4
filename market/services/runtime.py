"""The running market service: the feed's turns, the timer of boundary frames, instruments, reports."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from market.domain.events import EventChunk
from market.domain.instruments import Instrument
from market.ports import Clock
from market.services.hub import MarketHub
from market.services.instruments import REFRESH_EVERY_S, InstrumentBook

_SUSPECT_REFRESH_EVERY_S = 60.0
_REPORT_EVERY_S = 1.0

logger = logging.getLogger(__name__)


class InstrumentUnitsChanged(Exception):
    """A tick or lot means something else now: the service ends, and starts again with the new units."""


class Feed(Protocol):
    """The public connector."""

    @property
    def is_connected(self) -> bool: ...

    async def run(self, stopping: asyncio.Event) -> None: ...


class Publisher(Protocol):
    def publish_symbols(self, instruments: Sequence[Instrument]) -> None: ...

    async def has_symbols(self) -> bool: ...

    async def trim(self) -> None: ...


class FeedMeter:
    """A `ChunkSink` that measures: messages a second, and how late the venue's words are here."""

    def __init__(self) -> None:
        self.messages = 0
        self._worst_delay_ns = 0

    def take_chunk(self, chunk: EventChunk) -> None:
        self.messages += len(chunk)
        delay_ns = int((chunk.core_ts_ns - chunk.exchange_ts_ns).max(initial=0))
        self._worst_delay_ns = max(self._worst_delay_ns, delay_ns)

    def take_worst_delay_ms(self) -> float:
        """Largest receive minus exchange time since the last call (clock offset included)."""
        worst_ns, self._worst_delay_ns = self._worst_delay_ns, 0
        return round(worst_ns / 1e6, 1)


class FeedGate:
    """Whether the live connector may be open; nobody has said so at first: it stays closed."""

    def __init__(self) -> None:
        self._opened, self._closed = asyncio.Event(), asyncio.Event()

    @property
    def is_open(self) -> bool:
        return self._opened.is_set()

    def set(self, *, is_open: bool) -> None:
        now, other = (self._opened, self._closed) if is_open else (self._closed, self._opened)
        other.clear()
        now.set()

    async def feed(self, feed: Feed, stopping: asyncio.Event) -> None:
        """Run `feed` while the gate is open, until `stopping`; a closed gate ends its connections."""
        while not stopping.is_set():
            await _first_of(self._opened, stopping)
            if not stopping.is_set():
                await self._run(feed, stopping)

    async def _run(self, feed: Feed, stopping: asyncio.Event) -> None:
        ended = asyncio.Event()
        running = asyncio.create_task(feed.run(ended), name="feed-open")
        either = asyncio.create_task(_first_of(self._closed, stopping), name="feed-end")
        try:
            await asyncio.wait({running, either}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            ended.set()
            either.cancel()
        await running


async def _first_of(*events: asyncio.Event) -> None:
    waits = [asyncio.create_task(event.wait()) for event in events]
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()


class MarketRuntime:
    """Everything that goes on between start and stop; `start` the recorder before, stop it after."""

    def __init__(
        self,
        *,
        hub: MarketHub,
        feed: Feed,
        publisher: Publisher,
        book: InstrumentBook,
        instruments: Sequence[Instrument],
        clock: Clock,
        meter: FeedMeter,
        evaluation_interval_ms: int,
        details: Callable[[], dict[str, Any]],
        report: Callable[[dict[str, Any]], None],
        refresh_every_s: float = REFRESH_EVERY_S,
        gate: FeedGate | None = None,
        on_boundary: Callable[[], object] | None = None,
    ) -> None:
        """`details` adds figures of the adapters to what is given to `report` each second.

        Without a `gate` the feed is open from the start. `on_boundary` is called after the boundary
        frames of each interval.
        """
        self._gate = gate or FeedGate()
        if gate is None:
            self._gate.set(is_open=True)
        self._hub = hub
        self._feed = feed
        self._publisher = publisher
        self._book = book
        self._instruments = list(instruments)
        self._clock = clock
        self._meter = meter
        self._interval_ns = evaluation_interval_ms * 1_000_000
        self._details = details
        self._report = report
        self._refresh_every_s = refresh_every_s
        self._on_boundary = on_boundary
        self._suspicion = asyncio.Event()

    def suspect_rules(self, symbol: str) -> None:
        """A number did not fit the grid of `symbol`: ask the venue for the rules soon."""
        if not self._suspicion.is_set():
            logger.warning("instrument_rules_suspect", extra={"symbol": symbol})
        self._suspicion.set()

    async def run(self, stopping: asyncio.Event) -> None:
        """Work until `stopping` is set. Raises InstrumentUnitsChanged."""
        self._publisher.publish_symbols(self._instruments)
        helpers = [
            asyncio.create_task(self._make_boundaries(), name="boundaries"),
            asyncio.create_task(self._refresh_instruments(), name="instruments"),
            asyncio.create_task(self._report_each_second(), name="report"),
        ]
        feed = asyncio.create_task(self._gate.feed(self._feed, stopping), name="feed")
        try:
            await asyncio.wait({feed, *helpers}, return_when=asyncio.FIRST_COMPLETED)
            for task in (feed, *helpers):
                if task.done() and (error := task.exception()) is not None:
                    raise error
        finally:
            for task in (feed, *helpers):
                task.cancel()
            await asyncio.gather(feed, *helpers, return_exceptions=True)
            self._hub.flush()

    async def _make_boundaries(self) -> None:
        """Let time pass on the grid, so that a boundary frame does not wait for the next message."""
        while True:
            now_ns = self._clock()
            next_ns = (now_ns // self._interval_ns + 1) * self._interval_ns
            await asyncio.sleep((next_ns - now_ns) / 1e9)
            self._hub.advance()
            if self._on_boundary is not None:
                self._on_boundary()

    async def _refresh_instruments(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._suspicion.wait(), self._refresh_every_s)
            changed = await self._book.refresh()
            self._take_changes(changed)
            await asyncio.sleep(min(_SUSPECT_REFRESH_EVERY_S, self._refresh_every_s))
            self._suspicion.clear()

    def _take_changes(self, changed: Sequence[str]) -> None:
        """New limits are published; new units end the run, for every tick and lot in flight is void."""
        ours = {i.symbol: n for n, i in enumerate(self._instruments)}
        is_changed = False
        for symbol in changed:
            rules, place = self._book.get(symbol), ours.get(symbol)
            if place is None:
                continue
            if rules is None:
                logger.error("symbol_no_longer_trades", extra={"symbol": symbol})
                continue
            old = self._instruments[place]
            if (old.tick_size, old.qty_step) != (rules.tick_size, rules.qty_step):
                raise InstrumentUnitsChanged(f"{symbol}: {old.tick_size} -> {rules.tick_size}")
            self._instruments[place] = rules
            is_changed = True
        if is_changed:
            self._publisher.publish_symbols(self._instruments)

    async def _report_each_second(self) -> None:
        """Also puts the symbol table back when the bus has lost its streams."""
        last, turn = self._meter.messages, 0
        loop = asyncio.get_running_loop()
        last_s = loop.time()
        while True:
            await asyncio.sleep(_REPORT_EVERY_S)
            now_s, turn = loop.time(), turn + 1
            rate = (self._meter.messages - last) / (now_s - last_s)
            last, last_s = self._meter.messages, now_s
            self._report(
                {
                    "messagesPerS": round(rate, 1),
                    "seq": self._hub.seq,
                    "feedDelayMs": self._meter.take_worst_delay_ms(),
                    "connected": self._feed.is_connected,
                    **self._details(),
                }
            )
            if turn % 5 == 0:
                await self._mend_bus()

    async def _mend_bus(self) -> None:
        try:
            await self._publisher.trim()
            is_there = await self._publisher.has_symbols()
        except Exception:  # noqa: BLE001
            return  # the bus is away (its writer has said so); the feed does not care
        if not is_there:
            self._publisher.publish_symbols(self._instruments)
