"""The synthetic market: several symbols on one simulated clock, deterministic per seed.

`SyntheticMarket.step` advances it; the result does not depend on how the time is cut into steps.
`synthetic_chunks` gives the same stream as `EventChunk`s, as if a recorder had received it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from execution.domain.synthetic_flow import STEP_NS, STEPS_PER_S
from execution.domain.synthetic_instruments import synthetic_instruments
from execution.domain.synthetic_outbox import Channel
from execution.domain.synthetic_profile import DEFAULT_SYMBOLS
from execution.domain.synthetic_symbol import CommonFactor, SymbolScript, SyntheticSymbol
from execution.domain.synthetic_window import DEPTHS, window_levels
from market.domain.events import ASK, BID, ChunkBuilder, EventChunk, EventKind
from market.domain.instruments import Instrument

DEFAULT_START_NS = 1_763_424_000_000_000_000  # 2025-11-18T00:00:00Z
FEED_DELAY_NS = 2_000_000  # from the push to the receiver, in `synthetic_chunks`
_MS_NS = 1_000_000


class Messages(NamedTuple):
    """What a market sent in a stretch of time, all symbols, in the order sent.

    symbol i8[n], channel i8[n] (`Channel`), sent_ns i8[n] push time, matched_ns i8[n] engine time,
    taker i8[n] number of the taker's order (trades), first i8[n + 1] places of the entries;
    side u1[m], tick i8[m], lot i8[m] as `EventChunk` has them.
    """

    symbol: NDArray[np.int64]
    channel: NDArray[np.int64]
    sent_ns: NDArray[np.int64]
    matched_ns: NDArray[np.int64]
    taker: NDArray[np.int64]
    first: NDArray[np.int64]
    side: NDArray[np.uint8]
    tick: NDArray[np.int64]
    lot: NDArray[np.int64]


class SyntheticMarket:
    """Symbols of one seed on one clock.

    Args:
        seed: same seed, symbols and settings: same messages, bit for bit.
        symbols: names `synthetic_instruments` knows.
        predictability: strength of the short-term drift the book gives away; 0 switches it off.
        start_ns: simulated time of the start, whole seconds.
        rate_multiplier: more and smaller events at the same volatility, for load.
        scripts: symbols that go through this instead of their own weather.
    """

    def __init__(
        self,
        *,
        seed: int,
        symbols: Sequence[str] = DEFAULT_SYMBOLS,
        predictability: float = 1.0,
        start_ns: int = DEFAULT_START_NS,
        rate_multiplier: float = 1.0,
        scripts: Mapping[str, SymbolScript] | None = None,
    ) -> None:
        if predictability < 0.0 or rate_multiplier <= 0.0:
            raise ValueError("predictability must be >= 0 and rate_multiplier > 0")
        self.instruments: list[Instrument] = synthetic_instruments(symbols)
        self.start_ns = start_ns
        self._common = CommonFactor(seed)
        self._next_step = 0
        self.symbols = [
            SyntheticSymbol(
                instrument,
                seed=seed,
                predictability=predictability,
                rate_multiplier=rate_multiplier,
                start_ns=start_ns,
                script=(scripts or {}).get(instrument.symbol),
            )
            for instrument in self.instruments
        ]

    @property
    def now_ns(self) -> int:
        """Simulated time reached."""
        return self.start_ns + self._next_step * STEP_NS

    def enable_depth(self, symbol: int, depth: int, *, on: bool) -> None:
        """Compute pushes of a book depth (1, 50, 200, 1000) or leave them out; 50 is on at first."""
        self.symbols[symbol].enabled[DEPTHS.index(depth)] = on

    def step(self, until_ns: int) -> Messages:
        """Advance to the last whole step at or before `until_ns`; return everything sent meanwhile."""
        stop = (until_ns - self.start_ns) // STEP_NS
        if stop <= self._next_step:
            return _merged([])
        parts = [
            part
            for index, symbol in enumerate(self.symbols)
            for part in self._advance(index, symbol, stop)
        ]
        self._next_step = stop
        self._common.forget_before(stop // STEPS_PER_S)
        for symbol in self.symbols:
            symbol.forget_before(stop // STEPS_PER_S)
        return _merged(parts)

    def _advance(self, index: int, symbol: SyntheticSymbol, stop: int) -> Iterator[Messages]:
        step = self._next_step
        while step < stop:
            step = symbol.advance(step, stop, self._common)
            yield _taken(symbol, index)
            symbol.clear()

    def window(self, symbol: int, depth: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Book of `depth` as sent last: bids and asks, each i8[k, 2] of (tick, lots), best first."""
        return window_levels(self.symbols[symbol].windows, DEPTHS.index(depth))


def _taken(symbol: SyntheticSymbol, index: int) -> Messages:
    """Copy the outbox of one symbol."""
    rows, entries = (int(v) for v in symbol.out.counts)
    row, entry = symbol.out.rows[:rows], symbol.out.entries[:entries]
    return Messages(
        symbol=np.full(rows, index, np.int64),
        channel=row[:, 0].copy(),
        sent_ns=row[:, 1].copy(),
        matched_ns=row[:, 2].copy(),
        taker=row[:, 3].copy(),
        first=np.append(row[:, 4], entries),
        side=entry[:, 0].astype(np.uint8),
        tick=entry[:, 1].copy(),
        lot=entry[:, 2].copy(),
    )


def _merged(parts: list[Messages]) -> Messages:
    """One stream in order of push time; at equal times by symbol, then in the symbol's own order."""
    parts = [part for part in parts if part.channel.size]
    if not parts:
        return _EMPTY
    sizes = np.concatenate([np.diff(part.first) for part in parts])
    starts = np.concatenate([[0], np.cumsum(sizes)])
    sent = np.concatenate([part.sent_ns for part in parts])
    symbol = np.concatenate([part.symbol for part in parts])
    order = np.lexsort((symbol, sent))
    sizes = sizes[order]
    first = np.concatenate([[0], np.cumsum(sizes)])
    entries = np.repeat(starts[order] - first[:-1], sizes) + np.arange(first[-1])
    return Messages(
        symbol=symbol[order],
        channel=np.concatenate([part.channel for part in parts])[order],
        sent_ns=sent[order],
        matched_ns=np.concatenate([part.matched_ns for part in parts])[order],
        taker=np.concatenate([part.taker for part in parts])[order],
        first=first,
        side=np.concatenate([part.side for part in parts])[entries],
        tick=np.concatenate([part.tick for part in parts])[entries],
        lot=np.concatenate([part.lot for part in parts])[entries],
    )


_NOTHING = np.zeros(0, np.int64)
_EMPTY = Messages(
    symbol=_NOTHING,
    channel=_NOTHING,
    sent_ns=_NOTHING,
    matched_ns=_NOTHING,
    taker=_NOTHING,
    first=np.zeros(1, np.int64),
    side=np.zeros(0, np.uint8),
    tick=_NOTHING,
    lot=_NOTHING,
)

_KINDS = np.zeros(max(Channel) + 1, np.uint8)
_KINDS[Channel.BOOK_50] = EventKind.BOOK_DELTA
_KINDS[Channel.TRADE] = EventKind.TRADE
_KINDS[Channel.TICKER] = EventKind.TICKER
_KINDS[Channel.QUIET] = EventKind.LIVENESS


def synthetic_chunks(
    seed: int,
    seconds: float,
    symbols: Sequence[str] = DEFAULT_SYMBOLS,
    predictability: float = 1.0,
    start_ns: int = DEFAULT_START_NS,
    *,
    rate_multiplier: float = 1.0,
) -> Iterator[EventChunk]:
    """Yield about one chunk per simulated second: what a recorder of the local exchange would have.

    A BOOK_SNAPSHOT of 50 levels per symbol comes first, then BOOK_DELTA (20 ms pushes), TRADE, TICKER
    (100 ms, changed fields) and LIVENESS (3 s without a push). `exchange_ts_ns` is the engine time in
    whole ms, `core_ts_ns` the push time plus `FEED_DELAY_NS`; `seq` counts from 1.
    """
    market = SyntheticMarket(
        seed=seed,
        symbols=symbols,
        predictability=predictability,
        start_ns=start_ns,
        rate_multiplier=rate_multiplier,
    )
    end_ns = start_ns + round(seconds * 1e9)
    yield opening_chunk(market)
    next_seq = len(market.symbols) + 1
    while market.now_ns + STEP_NS <= end_ns:
        messages = market.step(min(market.now_ns + STEPS_PER_S * STEP_NS, end_ns))
        chunk = received_chunk(messages, next_seq)
        next_seq += len(chunk)
        yield chunk


def opening_chunk(market: SyntheticMarket) -> EventChunk:
    """Let a new market make its first pushes and state the books of 50 levels; `seq` counts from 1."""
    market.step(market.start_ns + 2 * STEP_NS)
    return snapshot_chunk(market, range(len(market.symbols)), first_seq=1)


def snapshot_chunk(market: SyntheticMarket, symbols: Iterable[int], first_seq: int) -> EventChunk:
    """A BOOK_SNAPSHOT of 50 levels of each of `symbols` as sent last."""
    builder = ChunkBuilder()
    for place, index in enumerate(symbols):
        bids, asks = market.window(index, 50)
        builder.add(
            EventKind.BOOK_SNAPSHOT,
            symbol=index,
            seq=first_seq + place,
            core_ts_ns=market.now_ns + FEED_DELAY_NS,
            exchange_ts_ns=market.now_ns,
            levels=[
                (side, int(tick), int(lots))
                for side, levels in ((BID, bids), (ASK, asks))
                for tick, lots in levels
            ],
        )
    return builder.take()


def received_chunk(messages: Messages, first_seq: int) -> EventChunk:
    """What a receiver of `messages` notes, `seq` counting from `first_seq`."""
    count = messages.channel.size
    return EventChunk(
        kind=_KINDS[messages.channel],
        flags=np.zeros(count, np.uint8),
        symbol=messages.symbol.astype(np.uint16),
        seq=np.arange(first_seq, first_seq + count),
        core_ts_ns=messages.sent_ns + FEED_DELAY_NS,
        exchange_ts_ns=messages.matched_ns // _MS_NS * _MS_NS,
        level_offset=messages.first,
        side=messages.side,
        tick=messages.tick,
        lot=messages.lot,
    )


def compile_market() -> bool:
    """Let a market of one symbol begin: a first start compiles it (seconds), later ones load it."""
    market = SyntheticMarket(seed=1, symbols=DEFAULT_SYMBOLS[:1])
    market.step(market.start_ns + 1_000_000_000)
    return True
