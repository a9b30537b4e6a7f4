"""Recordings for the benchmarks of sessions: the bench stream of many symbols as the recorder's files."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np
import zstandard
from numpy.typing import NDArray

from market.domain.chunks import concat_chunks, pick_messages
from market.domain.events import EventChunk
from market.domain.instruments import Instrument
from market.domain.raw_events import RawEventEncoder
from tests.bench.stream import bench_instrument, bench_stream

RUN = "20251010T000000.000000Z-be9c"
DAY = "2025-10-10"
DAY_START_NS = 1_760_054_400_000_000_000
HOUR_NS = 3_600_000_000_000
FIRST_SEQ = (
    100_000_001  # as many digits as the last seq of the day: shifted lines keep their length
)


def symbols_of(count: int) -> list[Instrument]:
    names = ["BTCUSDT", "ETHUSDT", *(f"SYM{n:02d}USDT" for n in range(count))][:count]
    return [bench_instrument(name) for name in names]


def mixed_stream(symbols: int, messages: int, seconds: float) -> EventChunk:
    """`messages` of all symbols together, in order of time; each symbol begins with a snapshot."""
    parts = []
    for number in range(symbols):
        own = bench_stream(messages // symbols, seconds=seconds, seed=7 + number)
        parts.append(dataclasses.replace(own, symbol=np.full(len(own), number, np.uint16)))
    whole = concat_chunks(parts)
    ordered = pick_messages(whole, np.argsort(whole.core_ts_ns, kind="stable"))
    shift = DAY_START_NS - int(ordered.core_ts_ns[0])
    core = ordered.core_ts_ns + shift
    return dataclasses.replace(
        ordered,
        seq=np.arange(FIRST_SEQ, FIRST_SEQ + len(ordered)),
        core_ts_ns=core,
        exchange_ts_ns=core - core % 1_000_000,
    )


def file_texts(instruments: Sequence[Instrument], chunk: EventChunk) -> dict[str, bytes]:
    """The content of each file, by its name."""
    lines: dict[str, list[str]] = defaultdict(list)
    for symbol, file, line in RawEventEncoder(instruments, RUN).lines(chunk):
        lines[f"{symbol}-{file}.jsonl"].append(line)
    return {name: ("\n".join(texts) + "\n").encode() for name, texts in lines.items()}


def lay_down(folder: Path, instruments: Sequence[Instrument], texts: dict[str, bytes]) -> None:
    """A day of data/market with these files."""
    day = folder / DAY
    day.mkdir(parents=True)
    _describe(day, instruments)
    for name, text in texts.items():
        (day / name).write_bytes(text)


def lay_down_day(
    folder: Path,
    instruments: Sequence[Instrument],
    texts: dict[str, bytes],
    hours: int,
    per_hour: int,
) -> int:
    """Files of `hours` hours, compressed as finished days are: the given hour again and again, its times and
    numbers shifted. Returns the uncompressed bytes."""
    day = folder / DAY
    day.mkdir(parents=True)
    _describe(day, instruments)
    written = 0
    for name, text in texts.items():
        tile = _Tile(text)
        with (day / f"{name}.zst").open("wb") as file:
            writer = zstandard.ZstdCompressor(level=1).stream_writer(file, closefd=False)
            with writer:
                for hour in range(hours):
                    written += writer.write(tile.shifted(hour, per_hour))
    return written


def _describe(day: Path, instruments: Sequence[Instrument]) -> None:
    (day / f"instruments-{RUN}.json").write_bytes(msgspec.json.encode(list(instruments)))


class _Tile:
    """An hour of lines whose numbers stand at fixed distances from the lines' ends."""

    def __init__(self, text: bytes) -> None:
        self._text = np.frombuffer(bytearray(text), np.uint8)
        self._ends = np.flatnonzero(self._text == 0x0A) + 1
        self._starts = np.concatenate([[0], self._ends[:-1]])
        behind = len(',"schemaVersion":1}\n')
        self._recv = (self._ends - behind - 19, 19)
        self._seq = (self._recv[0] - len(',"recvTs":') - 9, 9)
        self._ts = (self._seq[0] - len(f'}},"recorderRun":"{RUN}","seq":') - 13, 13)
        self._values = [self._read(*place) for place in (self._recv, self._seq, self._ts)]

    def shifted(self, hour: int, per_hour: int) -> bytes:
        steps = (hour * HOUR_NS, hour * per_hour, hour * HOUR_NS // 1_000_000)
        for place, values, step in zip(
            (self._recv, self._seq, self._ts), self._values, steps, strict=True
        ):
            self._write(*place, values + step)
        self._write(
            self._starts + len('{"timestamp":"2025-10-10T'), 2, np.full(len(self._ends), hour)
        )
        return self._text.tobytes()

    def _read(self, first: NDArray[np.int64], digits: int) -> NDArray[np.int64]:
        value = np.zeros(len(first), np.int64)
        for digit in range(digits):
            value = value * 10 + (self._text[first + digit].astype(np.int64) - 48)
        return value

    def _write(self, first: NDArray[np.int64], digits: int, values: NDArray[np.int64]) -> None:
        for digit in range(digits - 1, -1, -1):
            values, rest = np.divmod(values, 10)
            self._text[first + digit] = rest + 48
