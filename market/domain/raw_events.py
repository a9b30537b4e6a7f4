"""Raw market events as lines of JSON: the `RawMarketEvent` of phase 12 §4, and back without loss.

A line holds {timestamp, source, type, symbol, payload, recorderRun, seq, recvTs, schemaVersion}:
`timestamp` is exchange time (ISO, ms), `payload.ts` the same in ms, `recvTs` core time in integer
nanoseconds, and `tsNs` exchange time in nanoseconds where it is no whole millisecond. Prices and sizes
are JSON numbers with the instrument's own decimals.

Lines that are no message of the stream, and never change what a reader from the start sees:
`payload.subtype` CHECKPOINT (the whole book, or all known ticker fields, as of `seq`), and
`type` RECORDER_GAP (the recorder dropped `payload.dropped` messages, from `payload.fromSeq` up to `seq`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Annotated

import msgspec

from market.domain.events import (
    ASK,
    BID,
    BUY,
    FLAG_BLOCK,
    FLAG_RPI,
    ChunkBuilder,
    EventChunk,
    EventKind,
    TickerField,
)
from market.domain.grid import UnitGrid, UnitTexts, decimal_text, scaled_integer
from market.domain.instruments import Instrument

SCHEMA_VERSION = 1
LIVE_SOURCE = "BYBIT_WS"  # an imported recording names where its messages come from


class RawFile(StrEnum):
    """The files of one symbol and day: `SYMBOL-<value>.jsonl`."""

    TRADES = "trades"
    ORDERBOOK = "orderbook"
    TICKER = "ticker"


_FILE_OF_KIND: dict[int, RawFile] = {
    EventKind.TRADE: RawFile.TRADES,
    EventKind.BOOK_SNAPSHOT: RawFile.ORDERBOOK,
    EventKind.BOOK_DELTA: RawFile.ORDERBOOK,
    EventKind.BBO: RawFile.ORDERBOOK,
    EventKind.FEED_GAP: RawFile.ORDERBOOK,
    EventKind.LIVENESS: RawFile.ORDERBOOK,
    EventKind.TICKER: RawFile.TICKER,
}
_BOOK_WORDS: dict[int, tuple[str, str]] = {  # kind -> (type, payload.subtype)
    EventKind.BOOK_SNAPSHOT: ("ORDERBOOK_SNAPSHOT", "SNAPSHOT"),
    EventKind.BOOK_DELTA: ("ORDERBOOK_DELTA", "DELTA"),
    EventKind.BBO: ("ORDERBOOK_DELTA", "BBO"),
    EventKind.FEED_GAP: ("ORDERBOOK_DELTA", "GAP"),
    EventKind.LIVENESS: ("ORDERBOOK_DELTA", "LIVENESS"),
}
_KIND_OF_SUBTYPE: dict[str, EventKind] = {
    "SNAPSHOT": EventKind.BOOK_SNAPSHOT,
    "CHECKPOINT": EventKind.BOOK_SNAPSHOT,
    "DELTA": EventKind.BOOK_DELTA,
    "BBO": EventKind.BBO,
    "GAP": EventKind.FEED_GAP,
    "LIVENESS": EventKind.LIVENESS,
}
# Field -> JSON name, decimals of its integer unit (see `TickerField`).
TICKER_NAMES: dict[int, tuple[str, int]] = {
    TickerField.LAST_PRICE: ("lastPrice", 9),
    TickerField.MARK_PRICE: ("markPrice", 9),
    TickerField.INDEX_PRICE: ("indexPrice", 9),
    TickerField.FUNDING_RATE: ("fundingRate", 9),
    TickerField.NEXT_FUNDING_TIME: ("nextFundingTime", 0),
    TickerField.OPEN_INTEREST: ("openInterest", 3),
}


class RawEventEncoder:
    """Turns chunks into lines. Pure: the same chunk gives the same bytes."""

    def __init__(
        self, instruments: Sequence[Instrument], recorder_run: str, *, source: str = LIVE_SOURCE
    ) -> None:
        self._source = source
        self._symbols = [i.symbol for i in instruments]
        self._prices = [UnitTexts(i.tick_size) for i in instruments]
        self._sizes = [UnitTexts(i.qty_step) for i in instruments]
        self._run = recorder_run
        self._second = -1
        self._second_text = ""

    def lines(self, chunk: EventChunk) -> Iterator[tuple[str, RawFile, str]]:
        """Yield (symbol, file, line without newline) for each message, in order."""
        columns = zip(
            chunk.kind.tolist(),
            chunk.flags.tolist(),
            chunk.symbol.tolist(),
            chunk.seq.tolist(),
            chunk.core_ts_ns.tolist(),
            chunk.exchange_ts_ns.tolist(),
            strict=True,
        )
        offsets = chunk.level_offset.tolist()
        sides, ticks, lots = chunk.side.tolist(), chunk.tick.tolist(), chunk.lot.tolist()
        for i, (kind, flags, symbol, seq, core_ns, exchange_ns) in enumerate(columns):
            first, last = offsets[i], offsets[i + 1]
            if kind == EventKind.TRADE:
                word, body = "TRADE", self._trade(symbol, sides[first], ticks[first], lots[first])
                body += _flag_text(flags)
            elif kind == EventKind.TICKER:
                word, body = "TICKER", _ticker(ticks[first:last], lots[first:last])
            else:
                word, subtype = _BOOK_WORDS[kind]
                body = self._book(
                    symbol, subtype, sides[first:last], ticks[first:last], lots[first:last]
                )
            yield (
                self._symbols[symbol],
                _FILE_OF_KIND[kind],
                self._line(word, symbol, body, exchange_ns, seq, core_ns),
            )

    def book_checkpoint(
        self,
        symbol: int,
        bids: Mapping[int, int],
        asks: Mapping[int, int],
        *,
        seq: int,
        core_ts_ns: int,
        exchange_ts_ns: int,
    ) -> str:
        """The line that holds the whole book as it stands after message `seq`."""
        sides = [BID] * len(bids) + [ASK] * len(asks)
        body = self._book(
            symbol, "CHECKPOINT", sides, [*bids, *asks], [*bids.values(), *asks.values()]
        )
        return self._line("ORDERBOOK_SNAPSHOT", symbol, body, exchange_ts_ns, seq, core_ts_ns)

    def ticker_checkpoint(
        self, symbol: int, fields: Mapping[int, int], *, seq: int, core_ts_ns: int
    ) -> str:
        """The line that holds every known ticker field as of message `seq`."""
        known = sorted(fields)
        body = '"subtype":"CHECKPOINT",' + _ticker(known, [fields[field] for field in known])
        return self._line("TICKER", symbol, body, core_ts_ns, seq, core_ts_ns)

    def gap(
        self, symbol: int, dropped: int, *, seq: int, core_ts_ns: int, from_seq: int = 0
    ) -> str:
        """The line that admits that the recorder dropped messages up to `seq`, of any symbol.

        None before `from_seq` is missing; after a failing disk some from there on may be here all the same.
        """
        start = f',"fromSeq":{from_seq}' if from_seq else ""
        body = f'"subtype":"GAP","dropped":{dropped}{start}'
        return self._line("RECORDER_GAP", symbol, body, core_ts_ns, seq, core_ts_ns)

    def _trade(self, symbol: int, side: int, tick: int, lot: int) -> str:
        word = "Buy" if side == BUY else "Sell"
        price, qty = self._prices[symbol][tick], self._sizes[symbol][lot]
        return f'"price":{price},"qty":{qty},"side":"{word}"'

    def _book(
        self, symbol: int, subtype: str, sides: list[int], ticks: list[int], lots: list[int]
    ) -> str:
        prices, sizes = self._prices[symbol], self._sizes[symbol]
        bids: list[str] = []
        asks: list[str] = []
        for side, tick, lot in zip(sides, ticks, lots, strict=True):
            (bids if side == BID else asks).append(f"[{prices[tick]},{sizes[lot]}]")
        return f'"subtype":"{subtype}","bids":[{",".join(bids)}],"asks":[{",".join(asks)}]'

    def _line(
        self, word: str, symbol: int, body: str, exchange_ns: int, seq: int, core_ns: int
    ) -> str:
        ms, rest_ns = divmod(exchange_ns, 1_000_000)
        comma = "," if body else ""
        exact = f',"tsNs":{exchange_ns}' if rest_ns else ""
        return (
            f'{{"timestamp":"{self._iso(ms)}","source":"{self._source}","type":"{word}",'
            f'"symbol":"{self._symbols[symbol]}","payload":{{{body}{comma}"ts":{ms}}},'
            f'"recorderRun":"{self._run}","seq":{seq},"recvTs":{core_ns}{exact},'
            f'"schemaVersion":{SCHEMA_VERSION}}}'
        )

    def _iso(self, ms: int) -> str:
        second, rest_ms = divmod(ms, 1000)
        if second != self._second:
            moment = datetime.fromtimestamp(second, UTC)
            self._second, self._second_text = second, moment.strftime("%Y-%m-%dT%H:%M:%S")
        return f"{self._second_text}.{rest_ms:03d}Z"


def _flag_text(flags: int) -> str:
    rpi = ',"rpi":true' if flags & FLAG_RPI else ""
    return rpi + (',"block":true' if flags & FLAG_BLOCK else "")


def _ticker(fields: Sequence[int], values: Sequence[int]) -> str:
    parts = []
    for field, value in zip(fields, values, strict=True):
        name, decimals = TICKER_NAMES[field]
        parts.append(f'"{name}":{decimal_text(value, decimals)}')
    return ",".join(parts)


# What columns hold: a line with a larger number is one that cannot be read, and not an error of the reader.
_Int64 = Annotated[int, msgspec.Meta(ge=-(1 << 63), le=(1 << 63) - 1)]
_Milliseconds = Annotated[float, msgspec.Meta(ge=-9_223_372_036_853.0, le=9_223_372_036_853.0)]


class _TradePayload(msgspec.Struct):
    price: float
    qty: float
    side: str
    ts: _Milliseconds
    rpi: bool = False
    block: bool = False


class _BookPayload(msgspec.Struct):
    ts: _Milliseconds
    subtype: str
    bids: list[tuple[float, float]] = []
    asks: list[tuple[float, float]] = []
    dropped: int = 0


class _TickerPayload(msgspec.Struct, rename="camel"):
    ts: _Milliseconds
    subtype: str = ""
    last_price: Decimal | None = None
    mark_price: Decimal | None = None
    index_price: Decimal | None = None
    funding_rate: Decimal | None = None
    next_funding_time: Decimal | None = None
    open_interest: Decimal | None = None


class RawLine(msgspec.Struct, rename="camel", kw_only=True):
    """What all lines share."""

    type: str
    symbol: str
    recorder_run: str
    seq: _Int64
    recv_ts: _Int64
    ts_ns: _Int64 = 0


class TradeLine(RawLine, kw_only=True):
    payload: _TradePayload


class BookLine(RawLine, kw_only=True):
    payload: _BookPayload


class TickerLine(RawLine, kw_only=True):
    payload: _TickerPayload

    def fields(self) -> list[int]:
        """The `TickerField`s that the line states."""
        return [
            field
            for name, field, _ in _TICKER_ATTRIBUTES
            if getattr(self.payload, name) is not None
        ]


LINE_TYPES: dict[RawFile, type[TradeLine | BookLine | TickerLine]] = {
    RawFile.TRADES: TradeLine,
    RawFile.ORDERBOOK: BookLine,
    RawFile.TICKER: TickerLine,
}
_TICKER_ATTRIBUTES = tuple(
    (name, field, TICKER_NAMES[field][1])
    for name, field in (
        ("last_price", TickerField.LAST_PRICE),
        ("mark_price", TickerField.MARK_PRICE),
        ("index_price", TickerField.INDEX_PRICE),
        ("funding_rate", TickerField.FUNDING_RATE),
        ("next_funding_time", TickerField.NEXT_FUNDING_TIME),
        ("open_interest", TickerField.OPEN_INTEREST),
    )
)


class RawEventDecoder:
    """Adds decoded lines to a `ChunkBuilder`; the inverse of `RawEventEncoder.lines`."""

    def __init__(self, instruments: Sequence[Instrument]) -> None:
        self._index = {i.symbol: n for n, i in enumerate(instruments)}
        self._prices = [UnitGrid(i.tick_size, lowest=1) for i in instruments]
        self._lots = [UnitGrid(i.qty_step) for i in instruments]

    def index_of(self, symbol: str) -> int:
        return self._index[symbol]

    def add(self, line: RawLine, builder: ChunkBuilder) -> None:
        """Append the message of `line`. Raises ValueError (BadNumber) or KeyError on a bad line."""
        symbol = self._index[line.symbol]
        if isinstance(line, TradeLine):
            self._add_trade(symbol, line, builder)
        elif isinstance(line, BookLine):
            self._add_book(symbol, line, builder)
        elif isinstance(line, TickerLine):
            _add_ticker(symbol, line, builder)

    def _add_trade(self, symbol: int, line: TradeLine, builder: ChunkBuilder) -> None:
        payload = line.payload
        side = {"Buy": 0, "Sell": 1}[payload.side]
        entry = (side, self._prices[symbol][payload.price], self._lots[symbol][payload.qty])
        builder.add(
            EventKind.TRADE,
            symbol=symbol,
            seq=line.seq,
            core_ts_ns=line.recv_ts,
            exchange_ts_ns=_exchange_ns(line, payload.ts),
            levels=(entry,),
            flags=(FLAG_RPI if payload.rpi else 0) | (FLAG_BLOCK if payload.block else 0),
        )

    def _add_book(self, symbol: int, line: BookLine, builder: ChunkBuilder) -> None:
        payload, prices, lots = line.payload, self._prices[symbol], self._lots[symbol]
        builder.add_book(
            _KIND_OF_SUBTYPE[payload.subtype],
            symbol=symbol,
            seq=line.seq,
            core_ts_ns=line.recv_ts,
            exchange_ts_ns=_exchange_ns(line, payload.ts),
            bids={prices[price]: lots[size] for price, size in payload.bids},
            asks={prices[price]: lots[size] for price, size in payload.asks},
        )


def _add_ticker(symbol: int, line: TickerLine, builder: ChunkBuilder) -> None:
    payload = line.payload
    builder.add(
        EventKind.TICKER,
        symbol=symbol,
        seq=line.seq,
        core_ts_ns=line.recv_ts,
        exchange_ts_ns=_exchange_ns(line, payload.ts),
        levels=[
            (0, field, scaled_integer(value, decimals))
            for name, field, decimals in _TICKER_ATTRIBUTES
            if (value := getattr(payload, name)) is not None
        ],
    )


def _exchange_ns(line: RawLine, ts_ms: float) -> int:
    return line.ts_ns or int(ts_ms) * 1_000_000
