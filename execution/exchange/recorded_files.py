"""Opens a recorded file as instruments and chunks: a raw Bybit v5 capture, or our own recording.

Capture: JSON lines (gzip allowed), `t` = http | connect | recv ..., `conn`, `ts` receive time in
seconds, `data` the exact text received. Its instruments-info reply gives the rules, its connection to
`/v5/public/linear` the messages, which pass the market hub like a live socket's.
"""

from __future__ import annotations

import gzip
import io
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from market.adapters.bybit_messages import (
    BadMessage,
    BookMessage,
    TickerMessage,
    TradeMessage,
    parse,
    symbol_of,
)
from market.adapters.recording_reader import NotARecording, Recording
from market.domain.events import EventChunk
from market.domain.frames import FRAME_DTYPE, Frames
from market.domain.instruments import Instrument
from market.services.hub import BadPayload, MarketHub

_LINEAR_PATH = "/v5/public/linear"
_CHUNK_LINES = 256


class BadMarket(ValueError):
    """Nothing to play; the text says which file, what is wrong and what would do."""


class RecordedMarket(msgspec.Struct):
    """`chunks[...]` refer to `instruments` by index; core times never go back."""

    instruments: list[Instrument]
    chunks: Iterator[EventChunk]


class _Line(msgspec.Struct):
    t: str
    conn: str = ""
    ts: float = 0.0
    addr: str = ""
    url: str = ""
    data: str = ""


_decode_line = msgspec.json.Decoder(_Line).decode


def open_recorded(path: Path) -> RecordedMarket:
    """Tell the formats apart by what is there. Raises BadMarket."""
    if not path.exists():
        raise BadMarket(f"{path}: no such file or folder; give a Bybit capture or data/market")
    if path.is_dir() or not _is_capture(path):
        try:
            recording = Recording(path)
        except (NotARecording, OSError) as error:
            raise BadMarket(
                f"{error}; give a Bybit v5 capture or a folder of data/market"
            ) from None
        return RecordedMarket(list(recording.instruments), recording.chunks())
    instruments, connection = _capture_head(path)
    return RecordedMarket(instruments, _capture_chunks(path, instruments, connection))


def _opened(path: Path) -> io.BufferedIOBase:
    if path.suffix == ".gz":
        return gzip.open(path, "rb")
    return path.open("rb")


def _is_capture(path: Path) -> bool:
    try:
        with _opened(path) as file:
            first = _decode_line(file.readline(1 << 20))
    except (OSError, EOFError, msgspec.MsgspecError):
        return False
    return first.t in ("header", "http", "connect", "send", "recv")


def _lines(path: Path) -> Iterator[_Line]:
    """Lines that can be read; a torn end is where the recording ends."""
    try:
        with _opened(path) as file:
            for text in file:
                try:
                    yield _decode_line(text)
                except msgspec.MsgspecError:
                    continue
    except (OSError, EOFError):
        return


def _capture_head(path: Path) -> tuple[list[Instrument], str]:
    """Rules of the symbols that have messages, and the name of the linear connection."""
    rules: dict[str, Instrument] = {}
    connection, seen = "", set()
    for line in _lines(path):
        if line.t == "http" and "category=linear" in line.url:
            rules |= _rules_of(line.data)
        elif line.t == "connect" and line.addr.endswith(_LINEAR_PATH):
            connection = line.conn
        elif (
            line.t == "recv" and line.conn == connection and '"topic":"orderbook.' in line.data[:60]
        ):
            seen.add(symbol_of(line.data[:80].split('"')[3]))
    symbols = sorted(seen & set(rules))
    if not symbols:
        raise BadMarket(f"{path}: no linear order book with an instruments-info reply in it")
    return [rules[symbol] for symbol in symbols], connection


def _rules_of(reply: str) -> dict[str, Instrument]:
    try:
        rows = msgspec.json.decode(reply)["result"]["list"]
        perpetuals = [row for row in rows if row["contractType"] == "LinearPerpetual"]
        return {row["symbol"]: _instrument(row) for row in perpetuals}
    except (msgspec.MsgspecError, KeyError, TypeError, ArithmeticError, ValueError):
        return {}


def _instrument(row: dict[str, Any]) -> Instrument:
    lots, prices, leverage = row["lotSizeFilter"], row["priceFilter"], row["leverageFilter"]
    return Instrument(
        symbol=row["symbol"],
        tick_size=Decimal(prices["tickSize"]),
        qty_step=Decimal(lots["qtyStep"]),
        min_qty=Decimal(lots["minOrderQty"]),
        max_qty=Decimal(lots["maxOrderQty"]),
        max_market_qty=Decimal(lots.get("maxMktOrderQty") or lots["maxOrderQty"]),
        min_notional=Decimal(lots.get("minNotionalValue") or 0),
        min_price=Decimal(prices["minPrice"]),
        max_price=Decimal(prices["maxPrice"]),
        min_leverage=Decimal(leverage["minLeverage"]),
        max_leverage=Decimal(leverage["maxLeverage"]),
        leverage_step=Decimal(leverage["leverageStep"]),
        price_scale=int(row["priceScale"]),
        funding_interval_min=int(row["fundingInterval"]),
        base_coin=row["baseCoin"],
        quote_coin=row["quoteCoin"],
        status=row["status"],
    )


class _NoFrames:
    """The hub wants a kernel; a player needs only the chunks."""

    def process(self, chunk: EventChunk) -> Frames:
        return np.zeros(0, FRAME_DTYPE)

    def advance(self, now_ns: int) -> Frames:
        return np.zeros(0, FRAME_DTYPE)


class _Collector:
    def __init__(self) -> None:
        self.chunks: list[EventChunk] = []

    def take_chunk(self, chunk: EventChunk) -> None:
        self.chunks.append(chunk)


def _capture_chunks(
    path: Path, instruments: list[Instrument], connection: str
) -> Iterator[EventChunk]:
    collector = _Collector()
    hub = MarketHub(instruments, _NoFrames(), clock=lambda: 0, chunk_sinks=[collector])
    feed = _CaptureFeed(hub, {instrument.symbol for instrument in instruments})
    waiting = 0
    for line in _lines(path):
        if line.t == "recv" and line.conn == connection:
            feed.take(line.data, round(line.ts * 1e6) * 1000)
            waiting += 1
        if waiting >= _CHUNK_LINES:
            waiting = 0
            hub.flush()
            yield from collector.chunks
            collector.chunks.clear()
    hub.flush()
    yield from collector.chunks


class _CaptureFeed:
    """Hands captured messages to the hub. One book topic per symbol counts: the first deeper than 1."""

    def __init__(self, hub: MarketHub, symbols: set[str]) -> None:
        self._hub = hub
        self._symbols = symbols
        self._book_topics: dict[str, str] = {}

    def take(self, text: str, received_ns: int) -> None:
        """A message that cannot be read is left out: the market goes on without it."""
        try:
            message = parse(text)
            if isinstance(message, BookMessage | TradeMessage | TickerMessage):
                symbol = symbol_of(message.topic)
                if symbol in self._symbols:
                    self._give(symbol, message, received_ns)
        except (BadMessage, BadPayload):
            return

    def _give(
        self, symbol: str, message: BookMessage | TradeMessage | TickerMessage, received_ns: int
    ) -> None:
        if isinstance(message, BookMessage):
            if message.topic.startswith("orderbook.1."):
                return
            if self._book_topics.setdefault(symbol, message.topic) == message.topic:
                payload = {
                    "subtype": message.type.upper(),
                    "bids": message.data.b,
                    "asks": message.data.a,
                    "ts": message.cts or message.ts,
                }
                self._hub.on_raw_orderbook(symbol, payload, received_ns)
        elif isinstance(message, TradeMessage):
            for trade in message.data:
                row = {"price": trade.p, "qty": trade.v, "side": trade.S, "ts": trade.T}
                flags = {"rpi": trade.RPI, "block": trade.BT}
                self._hub.on_raw_trade(symbol, row | flags, received_ns)
        else:
            data = message.data
            figures = {
                "lastPrice": data.last_price,
                "markPrice": data.mark_price,
                "indexPrice": data.index_price,
                "fundingRate": data.funding_rate,
                "nextFundingTime": data.next_funding_time,
                "openInterest": data.open_interest,
                "ts": message.ts,
            }
            self._hub.on_raw_ticker(symbol, figures, received_ns)
