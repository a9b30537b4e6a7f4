"""What the execution's live loop consumed and gave, item by item, so that all of it can be fed again.

Inputs carry the instant that was handed to core and venue with them. Market messages and frames are told
as ranges of their streams with a CRC-32 of their bytes, everything else as it came in. Outputs are the
bytes that left: log lines and commands of each step at its write-ahead point, SENT lines, news, rows.
`pack_inputs` tells times and numbers as differences: a quiet second takes about a kilobyte.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

_MICROSECOND_NS, _MILLISECOND_NS = 1_000, 1_000_000
_TICKED, _READ, _FRAMES = 1, 2, 3  # tags


class _Item(msgspec.Struct, frozen=True, array_like=True):
    """Base of all items: immutable, tagged by a number."""


class TimerTicked(_Item, frozen=True, tag=_TICKED):
    now_ns: int


class MarketRead(_Item, frozen=True, tag=_READ):
    """Messages `number` .. `number + count - 1` of a market run, one entry of the bus."""

    now_ns: int
    run_id: str
    number: int
    count: int
    bus_ms: int  # the entry's id on the bus is `bus_ms`-`bus_seq`
    bus_seq: int
    seal: int


class FramesRead(_Item, frozen=True, tag=_FRAMES):
    """Frames `number` .. `number + count - 1` of a market run."""

    now_ns: int
    run_id: str
    number: int
    count: int
    seal: int


class MarketGapped(_Item, frozen=True, tag=4):
    """The bus lost raw messages."""

    now_ns: int


class RequestRead(_Item, frozen=True, tag=5):
    now_ns: int
    entry_id: str
    payload: bytes  # OrderRequest | RepriceHint


class OperatorRead(_Item, frozen=True, tag=6):
    now_ns: int
    payload: bytes  # OperatorCommand


class SettingsTaken(_Item, frozen=True, tag=7):
    """Another config; `problem` says why the active version could not be used."""

    now_ns: int
    payload: bytes  # ExecutionSettings
    problem: str


class EntriesRefused(_Item, frozen=True, tag=8):
    """The host found a reason for safe mode."""

    now_ns: int
    reason: str
    text: str


class LatencyJudged(_Item, frozen=True, tag=9):
    now_ns: int
    text: str


class VenueSpoke(_Item, frozen=True, tag=10):
    """One update of a venue that is not simulated here: there its words are inputs."""

    now_ns: int
    payload: bytes  # VenueUpdate


class EntriesAllowed(_Item, frozen=True, tag=11):
    """The cause of an `EntriesRefused` is gone."""

    now_ns: int
    reason: str


class AccountRecovered(_Item, frozen=True, tag=12):
    """The first input of a run: take up what `RunStart` holds. The order log on disk ended at `log_seq`."""

    now_ns: int
    log_seq: int


class StepMade(_Item, frozen=True, tag=20):
    """One step of the core at its write-ahead point, and the CRC-32 of the whole state it left."""

    number: int
    state_seal: int
    payload: bytes  # [log lines, venue commands]


class LinesSent(_Item, frozen=True, tag=21):
    payload: bytes  # SENT lines


class NewsTold(_Item, frozen=True, tag=22):
    payload: bytes  # as appended to `execution.events`


class RowsTold(_Item, frozen=True, tag=23):
    payload: bytes  # as appended to `execution.records`


class WriteFailed(_Item, frozen=True, tag=24):
    """The `write`-th write to commits and order log within this input met a fault of the disk."""

    write: int
    reason: str


TapeInput = (
    TimerTicked
    | MarketRead
    | FramesRead
    | MarketGapped
    | RequestRead
    | OperatorRead
    | SettingsTaken
    | EntriesRefused
    | LatencyJudged
    | VenueSpoke
    | EntriesAllowed
    | AccountRecovered
)
TapeOutput = StepMade | LinesSent | NewsTold | RowsTold | WriteFailed


class InputBatch(_Item, frozen=True):
    """Inputs `first` .. of a run, from 1. Times are in `unit_ns`, relative to the item before; numbers of
    market streams relative to what is expected next, the bus's time to that of the input.
    """

    first: int
    unit_ns: int
    base_ns: int
    items: list[TapeInput]


_encode = msgspec.msgpack.Encoder().encode
_decode_batch = msgspec.msgpack.Decoder(InputBatch).decode
_decode_outputs = msgspec.msgpack.Decoder(list[TapeOutput]).decode


def pack_inputs(first: int, items: Sequence[TapeInput]) -> bytes:
    """Inputs in order, the first being number `first` of the run."""
    unit_ns = 1 if any(item.now_ns % _MICROSECOND_NS for item in items) else _MICROSECOND_NS
    base_ns = items[0].now_ns // unit_ns if items else 0
    return _encode((first, unit_ns, base_ns, list(_relative(items, base_ns, unit_ns))))


def unpack_inputs(data: bytes) -> tuple[int, list[TapeInput]]:
    """Inverse of `pack_inputs`. Raises: msgspec.DecodeError."""
    batch = _decode_batch(data)
    return batch.first, list(_absolute(batch))


def pack_outputs(outputs: Sequence[TapeOutput]) -> bytes:
    """All that one input gave, in order."""
    return _encode(list(outputs))


def unpack_outputs(data: bytes) -> list[TapeOutput]:
    """Inverse of `pack_outputs`. Raises: msgspec.DecodeError."""
    return _decode_outputs(data)


class _Place:
    """Where one of the market's streams stands in a batch."""

    __slots__ = ("number", "run_id")

    def __init__(self) -> None:
        self.run_id, self.number = "", 0

    def relative(self, run_id: str, number: int, count: int) -> tuple[str, int]:
        """The run only where it is another one, the number by what it differs from the next expected."""
        told = ("" if run_id == self.run_id else run_id, number - self.number)
        self.run_id, self.number = run_id, number + count
        return told

    def absolute(self, run_id: str, number: int, count: int) -> tuple[str, int]:
        self.run_id, first = run_id or self.run_id, number + self.number
        self.number = first + count
        return self.run_id, first


def _relative(items: Sequence[TapeInput], base_ns: int, unit_ns: int) -> Iterator[Any]:
    """Plain tuples for the kinds that come many times a second: the loop that decides packs them."""
    raw, frames, before = _Place(), _Place(), base_ns
    for item in items:
        now = item.now_ns // unit_ns
        passed, before, kind = now - before, now, type(item)
        if kind is TimerTicked:
            yield (_TICKED, passed)
        elif isinstance(item, MarketRead):
            run_id, number = raw.relative(item.run_id, item.number, item.count)
            lag_ms = item.now_ns // _MILLISECOND_NS - item.bus_ms
            yield (_READ, passed, run_id, number, item.count, lag_ms, item.bus_seq, item.seal)
        elif isinstance(item, FramesRead):
            run_id, number = frames.relative(item.run_id, item.number, item.count)
            yield (_FRAMES, passed, run_id, number, item.count, item.seal)
        else:
            yield msgspec.structs.replace(item, now_ns=passed)


def _absolute(batch: InputBatch) -> Iterator[TapeInput]:
    raw, frames, now = _Place(), _Place(), batch.base_ns
    for told in batch.items:
        now += told.now_ns
        item = msgspec.structs.replace(told, now_ns=now * batch.unit_ns)
        if isinstance(item, MarketRead):
            run_id, number = raw.absolute(item.run_id, item.number, item.count)
            bus_ms = item.now_ns // _MILLISECOND_NS - item.bus_ms
            item = msgspec.structs.replace(item, run_id=run_id, number=number, bus_ms=bus_ms)
        elif isinstance(item, FramesRead):
            run_id, number = frames.absolute(item.run_id, item.number, item.count)
            item = msgspec.structs.replace(item, run_id=run_id, number=number)
        yield item
