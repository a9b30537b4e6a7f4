"""The files of the raw recording: where they lie, how they are opened, and what is said of them beside.

    data/market/2026-01-31/BTCUSDT-trades.jsonl          the day that is written
    data/market/2026-01-30/BTCUSDT-trades.jsonl.zst      a finished day
    data/market/2026-01-30/BTCUSDT-trades.index.json     what it holds (`market.domain.recording_index`)

A day's file is compressed by writing the other variant beside it and removing the first one, so a reader
may find the plain file gone between listing and opening it: `open_lines` then takes the variant it became.
"""

from __future__ import annotations

import gzip
import io
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO, cast

import msgspec
import zstandard

from market.domain.raw_events import RawFile
from market.domain.recording_index import FileIndex

SUFFIXES = (".jsonl", ".jsonl.zst", ".jsonl.gz")
INDEX_SUFFIX = ".index.json"

_READ_BYTES = 1 << 18
_KINDS = frozenset(map(str, RawFile))
_SYMBOL = re.compile(r"[A-Z0-9_-]{1,40}")
_decode_index = msgspec.json.Decoder(FileIndex).decode


class BadIndex(ValueError):
    """The sidecar is no index: make it anew (`manage.py archive_recordings`); the text says why."""


def open_lines(path: Path) -> IO[bytes]:
    """The lines of a recorded file, compressed or not. Iterate, or read blocks with `read(n)`.

    Raises: FileNotFoundError when no variant of it is there. Damage of a compressed file shows while
    reading, as zstandard.ZstdError, gzip.BadGzipFile or EOFError.
    """
    try:
        return _open_variant(path)
    except FileNotFoundError:
        for other in variants(path):
            return _open_variant(other)
        raise


def day_files(
    market_dir: Path, symbol: str, kind: RawFile | str, from_ns: int | None, to_ns: int | None
) -> list[Path]:
    """The files that may hold `symbol`'s lines with core time in [from_ns, to_ns), oldest day first.

    One variant a day: the plain one where both are there. Only where lines came after a day had been
    compressed (a clock set back) both are given, the older lines first; the archiver joins them.
    Raises: ValueError when `symbol` or `kind` is no name of a file here.
    """
    kind = RawFile(kind)
    if not _SYMBOL.fullmatch(symbol):
        raise ValueError(f"{symbol!r} is no symbol")
    found: list[Path] = []
    for day in day_folders(market_dir, from_ns, to_ns):
        found += files_in(day, symbol, kind)
    return found


def files_in(day: Path, symbol: str, kind: RawFile | str) -> list[Path]:
    """What `day_files` gives for one day's folder."""
    there = [path for suffix in SUFFIXES if (path := day / f"{symbol}-{kind}{suffix}").is_file()]
    if len(there) < 2 or there[0].suffix != ".jsonl":
        return there[:1]
    # A crash of the archiver leaves both with one content; lines that came later begin differently.
    is_same = _first_line(there[0]) == _first_line(there[1])
    return there[:1] if is_same else [there[1], there[0]]


def day_folders(market_dir: Path, from_ns: int | None, to_ns: int | None) -> list[Path]:
    """The folders of the days that touch [from_ns, to_ns), oldest first."""
    first = "" if from_ns is None else _day(from_ns)
    last = "9999" if to_ns is None else _day(to_ns - 1)
    if not market_dir.is_dir():
        return []
    return sorted(
        day
        for day in market_dir.iterdir()
        if is_day(day.name) and first <= day.name <= last and day.is_dir()
    )


def is_day(name: str) -> bool:
    """Whether `name` is a day as folders carry it: `2026-01-31`."""
    try:
        return datetime.strptime(name, "%Y-%m-%d").replace(tzinfo=UTC).strftime("%Y-%m-%d") == name
    except ValueError:
        return False


def variants(path: Path) -> list[Path]:
    """Every variant of a recorded file that is there: plain, zstd, gzip."""
    stem = stem_of(path)
    return [other for suffix in SUFFIXES if (other := path.with_name(stem + suffix)).is_file()]


def stem_of(path: Path) -> str:
    """`BTCUSDT-trades` of any variant of the file and of its index."""
    for suffix in (*SUFFIXES[::-1], INDEX_SUFFIX):
        if path.name.endswith(suffix):
            return path.name.removesuffix(suffix)
    return path.name


def symbol_and_kind(path: Path) -> tuple[str, RawFile] | None:
    """What the name of a recorded file says, or None where it is none of ours."""
    symbol, _, kind = stem_of(path).rpartition("-")
    if not _SYMBOL.fullmatch(symbol) or kind not in _KINDS:
        return None
    return symbol, RawFile(kind)


def index_path(path: Path) -> Path:
    """Where the index of a recorded file lies, whichever variant is given."""
    return path.with_name(stem_of(path) + INDEX_SUFFIX)


def read_index(path: Path) -> FileIndex | None:
    """The index of a recorded file, or None when there is none of it yet.

    It may describe less than the file holds: what is being written has its part when it is closed.
    Raises: BadIndex, OSError.
    """
    packed = path.with_name(path.name + ".zst")
    is_both = path.suffix == ".jsonl" and path.is_file() and packed.is_file()
    if is_both and _first_line(path) != _first_line(packed):
        return None  # what lies there is about the day's compressed file, not about lines that came later
    return stored_index(path)


def stored_index(path: Path) -> FileIndex | None:
    """The index beside a recorded file, whichever variant it is about. Raises: BadIndex, OSError."""
    place = index_path(path)
    try:
        return _decode_index(place.read_bytes())
    except FileNotFoundError:
        return None
    except msgspec.MsgspecError as error:
        raise BadIndex(f"{place}: {error}") from None


def _first_line(path: Path) -> bytes:
    try:
        with _open_variant(path) as file:
            return file.readline()
    except (zstandard.ZstdError, EOFError, OSError):
        return b""  # whoever reads on finds out


def _open_variant(path: Path) -> IO[bytes]:
    if path.suffix == ".gz":
        return cast("IO[bytes]", gzip.open(path, "rb"))
    if path.suffix == ".zst":
        # A finished day is many frames, so that a reader may start in the middle.
        reader = zstandard.ZstdDecompressor().stream_reader(
            path.open("rb"), read_across_frames=True, closefd=True
        )
        return cast("IO[bytes]", io.BufferedReader(reader, _READ_BYTES))
    return path.open("rb", buffering=_READ_BYTES)


def _day(ns: int) -> str:
    return f"{datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=ns // 1000):%Y-%m-%d}"
