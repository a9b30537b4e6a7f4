"""JSON in which nothing is said twice and every text can be written out again.

A decoder alone takes the last of two equal names and forgets the first: nobody would know which one held.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import msgspec


class JsonFault(msgspec.Struct, frozen=True):
    """Where (`risk.groups[0].name`, or "" for the whole) and what is wrong."""

    path: str
    reason: str


class _Pairs(list[tuple[str, Any]]):
    """An object as it is written."""


def decode_strictly(
    text: str, parse_constant: Callable[[str], Any] | None = None
) -> tuple[Any, list[JsonFault]]:
    """The value and all that is wrong with names and texts in it. Raises: ValueError, RecursionError."""
    written = json.loads(text, object_pairs_hook=_Pairs, parse_constant=parse_constant)
    faults: list[JsonFault] = []
    return _plain(written, "", faults), faults


def _plain(value: Any, path: str, faults: list[JsonFault]) -> Any:
    if isinstance(value, _Pairs):
        found: dict[str, Any] = {}
        for name, each in value:
            shown = name.encode("utf-8", "backslashreplace").decode()[:60]
            inner = f"{path}.{shown}" if path else shown
            if name in found:
                faults.append(JsonFault(inner, "named twice"))
            _judge_text(name, inner, faults)
            found[name] = _plain(each, inner, faults)
        return found
    if isinstance(value, list):
        return [_plain(each, f"{path}[{index}]", faults) for index, each in enumerate(value)]
    if isinstance(value, str):
        _judge_text(value, path, faults)
    return value


def _judge_text(text: str, path: str, faults: list[JsonFault]) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        faults.append(JsonFault(path, "half a character: a surrogate without its other half"))
