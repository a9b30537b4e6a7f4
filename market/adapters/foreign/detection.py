"""What a file is, told by its content; its name plays no part."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from itertools import islice
from pathlib import Path

import msgspec

from market.adapters.foreign.binance_usdm import split_line
from market.adapters.foreign.bybit_files import CaptureLine, archive_symbol
from market.adapters.foreign.line_files import read_lines
from market.domain.recordings import BadRecording

_LOOKED_AT_LINES = 200
SUPPORTED = (
    "supported are our own recordings (a data/market folder, a day of it, its .jsonl files), raw Bybit v5 "
    "captures, Bybit order book archives and Binance USD-M captures"
)


class RecordingFormat(StrEnum):
    OWN = "our own recording"
    BYBIT_CAPTURE = "Bybit v5 capture"
    BYBIT_ARCHIVE = "Bybit order book archive"
    BINANCE_USDM = "Binance USD-M capture"


@dataclass(frozen=True, slots=True)
class Detected:
    """`symbol` of single-symbol formats; of Binance captures also when the file begins (receive time)
    and by how much the exchange's clock is ahead of the receiver's: at least 0, in its first lines."""

    format: RecordingFormat
    path: Path
    symbol: str = ""
    first_ns: int = 0
    exchange_ahead_ns: int = 0


def detect(path: Path) -> Detected:
    """Raises BadRecording with what was found instead."""
    if path.is_dir():
        return Detected(RecordingFormat.OWN, path)
    lines = [line for _, line in islice(read_lines(path), _LOOKED_AT_LINES)]
    for line in lines:
        if (symbol := archive_symbol(line)) is not None:
            return Detected(RecordingFormat.BYBIT_ARCHIVE, path, symbol)
        if _is_own(line):
            return Detected(RecordingFormat.OWN, path)
        if _is_capture(line):
            return Detected(RecordingFormat.BYBIT_CAPTURE, path)
        if line[:13].isdigit() and b" {" in line[:21]:
            return _binance(lines, path)
    begin = lines[0][:60].decode("utf-8", "replace") if lines else ""
    raise BadRecording(path, 1, f"unknown format, it begins with {begin!r}", SUPPORTED)


def _is_own(line: bytes) -> bool:
    return line.startswith(b'{"') and b'"recorderRun"' in line and b'"payload"' in line


def _is_capture(line: bytes) -> bool:
    try:
        record = msgspec.json.decode(line, type=CaptureLine)
    except msgspec.MsgspecError:
        return False
    return record.t in ("header", "http", "connect", "send", "recv")


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
    if not symbol.endswith("USDT"):
        raise BadRecording(
            path, 1, f"{symbol} is not a USDT linear perpetual",
            "inverse (COIN-M) and dated contracts cannot be replayed",
        )  # fmt: skip
    if has_diff and not has_pu:
        raise BadRecording(
            path, 1, f"{symbol} was captured on the spot market", "only USD-M futures are supported"
        )
    return Detected(RecordingFormat.BINANCE_USDM, path, symbol, first_ns, ahead_ns)
