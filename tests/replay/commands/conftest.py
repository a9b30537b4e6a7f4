"""A recording of ours on disk and a profile that trades it."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from execution.domain.synthetic_instruments import synthetic_instruments
from market.domain.events import EventChunk
from market.domain.raw_events import RawEventEncoder


@pytest.fixture(scope="session")
def recording(tmp_path_factory: pytest.TempPathFactory, market: EventChunk) -> Path:
    """Our own recording of 40 s of two symbols, as the recorder writes it."""
    folder = tmp_path_factory.mktemp("market")
    day = folder / "2025-11-18"
    day.mkdir()
    instruments = synthetic_instruments(("ETHUSDT", "AI16ZUSDT"))
    (day / "instruments-run1.json").write_bytes(msgspec.json.encode(instruments))
    files: dict[str, list[str]] = {}
    for symbol, kind, line in RawEventEncoder(instruments, "run1").lines(market):
        files.setdefault(f"{symbol}-{kind}.jsonl", []).append(line + "\n")
    for name, lines in files.items():
        (day / name).write_text("".join(lines))
    return folder


@pytest.fixture(scope="session")
def profile(tmp_path_factory: pytest.TempPathFactory, eager_document: bytes) -> Path:
    path = tmp_path_factory.mktemp("config") / "eager.json"
    path.write_bytes(eager_document)
    return path
