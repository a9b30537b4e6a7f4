"""A market of the replay tests on disk, as the recorder writes it."""

from __future__ import annotations

from pathlib import Path

import msgspec

from execution.domain.synthetic_instruments import synthetic_instruments
from market.domain.events import EventChunk
from market.domain.raw_events import RawEventEncoder


def write_recording(folder: Path, market: EventChunk) -> None:
    """Our own recording of the two symbols of `tests/replay/conftest.py` under `folder`."""
    day = folder / "2025-11-18"
    day.mkdir(parents=True)
    instruments = synthetic_instruments(("ETHUSDT", "AI16ZUSDT"))
    (day / "instruments-run1.json").write_bytes(msgspec.json.encode(instruments))
    files: dict[str, list[str]] = {}
    for symbol, kind, line in RawEventEncoder(instruments, "run1").lines(market):
        files.setdefault(f"{symbol}-{kind}.jsonl", []).append(line + "\n")
    for name, lines in files.items():
        (day / name).write_text("".join(lines))
