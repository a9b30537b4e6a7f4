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
                    raise BadRecording(
                        path, number, f"line of more than {MAX_LINE_BYTES} bytes",
                        "this is no recording of a market",
                    )  # fmt: skip
                if progress is not None and number % _PROGRESS_EVERY_LINES == 0:
                    position = raw.tell()
                    progress.bytes_read += position - counted
                    counted = position
                yield number, line.rstrip(b"\r\n")
            if progress is not None:
                progress.bytes_read += raw.tell() - counted
        except EOFError:
            raise BadRecording(
                path, number + 1, "the compressed file ends in the middle", _GET_IT_AGAIN
            ) from None
        except (gzip.BadGzipFile, zlib.error, zipfile.BadZipFile) as error:
            raise BadRecording(
                path, number + 1, f"the compressed file is damaged ({error})", _GET_IT_AGAIN
            ) from None
        except NotImplementedError as error:  # a zip method Python does not know
            raise BadRecording(path, number + 1, str(error), "unpack it by hand") from None
        except OSError as error:
            raise BadRecording(
                path, number + 1, error.strerror or str(error), "name a readable file"
            ) from None


_GET_IT_AGAIN = "copy or download it again"


def _unpacked(raw: IO[bytes], path: Path, stack: ExitStack) -> IO[bytes]:
    start = raw.read(4)
    raw.seek(0)
    if not start:
        raise BadRecording(path, 0, "is empty", "name a recording that holds messages")
    if start.startswith(_GZIP):
        return io.BufferedReader(stack.enter_context(gzip.GzipFile(fileobj=raw)), 1 << 18)
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
