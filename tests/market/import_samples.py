"""Small foreign files for the tests of importing and exporting."""

from __future__ import annotations

import gzip
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from market.domain.chunks import concat_chunks
from market.domain.events import EventChunk
from market.recordings import MarketData

START_US = 1_680_652_740_000_000  # 2023-04-04 23:59:00 UTC

COLUMNS = ("kind", "flags", "core_ts_ns", "exchange_ts_ns", "level_offset", "side", "tick", "lot")


def packed(path: Path, text: str) -> Path:
    path.write_bytes(gzip.compress(text.encode(), mtime=0))
    return path


def zipped(path: Path, text: str) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("data.txt", text)
    return path


def binance_capture(path: Path, seconds: int = 120, symbol: str = "BTCUSDT") -> Path:
    """A snapshot, then a touch, a trade and a diff each second, over midnight."""
    last = 100
    snapshot = {"lastUpdateId": last, "E": 1, "T": START_US // 1000, "bids": [["100.0", "1.000"]],
                "asks": [["100.1", "1.000"]]}  # fmt: skip
    lines = [f"{START_US} {json.dumps(snapshot)}"]
    for second in range(seconds):
        at_us = START_US + second * 1_000_000 + 1000
        bid = 100.0 - (second % 7) / 10
        times = {"s": symbol, "E": at_us // 1000, "T": at_us // 1000 - 1}
        levels = {"b": [[f"{bid:.1f}", f"{1 + second}.000"]], "a": [["100.1", f"{second + 2}.000"]]}
        messages: list[dict[str, Any]] = [
            {"e": "depthUpdate", "U": last + 1, "u": last + 5, "pu": last, **times, **levels},
            {"e": "trade", "p": "100.1", "q": "0.010", "X": "MARKET", "m": second % 2 == 0, **times},
            {"e": "bookTicker", "u": last + 6, "b": f"{bid:.1f}", "B": "3.000", "a": "100.1",
             "A": "4.000", **times},
            {"e": "markPriceUpdate", "p": "100.05", "i": "100.02", "r": "0.0001", **times},
        ]  # fmt: skip
        last += 5
        lines += [
            f"{at_us + i} {json.dumps({'stream': 'x', 'data': one})}"
            for i, one in enumerate(messages)
        ]
    return packed(path, "\n".join(lines) + "\n")


def joined(data: MarketData) -> EventChunk:
    return concat_chunks(list(data.chunks))


def differences(one: EventChunk, other: EventChunk) -> list[str]:
    """Names of the columns in which two markets differ; numbering apart, there should be none."""
    return [
        name for name in COLUMNS if not np.array_equal(getattr(one, name), getattr(other, name))
    ]


def tree(folder: Path) -> dict[str, bytes]:
    """Every file under a folder with its content."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
