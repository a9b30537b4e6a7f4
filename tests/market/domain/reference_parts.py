"""What the slow market kernel is made of: one message, and averages that remember all they ever saw."""

from __future__ import annotations

import math
from array import array
from dataclasses import dataclass
from typing import Any

import numpy as np

from market.domain.events import EventChunk

NAN = math.nan
SECOND = 1_000_000_000
DAY = 86_400 * SECOND
FrameDict = dict[str, Any]


@dataclass
class Message:
    kind: int
    flags: int
    symbol: int
    seq: int
    core_ts: int
    exchange_ts: int
    entries: list[tuple[int, int, int]]


def messages_of(chunk: EventChunk) -> list[Message]:
    offsets = chunk.level_offset.tolist()
    entries = list(zip(chunk.side.tolist(), chunk.tick.tolist(), chunk.lot.tolist(), strict=True))
    columns = zip(
        chunk.kind.tolist(), chunk.flags.tolist(), chunk.symbol.tolist(), chunk.seq.tolist(),
        chunk.core_ts_ns.tolist(), chunk.exchange_ts_ns.tolist(), strict=True,
    )  # fmt: skip
    return [Message(*row, entries[offsets[i] : offsets[i + 1]]) for i, row in enumerate(columns)]


def d(elapsed: int, half_life_s: float) -> float:
    return (
        0.0 if elapsed > 999 * half_life_s * SECOND else 2.0 ** (-elapsed / (half_life_s * SECOND))
    )


class Impulses:
    """Rate EMA of impulses, summed anew each time."""

    def __init__(self) -> None:
        self.times, self.values = array("q"), array("d")

    def add(self, at: int, value: float) -> None:
        self.times.append(at)
        self.values.append(value)

    def rate(self, now: int, half_life_s: float) -> float:
        if not self.times:
            return 0.0
        ages = now - np.frombuffer(self.times, np.int64)
        weights = np.exp2(-ages / (half_life_s * SECOND))
        total = float((weights * np.frombuffer(self.values)).sum())
        return total * math.log(2) / half_life_s


class Sampled:
    """EMA of boundary samples."""

    def __init__(self, half_life_s: float, interval: int) -> None:
        self.keep = d(interval, half_life_s)
        self.total = self.weight = 0.0

    def boundary(self, value: float | None) -> None:
        self.total *= self.keep
        self.weight *= self.keep
        if value is not None:
            self.total += value
            self.weight += 1.0

    @property
    def value(self) -> float:
        return self.total / self.weight if self.weight > 1e-12 else NAN


@dataclass
class Credit:
    """Traded lots that have not left the resting side yet."""

    lots: int = 0
    worst: int = 0
    at: int = 0
