"""One number for everything a replay computed: every frame and every decision, in order.

Frames go in as they lie in memory, `input_hash` included, so that any consumed value that changes
changes the digest. Decisions go in as msgpack with sorted keys, each with the core time at which it was
made. Both are hashed on their own, since the frames of a stretch come before what was decided at them,
and put together at the end. Nothing depends on hash seeds, on how the input was cut into chunks, or on
the machine.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable
from typing import Any

import msgspec
import numpy as np

from market.domain.frames import FRAME_DTYPE, Frames

_SIZE_BYTES = 16
_AT_ONCE = 1_024  # pieces of decisions: some 64 KB
_NUMBERS = struct.Struct("<qI").pack  # core time, length of name and body
_HEADS = {source: source[:1].encode() for source in ("ASSUMED", "STRATEGY", "EXECUTION", "VENUE")}


class _Names(dict[type, bytes]):
    """Of decisions, as they are hashed."""

    def __missing__(self, kind: type) -> bytes:
        name = self[kind] = kind.__name__.encode() + b"\0"
        return name


_NAMES = _Names()


class RunDigest:
    """blake2b over frames, and over length-prefixed decisions, so that no two streams look alike."""

    def __init__(self, *assumptions: Any) -> None:
        """`assumptions`: instruments, configs, whatever else the run depends on; part of the digest."""
        self._frames = hashlib.blake2b(digest_size=_SIZE_BYTES)
        self._decisions = hashlib.blake2b(digest_size=_SIZE_BYTES)
        self._waiting: list[bytes] = []  # decisions that are not hashed yet
        self._encode = msgspec.msgpack.Encoder(order="deterministic").encode
        self.add_decisions("ASSUMED", 0, assumptions)

    def add_frames(self, frames: Frames) -> None:
        """Take frames in order of emission; how they are grouped plays no part."""
        rows = np.ascontiguousarray(frames, FRAME_DTYPE)
        self._frames.update(rows.view(np.uint8).data)

    def add_decisions(self, source: str, now_ns: int, decisions: Iterable[Any]) -> None:
        """Take what `source` (STRATEGY, EXECUTION, VENUE) put out at core time `now_ns`, in order."""
        for decision in decisions:
            self.add_decision(source, now_ns, decision)

    def add_decision(self, source: str, now_ns: int, decision: Any) -> None:
        """Take one of them."""
        name, body, waiting = _NAMES[type(decision)], self._encode(decision), self._waiting
        waiting += (_HEADS[source], _NUMBERS(now_ns, len(name) + len(body)), name, body)
        if len(waiting) > _AT_ONCE:
            self._hash_waiting()

    def _hash_waiting(self) -> None:
        """What is hashed at once plays no part: it is one stream of bytes."""
        self._decisions.update(b"".join(self._waiting))
        self._waiting.clear()

    def hexdigest(self) -> str:
        """Of everything taken so far; more may follow."""
        self._hash_waiting()
        both = self._frames.digest() + self._decisions.digest()
        return hashlib.blake2b(both, digest_size=_SIZE_BYTES).hexdigest()
