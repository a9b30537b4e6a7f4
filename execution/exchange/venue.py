"""The public side of the venue: market messages in, topic frames out to whoever subscribed.

Everything here happens in market time and without waiting: `advance` takes what the market sent and
queues frames. The websocket and REST handlers only read its state between two calls.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from execution.domain.synthetic_market import Messages
from execution.domain.synthetic_outbox import Channel
from execution.exchange.board import SymbolBoard
from execution.exchange.candles import Candle
from execution.exchange.source import MarketSource
from execution.exchange.subscribers import Subscriber
from execution.exchange.topics import BOOK_DEPTHS, Topic
from execution.exchange.wire import (
    book_frame,
    kline_frame,
    ticker_frame,
    trade_frame,
)
from market.domain.events import ASK, BID

_MS_NS = 1_000_000
_TICKER_NS = 100 * _MS_NS
_KLINE_NS = 1000 * _MS_NS
_REPEAT_NS = 3000 * _MS_NS
_FIRST_UPDATE_ID = 1000  # 1 would say "service restarted"


class _BookStream:
    """Counters of one book topic."""

    __slots__ = ("cts_ms", "pushed_ns", "seq", "ts_ms", "update_id")

    def __init__(self, now_ns: int) -> None:
        self.update_id = _FIRST_UPDATE_ID
        self.seq = _seq(now_ns)
        self.ts_ms = self.cts_ms = now_ns // _MS_NS
        self.pushed_ns = now_ns


class PublicVenue:
    """Boards, book streams and subscriptions of all symbols of one market source."""

    def __init__(self, source: MarketSource, boards: Sequence[SymbolBoard]) -> None:
        self._source = source
        self.boards = list(boards)
        self.index: dict[str, int] = {b.instrument.symbol: i for i, b in enumerate(boards)}
        # Insertion-ordered sets, by topic name and, while the book is still unknown, by topic.
        self._subscribers: dict[Any, dict[Subscriber, None]] = {}
        self._waiting: dict[Any, dict[Subscriber, None]] = {}
        self._topics: dict[str, Topic] = {}
        self._books = [{depth: _BookStream(source.now_ns) for depth in BOOK_DEPTHS} for _ in boards]
        self._tickers: list[dict[str, str]] = [{} for _ in boards]
        self._klines: dict[str, tuple[Candle, int]] = {}
        self._next_ticker_ns = self._next_kline_ns = source.now_ns
        self.frames_sent = 0
        for symbol in range(len(boards)):
            for depth in BOOK_DEPTHS:
                source.enable_depth(symbol, depth, on=True)

    @property
    def now_ns(self) -> int:
        return self._source.now_ns

    # --- subscriptions

    def subscribe(self, topic: Topic, subscriber: Subscriber) -> None:
        """Send what a new subscriber must know first, then every push of the topic."""
        self._topics[topic.name] = topic
        if topic.kind == "orderbook":
            if not self._has_book(topic):
                self._waiting.setdefault(topic, {})[subscriber] = None
                return
            self._send_book_snapshot(topic, [subscriber])
        elif topic.kind == "tickers":
            if topic.name not in self._subscribers:
                self._tickers[topic.symbol] = self._ticker_fields(topic.symbol)
            self._send_ticker_snapshot(topic, subscriber)
        self._subscribers.setdefault(topic.name, {})[subscriber] = None

    def unsubscribe(self, topic: Topic, subscriber: Subscriber) -> None:
        """Stop the pushes; a topic that was not subscribed is left as it is."""
        for groups, key in ((self._subscribers, topic.name), (self._waiting, topic)):
            group = groups.get(key, {})
            group.pop(subscriber, None)
            if not group:
                groups.pop(key, None)

    def subscriber_count(self, name: str) -> int:
        """How many connections get the pushes of a topic."""
        return len(self._subscribers.get(name, ()))

    def book(self, symbol: int, limit: int) -> dict[str, Any]:
        """REST `orderbook`: the book as the 1000-level topic pushed it last."""
        stream, board = self._books[symbol][1000], self.boards[symbol]
        bids, asks = self._source.window(symbol, 1000)
        return {
            "s": board.instrument.symbol,
            "b": [[board.prices[int(t)], board.qtys[int(q)]] for t, q in bids[:limit]],
            "a": [[board.prices[int(t)], board.qtys[int(q)]] for t, q in asks[:limit]],
            "ts": stream.ts_ms,
            "u": stream.update_id,
            "seq": stream.seq,
            "cts": stream.cts_ms,
        }

    # --- the market moves

    def advance(self, until_ns: int) -> None:
        """Let market time reach `until_ns` and queue every frame that is due."""
        self._take(self._source.step(until_ns))
        for topic in [topic for topic in self._waiting if self._has_book(topic)]:
            waiting = self._waiting.pop(topic)
            self._send_book_snapshot(topic, waiting)
            self._subscribers.setdefault(topic.name, {}).update(waiting)
        self._repeat_quiet_touches()
        if self.now_ns >= self._next_ticker_ns:
            self._next_ticker_ns = self.now_ns // _TICKER_NS * _TICKER_NS + _TICKER_NS
            self._push_tickers()
        if self.now_ns >= self._next_kline_ns:
            self._next_kline_ns = self.now_ns // _KLINE_NS * _KLINE_NS + _KLINE_NS
            self._push_klines()

    def _take(self, messages: Messages) -> None:
        symbols, channels = messages.symbol.tolist(), messages.channel.tolist()
        sent, matched = messages.sent_ns.tolist(), messages.matched_ns.tolist()
        takers, first = messages.taker.tolist(), messages.first.tolist()
        entries = list(
            zip(messages.side.tolist(), messages.tick.tolist(), messages.lot.tolist(), strict=True)
        )
        row, count = 0, len(channels)
        while row < count:
            symbol, channel = symbols[row], channels[row]
            stop = row + 1
            if channel == Channel.TRADE:
                key = (symbol, channel, takers[row])
                while stop < count and (symbols[stop], channels[stop], takers[stop]) == key:
                    stop += 1
                self._take_trades(symbol, matched[row], entries[first[row] : first[stop]])
            elif channel == Channel.TICKER:
                for _, field, value in entries[first[row] : first[stop]]:
                    self.boards[symbol].add_ticker(field, value)
            elif channel in BOOK_DEPTHS:
                changes = entries[first[row] : first[stop]]
                self._take_book(symbol, channel, sent[row], matched[row], changes)
            row = stop

    def _take_trades(self, symbol: int, matched_ns: int, fills: list[tuple[int, int, int]]) -> None:
        board = self.boards[symbol]
        time_ms, seq = matched_ns // _MS_NS, _seq(matched_ns)
        trades = [board.add_trade(time_ms, side, tick, lots, seq) for side, tick, lots in fills]
        name = f"publicTrade.{board.instrument.symbol}"
        if name in self._subscribers:
            self._publish(name, trade_frame(board, trades, time_ms))

    def _take_book(
        self,
        symbol: int,
        depth: int,
        sent_ns: int,
        matched_ns: int,
        changes: list[tuple[int, int, int]],
    ) -> None:
        stream, board = self._books[symbol][depth], self.boards[symbol]
        stream.update_id += 1
        stream.seq = max(stream.seq, _seq(matched_ns))
        stream.ts_ms, stream.cts_ms = sent_ns // _MS_NS, matched_ns // _MS_NS
        stream.pushed_ns = sent_ns
        if depth == 1:
            for side, tick, lots in changes:
                if lots:
                    board.set_touch(side, tick, lots)
            board.note_time(stream.ts_ms)
        name = f"orderbook.{depth}.{board.instrument.symbol}"
        if name not in self._subscribers:
            return
        if depth == 1:
            frame = self._touch_frame(symbol)
        else:
            frame = book_frame(
                board,
                depth,
                "delta",
                bids=[(tick, lots) for side, tick, lots in changes if side == BID],
                asks=[(tick, lots) for side, tick, lots in changes if side == ASK],
                update_id=stream.update_id,
                seq=stream.seq,
                ts_ms=stream.ts_ms,
                cts_ms=stream.cts_ms,
            )
        self._publish(name, frame)

    def _publish(self, name: str, frame: str) -> None:
        for subscriber in self._subscribers[name]:
            subscriber.send(frame)
            self.frames_sent += 1

    # --- snapshots and timed pushes

    def _has_book(self, topic: Topic) -> bool:
        bids, asks = self._source.window(topic.symbol, topic.depth)
        return bool(len(bids) and len(asks))

    def _send_book_snapshot(self, topic: Topic, subscribers: Iterable[Subscriber]) -> None:
        if topic.depth == 1:
            frame = self._touch_frame(topic.symbol)
        else:
            stream = self._books[topic.symbol][topic.depth]
            bids, asks = self._source.window(topic.symbol, topic.depth)
            frame = book_frame(
                self.boards[topic.symbol],
                topic.depth,
                "snapshot",
                bids=bids.tolist(),
                asks=asks.tolist(),
                update_id=stream.update_id,
                seq=stream.seq,
                ts_ms=stream.ts_ms,
                cts_ms=stream.cts_ms,
            )
        for subscriber in subscribers:
            subscriber.send(frame)

    def _touch_frame(self, symbol: int) -> str:
        stream, board = self._books[symbol][1], self.boards[symbol]
        return book_frame(
            board,
            1,
            "snapshot",
            bids=[board.touch[BID]],
            asks=[board.touch[ASK]],
            update_id=stream.update_id,
            seq=stream.seq,
            ts_ms=stream.ts_ms,
            cts_ms=stream.cts_ms,
        )

    def _repeat_quiet_touches(self) -> None:
        """Depth 1 repeats its snapshot, same `u`, when nothing changed for 3 s."""
        for symbol, streams in enumerate(self._books):
            stream = streams[1]
            if self.now_ns - stream.pushed_ns >= _REPEAT_NS:
                stream.pushed_ns = self.now_ns
                stream.ts_ms = self.now_ns // _MS_NS
                name = f"orderbook.1.{self.boards[symbol].instrument.symbol}"
                if name in self._subscribers:
                    self._publish(name, self._touch_frame(symbol))

    def _ticker_fields(self, symbol: int) -> dict[str, str]:
        board = self.boards[symbol]
        return {} if board.candles.is_empty else board.ticker()

    def _send_ticker_snapshot(self, topic: Topic, subscriber: Subscriber) -> None:
        fields = self._tickers[topic.symbol]
        if fields:
            symbol = self.boards[topic.symbol].instrument.symbol
            seq, ts_ms = _seq(self.now_ns), self.now_ns // _MS_NS
            subscriber.send(ticker_frame(symbol, "snapshot", fields, seq=seq, ts_ms=ts_ms))

    def _push_tickers(self) -> None:
        """What changed since the last push; the first push of a symbol without figures is a snapshot."""
        ts_ms, seq = self.now_ns // _MS_NS, _seq(self.now_ns)
        for index, board in enumerate(self.boards):
            symbol = board.instrument.symbol
            name = f"tickers.{symbol}"
            if name not in self._subscribers:
                continue
            before, fields = self._tickers[index], self._ticker_fields(index)
            changed = {key: text for key, text in fields.items() if before.get(key) != text}
            self._tickers[index] = fields
            if changed:
                kind = "delta" if before else "snapshot"
                self._publish(name, ticker_frame(symbol, kind, changed, seq=seq, ts_ms=ts_ms))

    def _push_klines(self) -> None:
        """The open candle once a second, and the one that just ended with `confirm` true."""
        ts_ms = self.now_ns // _MS_NS
        for name in [name for name in self._subscribers if name.startswith("kline.")]:
            topic = self._topics[name]
            board = self.boards[topic.symbol]
            if board.candles.is_empty:
                continue
            board.candles.roll_to(ts_ms)
            candle = board.candles.current_of(topic.interval)
            before, volume = self._klines.get(name, (candle, -1))
            if before.start_ms != candle.start_ms:
                closed = next(
                    c
                    for c in board.candles.candles(topic.interval)
                    if c.start_ms == before.start_ms
                )
                frame = kline_frame(board, topic.interval, closed, confirm=True, ts_ms=ts_ms)
                self._publish(name, frame)
            elif volume == candle.volume:
                continue
            self._klines[name] = (candle, candle.volume)
            frame = kline_frame(board, topic.interval, candle, confirm=False, ts_ms=ts_ms)
            self._publish(name, frame)


def _seq(time_ns: int) -> int:
    """The venue's cross sequence: engine time in microseconds orders any two messages of a symbol."""
    return time_ns // 1000
