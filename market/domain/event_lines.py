"""Recorded lines as the lines of a session: their own bytes under the type words of the replay.

`RawMarketEvent` and `ReplayEvent` (phase 12 §4, §5) differ in one word. The bytes around it are copied, so
a session loses nothing of what was recorded, not even fields that this version does not know.
"""

from __future__ import annotations

import msgspec
import numpy as np
from numpy.typing import NDArray

from market.domain.kernel_jit import at, entry_jit

EVENT_TYPES = {
    "TRADE": "MARKET_TRADE",
    "ORDERBOOK_SNAPSHOT": "MARKET_ORDERBOOK",
    "ORDERBOOK_DELTA": "MARKET_ORDERBOOK",
    "TICKER": "MARKET_TICKER",
}
LONGER_BY = 7  # bytes a line may grow by: the longest of new words less old ones

_QUOTE = 0x22
_TYPE_AT = 50  # behind `{"timestamp":"…24…","source":"`
_TYPE_KEY = np.frombuffer(b'","type":"', np.uint8)
_MARKET = np.frombuffer(b"MARKET_", np.uint8)
_ORDERBOOK = np.frombuffer(b"ORDERBOOK", np.uint8)
_MOST_SOURCE_BYTES = 64


@entry_jit
def write_event_lines(  # noqa: C901  (one straight copy)
    text: NDArray[np.uint8],
    first: NDArray[np.int64],
    last: NDArray[np.int64],
    order: NDArray[np.int64],
    out: NDArray[np.uint8],
    ends: NDArray[np.int64],
) -> int:
    """Copy the lines text[first[i]:last[i]], i in `order`, to `out` with the type word of a ReplayEvent.

    A line that is not of the recorder's own shape, or is an event line already, is copied as it is.
    ends: (n + 1,), places in `out` where line k begins and the last ends. `out` must have room for the
    lines and LONGER_BY bytes each. Returns: bytes written.
    """
    filled = 0
    ends[0] = 0
    for k in range(order.size):
        start, stop = first[at(order[at(k)])], last[at(order[at(k)])]
        word = start + _TYPE_AT
        limit = min(word + _MOST_SOURCE_BYTES, stop - 24)
        while word < limit and text[at(word)] != _QUOTE:
            word += 1
        kept = stop  # how much is copied before the word
        if word < limit:
            difference = np.uint8(0)
            for i in range(_TYPE_KEY.size):
                difference |= text[at(word + i)] ^ _TYPE_KEY[at(i)]
            if difference == 0 and text[at(word + 10)] != _MARKET[0]:
                kept = word + 10
        for i in range(start, kept):
            out[at(filled)] = text[at(i)]
            filled += 1
        if kept < stop:
            for i in range(_MARKET.size):
                out[at(filled)] = _MARKET[at(i)]
                filled += 1
            place = kept
            if text[at(kept)] == _ORDERBOOK[0]:
                for i in range(_ORDERBOOK.size):
                    out[at(filled)] = _ORDERBOOK[at(i)]
                    filled += 1
                while text[at(place)] != _QUOTE:
                    place += 1
            for i in range(place, stop):
                out[at(filled)] = text[at(i)]
                filled += 1
        ends[at(k + 1)] = filled
    return filled


def event_line(line: bytes) -> bytes:
    """One recorded line of any shape as an event line, with its newline. Raises: MsgspecError."""
    fields = msgspec.json.decode(line, type=dict[str, msgspec.Raw])
    word = msgspec.json.decode(fields["type"], type=str)
    if word in EVENT_TYPES:
        fields["type"] = msgspec.Raw(f'"{EVENT_TYPES[word]}"'.encode())
    return msgspec.json.encode(fields) + b"\n"
