"""Names the files that a result rests on by their content."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def file_facts(paths: Sequence[str | Path]) -> list[dict[str, Any]]:
    """`{path, bytes, sha256}` of each file, those inside folders included, in order of name.

    Raises: OSError.
    """
    return [_facts(file) for path in map(Path, paths) for file in _files(path)]


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    return sorted(file for file in path.rglob("*") if file.is_file())


def _facts(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256")
    return {"path": str(path), "bytes": path.stat().st_size, "sha256": digest.hexdigest()}
