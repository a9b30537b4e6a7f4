"""`import_market`: any recording we can read becomes an ordinary recording under `data/market`.

The recorder run is derived from the content: the same files, symbols and rules have the same run and the
same bytes, so importing twice changes nothing, and a run beside live recordings of a day is told apart.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from market.adapters.import_folder import ImportFolder
from market.adapters.import_receipts import read_receipt, receipt_name
from market.domain.events import EventChunk
from market.domain.imports import ImportReceipt, ImportRefused, SourceFile
from market.domain.recordings import BadRecording, MarketData
from market.services.import_lines import ImportLines

_VERSION = 1  # of what an import writes: another one has other runs
_SAVE_EVERY_MESSAGES = 250_000
_OFF_GRID_ALLOWED = 0.01  # of all messages

OnProgress = Callable[[], None]


def import_market(
    data: MarketData, market_dir: Path, *, on_progress: OnProgress = lambda: None
) -> tuple[ImportReceipt, bool]:
    """Write `data`, fresh from `open_market_data`, into `market_dir`; whether anything changed.

    Raises: ImportRefused, BadRecording (the source breaks: nothing is visible), StorageError, DiskFull.
    """
    if data.is_own:
        raise ImportRefused(
            f"{data.paths[0]}: is a recording of ours already; copy its day folders"
        )
    sources = _sources(data)
    key = _key(data, sources)
    if (receipt := _imported(market_dir, key)) is not None:
        return receipt, False
    with ImportFolder(market_dir, key) as folder:
        try:
            receipt = _convert(data, sources, key, folder, on_progress)
        except BadRecording:
            folder.discard()
            raise
        folder.publish(
            {
                receipt_name(receipt.recorder_run): _pretty(receipt),
                f"instruments-{receipt.recorder_run}.json": msgspec.json.encode(data.instruments),
            }
        )
    return receipt, True


def _convert(
    data: MarketData,
    sources: list[SourceFile],
    key: str,
    folder: ImportFolder,
    on_progress: OnProgress,
) -> ImportReceipt:
    """Read all of `data`, also where everything is written already: the receipt counts what it held."""
    lines: ImportLines | None = None
    first: EventChunk | None = None
    last_ts = last_seq = saved_seq = 0
    for chunk in data.chunks:
        if lines is None or first is None:
            first = chunk.slice(0, 1)
            folder.state.recorder_run = _run(int(first.core_ts_ns[0]), key)
            lines = ImportLines(data.instruments, folder.state.recorder_run, data.source)
        last_seq, last_ts = int(chunk.seq[-1]), int(chunk.core_ts_ns[-1])
        if folder.state.is_written or last_seq <= folder.state.seq:
            lines.skip(chunk)
            saved_seq = folder.state.seq
        else:
            for (day, symbol, file), texts in lines.lines(chunk).items():
                folder.append(day, f"{symbol}-{file}.jsonl", texts)
            if last_seq - saved_seq >= _SAVE_EVERY_MESSAGES:
                folder.save(last_seq)
                saved_seq = last_seq
        on_progress()
    assert first is not None  # open_market_data refuses a recording without a message
    _refuse_wrong_rules(data)
    if not folder.state.is_written:
        folder.written(last_seq)
    return ImportReceipt(
        recorder_run=folder.state.recorder_run,
        format=data.description,
        sources=sources,
        symbols=list(data.symbols),
        messages=dict(sorted(data.message_counts.items())),
        faults=dict(sorted(data.faults.counts.items())),
        notes=list(data.notes),
        first_ts=int(first.core_ts_ns[0]),
        last_ts=last_ts,
        exchange_ahead_ns=data.exchange_ahead_ns,
    )


def _refuse_wrong_rules(data: MarketData) -> None:
    """Rules change over the years: prices off today's tick make a recording of gaps."""
    off_grid, messages = data.faults.counts["off_grid"], sum(data.message_counts.values())
    if off_grid > _OFF_GRID_ALLOWED * messages:
        units = ", ".join(f"{i.symbol}: {i.tick_size}, {i.qty_step}" for i in data.instruments)
        raise BadRecording(
            data.paths[0], 0,
            f"{off_grid} of {messages} messages are off the grid of tick and lot ({units})",
            "give the rules of its time with --instruments",
        )  # fmt: skip


def _run(first_ts_ns: int, key: str) -> str:
    """Like a live run's name, which begins with its time: runs play in the order of their names."""
    moment = datetime.fromtimestamp(first_ts_ns // 1_000_000_000, UTC)
    return f"{moment:%Y%m%dT%H%M%S}.{first_ts_ns // 1000 % 1_000_000:06d}Z-i{key}"


def _key(data: MarketData, sources: Sequence[SourceFile]) -> str:
    content = [
        _VERSION,
        data.description,
        [source.sha256 for source in sources],
        data.instruments,
        data.exchange_ahead_ns,
    ]
    return hashlib.sha256(msgspec.json.encode(content)).hexdigest()[:12]


def _imported(market_dir: Path, key: str) -> ImportReceipt | None:
    """The receipt of an import that is in place, whole."""
    if (market_dir / f".import-{key}").exists():
        return None
    for path in sorted(market_dir.glob("*/" + receipt_name(f"*-i{key}"))):
        receipt = read_receipt(path)
        if (path.parent / f"instruments-{receipt.recorder_run}.json").exists():
            return receipt
    return None


def _sources(data: MarketData) -> list[SourceFile]:
    return [_source(Path(path)) for path in data.paths]


def _source(path: Path) -> SourceFile:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256")
    return SourceFile(name=path.name, bytes=path.stat().st_size, sha256=digest.hexdigest())


def _pretty(receipt: ImportReceipt) -> bytes:
    return msgspec.json.format(msgspec.json.encode(receipt), indent=2) + b"\n"
