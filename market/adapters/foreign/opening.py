"""One or several recorded files as one stream of chunks through the market hub.

Foreign recordings become raw payloads and enter the same `MarketHub` as the live socket's: it numbers
them, makes core time monotone and turns numbers into ticks and lots. Our own recordings already are
what the hub once wrote, so their chunks come straight.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from market.adapters.foreign.binance_usdm import BinanceReader
from market.adapters.foreign.bybit_feed import BybitFeed
from market.adapters.foreign.bybit_files import read_archive, read_capture, read_capture_head
from market.adapters.foreign.detection import Detected, RecordingFormat, detect
from market.adapters.foreign.known_instruments import (
    BINANCE_USDM,
    BYBIT_LINEAR,
    known_instrument,
    read_instruments,
)
from market.adapters.import_receipts import read_receipts
from market.adapters.recording_reader import NotARecording, Recording
from market.domain.events import EventChunk
from market.domain.instruments import Instrument
from market.domain.priming import between
from market.domain.recordings import (
    BadRecording,
    FaultLog,
    MarketData,
    RawRecord,
    ReadProgress,
    chosen_symbols,
    count_kinds,
)

CHUNK_MESSAGES = 4096

# (records, instruments, faults, messages a chunk) -> chunks: `market.services.recorded_chunks.hub_chunks`.
HubChunks = Callable[
    [Iterator[RawRecord], Sequence[Instrument], FaultLog, int], Iterator[EventChunk]
]


def open_recorded_files(
    paths: Sequence[Path | str],
    *,
    symbols: Sequence[str] | None = None,
    from_ns: int | None = None,
    to_ns: int | None = None,
    instruments_file: Path | None = None,
    chunk_messages: int = CHUNK_MESSAGES,
    hub_chunks: HubChunks,
) -> MarketData:
    """Open recordings of one format; `MarketData.chunks` then streams them in order of core time.

    Args:
        paths: files that follow each other, or files of several symbols of the same time (merged by
            receive time); or one folder of our own recording.
        symbols: only these; all when None.
        from_ns, to_ns: core times, `to_ns` exclusive. Books known before `from_ns` are stated at it.
        chunk_messages: messages per chunk at most (foreign formats).
        hub_chunks: what turns records into the hub's chunks.
    Raises: BadRecording, at once or while chunks are consumed.
    """
    _refuse_repeats(paths)
    found = [detect(_existing(Path(path))) for path in paths]
    formats = sorted({one.format for one in found})
    if len(formats) != 1:
        raise BadRecording(
            ", ".join(str(path) for path in paths), 0,
            f"{len(formats)} formats ({', '.join(formats) or 'no path'})", "replay them one by one",
        )  # fmt: skip
    override = read_instruments(_existing(instruments_file)) if instruments_file else None
    opener = _OPENERS[formats[0]]
    data = opener(found, symbols, override, _Making(hub_chunks, chunk_messages, (from_ns, to_ns)))
    chunks = between(data.chunks, len(data.instruments), from_ns, to_ns)
    data.chunks = _counted(chunks, data)
    return data


def _refuse_repeats(paths: Sequence[Path | str]) -> None:
    """The same events twice would look like a valid market of doubled flow."""
    seen: set[Path] = set()
    for path in paths:
        resolved = Path(path).resolve()
        if resolved in seen:
            raise BadRecording(Path(path), 0, "named twice", "name each recording once")
        seen.add(resolved)


def _existing(path: Path) -> Path:
    if not path.exists():
        raise BadRecording(path, 0, "no such file or folder", "check the path")
    return path


def _counted(chunks: Iterator[EventChunk], data: MarketData) -> Iterator[EventChunk]:
    for chunk in chunks:
        count_kinds(data.message_counts, chunk)
        yield chunk
    if not data.message_counts:
        raise BadRecording(
            ", ".join(data.paths), 0, "no usable message in the chosen symbols and times",
            "; ".join(data.faults.examples[:3]) or "choose others",
        )  # fmt: skip


_Span = tuple[int | None, int | None]


@dataclass(frozen=True, slots=True)
class _Making:
    """How records become chunks; `span` is what our own recordings need to read at all."""

    hub_chunks: HubChunks
    chunk_messages: int
    span: _Span

    def chunks(
        self, records: Iterator[RawRecord], instruments: Sequence[Instrument], faults: FaultLog
    ) -> Iterator[EventChunk]:
        return self.hub_chunks(records, instruments, faults, self.chunk_messages)


_Override = dict[str, Instrument] | None


def _open_binance(
    found: list[Detected],
    wanted: Sequence[str] | None,
    override: _Override,
    making: _Making,
) -> MarketData:
    by_symbol: dict[str, list[Detected]] = {}
    for one in found:
        by_symbol.setdefault(one.symbol, []).append(one)
    chosen = chosen_symbols(sorted(by_symbol), wanted, found[0].path)
    used = [one for one in found if one.symbol in chosen]
    instruments = tuple(
        known_instrument(BINANCE_USDM, symbol, override, by_symbol[symbol][0].path)
        for symbol in chosen
    )
    data = _empty_data(used, instruments)
    readers = []
    for symbol in chosen:
        files = sorted(by_symbol[symbol], key=lambda one: one.first_ns)
        reader = BinanceReader(symbol, data.faults, data.line_counts, data.progress)
        readers.append(reader.read([one.path for one in files]))
    records = heapq.merge(*readers, key=lambda record: record.received_ns)
    data.chunks = making.chunks(records, instruments, data.faults)
    if override is None:
        data.notes.append("trading rules: Binance USD-M facts built in")
    data.exchange_ahead_ns = max(one.exchange_ahead_ns for one in used)
    if data.exchange_ahead_ns:
        data.notes.append(
            f"the exchange's clock is {data.exchange_ahead_ns / 1e6:.1f} ms ahead of the receiver's at "
            "the start: the venue sees exchange times less that"
        )
    return data


def _open_capture(
    found: list[Detected],
    wanted: Sequence[str] | None,
    override: _Override,
    making: _Making,
) -> MarketData:
    path = found[0].path
    head = read_capture_head(path)
    if not head.linear_conn:
        raise BadRecording(
            path, 0, "no connection to the linear public stream", "use another capture"
        )
    chosen = chosen_symbols(head.symbols, wanted, path)
    rules = override if override is not None else head.instruments or None
    instruments = tuple(known_instrument(BYBIT_LINEAR, s, rules, path) for s in chosen)
    data = _empty_data(found, instruments)
    feed = BybitFeed(set(chosen), data.faults, data.line_counts)
    records = read_capture(
        [one.path for one in found],
        head.linear_conn,
        feed,
        data.faults,
        data.line_counts,
        data.progress,
    )
    data.chunks = making.chunks(records, instruments, data.faults)
    if override is None and head.instruments:
        data.notes.append("trading rules: the capture's own instruments-info reply")
    return data


def _open_archive(
    found: list[Detected],
    wanted: Sequence[str] | None,
    override: _Override,
    making: _Making,
) -> MarketData:
    present = sorted({one.symbol for one in found})
    chosen = chosen_symbols(present, wanted, found[0].path)
    used = [one for one in found if one.symbol in chosen]
    instruments = tuple(
        known_instrument(BYBIT_LINEAR, symbol, override, used[0].path) for symbol in chosen
    )
    data = _empty_data(used, instruments)
    readers = [
        read_archive(
            [one.path for one in used if one.symbol == symbol],
            BybitFeed({symbol}, data.faults, data.line_counts),
            data.line_counts,
            data.progress,
        )
        for symbol in chosen
    ]
    records = heapq.merge(*readers, key=lambda record: record.received_ns)
    data.chunks = making.chunks(records, instruments, data.faults)
    data.notes.append("no receive time in the archive: core time is the exchange's sending time")
    if override is None:
        data.notes.append("trading rules: Bybit linear facts built in")
    return data


def _open_own(
    found: list[Detected],
    wanted: Sequence[str] | None,
    override: _Override,
    making: _Making,
) -> MarketData:
    path = found[0].path
    if len(found) > 1:
        raise BadRecording(
            path, 0, "several paths of our own recording", "name the folder of them all"
        )
    if override is not None:
        raise BadRecording(path, 0, "it carries its own rules", "leave out --instruments")
    try:
        recording = Recording(
            path, symbols=wanted or None, from_ns=making.span[0], to_ns=making.span[1]
        )
    except NotARecording as error:
        raise BadRecording(
            path, 0, str(error).removeprefix(f"{path}: "), "name data/market or a day"
        ) from None
    data = _empty_data(found, recording.instruments)
    data.is_own = True
    data.chunks = _own_chunks(recording, data)
    data.notes.append(f"recorder runs: {', '.join(recording.runs)}")
    _take_receipts(recording.runs, path, data)
    return data


def _take_receipts(runs: Sequence[str], path: Path, data: MarketData) -> None:
    """What the sources of imported runs said beyond their messages."""
    receipts = list(read_receipts(path, runs))
    for receipt in receipts:
        data.notes.append(f"run {receipt.recorder_run} is imported from a {receipt.format}")
        data.notes += receipt.notes
    data.exchange_ahead_ns = max((r.exchange_ahead_ns for r in receipts), default=0)
    if len(runs) > 1 and data.exchange_ahead_ns:
        data.notes.append("that clock difference is taken for all runs")


def _own_chunks(recording: Recording, data: MarketData) -> Iterator[EventChunk]:
    try:
        yield from recording.chunks()
    except (EOFError, OSError) as error:
        raise BadRecording(
            data.paths[0], 0, f"broken in the middle ({error})", "restore it"
        ) from None
    finally:
        data.faults.counts.update(recording.problems)
    data.progress.bytes_read = data.progress.bytes_total


def _empty_data(found: list[Detected], instruments: tuple[Instrument, ...]) -> MarketData:
    total = sum(_bytes_of(one.path) for one in found)
    return MarketData(
        instruments=instruments,
        chunks=iter(()),
        description=str(found[0].format),
        paths=tuple(str(one.path) for one in found),
        faults=FaultLog(),
        progress=ReadProgress(bytes_total=total),
        line_counts=Counter(),
    )


def _bytes_of(path: Path) -> int:
    if path.is_file():
        return path.stat().st_size
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())


_OPENERS = {
    RecordingFormat.BINANCE_USDM: _open_binance,
    RecordingFormat.BYBIT_CAPTURE: _open_capture,
    RecordingFormat.BYBIT_ARCHIVE: _open_archive,
    RecordingFormat.OWN: _open_own,
}
