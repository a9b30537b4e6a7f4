"""Books as the market service's recording left them: where a ladder begins that missed the live snapshot.

The recorder writes the whole book of each symbol once a minute and every change after it, so the end of a
symbol's file holds its book; the raw stream alone holds only what changed of late.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from market.domain.events import ChunkBuilder, EventChunk
from market.domain.instruments import Instrument
from market.domain.raw_events import BookLine, RawEventDecoder

FRESH_NS = 10_000_000_000
BLOCK_BYTES = 1 << 20
MAX_BYTES = 32 << 20
_WHOLE_BOOK = (b'"subtype":"CHECKPOINT"', b'"subtype":"SNAPSHOT"')

_decode = msgspec.json.Decoder(BookLine).decode


def recorded_books(
    folder: Path, instruments: Sequence[Instrument], wanted: Sequence[str], now_ns: int
) -> EventChunk:
    """The last whole book of each wanted symbol with the changes after it; `symbol` = place in `instruments`.

    A symbol without a file, or whose last line is older than 10 s (nobody records), is left out.
    `folder` holds a folder for each UTC day (`data/market`).
    """
    day = datetime.fromtimestamp(now_ns / 1e9, UTC).date().isoformat()
    decoder, builder = RawEventDecoder(instruments), ChunkBuilder()
    for symbol in wanted:
        lines = list(_decoded(_last_book(folder / day / f"{symbol}-orderbook.jsonl")))
        if lines and now_ns - lines[-1].recv_ts <= FRESH_NS:
            for line in lines:
                decoder.add(line, builder)
    return builder.take()


def _decoded(lines: Sequence[bytes]) -> Iterator[BookLine]:
    """Until the first line that cannot be read: what comes after it would not fit."""
    for text in lines:
        try:
            line = _decode(text)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return
        if line.type != "RECORDER_GAP":
            yield line


def _last_book(path: Path) -> list[bytes]:
    """The lines from the last whole book on; none when there is none in the last 32 MB."""
    try:
        with path.open("rb") as file:
            end = file.seek(0, os.SEEK_END)
            tail = b""
            while end > 0 and len(tail) < MAX_BYTES:
                start = max(0, end - BLOCK_BYTES)
                file.seek(start)
                tail = file.read(end - start) + tail
                end = start
                if (found := max(map(tail.rfind, _WHOLE_BOOK))) >= 0:
                    begin = tail.rfind(b"\n", 0, found) + 1
                    if begin or end == 0:
                        return tail[begin : tail.rfind(b"\n") + 1].splitlines()
    except OSError:
        pass
    return []
