"""A book can be taken from the end of the recording, exactly as the recorder's own encoder left it."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from market.domain.events import BID, ChunkBuilder, EventKind
from market.domain.instruments import Instrument
from market.domain.raw_events import RawEventEncoder
from monitoring.domain.ladder import Ladders, ladder_rows
from monitoring.services.recorded_books import recorded_books

NOW_NS = 1_760_000_000_000_000_000  # 2025-10-09 08:53:20 UTC
DAY = "2025-10-09"
BTC = Instrument(
    symbol="BTCUSDT", tick_size=Decimal("0.1"), qty_step=Decimal("0.001"), min_qty=Decimal("0.001"),
    max_qty=Decimal(100), max_market_qty=Decimal(50), min_notional=Decimal(5),
    min_price=Decimal("0.1"), max_price=Decimal(1999999), min_leverage=Decimal(1),
    max_leverage=Decimal(100), leverage_step=Decimal("0.01"), price_scale=1,
    funding_interval_min=480, base_coin="BTC",
)  # fmt: skip


def a_recording(folder: Path, *, age_s: float = 0.2, tail: str = "") -> Path:
    """A snapshot, a change, a checkpoint that holds both, and a change after it."""
    at_ns = NOW_NS - int(age_s * 1e9)
    builder = ChunkBuilder()
    for seq, (kind, levels) in enumerate(
        [
            (EventKind.BOOK_SNAPSHOT, {500_000: 7}),
            (EventKind.BOOK_DELTA, {499_990: 2}),
            (EventKind.BOOK_DELTA, {500_000: 0}),
        ],
        start=1,
    ):
        builder.add_book(
            kind, symbol=0, seq=seq, core_ts_ns=at_ns, exchange_ts_ns=at_ns, bids=levels, asks={}
        )
    encoder = RawEventEncoder([BTC], "run")
    lines = [line for _, _, line in encoder.lines(builder.take())]
    checkpoint = encoder.book_checkpoint(
        0, {500_000: 7, 499_990: 2}, {500_010: 3}, seq=2, core_ts_ns=at_ns, exchange_ts_ns=at_ns
    )
    path = folder / DAY / "BTCUSDT-orderbook.jsonl"
    path.parent.mkdir(parents=True)
    path.write_text(
        "".join(f"{line.rstrip()}\n" for line in (*lines[:2], checkpoint, lines[2])) + tail
    )
    return folder


def test_the_book_is_the_last_checkpoint_with_the_changes_after_it(tmp_path: Path) -> None:
    chunk = recorded_books(a_recording(tmp_path), [BTC], ["BTCUSDT"], NOW_NS)

    assert chunk.kind.tolist() == [EventKind.BOOK_SNAPSHOT, EventKind.BOOK_DELTA]
    ladders = Ladders()
    ladders.on_chunk(chunk, 1)
    ladder = ladders.get(0)
    assert ladder is not None
    assert ladder_rows(ladder, BTC, 5) == {
        "known": True, "bids": [[49_999.0, 0.002]], "asks": [[50_001.0, 0.003]],
    }  # fmt: skip


def test_the_stream_goes_on_where_the_recording_ends(tmp_path: Path) -> None:
    ladders = Ladders()
    ladders.on_chunk(recorded_books(a_recording(tmp_path), [BTC], ["BTCUSDT"], NOW_NS), 1)
    builder = ChunkBuilder()
    for seq, lots in ((2, 9), (4, 5)):  # 2 is in the checkpoint already
        builder.add(
            EventKind.BOOK_DELTA, symbol=0, seq=seq, core_ts_ns=1, exchange_ts_ns=1,
            levels=[(BID, 499_990 if seq == 2 else 499_980, lots)],
        )  # fmt: skip
    ladders.on_chunk(builder.take(), 1)

    ladder = ladders.get(0)
    assert ladder is not None
    assert ladder.bids == {499_990: 2, 499_980: 5}


@pytest.mark.parametrize("tail", ['{"type":"ORDERBOOK', "not json\n", "\n"])
def test_what_cannot_be_read_at_the_end_is_left_out(tmp_path: Path, tail: str) -> None:
    chunk = recorded_books(a_recording(tmp_path, tail=tail), [BTC], ["BTCUSDT"], NOW_NS)

    assert len(chunk) == 2


def test_a_recording_that_nobody_continues_is_not_a_book_of_now(tmp_path: Path) -> None:
    assert len(recorded_books(a_recording(tmp_path, age_s=60), [BTC], ["BTCUSDT"], NOW_NS)) == 0


def test_no_recording_is_no_book(tmp_path: Path) -> None:
    assert len(recorded_books(tmp_path, [BTC], ["BTCUSDT"], NOW_NS)) == 0
