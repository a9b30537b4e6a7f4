"""Rows of CSV files with a header, streamed: plain, gzip or zip."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from operator import itemgetter
from pathlib import Path

from market.adapters.foreign.line_files import read_lines
from market.domain.recordings import BadRecording, FaultLog, ReadProgress

Row = tuple[str, ...]


def header_of(line: bytes) -> list[str]:
    return line.decode("utf-8", "replace").strip().removeprefix("\ufeff").split(",")


def read_rows(
    path: Path, columns: Sequence[str], faults: FaultLog, progress: ReadProgress | None = None
) -> Iterator[tuple[int, Row]]:
    """Yield (line number, the values of `columns`, at least two). Rows of another width are faults.

    Raises: BadRecording, also where the header lacks a column.
    """
    lines = read_lines(path, progress)
    _, first = next(lines, (0, b""))
    header = header_of(first)
    missing = [name for name in columns if name not in header]
    if missing:
        raise BadRecording(
            path, 1, f"lacks the column {', '.join(missing)}", f"it has {', '.join(header)[:200]}"
        )
    pick = itemgetter(*(header.index(name) for name in columns))
    width = len(header)
    for number, line in lines:
        values = line.decode("utf-8", "replace").split(",")
        if len(values) == width:
            yield number, pick(values)
        elif line.strip():
            faults.add("bad_line", path, number, f"{len(values)} columns instead of {width}")


def decimal_ns(text: str, unit_digits: int) -> int:
    """Digits with an optional fraction, `10 ** unit_digits` ns a unit, as ns. Raises ValueError."""
    whole, _, fraction = text.partition(".")
    digits = whole + fraction[:unit_digits].ljust(unit_digits, "0")
    if not (digits.isascii() and digits.isdigit()) or len(digits) > 19:
        raise ValueError(f"{text[:40]!r} is no time")
    return int(digits)
