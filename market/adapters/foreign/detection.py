"""What a file is, told by its content; its name plays no part."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import islice
from pathlib import Path

import msgspec

from market.adapters.foreign import csv_markets
from market.adapters.foreign.binance import split_line
from market.adapters.foreign.bybit_files import CaptureLine, archive_message
from market.adapters.foreign.csv_files import decimal_ns, header_of, read_rows
from market.adapters.foreign.hftbacktest_files import head_of, is_hftbacktest
from market.adapters.foreign.line_files import read_lines
from market.domain.recordings import BadRecording, FaultLog

_LOOKED_AT_LINES = 200
SUPPORTED = (
    "supported are our own recordings (a data/market folder, a day of it, its .jsonl files), raw Bybit v5 "
    "captures, Bybit order book and trade archives, Binance captures, Tardis trades and quotes, BitMEX "
    "CSV, and hftbacktest npz"
)


class RecordingFormat(StrEnum):
    """The value is what people read; `short` is what they type."""

    OWN = "our own recording"
    BYBIT_CAPTURE = "Bybit v5 capture"
    BYBIT_ARCHIVE = "Bybit order book archive"
    BYBIT_TRADES = "Bybit trade archive"
    BINANCE_USDM = "Binance USD-M capture"
    BINANCE_COINM = "Binance COIN-M capture"
    BINANCE_SPOT = "Binance spot capture"
    TARDIS_TRADES = "Tardis trades CSV"
    TARDIS_QUOTES = "Tardis quotes CSV"
    BITMEX_BOOK = "BitMEX book CSV"
    BITMEX_TRADES = "BitMEX trades CSV"
    HFTBACKTEST = "hftbacktest file"

    @property
    def short(self) -> str:
        return self.name.lower().replace("_", "-")

    @property
    def source(self) -> str:
        """What recorded lines name as their source: of formats that are read together the same."""
        family = next((family for family in FAMILIES if self in family), {self})
        return min(one.name for one in family)


# Formats that may be opened together: two views of one market.
FAMILIES = (
    {RecordingFormat.BYBIT_ARCHIVE, RecordingFormat.BYBIT_TRADES},
    {RecordingFormat.TARDIS_TRADES, RecordingFormat.TARDIS_QUOTES},
    {RecordingFormat.BITMEX_BOOK, RecordingFormat.BITMEX_TRADES},
)
_CSV = {
    csv_markets.BYBIT_TRADES: (RecordingFormat.BYBIT_TRADES, 9),
    csv_markets.TARDIS_TRADES: (RecordingFormat.TARDIS_TRADES, 3),
    csv_markets.TARDIS_QUOTES: (RecordingFormat.TARDIS_QUOTES, 3),
    csv_markets.BITMEX_BOOK: (RecordingFormat.BITMEX_BOOK, 6),
    csv_markets.BITMEX_TRADES: (RecordingFormat.BITMEX_TRADES, 6),
}
_BARS = {"high", "low", "close"}


@dataclass(frozen=True, slots=True)
class Detected:
    """What is known of a file before it is read.

    `symbol` of single-symbol formats, `symbols` those in the first lines of a CSV; `first_ns`: when it begins
    (core time); `exchange_ahead_ns`: by how much the exchange's clock is ahead of the receiver's there, at
    least 0; `venue`: a Tardis exchange.
    """

    format: RecordingFormat
    path: Path
    symbol: str = ""
    first_ns: int = 0
    exchange_ahead_ns: int = 0
    symbols: tuple[str, ...] = ()
    venue: str = ""


def detect(path: Path) -> Detected:
    """Raises BadRecording with what was found instead."""
    if path.is_dir():
        return Detected(RecordingFormat.OWN, path)
    if is_hftbacktest(path):
        head = head_of(path)
        return Detected(
            RecordingFormat.HFTBACKTEST, path, head.symbol, head.first_ns, head.exchange_ahead_ns
        )
    lines = [line for _, line in islice(read_lines(path), _LOOKED_AT_LINES)]
    for line in lines:
        if (message := archive_message(line)) is not None:
            return Detected(
                RecordingFormat.BYBIT_ARCHIVE, path, message.symbol, message.ts * 1_000_000
            )
        if _is_own(line):
            return Detected(RecordingFormat.OWN, path)
        if _is_capture(line):
            return Detected(RecordingFormat.BYBIT_CAPTURE, path, first_ns=_first_received_ns(lines))
        if line[:13].isdigit() and b" {" in line[:21]:
            return _binance(lines, path)
    return _csv(lines[0] if lines else b"", path)


def _csv(first_line: bytes, path: Path) -> Detected:
    header = set(header_of(first_line))
    for columns, (kind, unit_digits) in _CSV.items():
        if header.issuperset(columns):
            return _csv_head(Detected(kind, path), columns, unit_digits)
    if header >= _BARS:
        raise BadRecording(
            path, 1, "holds candles, no ticks: no trade, no book can be made of them",
            "import a recording of trades and order books",
        )  # fmt: skip
    begin = first_line[:60].decode("utf-8", "replace")
    raise BadRecording(path, 1, f"unknown format, it begins with {begin!r}", SUPPORTED)


def _csv_head(found: Detected, columns: tuple[str, ...], unit_digits: int) -> Detected:
    """With the symbols of the first rows; rows that cannot be read are left for the reader to report."""
    symbols: dict[str, None] = {}
    first_ns, venue = 0, ""
    venue_column = ("exchange",) if "local_timestamp" in columns else ()
    wanted = (columns[0], columns[1], *venue_column)
    for _, row in islice(read_rows(found.path, wanted, FaultLog()), _LOOKED_AT_LINES):
        symbols[row[1]] = None
        venue = row[2] if venue_column else ""
        try:
            first_ns = first_ns or decimal_ns(row[0], unit_digits)
        except ValueError:
            continue
    if not symbols:
        raise BadRecording(found.path, 1, "has a header and no row", SUPPORTED)
    return replace(found, symbols=tuple(sorted(symbols)), first_ns=first_ns, venue=venue)


def _is_own(line: bytes) -> bool:
    return line.startswith(b'{"') and b'"recorderRun"' in line and b'"payload"' in line


def _is_capture(line: bytes) -> bool:
    try:
        record = msgspec.json.decode(line, type=CaptureLine)
    except msgspec.MsgspecError:
        return False
    return record.t in ("header", "http", "connect", "send", "recv")


def _first_received_ns(lines: list[bytes]) -> int:
    for line in lines:
        try:
            record = msgspec.json.decode(line, type=CaptureLine)
        except msgspec.MsgspecError:
            continue
        if record.t == "recv":
            return round(record.ts * 1e6) * 1000
    return 0


def _binance(lines: list[bytes], path: Path) -> Detected:
    symbol, first_ns, has_diff, has_pu, ahead_ns = "", 0, False, False, 0
    for line in lines:
        try:
            received_ns, message = split_line(line)
        except ValueError:
            continue
        first_ns = first_ns or received_ns
        if message.data is not None:
            symbol = symbol or message.data.s
            if message.data.e != "markPriceUpdate":  # its T is the next funding time
                ahead_ns = max(ahead_ns, message.data.T * 1_000_000 - received_ns)
            if message.data.e == "depthUpdate":
                has_diff, has_pu = True, has_pu or message.data.pu >= 0
    if not symbol:
        raise BadRecording(path, 1, "a capture without any stream message", SUPPORTED)
    kind = RecordingFormat.BINANCE_USDM
    if "_" in symbol:
        kind = RecordingFormat.BINANCE_COINM
    elif has_diff and not has_pu:
        kind = RecordingFormat.BINANCE_SPOT
    elif not symbol.endswith("USDT"):
        kind = RecordingFormat.BINANCE_COINM
    return Detected(kind, path, symbol, first_ns, ahead_ns)
