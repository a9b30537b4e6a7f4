"""Records whose line would be too long, cut so that everybody sees it."""

from __future__ import annotations

from typing import Any

import msgspec

_HEAD_CHARS = 200
_encode = msgspec.json.encode


def bounded_line(record: Any, limit_bytes: int) -> tuple[bytes, bool]:
    """The record as JSON of at most `limit_bytes` (no line feed), and whether it was cut.

    Of a record with fields the largest values give way, one after the other, to
    `{"truncated": true, "sizeBytes": n, "head": "…"}`; what stays is as it was. Where that is not enough
    the whole record is replaced by such an object. `limit_bytes` is at least 500.
    """
    line = _encode(record)
    if len(line) <= limit_bytes:
        return line, False
    if isinstance(record, dict):
        kept = dict(record)
        for name, size in _by_size(record):
            kept[name] = _mark(_encode(record[name]), size)
            cut = _encode(kept)
            if len(cut) <= limit_bytes:
                return cut, True
    return _encode(_mark(line, len(line))), True


def _by_size(record: dict[str, Any]) -> list[tuple[str, int]]:
    """Fields that a mark would shorten, largest first; of equals the first one."""
    sizes = [(name, len(_encode(value))) for name, value in record.items()]
    return sorted(
        [(name, size) for name, size in sizes if size > 2 * _HEAD_CHARS],
        key=lambda each: -each[1],
    )


def _mark(encoded: bytes, size_bytes: int) -> dict[str, Any]:
    """The beginning is shown as plain ASCII, so that it takes no more bytes than characters."""
    head = encoded[:_HEAD_CHARS].decode("ascii", "replace").replace("\ufffd", "?")
    readable = "".join(each if each.isprintable() and each not in '"\\' else "'" for each in head)
    return {"truncated": True, "sizeBytes": size_bytes, "head": readable}
