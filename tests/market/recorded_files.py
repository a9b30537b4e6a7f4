"""Recordings laid down as files, by the recorder's own encoder, whole or damaged."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from market.domain.events import EventChunk
from market.domain.instruments import Instrument
from market.domain.raw_events import RawEventEncoder

DAY_NS = 86_400 * 1_000_000_000


def lay_down(
    market_dir: Path, instruments: Sequence[Instrument], chunk: EventChunk, run: str
) -> dict[Path, list[bytes]]:
    """Append the messages to the files of their days; returns the lines of each file."""
    encoder = RawEventEncoder(instruments, run)
    lines: dict[Path, list[bytes]] = defaultdict(list)
    days = (chunk.core_ts_ns // DAY_NS).tolist()
    for day, (symbol, file, line) in zip(days, encoder.lines(chunk), strict=True):
        lines[_folder(market_dir, day) / f"{symbol}-{file}.jsonl"].append(line.encode() + b"\n")
    for path, texts in lines.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        (path.parent / f"instruments-{run}.json").write_bytes(
            msgspec.json.encode(list(instruments))
        )
        with path.open("ab") as out:
            out.writelines(texts)
    return lines


def _folder(market_dir: Path, day: int) -> Path:
    return market_dir / f"{datetime.fromtimestamp(day * 86_400, UTC):%Y-%m-%d}"
