"""What a core consumed, in order, and what it made of it: the records of a journal (docs/contracts.md).

A run of a core begins with `Begun`. `Taken` and `TakenRange` are its inputs; `Made` holds what the inputs
since the last `Made` gave (a record that gave nothing is followed by none). `Stood` is the core's whole
state at that place, from which a verification may go on. `Missing` says that records were lost there.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec

FORMAT = 1


class Begun(msgspec.Struct, frozen=True, kw_only=True, array_like=True, tag="b"):
    """The first record of a run: who it is, and what the core was made of (`payload`, the core's own)."""

    core: str
    run_id: str
    at_ns: int
    format: int
    payload: bytes


class Taken(msgspec.Struct, frozen=True, array_like=True, tag="t"):
    """One input: `kind` is the core's own word, `payload` the bytes as they came in.

    `at_ns` is the instant that was handed to the core with it, and nothing else is.
    """

    kind: str
    at_ns: int
    payload: bytes


class TakenRange(msgspec.Struct, frozen=True, array_like=True, tag="r"):
    """Records `first` .. `first + count - 1` of a writer's run in a stream, taken one after the other.

    `entries` is how many reads brought them, `digest` blake2b-16 over their payloads, `at_ns` and
    `until_ns` the instants handed to the core with the first and the last of them.
    """

    kind: str
    at_ns: int
    until_ns: int
    stream: str
    run_id: str
    first: int
    count: int
    entries: int
    digest: bytes


class Made(msgspec.Struct, frozen=True, array_like=True, tag="m"):
    """What the inputs since the last `Made` gave: the core's own encoding, compared byte for byte."""

    payload: bytes


class Stood(msgspec.Struct, frozen=True, array_like=True, tag="s"):
    """The core's whole state after the records before this one, last input taken at `at_ns`."""

    at_ns: int
    payload: bytes


class Missing(msgspec.Struct, frozen=True, array_like=True, tag="g"):
    """`records` could not be written here: nothing is proved from the last `Stood` up to the next."""

    records: int
    reason: str


class Ended(msgspec.Struct, frozen=True, array_like=True, tag="e"):
    """The run ended in order; without it the process died, and its last records may be missing."""

    at_ns: int


class Tail(msgspec.Struct, frozen=True, array_like=True, tag="l"):
    """The last pieces taken of a stream whose writer's run ended: (first number, records, payload).

    No input, but evidence: a writer that was killed may not have recorded them itself.
    """

    stream: str
    run_id: str
    pieces: list[tuple[int, int, bytes]]


JournalRecord = Begun | Taken | TakenRange | Made | Stood | Missing | Ended | Tail


class Numbered(NamedTuple):
    """A record and its number within the run, from 1."""

    number: int
    record: JournalRecord
