"""Raw captures of Binance (USD-M, COIN-M, spot): `<local receive time> <json>`, one event a line.

Streams: depth (diffs), trade, bookTicker, markPrice; one line without `stream` is the REST snapshot.
Facts used (Binance "How to manage a local order book", and the captures themselves):

- the local time is ns, us or ms by its magnitude;
- diffs before the snapshot are kept; those with `u` < `lastUpdateId` are dropped; the first one applied
  spans it (`U` <= lastUpdateId <= `u`), and from then on `pu` equals the `u` before it;
- bookTicker comes at every change of the touch, depth only every 30-50 ms and sometimes later than a
  bookTicker that is newer: such a diff is applied behind that touch, so that the book never goes back;
  a bookTicker older than the book is dropped;
- trades with `X` other than MARKET (insurance fund, ...) never met the book and are dropped;
- snapshots hold 1,000 levels a side; what lies beyond is unknown until a diff touches it;
- spot diffs have no `pu`: `U` is one above the `u` before it; spot bookTickers have no time of the exchange.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from market.adapters.foreign.line_files import read_lines
from market.domain.recordings import BadRecording, FaultLog, RawRecord, ReadProgress

_MAX_BUFFERED_DIFFS = 20_000

Pair = tuple[str, str]


class StreamData(msgspec.Struct, gc=False):
    """Fields of every kind of stream message under one roof, by the venue's own names."""

    e: str = ""
    s: str = ""
    E: int = 0
    T: int = 0
    U: int = 0
    u: int = 0
    pu: int = -1
    b: str | list[Pair] = ""  # best price of a bookTicker, levels of a depth update
    a: str | list[Pair] = ""
    B: str = ""
    A: str = ""
    p: str = ""
    q: str = ""
    i: str = ""
    r: str = ""
    X: str = "MARKET"
    m: bool = False


class BinanceLine(msgspec.Struct, gc=False, rename={"last_update_id": "lastUpdateId"}):
    """A combined-stream message, or (without `stream`) the REST depth snapshot."""

    stream: str = ""
    data: StreamData | None = None
    last_update_id: int = 0
    E: int = 0
    T: int = 0
    bids: list[Pair] = []
    asks: list[Pair] = []


_decode_line = msgspec.json.Decoder(BinanceLine).decode


def split_line(line: bytes) -> tuple[int, BinanceLine]:
    """(receive time in ns, message). Raises ValueError, msgspec.DecodeError included."""
    stamp, _, body = line.partition(b" ")
    if not stamp.isdigit() or not 13 <= len(stamp) <= 19:
        raise ValueError("does not begin with a receive time")
    return int(stamp) * 10 ** (19 - len(stamp)), _decode_line(body)


def refuse_overlap(received_ns: int, before_ns: int, path: Path, number: int) -> None:
    """`before_ns`: when the file in front of this one ended. Raises BadRecording."""
    if received_ns < before_ns:
        raise BadRecording(
            path, number, "begins before the file in front of it ends",
            "name files that follow each other",
        )  # fmt: skip


class _Book:
    """Sequence state of one symbol's book; turns diffs, snapshot and touches into records."""

    def __init__(self) -> None:
        self.is_synced = False
        self.last_u = 0
        self.spans_snapshot = False  # has a diff been applied since the snapshot?
        self.touch: StreamData | None = None
        self.buffered: deque[StreamData] = deque(maxlen=_MAX_BUFFERED_DIFFS)


class BinanceReader:
    """Reads one symbol's capture, file after file; the book goes on from one file to the next."""

    def __init__(
        self,
        symbol: str,
        faults: FaultLog,
        lines: Counter[str],
        progress: ReadProgress,
        *,
        is_spot: bool = False,
    ) -> None:
        self._symbol = symbol
        self._follows = _follows_spot if is_spot else _follows_futures
        self._faults = faults
        self._lines = lines
        self._progress = progress
        self.book = _Book()
        self._path = ""
        self._line = 0
        self.received_ns = 0
        self.is_line_read = False  # whether the last line could be
        self._handlers: dict[str, Callable[[StreamData], Sequence[RawRecord]]] = {
            "bookTicker": self._on_touch,
            "trade": self._on_trade,
            "depthUpdate": self._on_diff,
            "markPriceUpdate": self._on_mark,
        }

    def read(self, paths: list[Path]) -> Iterator[RawRecord]:
        """Records of all files in the order given. Raises BadRecording."""
        for path in paths:
            before_ns = self.begin(path)
            for number, line in read_lines(path, self._progress):
                records = self.take(line, number)
                if self.is_line_read:
                    refuse_overlap(self.received_ns, before_ns, path, number)
                    before_ns = 0
                yield from records
        self.check_synced()

    def begin(self, path: Path) -> int:
        """The next lines are of `path`; returns the receive time of the last line so far, 0 for none."""
        self._path = str(path)
        return self.received_ns

    def take(self, line: bytes, number: int) -> Sequence[RawRecord]:
        """Records of one line."""
        self._line, self.is_line_read = number, False
        try:
            self.received_ns, message = split_line(line)
        except ValueError as error:
            return self._fault("bad_line", str(error))
        self.is_line_read = True
        return self._records(message)

    def _records(self, message: BinanceLine) -> Sequence[RawRecord]:
        data = message.data
        if data is None:
            if not message.last_update_id:
                return self._fault("unknown_message", "neither a stream nor a snapshot")
            self._lines["snapshot"] += 1
            return self._on_snapshot(message)
        if not data.e and data.u:
            data.e = "bookTicker"  # spot says it in the stream's name alone
        if data.s != self._symbol:
            return self._fault("other_symbol", f"{data.s} in a capture of {self._symbol}")
        handle = self._handlers.get(data.e)
        if handle is None:
            return self._fault("unknown_message", data.e)
        self._lines[data.e] += 1
        return handle(data)

    def _on_snapshot(self, message: BinanceLine) -> Sequence[RawRecord]:
        book = self.book
        book.is_synced, book.spans_snapshot, book.last_u = True, False, message.last_update_id
        ts_ms = message.T or message.E or self.received_ns // 1_000_000
        records = [self._orderbook("SNAPSHOT", message.bids, message.asks, ts_ms)]
        waiting, book.buffered = book.buffered, deque(maxlen=_MAX_BUFFERED_DIFFS)
        for diff in waiting:
            records += self._on_diff(diff)
        if book.is_synced and book.touch is not None and book.touch.u > book.last_u:
            records += self._touch(book.touch)
        return records

    def _on_diff(self, diff: StreamData) -> Sequence[RawRecord]:
        book = self.book
        if not book.is_synced:
            book.buffered.append(diff)
            return ()
        if not book.spans_snapshot and diff.u < book.last_u:
            return ()
        if not self._follows(diff, book):
            before = diff.U - 1 if diff.pu < 0 else diff.pu
            return self._lost("sequence_gap", f"{before} does not follow {book.last_u}", diff)
        try:
            bids, asks = self._levels(diff)
        except ValueError as error:
            return self._lost("bad_line", str(error))
        book.spans_snapshot, book.last_u = True, diff.u
        return (self._orderbook("DELTA", bids, asks, diff.T or diff.E),)

    def _lost(self, kind: str, detail: str, diff: StreamData | None = None) -> Sequence[RawRecord]:
        """The book cannot go on before its next snapshot; `diff` may belong behind that."""
        self._fault(kind, detail)
        self.book.is_synced = False
        if diff is not None:
            self.book.buffered.append(diff)
        return (self._record("orderbook", {"subtype": "GAP"}),)

    def _levels(self, diff: StreamData) -> tuple[list[Pair], list[Pair]]:
        """Bids and asks as they may be applied. Raises ValueError on what is no list of numbers."""
        bids, asks, touch = diff.b, diff.a, self.book.touch
        if isinstance(bids, str) or isinstance(asks, str):
            raise ValueError("a depth update without levels")
        if touch is None or touch.u <= diff.u:
            return bids, asks
        self._lines["depth older than the touch"] += 1
        return (
            _behind(bids, str(touch.b), touch.B, sign=1),
            _behind(asks, str(touch.a), touch.A, sign=-1),
        )

    def _on_touch(self, touch: StreamData) -> Sequence[RawRecord]:
        book = self.book
        if book.touch is not None and touch.u < book.touch.u:
            return ()
        book.touch = touch
        if not book.is_synced:
            return ()
        if touch.u >= book.last_u:
            return self._touch(touch)
        self._lines["bookTicker older than the book"] += 1
        return ()

    def _on_trade(self, trade: StreamData) -> Sequence[RawRecord]:
        if trade.X != "MARKET":
            self._lines[f"trade left out: {trade.X}"] += 1
            return ()
        side = "Sell" if trade.m else "Buy"
        payload = {"price": trade.p, "qty": trade.q, "side": side, "ts": trade.T}
        return (self._record("trade", payload),)

    def _on_mark(self, mark: StreamData) -> Sequence[RawRecord]:
        payload = {
            "markPrice": mark.p,
            "indexPrice": mark.i,
            "fundingRate": mark.r,
            "nextFundingTime": mark.T or "",
            "ts": mark.E,
        }
        return (self._record("ticker", payload),)

    def _touch(self, touch: StreamData) -> Sequence[RawRecord]:
        bids, asks = [(touch.b, touch.B)], [(touch.a, touch.A)]
        payload = {"subtype": "BBO", "bids": bids, "asks": asks, "ts": touch.T or None}
        return (self._record("orderbook", payload),)

    def _orderbook(self, subtype: str, bids: list[Pair], asks: list[Pair], ts_ms: int) -> RawRecord:
        payload = {"subtype": subtype, "bids": bids, "asks": asks, "ts": ts_ms}
        return self._record("orderbook", payload)

    def _record(self, kind: str, payload: dict[str, Any]) -> RawRecord:
        return RawRecord(self.received_ns, kind, self._symbol, payload, self._path, self._line)

    def _fault(self, kind: str, detail: str) -> Sequence[RawRecord]:
        self._faults.add(kind, self._path, self._line, detail)
        return ()

    def check_synced(self) -> None:
        if not self.book.is_synced and self._lines["snapshot"] == 0:
            self._fault("no_snapshot", f"no book snapshot of {self._symbol}: its book stays empty")


def _follows_futures(diff: StreamData, book: _Book) -> bool:
    if diff.pu == book.last_u:
        return True
    return not book.spans_snapshot and diff.U <= book.last_u <= diff.u


def _follows_spot(diff: StreamData, book: _Book) -> bool:
    """The first one after a snapshot may begin before it, later ones begin where the last one ended."""
    if book.spans_snapshot:
        return book.last_u + 1 == diff.U
    return diff.U <= book.last_u + 1 <= diff.u + 1


def _behind(levels: list[Pair], price: str, size: str, *, sign: int) -> list[Pair]:
    """`levels` of an older diff as they can still be with the best at `price`; `sign` is 1 for bids."""
    best = float(price)
    return [
        (at, lots if sign * float(at) < sign * best else size if float(at) == best else "0")
        for at, lots in levels
    ]
