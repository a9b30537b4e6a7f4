"""Lines of plain, gzip and zip files, streamed: memory does not grow with the file.

Every way in which such a file can be broken ends in one `BadRecording` with the line it broke at.
"""

from __future__ import annotations

import gzip
import io
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import IO

from market.domain.recordings import BadRecording, ReadProgress

MAX_LINE_BYTES = 32 * 1024 * 1024
_GZIP, _ZIP, _ZSTD = b"\x1f\x8b", b"PK\x03\x04", b"\x28\xb5\x2f\xfd"
_PROGRESS_EVERY_LINES = 512
_BLOCK_BYTES = 1 << 20
_PART_BYTES = 1 << 18  # what one read of a broken file may lose
_READ_ERRORS = (EOFError, OSError, zlib.error, zipfile.BadZipFile, NotImplementedError)


def read_lines(path: Path, progress: ReadProgress | None = None) -> Iterator[tuple[int, bytes]]:
    """Yield (number from 1, line without its newline). Raises BadRecording."""
    number = 0
    with ExitStack() as stack:
        try:
            raw = stack.enter_context(path.open("rb"))
            text = _unpacked(raw, path, stack)
            counted = 0
            while line := text.readline(MAX_LINE_BYTES + 1):
                number += 1
                if len(line) > MAX_LINE_BYTES:
                    raise _too_long(path, number)
                if progress is not None and number % _PROGRESS_EVERY_LINES == 0:
                    position = raw.tell()
                    progress.bytes_read += position - counted
                    counted = position
                yield number, line.rstrip(b"\r\n")
            if progress is not None:
                progress.bytes_read += raw.tell() - counted
        except _READ_ERRORS as error:
            raise _broken(error, path, number + 1) from None


def _too_long(path: Path, line: int) -> BadRecording:
    return BadRecording(
        path, line, f"line of more than {MAX_LINE_BYTES} bytes", "this is no recording of a market"
    )


def _broken(error: Exception, path: Path, line: int) -> BadRecording:
    if isinstance(error, EOFError):
        return BadRecording(path, line, "the compressed file ends in the middle", _GET_IT_AGAIN)
    if isinstance(error, NotImplementedError):  # a zip method Python does not know
        return BadRecording(path, line, str(error), "unpack it by hand")
    if isinstance(error, OSError) and not isinstance(error, gzip.BadGzipFile):
        return BadRecording(path, line, error.strerror or str(error), "name a readable file")
    return BadRecording(path, line, f"the compressed file is damaged ({error})", _GET_IT_AGAIN)


def read_blocks(path: Path, progress: ReadProgress) -> Iterator[tuple[int, bytes]]:
    """Yield (number of the first line, whole lines with their line feeds): `read_lines`, many at once."""
    number, rest = 1, b""
    with ExitStack() as stack:
        try:
            raw = stack.enter_context(path.open("rb"))
            text = _unpacked(raw, path, stack)
        except _READ_ERRORS as error:
            raise _broken(error, path, 1) from None
        counted, failure = 0, None
        while failure is None:
            data, failure = _block(text)
            lines, feed, rest = (rest + data).rpartition(b"\n")
            if len(rest) > MAX_LINE_BYTES:
                raise _too_long(path, number + lines.count(b"\n") + bool(feed))
            position = raw.tell()
            progress.bytes_read += position - counted
            counted = position
            if feed:
                yield number, lines + feed
                number += lines.count(b"\n") + 1
            if not data:
                break
        if failure is not None:
            raise _broken(failure, path, number) from None
        if rest:
            yield number, rest + b"\n"


def _block(text: IO[bytes]) -> tuple[bytes, Exception | None]:
    """About `_BLOCK_BYTES`, or what there was before the file broke."""
    parts, size = [], 0
    try:
        while size < _BLOCK_BYTES and (part := text.read1(_PART_BYTES)):  # type: ignore[attr-defined]
            parts.append(part)
            size += len(part)
    except _READ_ERRORS as error:
        return b"".join(parts), error
    return b"".join(parts), None


_GET_IT_AGAIN = "copy or download it again"


def _unpacked(raw: IO[bytes], path: Path, stack: ExitStack) -> IO[bytes]:
    start = raw.read(4)
    raw.seek(0)
    if not start:
        raise BadRecording(path, 0, "is empty", "name a recording that holds messages")
    if start.startswith(_GZIP):
        return io.BufferedReader(stack.enter_context(gzip.GzipFile(fileobj=raw)), _PART_BYTES)
    if start == _ZIP:
        return _only_member(raw, path, stack)
    if start == _ZSTD:
        raise BadRecording(path, 0, "is compressed with zstd", "unpack it first: zstd -d")
    return raw


def _only_member(raw: IO[bytes], path: Path, stack: ExitStack) -> IO[bytes]:
    archive = stack.enter_context(zipfile.ZipFile(raw))
    members = [info for info in archive.infolist() if not info.is_dir()]
    if len(members) != 1:
        raise BadRecording(
            path, 0, f"the zip holds {len(members)} files", "unpack it and name the files"
        )
    if members[0].flag_bits & 0x1:
        raise BadRecording(path, 0, "the zip is encrypted", "unpack it first")
    return stack.enter_context(archive.open(members[0]))
