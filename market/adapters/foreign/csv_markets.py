"""Trades, quotes and books in CSV files: Bybit's public trade archive, Tardis, BitMEX.

| format        | columns used                                                     | times            |
|---------------|------------------------------------------------------------------|------------------|
| Bybit trades  | timestamp, symbol, side, size, price (public.bybit.com/trading)  | exchange only, s |
| Tardis trades | timestamp, local_timestamp, symbol, side, price, amount          | both, us         |
| Tardis quotes | timestamp, local_timestamp, symbol, bid and ask price and amount | both, us         |
| BitMEX book   | timestamp_ms, symbol, {ask,bid}_{px,sz}_{1..10}: ten best levels | one, ms          |
| BitMEX trades | timestamp_ms, symbol, side, price, size, action                  | one, ms          |

A file of quotes or best levels is a window on the book: the first row is a snapshot, each later one the
levels that changed, and those that left the window, which are gone as far as the file tells.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from market.adapters.foreign.csv_files import Row, decimal_ns, read_rows
from market.domain.recordings import BadRecording, FaultLog, RawRecord, ReadProgress

_S, _MS, _US = 9, 6, 3  # digits from a unit of time to ns
_BITMEX_DEPTH = 10
_LOOKED_AT_ROWS = 1_000
_SIDES = {"Buy": "Buy", "Sell": "Sell", "buy": "Buy", "sell": "Sell"}

BYBIT_TRADES = ("timestamp", "symbol", "side", "size", "price")
TARDIS_TRADES = ("timestamp", "symbol", "side", "amount", "price", "local_timestamp")
TARDIS_QUOTES = (
    "timestamp", "symbol", "bid_price", "bid_amount", "ask_price", "ask_amount", "local_timestamp",
)  # fmt: skip
BITMEX_TRADES = ("timestamp_ms", "symbol", "side", "size", "price", "action")
BITMEX_BOOK = (
    "timestamp_ms",
    "symbol",
    *(
        f"{side}_{what}_{level}"
        for side in ("bid", "ask")
        for level in range(1, _BITMEX_DEPTH + 1)
        for what in ("px", "sz")
    ),
)

_Handle = Callable[
    [Row], tuple[str, int, dict[str, Any]] | None
]  # kind, receive time in ns, payload


class CsvReader:
    """Reads files of one of the formats, one after the other, as records of the hub."""

    def __init__(
        self, symbols: set[str], faults: FaultLog, lines: Counter[str], progress: ReadProgress
    ) -> None:
        self._symbols = symbols
        self._faults = faults
        self._lines = lines
        self._progress = progress
        self._windows: dict[str, _Window] = {}

    def bybit_trades(self, paths: Iterable[Path]) -> Iterator[RawRecord]:
        return self._read(paths, BYBIT_TRADES, self._bybit_trade)

    def tardis_trades(self, paths: Iterable[Path]) -> Iterator[RawRecord]:
        return self._read(paths, TARDIS_TRADES, self._tardis_trade)

    def tardis_quotes(self, paths: Iterable[Path]) -> Iterator[RawRecord]:
        return self._read(paths, TARDIS_QUOTES, self._tardis_quote)

    def bitmex_trades(self, paths: Iterable[Path]) -> Iterator[RawRecord]:
        return self._read(paths, BITMEX_TRADES, self._bitmex_trade)

    def bitmex_book(self, paths: Iterable[Path]) -> Iterator[RawRecord]:
        return self._read(paths, BITMEX_BOOK, self._bitmex_levels)

    def _read(
        self, paths: Iterable[Path], columns: tuple[str, ...], handle: _Handle
    ) -> Iterator[RawRecord]:
        for path in paths:
            first_ns = rows = 0
            for number, row in read_rows(path, columns, self._faults, self._progress):
                self._lines["rows"] += 1
                if row[1] not in self._symbols:
                    self._lines["symbol left out"] += 1
                    continue
                try:
                    found = handle(row)
                except (ValueError, KeyError) as error:
                    self._faults.add("bad_line", path, number, str(error))
                    continue
                if found is None:
                    continue
                kind, received_ns, payload = found
                first_ns, rows = first_ns or received_ns, rows + 1
                if rows == _LOOKED_AT_ROWS and received_ns < first_ns:
                    raise BadRecording(
                        path, number, "runs backwards in time", "sort its rows by time first"
                    )
                yield RawRecord(received_ns, kind, row[1], payload, str(path), number)

    def _bybit_trade(self, row: Row) -> tuple[str, int, dict[str, Any]]:
        at_ns = decimal_ns(row[0], _S)
        return "trade", at_ns, _trade(row, at_ns)

    def _tardis_trade(self, row: Row) -> tuple[str, int, dict[str, Any]]:
        return "trade", decimal_ns(row[5], _US), _trade(row, decimal_ns(row[0], _US))

    def _tardis_quote(self, row: Row) -> tuple[str, int, dict[str, Any]] | None:
        bids = {row[2]: row[3]} if row[2] else {}
        asks = {row[4]: row[5]} if row[4] else {}
        return self._book(row[1], bids, asks, decimal_ns(row[6], _US), decimal_ns(row[0], _US))

    def _bitmex_trade(self, row: Row) -> tuple[str, int, dict[str, Any]] | None:
        if row[5] == "partial":
            self._lines["trade left out: the state on subscribing"] += 1
            return None
        at_ns = decimal_ns(row[0], _MS)
        return "trade", at_ns, _trade(row, at_ns)

    def _bitmex_levels(self, row: Row) -> tuple[str, int, dict[str, Any]] | None:
        first_ask = 2 + 2 * _BITMEX_DEPTH
        bids = dict(zip(row[2:first_ask:2], row[3:first_ask:2], strict=True))
        asks = dict(zip(row[first_ask::2], row[first_ask + 1 :: 2], strict=True))
        at_ns = decimal_ns(row[0], _MS)
        return self._book(row[1], bids, asks, at_ns, at_ns)

    def _book(
        self,
        symbol: str,
        bids: dict[str, str],
        asks: dict[str, str],
        received_ns: int,
        exchange_ns: int,
    ) -> tuple[str, int, dict[str, Any]] | None:
        window = self._windows.get(symbol)
        if window is None:
            self._windows[symbol] = _Window(bids, asks)
            payload: dict[str, Any] = {"subtype": "SNAPSHOT", "bids": [*bids.items()]}
            payload["asks"] = [*asks.items()]
        else:
            bid_changes, ask_changes = window.move(bids, asks)
            if not bid_changes and not ask_changes:
                self._lines["unchanged"] += 1
                return None
            payload = {"subtype": "DELTA", "bids": bid_changes, "asks": ask_changes}
        return "orderbook", received_ns, payload | {"tsNs": exchange_ns}


class _Window:
    """The best levels as last seen: price -> size, texts."""

    def __init__(self, bids: dict[str, str], asks: dict[str, str]) -> None:
        self._bids, self._asks = bids, asks

    def move(
        self, bids: dict[str, str], asks: dict[str, str]
    ) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
        """What changed since, by side."""
        changes = _changes(self._bids, bids), _changes(self._asks, asks)
        self._bids, self._asks = bids, asks
        return changes


def _changes(before: dict[str, str], now: dict[str, str]) -> list[tuple[str, str]]:
    gone = [(price, "0") for price in before if price not in now]
    return gone + [(price, size) for price, size in now.items() if before.get(price) != size]


def _trade(row: Row, exchange_ns: int) -> dict[str, Any]:
    return {"price": row[4], "qty": row[3], "side": _SIDES[row[2]], "tsNs": exchange_ns}
