"""The market hub: the one entrance of market data, for the live socket and for a replay alike.

Raw payloads have the shapes of phase 12 §4:

    trade      {price, qty, side: "Buy" | "Sell", ts, rpi?, block?}
    orderbook  {subtype: SNAPSHOT | CHECKPOINT | DELTA | BBO | GAP | LIVENESS, bids, asks, ts}
    ticker     {lastPrice?, markPrice?, indexPrice?, fundingRate?, nextFundingTime?, openInterest?, ts}

`ts` is exchange time in ms (a recording may say `tsNs` instead, in ns); numbers may be text, int, float or
Decimal and become ticks and lots exactly. Each message gets the next `seq` of the run and a core time that
never goes back. Messages are collected until `flush`, which drives the kernel once and hands chunk and frames
to the sinks: a live feed flushes once per turn of its event loop, a replay as often as it likes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from market.domain.errors import BadPayload
from market.domain.events import (
    BUY,
    FLAG_BLOCK,
    FLAG_RPI,
    SELL,
    ChunkBuilder,
    EventChunk,
    EventKind,
)
from market.domain.frames import Frames
from market.domain.grid import MAX_UNITS, BadNumber, OffGrid, UnitGrid, scaled_integer
from market.domain.instruments import Instrument
from market.domain.kernel import MarketKernel
from market.domain.raw_events import TICKER_NAMES
from market.ports import ChunkSink, Clock, FrameSink, Kernel

__all__ = ["LIVENESS_EVERY_NS", "BadPayload", "MarketHub", "Payload"]

Payload = Mapping[str, Any]

# A quiet book is told to be alive this often at most: the venue repeats the touch up to 100 times a second.
LIVENESS_EVERY_NS = 500_000_000

_TAKER_SIDE = {"Buy": BUY, "Sell": SELL}
_BOOK_KIND = {
    "SNAPSHOT": EventKind.BOOK_SNAPSHOT,
    "CHECKPOINT": EventKind.BOOK_SNAPSHOT,
    "DELTA": EventKind.BOOK_DELTA,
    "BBO": EventKind.BBO,
}


@dataclass(slots=True)
class _SymbolFeed:
    index: int
    prices: UnitGrid
    lots: UnitGrid
    last_book_ns: int = 0


class MarketHub:
    """See the module docstring. Not thread-safe: all calls from the thread of the feed."""

    def __init__(
        self,
        instruments: Sequence[Instrument],
        kernel: Kernel,
        *,
        clock: Clock,
        chunk_sinks: Sequence[ChunkSink] = (),
        frame_sinks: Sequence[FrameSink] = (),
        on_pending: Callable[[], object] | None = None,
        on_time: Callable[[int], object] | None = None,
    ) -> None:
        """`on_pending` is called when the first message waits for a `flush`.

        `on_time` is told the core time before frames are handed out that time alone has made.
        """
        self._symbols = {i.symbol: _feed_of(n, i) for n, i in enumerate(instruments)}
        self._kernel = kernel
        self._clock = clock
        self._chunk_sinks = tuple(chunk_sinks)
        self._frame_sinks = tuple(frame_sinks)
        self._on_pending = on_pending
        self._on_time = on_time
        self._pending = ChunkBuilder()
        self._seq = 0
        self._core_ts_ns = 0

    @property
    def seq(self) -> int:
        """Number of the last message taken; the messages of a run are numbered from 1, gap-free."""
        return self._seq

    @property
    def core_ts_ns(self) -> int:
        return self._core_ts_ns

    # --- one message at a time

    def on_raw_trade(self, symbol: str, payload: Payload, received_ns: int | None = None) -> None:
        """Take one trade. Raises BadPayload."""
        feed = self._feed(symbol)
        try:
            entry = (
                _TAKER_SIDE[payload["side"]],
                feed.prices[payload["price"]],
                feed.lots[payload["qty"]],
            )
            if entry[2] == 0:
                raise BadNumber("a trade of nothing")
            flags = FLAG_RPI if payload.get("rpi") else 0
            if payload.get("block"):
                flags |= FLAG_BLOCK
            exchange_ts_ns = _exchange_ns(payload)
        except (KeyError, TypeError, ValueError) as error:
            raise _refused("trade", symbol, error) from error
        self._add(EventKind.TRADE, feed, exchange_ts_ns, received_ns, (entry,), flags)

    def on_raw_orderbook(
        self, symbol: str, payload: Payload, received_ns: int | None = None
    ) -> None:
        """Take a snapshot, a delta, a best bid and offer, a gap or a sign of life of one book.

        A book message that cannot be understood leaves the book unknown: BadPayload is raised and
        the symbol has a FEED_GAP until its next snapshot.
        """
        subtype = payload.get("subtype", "DELTA")
        if subtype == "GAP":
            return self.on_gap(symbol, received_ns)
        if subtype == "LIVENESS":
            return self.on_liveness(symbol, received_ns)
        feed = self._feed(symbol)
        try:
            kind = _BOOK_KIND[subtype]
            bids = _levels(feed, payload["bids"])
            asks = _levels(feed, payload["asks"])
            if kind is EventKind.BOOK_SNAPSHOT:
                bids = {tick: lot for tick, lot in bids.items() if lot}
                asks = {tick: lot for tick, lot in asks.items() if lot}
            elif kind is EventKind.BBO and (len(bids) != 1 or len(asks) != 1):
                raise BadNumber("a best bid and offer has one level a side")
            exchange_ts_ns = _exchange_ns(payload)
        except (KeyError, TypeError, ValueError) as error:
            self.on_gap(symbol, received_ns)
            raise _refused("orderbook", symbol, error) from error
        core_ts_ns = self._next(received_ns)
        exchange_ts_ns = core_ts_ns if exchange_ts_ns is None else exchange_ts_ns
        feed.last_book_ns = core_ts_ns
        self._pending.add_book(
            kind,
            symbol=feed.index,
            seq=self._seq,
            core_ts_ns=core_ts_ns,
            exchange_ts_ns=exchange_ts_ns,
            bids=bids,
            asks=asks,
        )
        return None

    def on_raw_ticker(self, symbol: str, payload: Payload, received_ns: int | None = None) -> None:
        """Take the changed fields of a ticker; one without any field we use is left out."""
        feed = self._feed(symbol)
        try:
            entries = [
                (0, field, scaled_integer(value, decimals))
                for field, (name, decimals) in TICKER_NAMES.items()
                if (value := payload.get(name)) is not None and value != ""
            ]
            exchange_ts_ns = _exchange_ns(payload)
        except (KeyError, TypeError, ValueError) as error:
            raise _refused("ticker", symbol, error) from error
        if entries:
            self._add(EventKind.TICKER, feed, exchange_ts_ns, received_ns, entries)

    def on_gap(self, symbol: str, received_ns: int | None = None) -> None:
        """The book of `symbol` is not to be trusted until its next snapshot."""
        feed = self._feed(symbol)
        self._add(EventKind.FEED_GAP, feed, None, received_ns)

    def on_liveness(self, symbol: str, received_ns: int | None = None) -> None:
        """The feed said that `symbol` still lives; noted only where its book has been quiet."""
        feed = self._feed(symbol)
        now_ns = self._clock() if received_ns is None else received_ns
        if now_ns - feed.last_book_ns >= LIVENESS_EVERY_NS:
            feed.last_book_ns = now_ns
            self._add(EventKind.LIVENESS, feed, None, now_ns)

    # --- many at once

    def on_chunk(self, chunk: EventChunk) -> Frames:
        """Take messages that already have their seq and core time (a recording); returns the frames.

        Whatever waited is flushed first. `seq` and core time go on from the chunk's last message.
        """
        self.flush()
        if len(chunk):
            self._seq = int(chunk.seq[-1])
            self._core_ts_ns = max(self._core_ts_ns, int(chunk.core_ts_ns[-1]))
        return self._drive(chunk)

    def flush(self) -> None:
        """Give everything collected to the kernel and the sinks."""
        if len(self._pending):
            self._drive(self._pending.take())

    def advance(self, now_ns: int | None = None) -> Frames:
        """Let time pass without a message, so that the boundary frames up to now are made."""
        self.flush()
        now_ns = self._clock() if now_ns is None else now_ns
        self._core_ts_ns = max(self._core_ts_ns, now_ns)
        frames = self._kernel.advance(self._core_ts_ns)
        if frames.size and self._on_time is not None:
            self._on_time(self._core_ts_ns)
        self._hand_out(frames)
        return frames

    def kernel_state(self) -> bytes:
        """Everything the kernel remembers, after all that has been flushed."""
        assert isinstance(self._kernel, MarketKernel), "a live hub drives the one real kernel"
        return self._kernel.state()

    def reconfigure(self, make: Callable[[Kernel], Kernel]) -> None:
        """Go on with the kernel that `make` gives for the present one, after what waited before."""
        self.flush()
        self._kernel = make(self._kernel)

    # --- inside

    def _drive(self, chunk: EventChunk) -> Frames:
        frames = self._kernel.process(chunk)
        for sink in self._chunk_sinks:
            sink.take_chunk(chunk)
        self._hand_out(frames)
        return frames

    def _hand_out(self, frames: Frames) -> None:
        if frames.size:
            for sink in self._frame_sinks:
                sink.take_frames(frames)

    def _feed(self, symbol: str) -> _SymbolFeed:
        feed = self._symbols.get(symbol)
        if feed is None:
            raise BadPayload("unknown_symbol", str(symbol)[:40])
        return feed

    def _next(self, received_ns: int | None) -> int:
        """Number the message and return its core time."""
        if self._on_pending is not None and not len(self._pending):
            self._on_pending()
        self._seq += 1
        now_ns = self._clock() if received_ns is None else received_ns
        self._core_ts_ns = max(self._core_ts_ns, now_ns)
        return self._core_ts_ns

    def _add(
        self,
        kind: EventKind,
        feed: _SymbolFeed,
        exchange_ts_ns: int | None,
        received_ns: int | None,
        entries: Sequence[tuple[int, int, int]] = (),
        flags: int = 0,
    ) -> None:
        core_ts_ns = self._next(received_ns)
        self._pending.add(
            kind,
            symbol=feed.index,
            seq=self._seq,
            core_ts_ns=core_ts_ns,
            exchange_ts_ns=core_ts_ns if exchange_ts_ns is None else exchange_ts_ns,
            levels=entries,
            flags=flags,
        )


def _feed_of(index: int, instrument: Instrument) -> _SymbolFeed:
    highest = (
        int(instrument.max_price / instrument.tick_size) if instrument.max_price > 0 else MAX_UNITS
    )
    return _SymbolFeed(
        index=index,
        prices=UnitGrid(instrument.tick_size, lowest=1, highest=highest),
        lots=UnitGrid(instrument.qty_step),
    )


def _levels(feed: _SymbolFeed, levels: Sequence[Sequence[Any]]) -> dict[int, int]:
    """tick -> lot; of a price named twice in one message the last holds."""
    prices, lots = feed.prices, feed.lots
    return {prices[price]: lots[size] for price, size in levels}


def _exchange_ns(payload: Payload) -> int | None:
    ts_ms = payload.get("ts")
    if ts_ms is None:
        ts_ns: int | None = payload.get("tsNs")
        return ts_ns
    if not isinstance(ts_ms, (int, float)) or not 0 <= ts_ms <= 9_000_000_000_000:
        raise BadNumber(f"ts {str(ts_ms)[:40]} is not ms since the epoch")
    return int(ts_ms) * 1_000_000


def _refused(what: str, symbol: str, error: Exception) -> BadPayload:
    kind = "off_grid" if isinstance(error, OffGrid) else f"bad_{what}"
    reason = f"no {error}" if isinstance(error, KeyError) else str(error)
    return BadPayload(kind, f"{symbol}: {reason[:160]}")
