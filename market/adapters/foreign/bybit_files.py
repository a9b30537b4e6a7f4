"""Two files of Bybit v5 messages: a raw capture with receive times, and the public ob500 archive.

Capture: one JSON object a line, `t` = header | http | connect | send | recv, `conn` the connection,
`ts` receive time in seconds, `data` the exact text that was received. The linear public connection
counts; others (spot) are left out and counted. Rules come from its own instruments-info reply.
Archive: one `orderbook.500` message a line, no receive time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from market.adapters.bybit_messages import symbol_of
from market.adapters.foreign.bybit_feed import BybitFeed
from market.adapters.foreign.known_instruments import bybit_rows, instruments_of_reply
from market.adapters.foreign.line_files import read_blocks, read_lines
from market.domain.instruments import Instrument
from market.domain.recordings import FaultLog, RawRecord, ReadProgress

_LINEAR_PATH = "/v5/public/linear"


class CaptureLine(msgspec.Struct, gc=False):
    """One line of a raw capture."""

    t: str
    conn: str = ""
    ts: float = 0.0
    addr: str = ""
    url: str = ""
    data: str = ""


class CaptureHead(msgspec.Struct, kw_only=True):
    """What the lines before the first received message say.

    Of a capture that keeps no subscriptions, the symbols are those whose books it received.
    """

    linear_conn: str = ""
    symbols: list[str] = []
    instruments: dict[str, Instrument] = {}


class _Subscribe(msgspec.Struct):
    op: str = ""
    args: list[str] = []


_decode_line = msgspec.json.Decoder(CaptureLine).decode
_decode_lines = msgspec.json.Decoder(CaptureLine).decode_lines
_decode_subscribe = msgspec.json.Decoder(_Subscribe).decode


def read_capture_head(path: Path) -> CaptureHead:
    """Rules and subscribed linear symbols, sorted. Bad lines are left for the reader to report."""
    head = CaptureHead()
    symbols: set[str] = set()
    subscribed = False
    for _, line in read_lines(path):
        try:
            record = _decode_line(line)
        except msgspec.MsgspecError:
            continue
        if record.t == "http" and "instruments-info" in record.url:
            _take_reply(record.data, head, path)
        elif record.t == "connect" and record.addr.endswith(_LINEAR_PATH):
            head.linear_conn = record.conn
        elif record.t == "send" and record.conn == head.linear_conn:
            symbols.update(_subscribed(record.data))
            subscribed = bool(symbols)
        elif record.t == "recv" and record.conn == head.linear_conn:
            if subscribed:
                break
            symbols.update(_book_symbol(record.data))
    head.symbols = sorted(symbols)
    return head


def _take_reply(text: str, head: CaptureHead, path: Path) -> None:
    try:
        rows = bybit_rows(msgspec.json.decode(text))
    except msgspec.MsgspecError:
        return
    if rows is not None:
        head.instruments = instruments_of_reply(rows, path)


def _subscribed(text: str) -> Iterator[str]:
    try:
        request = _decode_subscribe(text)
    except msgspec.MsgspecError:
        return
    if request.op == "subscribe":
        yield from (symbol_of(topic) for topic in request.args)


def _book_symbol(text: str) -> Iterator[str]:
    if '"topic":"orderbook.' in text[:60]:
        yield symbol_of(text[:100].split('"')[3])


def read_capture(
    paths: Iterable[Path],
    linear_conn: str,
    feed: BybitFeed,
    faults: FaultLog,
    lines: Counter[str],
    progress: ReadProgress,
) -> Iterator[RawRecord]:
    """Records of the linear connection. Raises BadRecording."""
    for path in paths:
        place = str(path)
        for number, record in _capture_lines(path, faults, progress):
            if record.t != "recv":
                continue
            if record.conn != linear_conn:
                lines["other connection left out"] += 1
                continue
            lines["received"] += 1
            # A float of seconds holds microseconds; rounding keeps the digits that were written.
            received_ns = round(record.ts * 1e6) * 1000
            yield from feed.records(record.data, received_ns, place, number)


def _capture_lines(
    path: Path, faults: FaultLog, progress: ReadProgress
) -> Iterator[tuple[int, CaptureLine]]:
    """Lines that can be read, many decoded at once; with one among them that cannot, each by itself."""
    for first, block in read_blocks(path, progress):
        try:
            found = _decode_lines(block)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            found = []
        if len(found) == block.count(b"\n"):  # blank lines are passed over
            yield from enumerate(found, first)
        else:
            yield from _one_by_one(block, first, path, faults)


def _one_by_one(
    block: bytes, first: int, path: Path, faults: FaultLog
) -> Iterator[tuple[int, CaptureLine]]:
    for number, line in enumerate(block.split(b"\n")[:-1], first):
        try:
            yield number, _decode_line(line.rstrip(b"\r"))
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            faults.add("bad_line", path, number, str(error))


def read_archive(
    paths: Iterable[Path], feed: BybitFeed, lines: Counter[str], progress: ReadProgress
) -> Iterator[RawRecord]:
    """Records of archive messages; core time is the exchange's sending time. Raises BadRecording."""
    for path in paths:
        for number, line in read_lines(path, progress):
            lines["received"] += 1
            yield from feed.records(line, None, str(path), number)


class ArchiveHead(msgspec.Struct):
    """The first message of an archive."""

    topic: str = ""
    ts: int = 0
    data: dict[str, Any] = {}

    @property
    def symbol(self) -> str:
        return symbol_of(self.topic)


_decode_archive = msgspec.json.Decoder(ArchiveHead).decode


def archive_message(line: bytes) -> ArchiveHead | None:
    """An archived order book message, None when `line` is none."""
    try:
        message = _decode_archive(line)
    except msgspec.MsgspecError:
        return None
    return message if message.topic.startswith("orderbook.") and "u" in message.data else None
