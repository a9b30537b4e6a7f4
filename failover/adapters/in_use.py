"""Who is reading which files right now, so that nothing deletes them meanwhile.

    with in_use(settings.DATA_DIR, "backtest b12", paths):
        ...

Only paths in the data folder (or around it) need a claim; without any, nothing is written. A claim is a
small file under `data/run/in-use/` that its process holds a lock on. The lock ends with the process however
that ends, so a claim never outlives its reader. Processes of other machines are not seen.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import uuid
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

_FOLDER = Path("run") / "in-use"


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """`who` is for people. `paths` are absolute; a folder stands for all in it."""

    who: str
    paths: tuple[str, ...]


@contextlib.contextmanager
def in_use(data_dir: Path, who: str, paths: Iterable[Path | str]) -> Iterator[None]:
    """Claim `paths` until the end of the block. Raises OSError when the claim cannot be written."""
    whole, root = [Path(path).resolve() for path in paths], data_dir.resolve()
    ours = [p for p in whole if p.is_relative_to(root) or root.is_relative_to(p)]
    if not ours:
        yield
        return
    claim = Claim(who=who, paths=tuple(map(str, ours)))
    folder = data_dir / _FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    made = folder / f".{uuid.uuid4().hex}.tmp"
    final = folder / f"{uuid.uuid4().hex}.json"
    handle = os.open(made, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        os.write(handle, msgspec.json.encode(claim))
        made.rename(final)  # visible only once it is locked and whole
        yield
    finally:
        made.unlink(missing_ok=True)
        final.unlink(missing_ok=True)
        os.close(handle)


def claims(data_dir: Path) -> list[Claim]:
    """The claims of running processes; what dead ones left is removed. Raises OSError, ValueError."""
    found = (_live_claim(path) for path in sorted((data_dir / _FOLDER).glob("*.json")))
    return [claim for claim in found if claim is not None]


def _live_claim(path: Path) -> Claim | None:
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:  # its reader has just finished
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return msgspec.json.decode(os.read(handle, os.fstat(handle).st_size), type=Claim)
    else:
        path.unlink(missing_ok=True)
        return None
    finally:
        os.close(handle)
