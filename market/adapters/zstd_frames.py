"""Files as many zstd frames, so that a reader may begin in the middle.

The layout is the one of zstd's "seekable format": independent frames of a few MB, each of whole lines, and
at the end a skippable frame with the size of each. Any zstd tool reads the file as one stream.
Source: facebook/zstd, contrib/seekable_format/zstd_seekable_compression_format.md.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, NamedTuple

import zstandard

FRAME_BYTES = 4 << 20  # uncompressed; large enough to compress well, small enough to seek
_SKIPPABLE_MAGIC = 0x184D2A5E
_FOOTER_MAGIC = 0x8F92EAB1
_HEADER = struct.Struct("<II")
_FOOTER = struct.Struct("<IBI")
_ENTRY = struct.Struct("<II")


class Frame(NamedTuple):
    """Sizes of one frame in bytes."""

    compressed: int
    content: int


def blocks_of_lines(file: IO[bytes], size_bytes: int = FRAME_BYTES) -> Iterator[bytes]:
    """The content in pieces of about `size_bytes`, each but perhaps the last ending with a whole line."""
    rest = b""
    while piece := file.read(size_bytes):
        end = piece.rfind(b"\n") + 1
        if not end:
            rest += piece
            continue
        yield rest + piece[:end]
        rest = piece[end:]
    if rest:
        yield rest


def write_frames(blocks: Iterable[bytes], target: IO[bytes], level: int) -> list[Frame]:
    """Write each block as a frame with a checksum of its own; returns their sizes."""
    compressor = zstandard.ZstdCompressor(level=level, write_checksum=True)
    frames = []
    for block in blocks:
        frame = compressor.compress(block)
        target.write(frame)
        frames.append(Frame(len(frame), len(block)))
    return frames


def write_seek_table(frames: Iterable[Frame], target: IO[bytes]) -> None:
    """End the file with where its frames are."""
    entries = [_ENTRY.pack(*frame) for frame in frames]
    body = b"".join(entries) + _FOOTER.pack(len(entries), 0, _FOOTER_MAGIC)
    target.write(_HEADER.pack(_SKIPPABLE_MAGIC, len(body)) + body)


def read_seek_table(path: Path) -> list[Frame] | None:
    """The frames of a file, or None where it has no such table (another tool's file)."""
    with path.open("rb") as file:
        size = file.seek(0, 2)
        if size < _FOOTER.size:
            return None
        file.seek(size - _FOOTER.size)
        count, flags, magic = _FOOTER.unpack(file.read(_FOOTER.size))
        table_bytes = count * _ENTRY.size + _FOOTER.size
        if magic != _FOOTER_MAGIC or flags or size < table_bytes + _HEADER.size:
            return None
        file.seek(size - table_bytes)
        entries = file.read(count * _ENTRY.size)
    return [Frame(*entry) for entry in _ENTRY.iter_unpack(entries)]


def frames_bytes(frames: Iterable[Frame]) -> int:
    """How many bytes of the file its frames take, the table excluded."""
    return sum(frame.compressed for frame in frames)
