"""hftbacktest's data files (npz or npy, v2), read row by row: memory does not grow with the file.

A file says neither symbol nor rules; ours carry them in a member `market.json` that hftbacktest ignores.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import IO

import msgspec
import numpy as np

from market.domain.events import EventChunk
from market.domain.hftbacktest_events import EVENT_DTYPE, RowReader, Rows, Units
from market.domain.instruments import Instrument
from market.domain.recordings import BadRecording, FaultLog, ReadProgress

DATA_MEMBER, MARKET_MEMBER = "data.npy", "market.json"
_NPY = b"\x93NUMPY"
_BLOCK_ROWS = 65_536


class HftMarket(msgspec.Struct, kw_only=True, rename="camel"):
    """`market.json`: what a file of ours says beyond its rows.

    `exchange_ahead_ns` was taken off every `exch_ts`.
    """

    instrument: Instrument
    recorder_runs: list[str] = []
    exchange_ahead_ns: int = 0
    notes: list[str] = []


class HftHead(msgspec.Struct, kw_only=True):
    """What is known before the rows are read; `market` is None in files of others."""

    first_ns: int
    market: HftMarket | None = None

    @property
    def symbol(self) -> str:
        return self.market.instrument.symbol if self.market else ""

    @property
    def exchange_ahead_ns(self) -> int:
        return self.market.exchange_ahead_ns if self.market else 0


def is_hftbacktest(path: Path) -> bool:
    """Whether it is a numpy file or an archive of them, whatever they hold."""
    try:
        with path.open("rb") as file:
            if file.read(len(_NPY)) == _NPY:
                return True
        with zipfile.ZipFile(path) as archive:
            return any(name.endswith(".npy") for name in archive.namelist())
    except (OSError, zipfile.BadZipFile):
        return False


def head_of(path: Path) -> HftHead:
    """Raises BadRecording."""
    market = None
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            if MARKET_MEMBER in archive.namelist():
                try:
                    market = msgspec.json.decode(archive.read(MARKET_MEMBER), type=HftMarket)
                except msgspec.MsgspecError as error:
                    raise BadRecording(
                        path, 0, f"its {MARKET_MEMBER} is damaged ({error})", "export it again"
                    ) from None
    for block in read_blocks(path, ReadProgress()):
        return HftHead(first_ns=int(block["local_ts"][0]), market=market)
    raise BadRecording(path, 0, "holds no row", "name a file with data")


def read_hftbacktest(
    paths: list[Path],
    instrument: Instrument,
    faults: FaultLog,
    progress: ReadProgress,
    *,
    is_ours: bool,
    exchange_ahead_ns: int,
) -> Iterator[EventChunk]:
    """Chunks of one symbol, file after file. Raises BadRecording."""
    reader = RowReader(Units.of(instrument), is_ours=is_ours, exchange_ahead_ns=exchange_ahead_ns)
    for path in paths:
        for block in read_blocks(path, progress):
            if (chunk := reader.take(block)) is not None:
                yield chunk
    if (chunk := reader.finish()) is not None:
        yield chunk
    for kind, count in (+reader.faults).items():
        faults.add(kind, paths[0], 0, f"{count} of them")
        faults.counts[kind] += count - 1


def read_blocks(path: Path, progress: ReadProgress) -> Iterator[Rows]:
    """The rows of a file, some at a time. Raises BadRecording."""
    counted = 0
    try:
        with ExitStack() as stack:
            raw = stack.enter_context(path.open("rb"))
            rows = _data_of(raw, path, stack)
            left = _row_count(rows, path)
            while left:
                size = min(left, _BLOCK_ROWS) * EVENT_DTYPE.itemsize
                data = rows.read(size)
                if len(data) < size:
                    raise BadRecording(path, 0, "ends in the middle", "copy or download it again")
                left -= size // EVENT_DTYPE.itemsize
                position = raw.tell()
                progress.bytes_read += position - counted
                counted = position
                yield np.frombuffer(data, EVENT_DTYPE)
            progress.bytes_read += path.stat().st_size - counted
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise BadRecording(
            path, 0, f"the compressed file is damaged ({error})", "copy or download it again"
        ) from None
    except OSError as error:
        raise BadRecording(path, 0, error.strerror or str(error), "name a readable file") from None


def _data_of(raw: IO[bytes], path: Path, stack: ExitStack) -> IO[bytes]:
    if not zipfile.is_zipfile(path):
        return raw
    archive = stack.enter_context(zipfile.ZipFile(raw))
    names = [name for name in archive.namelist() if name.endswith(".npy")]
    name = DATA_MEMBER if DATA_MEMBER in names else names[0]
    return stack.enter_context(archive.open(name))


def _row_count(file: IO[bytes], path: Path) -> int:
    try:
        version = np.lib.format.read_magic(file)
        read_header = (
            np.lib.format.read_array_header_1_0
            if version == (1, 0)
            else np.lib.format.read_array_header_2_0
        )
        shape, _, dtype = read_header(file)
    except ValueError as error:
        raise BadRecording(path, 0, f"is no numpy file ({error})", "name an npz or npy") from None
    if dtype != EVENT_DTYPE or len(shape) != 1:
        raise BadRecording(
            path, 0, f"holds {dtype} and not hftbacktest's events (v2)",
            "convert it with hftbacktest's own tools first",
        )  # fmt: skip
    return int(shape[0])
