"""The blocks of a journal file, sealed and read back.

    magic "ASJ1" | bytes of the body u32 | crc32 u32 | number of its first record u64 | records u32 | body

little-endian; the crc is of all that stands behind it. The body is zstd of a msgpack list of records
(`failover.domain.journal`).
"""

from __future__ import annotations

import mmap
import struct
import zlib
from collections.abc import Sequence
from typing import NamedTuple

import msgspec
import zstandard

from failover.domain.journal import JournalRecord

MAGIC = b"ASJ1"
SUFFIX = ".journal"
_HEADER = struct.Struct("<4sIIQI")
_SEALED_FROM = 12  # the crc is of everything from here on
_MAX_BODY_BYTES = 1 << 30
_ZSTD_LEVEL = 3

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[JournalRecord]).decode


class Block(NamedTuple):
    """Records `first` .. of a run; `end` is where the next block begins."""

    first: int
    records: list[JournalRecord]
    end: int


def sealed_block(records: Sequence[JournalRecord], first: int) -> bytes:
    """The records as one block; `first` is the number of the first of them."""
    body = zstandard.ZstdCompressor(level=_ZSTD_LEVEL).compress(_encode(list(records)))
    head = _HEADER.pack(MAGIC, len(body), 0, first, len(records))
    crc = zlib.crc32(body, zlib.crc32(head[_SEALED_FROM:]))
    return _HEADER.pack(MAGIC, len(body), crc, first, len(records)) + body


def block_at(data: bytes, position: int) -> Block | None:
    """The block that begins at `position`; None when none does, or it is torn or damaged."""
    if not is_block_at(data, position):
        return None
    _, size, _, first, count = _HEADER.unpack_from(data, position)
    start = position + _HEADER.size
    try:
        packed = zstandard.ZstdDecompressor().decompress(data[start : start + size])
        records = _decode(packed)
    except (zstandard.ZstdError, msgspec.MsgspecError):
        return None
    return Block(first, records, start + size) if len(records) == count else None


def end_of_block(data: bytes | mmap.mmap, position: int) -> int:
    """Of a block that `is_block_at` has found."""
    _, size, *_ = _HEADER.unpack_from(data, position)
    end: int = position + _HEADER.size + size
    return end


def is_block_at(data: bytes | mmap.mmap, position: int) -> bool:
    """A whole block whose checksum is right begins here."""
    if len(data) - position < _HEADER.size:
        return False
    magic, size, crc, _, _ = _HEADER.unpack_from(data, position)
    end = position + _HEADER.size + size
    if magic != MAGIC or size > _MAX_BODY_BYTES or end > len(data):
        return False
    is_whole: bool = zlib.crc32(data[position + _SEALED_FROM : end]) == crc
    return is_whole


def is_cut_short(data: bytes, position: int) -> bool:
    """A block begins here that is longer than what is left: the write that a kill cut short."""
    left = len(data) - position
    if left < _HEADER.size:
        return MAGIC.startswith(data[position : position + len(MAGIC)])
    magic, size, *_ = _HEADER.unpack_from(data, position)
    is_longer: bool = left < _HEADER.size + size <= _MAX_BODY_BYTES
    return magic == MAGIC and is_longer


def next_block(data: bytes | mmap.mmap, position: int) -> int:
    """Where the first whole block at or after `position` begins; -1 when there is none."""
    while (position := data.find(MAGIC, position)) >= 0:
        if is_block_at(data, position):
            return position
        position += 1
    return -1
