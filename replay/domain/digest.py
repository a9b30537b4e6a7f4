"""One number for everything a replay computed: every frame and every decision, in order.

Frames go in as they lie in memory, `input_hash` included, so that any consumed value that changes
changes the digest. Decisions go in as msgpack with sorted keys. Nothing depends on hash seeds, on how
the input was cut into chunks, or on the machine.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

import msgspec

from market.domain.frames import Frames, pack_frames

_SIZE_BYTES = 16


class RunDigest:
    """blake2b over length-prefixed parts, so that no two streams of parts look alike."""

    def __init__(self, *assumptions: Any) -> None:
        """`assumptions`: instruments, configs, whatever else the run depends on; part of the digest."""
        self._hash = hashlib.blake2b(digest_size=_SIZE_BYTES)
        self._encode = msgspec.msgpack.Encoder(order="deterministic").encode
        for assumption in assumptions:
            self._add(b"A", self._encode(assumption))

    def add_frames(self, frames: Frames) -> None:
        """Take frames in order of emission; how they are grouped plays no part."""
        for row in range(frames.size):
            self._add(b"F", pack_frames(frames[row : row + 1]))

    def add_decisions(self, source: str, decisions: Iterable[Any]) -> None:
        """Take what `source` (STRATEGY, EXECUTION, VENUE) put out, in order."""
        tag = source[:1].encode()
        for decision in decisions:
            self._add(tag, type(decision).__name__.encode() + b"\0" + self._encode(decision))

    def hexdigest(self) -> str:
        """Of everything taken so far; more may follow."""
        return self._hash.hexdigest()

    def _add(self, tag: bytes, part: bytes) -> None:
        self._hash.update(tag + len(part).to_bytes(4, "little") + part)
