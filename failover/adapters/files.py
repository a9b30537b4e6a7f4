"""Whole files that a crash never leaves half written, and tolerant reading of line files.

Appending lines is in `jsonl.py`.
"""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from failover.domain.errors import DataCorruption, DiskFull, StorageError

_NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def storage_error(path: Path | str, error: OSError) -> StorageError:
    """The typed error for an `OSError`: `DiskFull` when space, quota or the size limit is the reason."""
    kind = DiskFull if error.errno in _NO_SPACE else StorageError
    return kind(str(path), error.strerror or type(error).__name__, error.errno or 0)


def write_json_snapshot(path: Path, content: Any) -> None:
    """Replace `path` by `content` as indented JSON: a reader sees the old file or the new one, whole.

    Written beside it, synced, renamed over it; the folder is synced too. Structs with `rename="camel"`
    give camelCase names. Raises: StorageError (DiskFull); the old file is then untouched.
    """
    write_atomically(path, msgspec.json.format(msgspec.json.encode(content), indent=2) + b"\n")


def write_atomically(path: Path, content: bytes, *, mode: int = 0o644) -> None:
    """Replace `path` by `content` (see `write_json_snapshot`). Raises: StorageError (DiskFull)."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
    except OSError as error:
        raise storage_error(path, error) from error
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
        temporary.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise storage_error(path, error) from error


def sync_folder(folder: Path) -> None:
    """Make a created, renamed or removed name in `folder` survive a power cut."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def read_json_snapshot(path: Path, type: Any = dict) -> Any:  # noqa: A002  (as msgspec names it)
    """The content of a snapshot file, or None where there is none.

    Raises: DataCorruption when it is not JSON of that type; StorageError when it cannot be read.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=type)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise storage_error(path, error) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise DataCorruption(str(path), str(error), 0) from error


def read_jsonl(
    path: Path,
    type: Any = dict,  # noqa: A002  (as msgspec names it)
    *,
    on_bad: Callable[[DataCorruption], None] | None = None,
) -> Iterator[Any]:
    """Every record of a line file, in order.

    A last line without its line feed was never acknowledged: it is reported to `on_bad`, else passed over
    (the writer sets it aside when it opens the file). A complete line that cannot be read is reported to
    `on_bad` and passed over, else raises DataCorruption. A missing file has no records.
    """
    decoder = msgspec.json.Decoder(type)
    offset = 0
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return
    with file:
        for line in file:
            try:
                if line.strip():
                    yield decoder.decode(line)
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                bad = DataCorruption(str(path), str(error), offset)
                if on_bad is not None:
                    on_bad(bad)
                elif line.endswith(b"\n"):
                    raise bad from error
            offset += len(line)
