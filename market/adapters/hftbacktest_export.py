"""Writes one symbol of a market as an hftbacktest npz, row by row: memory does not grow with the market."""

from __future__ import annotations

import io
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import msgspec
import numpy as np

from market.adapters.foreign.hftbacktest_files import DATA_MEMBER, MARKET_MEMBER, HftMarket
from market.domain.events import EventChunk
from market.domain.hftbacktest_events import EVENT_DTYPE, Rows, Units, rows_of
from market.domain.hftbacktest_order import EventOrder

_COPY_BYTES = 1 << 20
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the same market gives the same bytes


def write_hftbacktest(chunks: Iterator[EventChunk], path: Path, market: HftMarket) -> int:
    """Write chunks of one symbol; returns the number of rows. Raises OSError, BackTooFar.

    The rows go beside `path` first, since the file must begin with their number.
    """
    beside = path.with_name(f".{path.name}.rows")
    try:
        rows = 0
        with beside.open("wb") as file:
            for block in _ordered_rows(chunks, market):
                file.write(block.tobytes())
                rows += block.size
        _assemble(path, beside, rows, market)
    finally:
        beside.unlink(missing_ok=True)
    return rows


def _ordered_rows(chunks: Iterator[EventChunk], market: HftMarket) -> Iterator[Rows]:
    units, order = Units.of(market.instrument), EventOrder()
    for chunk in chunks:
        yield order.take(rows_of(chunk, units, market.exchange_ahead_ns))
    yield order.finish()


def _assemble(path: Path, beside: Path, rows: int, market: HftMarket) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr(_member(MARKET_MEMBER), msgspec.json.encode(market))
        with archive.open(_member(DATA_MEMBER), "w", force_zip64=True) as member:
            member.write(_npy_header(rows))
            with beside.open("rb") as file:
                shutil.copyfileobj(file, member, _COPY_BYTES)


def _member(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, _EPOCH)
    info.compress_type = zipfile.ZIP_DEFLATED
    return info


def _npy_header(rows: int) -> bytes:
    header: dict[str, Any] = {
        "descr": np.lib.format.dtype_to_descr(EVENT_DTYPE),
        "fortran_order": False,
        "shape": (rows,),
    }
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(cast("Any", file), header)
    return file.getvalue()
