"""`open_market_data` of replay: as the market's own, and session folders as well."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from market import recordings
from market.domain.chunks import pick_messages
from market.domain.events import EventChunk
from market.domain.recordings import BadRecording, MarketData, chosen_symbols, count_kinds
from replay.adapters.session_opening import open_session_folder
from replay.adapters.session_shelf import EVENTS, MANIFEST
from replay.domain.sessions import ReplayManifest, SessionRefused


def open_market_data(
    paths: Sequence[Path | str],
    *,
    symbols: Sequence[str] | None = None,
    from_ns: int | None = None,
    to_ns: int | None = None,
    **options: Any,
) -> MarketData:
    """A session where the only path is its folder; else what `market.recordings` opens.

    Raises: BadRecording, at once or while chunks are consumed.
    """
    if len(paths) == 1 and is_session_folder(Path(paths[0])):
        return _open_session(Path(paths[0]), symbols, from_ns, to_ns)
    return recordings.open_market_data(
        paths, symbols=symbols, from_ns=from_ns, to_ns=to_ns, **options
    )


def is_session_folder(path: Path) -> bool:
    return (path / MANIFEST).is_file() and (path / EVENTS).is_file()


def _open_session(
    folder: Path, symbols: Sequence[str] | None, from_ns: int | None, to_ns: int | None
) -> MarketData:
    try:
        manifest = msgspec.json.decode((folder / MANIFEST).read_bytes(), type=ReplayManifest)
        data = open_session_folder(folder, manifest, from_ns)
    except SessionRefused as refused:
        raise BadRecording(folder, 0, refused.message, "choose another time or session") from None
    except (OSError, msgspec.MsgspecError) as error:
        raise BadRecording(folder / MANIFEST, 0, str(error), "build the session again") from None
    chosen = chosen_symbols(data.symbols, symbols, folder)
    if to_ns is not None or len(chosen) < len(data.instruments):
        wanted = np.isin(np.array(data.symbols), chosen)
        data.instruments = tuple(i for i in data.instruments if i.symbol in chosen)
        data.chunks = _part_of(data, data.chunks, wanted, to_ns)
    return data


def _part_of(
    data: MarketData, chunks: Iterator[EventChunk], wanted: np.ndarray[Any, Any], to_ns: int | None
) -> Iterator[EventChunk]:
    """The messages of the wanted symbols before `to_ns`, under the symbols' new places."""
    places = np.cumsum(wanted).astype(np.uint16) - np.uint16(1)
    counts: Counter[str] = Counter()
    for chunk in chunks:
        stop = len(chunk) if to_ns is None else int(chunk.core_ts_ns.searchsorted(to_ns))
        picked = pick_messages(chunk, np.flatnonzero(wanted[chunk.symbol[:stop]]))
        picked.symbol = places[picked.symbol]
        count_kinds(counts, picked)
        data.message_counts = Counter(counts)  # not of the messages that were left out
        if len(picked):
            yield picked
        if stop < len(chunk):
            return
