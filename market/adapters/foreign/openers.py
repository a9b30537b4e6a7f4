"""How each format is opened: which symbols it has, by what rules, and which readers are merged."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from operator import attrgetter
from pathlib import Path

import msgspec

from market.adapters.foreign.binance import BinanceReader
from market.adapters.foreign.binance_blocks import BinanceBlocks
from market.adapters.foreign.bybit_feed import BybitFeed
from market.adapters.foreign.bybit_files import read_archive, read_capture, read_capture_head
from market.adapters.foreign.csv_markets import CsvReader
from market.adapters.foreign.detection import Detected, RecordingFormat
from market.adapters.foreign.hftbacktest_files import head_of, read_hftbacktest
from market.adapters.foreign.known_instruments import (
    BINANCE_COINM,
    BINANCE_SPOT,
    BINANCE_USDM,
    BITMEX,
    BYBIT_LINEAR,
    CONTRACTS_AS_LINEAR,
    known_instrument,
)
from market.adapters.import_receipts import read_receipts
from market.adapters.recording_reader import NotARecording, Recording
from market.domain.chunks import concat_chunks
from market.domain.events import EventChunk, EventKind
from market.domain.instruments import Instrument
from market.domain.merging import NO_TIME, merge_by_time, number
from market.domain.recordings import (
    BadRecording,
    FaultLog,
    MarketData,
    RawRecord,
    ReadProgress,
    chosen_symbols,
)

# (records, instruments, faults, messages a chunk) -> chunks: `market.services.recorded_chunks.hub_chunks`.
HubChunks = Callable[
    [Iterator[RawRecord], Sequence[Instrument], FaultLog, int], Iterator[EventChunk]
]

_LINEAR_VENUES = {"binance-futures": BINANCE_USDM, "bybit": BYBIT_LINEAR}  # as Tardis names them


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """What was asked for; `found` in order of time, of one format or of one family."""

    found: list[Detected]
    wanted: Sequence[str] | None
    override: dict[str, Instrument] | None
    span: tuple[int | None, int | None]
    as_linear: bool
    chunk_messages: int
    hub_chunks: HubChunks

    @property
    def path(self) -> Path:
        return self.found[0].path

    def chosen(self, present: Sequence[str]) -> list[str]:
        return chosen_symbols(present, self.wanted, self.path)

    def rules(self, venue: str, symbols: Sequence[str]) -> tuple[Instrument, ...]:
        return tuple(known_instrument(venue, s, self.override, self.path) for s in symbols)

    def paths_of(self, kind: RecordingFormat, symbol: str = "") -> list[Path]:
        return [one.path for one in self.found if one.format is kind and symbol in ("", one.symbol)]

    def begin(self, instruments: tuple[Instrument, ...], used: list[Detected]) -> MarketData:
        """An account of the data, without chunks yet."""
        formats = dict.fromkeys(str(one.format) for one in used)
        return MarketData(
            instruments=instruments,
            chunks=iter(()),
            description=" and ".join(formats),
            paths=tuple(str(one.path) for one in used),
            faults=FaultLog(),
            progress=ReadProgress(bytes_total=sum(_bytes_of(one.path) for one in used)),
            line_counts=Counter(),
            source=used[0].format.source,
        )

    def fill(
        self,
        data: MarketData,
        readers: Sequence[Iterator[RawRecord]],
        units: Sequence[Instrument] | None = None,
    ) -> MarketData:
        """Give `data` the chunks of `readers`, merged by receive time. `units`: how numbers are counted."""
        records = readers[0]
        if len(readers) > 1:
            records = heapq.merge(*readers, key=attrgetter("received_ns"))
        data.chunks = self.hub_chunks(
            records, units or data.instruments, data.faults, self.chunk_messages
        )
        return data

    def fill_with_blocks(
        self, data: MarketData, streams: Sequence[Iterator[EventChunk]]
    ) -> MarketData:
        """Give `data` chunks that were read many lines at a time, merged by receive time."""
        data.chunks = number(merge_by_time(streams), self.chunk_messages)
        return data

    def hub_chunk(
        self, records: list[RawRecord], units: Instrument, faults: FaultLog
    ) -> EventChunk:
        """What the hub makes of records of one symbol, before they are merged and numbered."""
        chunks = []
        for record in records:
            for chunk in self.hub_chunks(iter((record,)), (units,), faults, 1):
                if record.payload.get("ts") is None or chunk.kind[0] == EventKind.FEED_GAP:
                    chunk.exchange_ts_ns[:] = NO_TIME
                chunks.append(chunk)
        return concat_chunks(chunks)

    def demand_as_linear(self, reason: str, hint: str = "") -> None:
        """Money would come out wrong without a word: the asker must say that it may. Raises BadRecording."""
        if not self.as_linear:
            raise BadRecording(
                self.path, 1, reason,
                hint or "--as-linear takes it for one: order flow and prices are right, money is not",
            )  # fmt: skip


def _open_binance(opening: Opening) -> MarketData:
    kind = opening.found[0].format
    venue = _BINANCE_VENUES[kind]
    by_symbol: dict[str, list[Detected]] = {}
    for one in opening.found:
        by_symbol.setdefault(one.symbol, []).append(one)
    chosen = opening.chosen(sorted(by_symbol))
    if kind is RecordingFormat.BINANCE_COINM:
        opening.demand_as_linear(f"{chosen[0]} is not a USDT linear perpetual")
    elif kind is RecordingFormat.BINANCE_SPOT:
        opening.demand_as_linear(f"{chosen[0]} was captured on the spot market")
    instruments = opening.rules(venue, chosen)
    data = opening.begin(instruments, [one for one in opening.found if one.symbol in chosen])
    is_spot = kind is RecordingFormat.BINANCE_SPOT
    units = _in_contracts(instruments) if kind is RecordingFormat.BINANCE_COINM else instruments
    paths = {symbol: [one.path for one in by_symbol[symbol]] for symbol in chosen}
    _note_rules(opening, venue, data)
    if is_spot:
        readers = [
            BinanceReader(symbol, data.faults, data.line_counts, data.progress, is_spot=True).read(
                paths[symbol]
            )
            for symbol in chosen
        ]
        opening.fill(data, readers)
    else:
        streams = [
            BinanceBlocks(
                one,
                index,
                partial(opening.hub_chunk, units=one, faults=data.faults),
                data.faults,
                data.line_counts,
                data.progress,
            ).read(paths[one.symbol])
            for index, one in enumerate(units)
        ]
        opening.fill_with_blocks(data, streams)
    data.exchange_ahead_ns = max(o.exchange_ahead_ns for o in opening.found if o.symbol in chosen)
    if data.exchange_ahead_ns:
        data.notes.append(
            f"the exchange's clock is {data.exchange_ahead_ns / 1e6:.1f} ms ahead of the receiver's at "
            "the start: the venue sees exchange times less that"
        )
    return data


_BINANCE_VENUES = {
    RecordingFormat.BINANCE_USDM: BINANCE_USDM,
    RecordingFormat.BINANCE_COINM: BINANCE_COINM,
    RecordingFormat.BINANCE_SPOT: BINANCE_SPOT,
}


def _open_bybit_capture(opening: Opening) -> MarketData:
    head = read_capture_head(opening.path)
    if not head.linear_conn:
        raise BadRecording(
            opening.path, 0, "no connection to the linear public stream", "use another capture"
        )
    chosen = opening.chosen(head.symbols)
    rules = opening.override if opening.override is not None else head.instruments or None
    instruments = tuple(known_instrument(BYBIT_LINEAR, s, rules, opening.path) for s in chosen)
    data = opening.begin(instruments, opening.found)
    feed = BybitFeed(set(chosen), data.faults, data.line_counts)
    records = read_capture(
        [one.path for one in opening.found],
        head.linear_conn,
        feed,
        data.faults,
        data.line_counts,
        data.progress,
    )
    if opening.override is None and head.instruments:
        data.notes.append("trading rules: the capture's own instruments-info reply")
    return opening.fill(data, [records])


def _open_bybit_archive(opening: Opening) -> MarketData:
    """Order books, trades, or both. At equal times trades come first: they caused what the book shows."""
    books = {o.symbol for o in opening.found if o.format is RecordingFormat.BYBIT_ARCHIVE}
    trades = {symbol for one in opening.found for symbol in one.symbols}
    chosen = opening.chosen(sorted(books | trades))
    _refuse_inverse(opening, chosen)
    used = [o for o in opening.found if o.symbol in chosen or set(o.symbols) & set(chosen)]
    data = opening.begin(opening.rules(BYBIT_LINEAR, chosen), used)
    csv = CsvReader(set(chosen), data.faults, data.line_counts, data.progress)
    readers = [csv.bybit_trades(opening.paths_of(RecordingFormat.BYBIT_TRADES))] if trades else []
    readers += [
        read_archive(
            opening.paths_of(RecordingFormat.BYBIT_ARCHIVE, symbol),
            BybitFeed({symbol}, data.faults, data.line_counts),
            data.line_counts,
            data.progress,
        )
        for symbol in chosen
        if symbol in books
    ]
    data.notes.append("no receive time in the archive: core time is the exchange's sending time")
    _note_rules(opening, BYBIT_LINEAR, data)
    _note_no_book(data, has_book=bool(books))
    return opening.fill(data, readers)


def _open_tardis(opening: Opening) -> MarketData:
    """Trades, quotes, or both."""
    present = sorted({symbol for one in opening.found for symbol in one.symbols})
    chosen = opening.chosen(present)
    exchange = opening.found[0].venue
    venue = _LINEAR_VENUES.get(exchange, "")
    if not venue or any(not symbol.endswith("USDT") for symbol in chosen):
        opening.demand_as_linear(f"{', '.join(chosen)} of {exchange} is no known linear perpetual")
    instruments = opening.rules(venue or BYBIT_LINEAR, chosen)
    data = opening.begin(instruments, opening.found)
    csv = CsvReader(set(chosen), data.faults, data.line_counts, data.progress)
    trades = opening.paths_of(RecordingFormat.TARDIS_TRADES)
    quotes = opening.paths_of(RecordingFormat.TARDIS_QUOTES)
    readers = [csv.tardis_trades(trades)] if trades else []
    readers += [csv.tardis_quotes(quotes)] if quotes else []
    _note_rules(opening, venue, data)
    _note_no_book(data, has_book=bool(quotes))
    if quotes:
        data.notes.append("the book is one level a side: best bid and offer")
    return opening.fill(data, readers)


def _open_bitmex(opening: Opening) -> MarketData:
    """Books, trades, or both."""
    present = sorted({symbol for one in opening.found for symbol in one.symbols})
    chosen = opening.chosen(present)
    opening.demand_as_linear(f"{', '.join(chosen)} of BitMEX is no USDT linear perpetual")
    instruments = opening.rules(BITMEX, chosen)
    data = opening.begin(instruments, opening.found)
    csv = CsvReader(set(chosen), data.faults, data.line_counts, data.progress)
    trades = opening.paths_of(RecordingFormat.BITMEX_TRADES)
    books = opening.paths_of(RecordingFormat.BITMEX_BOOK)
    readers = [csv.bitmex_trades(trades)] if trades else []
    readers += [csv.bitmex_book(books)] if books else []
    _note_rules(opening, BITMEX, data)
    _note_no_book(data, has_book=bool(books))
    if books:
        data.notes.append("the book is ten levels a side; one time: core time is the exchange's")
    return opening.fill(data, readers, _in_contracts(instruments))


def _open_hftbacktest(opening: Opening) -> MarketData:
    """One symbol; a file of others says neither which nor by what rules."""
    heads = [head_of(one.path) for one in opening.found]
    market = heads[0].market
    if {head.symbol for head in heads} != {heads[0].symbol}:
        raise BadRecording(opening.path, 0, "and the others are of several symbols", "one by one")
    if market is not None:
        chosen = opening.chosen([market.instrument.symbol])
    elif opening.wanted is None or len(opening.wanted) != 1:
        raise BadRecording(opening.path, 0, "does not say its symbol", "name it with --symbol")
    else:
        chosen = list(opening.wanted)
    if market is not None and opening.override is None:
        instrument = market.instrument
    else:
        _refuse_inverse(opening, chosen)
        (instrument,) = opening.rules(BYBIT_LINEAR, chosen)
    data = opening.begin((instrument,), opening.found)
    data.exchange_ahead_ns = heads[0].exchange_ahead_ns
    data.notes += market.notes if market else []
    if market is None:
        _note_rules(opening, BYBIT_LINEAR, data)
        data.notes.append("one message where type and both times stay the same")
    data.chunks = read_hftbacktest(
        [one.path for one in opening.found],
        instrument,
        data.faults,
        data.progress,
        is_ours=market is not None,
        exchange_ahead_ns=data.exchange_ahead_ns,
    )
    return data


def _open_own(opening: Opening) -> MarketData:
    path = opening.path
    if len(opening.found) > 1:
        raise BadRecording(
            path, 0, "several paths of our own recording", "name the folder of them all"
        )
    if opening.override is not None:
        raise BadRecording(path, 0, "it carries its own rules", "leave out --instruments")
    try:
        recording = Recording(
            path,
            symbols=opening.wanted or None,
            from_ns=opening.span[0],
            to_ns=opening.span[1],
        )
    except NotARecording as error:
        raise BadRecording(
            path, 0, str(error).removeprefix(f"{path}: "), "name data/market or a day"
        ) from None
    data = opening.begin(recording.instruments, opening.found)
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


def _refuse_inverse(opening: Opening, symbols: Sequence[str]) -> None:
    for symbol in symbols:
        if not symbol.endswith("USDT"):
            opening.demand_as_linear(f"{symbol} is not a USDT linear perpetual")


def _in_contracts(instruments: Sequence[Instrument]) -> list[Instrument]:
    """For reading sizes in contracts: a lot is one, whatever it stands for."""
    return [msgspec.structs.replace(one, qty_step=Decimal(1)) for one in instruments]


def _note_rules(opening: Opening, venue: str, data: MarketData) -> None:
    if opening.override is None:
        data.notes.append(f"trading rules: {venue} facts built in")
    if opening.as_linear:
        data.notes.append(
            "taken for USDT linear perpetuals: fees, funding and money are not its own"
        )
        for symbol in data.symbols:
            if (said := CONTRACTS_AS_LINEAR.get((venue, symbol))) and opening.override is None:
                data.notes.append(f"{symbol}: {said}")


def _note_no_book(data: MarketData, *, has_book: bool) -> None:
    if not has_book:
        data.notes.append("trades alone, no book: no frame of it can be decided upon")


def _bytes_of(path: Path) -> int:
    if path.is_file():
        return path.stat().st_size
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())


OPENERS: dict[RecordingFormat, Callable[[Opening], MarketData]] = {
    RecordingFormat.BINANCE_USDM: _open_binance,
    RecordingFormat.BINANCE_COINM: _open_binance,
    RecordingFormat.BINANCE_SPOT: _open_binance,
    RecordingFormat.BYBIT_CAPTURE: _open_bybit_capture,
    RecordingFormat.BYBIT_ARCHIVE: _open_bybit_archive,
    RecordingFormat.BYBIT_TRADES: _open_bybit_archive,
    RecordingFormat.TARDIS_TRADES: _open_tardis,
    RecordingFormat.TARDIS_QUOTES: _open_tardis,
    RecordingFormat.BITMEX_BOOK: _open_bitmex,
    RecordingFormat.BITMEX_TRADES: _open_bitmex,
    RecordingFormat.HFTBACKTEST: _open_hftbacktest,
    RecordingFormat.OWN: _open_own,
}
