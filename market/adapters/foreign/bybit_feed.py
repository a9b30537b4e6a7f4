"""Bybit v5 public messages from a file, as records of the hub: the same parser as the live socket's."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from market.adapters.bybit_messages import (
    BadMessage,
    BookMessage,
    TickerMessage,
    TradeData,
    TradeMessage,
    parse,
    symbol_of,
)
from market.domain.recordings import FaultLog, RawRecord


class BybitFeed:
    """Turns frames of one connection into records; a jump of a book's update id becomes a GAP.

    Of several book depths of a symbol one counts: the first deeper than 1.
    """

    def __init__(self, symbols: set[str], faults: FaultLog, lines: Counter[str]) -> None:
        self._symbols = symbols
        self._faults = faults
        self._lines = lines
        self._update_ids: dict[str, int] = {}  # of books that are whole
        self._book_topics: dict[str, str] = {}
        self._topics: dict[str, tuple[str, str, str]] = {}

    def records(
        self, frame: bytes | str, received_ns: int | None, path: str, line: int
    ) -> Sequence[RawRecord]:
        """Records of one frame; without a receive time the exchange's sending time stands in."""
        try:
            message = parse(frame)
        except BadMessage as error:
            self._faults.add(error.kind, path, line, error.detail)
            return ()
        if not isinstance(message, BookMessage | TradeMessage | TickerMessage):
            self._lines[type(message).__name__.removesuffix("Message").lower()] += 1
            return ()
        kind, symbol, left_out = self._topics.get(message.topic) or self._new_topic(message)
        self._lines[kind] += 1
        if left_out:
            self._lines[left_out] += 1
            return ()
        when_ns = message.ts * 1_000_000 if received_ns is None else received_ns
        if isinstance(message, BookMessage):
            book = self._book(message, symbol, path, line)
            return (RawRecord(when_ns, "orderbook", symbol, book, path, line),)
        if isinstance(message, TickerMessage):
            return (RawRecord(when_ns, "ticker", symbol, _ticker(message), path, line),)
        self._lines["trades"] += len(message.data)
        return [
            RawRecord(when_ns, "trade", symbol, _trade(trade), path, line) for trade in message.data
        ]

    def _new_topic(
        self, message: BookMessage | TradeMessage | TickerMessage
    ) -> tuple[str, str, str]:
        """(kind, symbol, why it is left out or "") of a topic, the same for all its messages."""
        topic = message.topic
        symbol, left_out = symbol_of(topic), ""
        if symbol not in self._symbols:
            left_out = "symbol left out"
        elif isinstance(message, BookMessage) and not self._is_the_book(symbol, topic):
            left_out = "other depth left out"
        self._topics[topic] = topic.partition(".")[0], symbol, left_out
        return self._topics[topic]

    def _is_the_book(self, symbol: str, topic: str) -> bool:
        if topic.startswith("orderbook.1."):
            return False
        return self._book_topics.setdefault(symbol, topic) == topic

    def _book(self, message: BookMessage, symbol: str, path: str, line: int) -> dict[str, Any]:
        data = message.data
        if message.type == "snapshot":
            self._update_ids[symbol] = data.u
            subtype = "SNAPSHOT"
        else:
            last = self._update_ids.get(symbol)
            if last is None:
                return {"subtype": "GAP"}
            if data.u != last + 1:
                del self._update_ids[symbol]
                self._faults.add("sequence_gap", path, line, f"{symbol}: {data.u} after {last}")
                return {"subtype": "GAP"}
            self._update_ids[symbol] = data.u
            subtype = "DELTA"
        return {"subtype": subtype, "bids": data.b, "asks": data.a, "ts": message.cts or message.ts}


def _trade(trade: TradeData) -> dict[str, Any]:
    return {
        "price": trade.p,
        "qty": trade.v,
        "side": trade.S,
        "ts": trade.T,
        "rpi": trade.RPI,
        "block": trade.BT,
    }


def _ticker(message: TickerMessage) -> dict[str, Any]:
    data = message.data
    return {
        "lastPrice": data.last_price,
        "markPrice": data.mark_price,
        "indexPrice": data.index_price,
        "fundingRate": data.funding_rate,
        "nextFundingTime": data.next_funding_time,
        "openInterest": data.open_interest,
        "ts": message.ts,
    }
