"""What is exported is the same market for other tools, and comes back as it was."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
from django.core.management import CommandError, call_command

from execution.domain.synthetic_instruments import synthetic_instruments
from execution.domain.synthetic_market import synthetic_chunks
from market.domain.chunks import concat_chunks, pick_messages
from market.domain.events import EventChunk, EventKind
from market.domain.hftbacktest_events import (
    BUY_EVENT,
    EVENT_DTYPE,
    EXCH_EVENT,
    LOCAL_EVENT,
    SELL_EVENT,
    RowReader,
    Rows,
    Units,
    rows_of,
)
from market.domain.hftbacktest_order import BackTooFar, EventOrder
from market.recordings import BadRecording, open_market_data
from tests.market.import_samples import binance_capture, differences, joined

ETH = synthetic_instruments(("ETHUSDT",))[0]


@pytest.fixture(scope="module")
def market() -> EventChunk:
    """Some seconds of one symbol, with everything a recording may hold."""
    chunk = concat_chunks(list(synthetic_chunks(7, 6.0, ("ETHUSDT",))))
    odd = pick_messages(chunk, np.array([2, 3, 4, 5], np.intp))
    odd.kind[:] = [
        EventKind.FEED_GAP,
        EventKind.LIVENESS,
        EventKind.BOOK_SNAPSHOT,
        EventKind.BOOK_DELTA,
    ]
    empty = odd.slice(0, 0)
    odd.level_offset, odd.side, odd.tick, odd.lot = (
        np.zeros(5, np.int64), empty.side, empty.tick, empty.lot,
    )  # fmt: skip
    odd.core_ts_ns[:] = odd.exchange_ts_ns[:] = chunk.core_ts_ns[-1]
    whole = concat_chunks([chunk, odd])
    whole.seq = np.arange(1, len(whole) + 1)
    trades = np.flatnonzero(whole.kind == EventKind.TRADE)
    whole.flags[trades[::5]] = 1
    whole.flags[trades[::7]] = 2
    return whole


def read(rows: Rows, *, is_ours: bool, block: int = 1 << 20) -> EventChunk:
    reader = RowReader(Units.of(ETH), is_ours=is_ours)
    chunks = [reader.take(rows[at : at + block]) for at in range(0, rows.size, block)]
    return concat_chunks([c for c in [*chunks, reader.finish()] if c is not None])


def in_order(rows: Rows, block: int) -> Rows:
    order = EventOrder()
    parts = [order.take(rows[at : at + block]) for at in range(0, rows.size, block)]
    return np.concatenate([*parts, order.finish()])


@pytest.mark.parametrize("block", [1, 13, 1 << 20])
def test_rows_and_back_is_the_same_market(market: EventChunk, block: int) -> None:
    kinds = {EventKind(kind).name for kind in market.kind}
    assert kinds >= {"TRADE", "BOOK_SNAPSHOT", "BOOK_DELTA", "TICKER", "FEED_GAP", "LIVENESS"}
    part = market.slice(len(market) - 60, len(market)) if block == 1 else market

    rows = in_order(rows_of(part, Units.of(ETH)), block)

    assert differences(part, read(rows, is_ours=True, block=block)) == []


def test_both_orders_hold_whatever_the_blocks(market: EventChunk) -> None:
    """Exchange times are shuffled by up to 40 ms: each row comes once in either order."""
    late = market.slice(0, len(market))
    jitter = np.random.default_rng(3).integers(-40_000_000, 40_000_000, len(late))
    late.exchange_ts_ns = late.exchange_ts_ns + jitter
    rows = rows_of(late, Units.of(ETH))

    ordered = in_order(rows, 1000)

    for flag, name in ((EXCH_EVENT, "exch_ts"), (LOCAL_EVENT, "local_ts")):
        seen = ordered[(ordered["ev"] & flag) != 0]
        assert (np.diff(seen[name]) >= 0).all()
        assert seen.size == np.count_nonzero(rows["ev"] & flag)
    assert differences(late, read(ordered, is_ours=True)) == []
    assert ordered.tobytes() == in_order(rows, 97).tobytes()


def test_a_clock_that_was_set_back_is_refused(market: EventChunk) -> None:
    order = EventOrder()
    rows = rows_of(market.slice(0, 300), Units.of(ETH))
    rows["exch_ts"][-50:] += 60_000_000_000
    order.take(rows)
    late = rows[:10].copy()

    with pytest.raises(BackTooFar):
        order.take(late)


def row(kind: int, side: int, px: float, qty: float, at: int = 5) -> tuple[int, ...]:
    flag = BUY_EVENT if side == 0 else SELL_EVENT
    return (kind | flag | LOCAL_EVENT | EXCH_EVENT, at - 1, at, px, qty, 0, 0, 0)  # type: ignore[return-value]


def test_a_file_of_others_is_one_message_where_type_and_times_stay() -> None:
    rows = np.array(
        [
            row(3, 0, 0.0, 0.0), row(4, 0, 100.0, 1.0), row(3, 1, 0.0, 0.0), row(4, 1, 100.1, 2.0),
            row(1, 0, 100.0, 3.0, at=6), row(1, 1, 100.1, 0.0, at=6), row(1, 0, 100.0, 4.0, at=6),
            row(2, 1, 100.0, 0.5, at=6), row(2, 1, 100.0, 0.5, at=6),
            row(5, 0, 100.0, 1.0, at=7), row(5, 1, 100.1, 1.0, at=7), row(5, 0, 100.0, 2.0, at=8),
            row(1, 0, 100.0005, 4.0, at=9), row(2, 0, 100.0005, 4.0, at=9), row(3, 0, 0.0, 0.0, at=10),
        ],
        EVENT_DTYPE,
    )  # fmt: skip

    chunk = read(rows, is_ours=False)

    assert [EventKind(kind).name for kind in chunk.kind] == [
        "BOOK_SNAPSHOT", "BOOK_DELTA", "TRADE", "TRADE", "BBO", "BOOK_DELTA", "FEED_GAP", "FEED_GAP",
    ]  # fmt: skip
    first, last = chunk.level_offset[1], chunk.level_offset[2]
    levels = list(zip(chunk.side[first:last], chunk.lot[first:last], strict=True))
    assert levels == [
        (1, 0),
        (0, round(4.0 / float(ETH.qty_step))),
    ]  # of a level named twice the last
    assert chunk.seq.tolist() == list(range(1, 9))


def test_exported_and_imported_again_it_is_the_same_market(tmp_path: Path) -> None:
    source = binance_capture(tmp_path / "btc.gz")
    out = tmp_path / "out"

    call_command(
        "export_recording", str(source), format="hftbacktest", out=out, stdout=io.StringIO()
    )

    before, after = open_market_data([source]), open_market_data([out / "BTCUSDT.npz"])
    assert differences(joined(before), joined(after)) == []
    assert after.instruments == before.instruments
    assert after.exchange_ahead_ns == before.exchange_ahead_ns
    with pytest.raises(CommandError, match="is there already"):
        call_command("export_recording", str(source), format="hftbacktest", out=out)


def test_an_npz_that_is_cut_short_is_refused(tmp_path: Path) -> None:
    source = binance_capture(tmp_path / "btc.gz")
    call_command(
        "export_recording", str(source), format="hftbacktest", out=tmp_path, stdout=io.StringIO()
    )
    rows = np.load(tmp_path / "BTCUSDT.npz")["data"]
    path = tmp_path / "bare.npy"
    np.save(path, rows)

    with pytest.raises(BadRecording, match="name it with --symbol"):
        open_market_data([path])
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(BadRecording, match="ends in the middle"):
        joined(open_market_data([path], symbols=["BTCUSDT"]))


def test_parquet_has_a_row_for_each_level_trade_and_field(tmp_path: Path) -> None:
    io_ = pytest.importorskip("arro3.io", reason="requirements/parquet.txt is optional")
    source = binance_capture(tmp_path / "btc.gz", seconds=3)

    call_command(
        "export_recording", str(source), format="parquet", out=tmp_path, stdout=io.StringIO()
    )

    table = io_.read_parquet(tmp_path / "BTCUSDT.parquet").read_all()
    columns = {name: table[name].combine_chunks().to_pylist() for name in table.column_names}
    rows = [
        dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)
    ]
    market = joined(open_market_data([source]))
    assert len(rows) == market.side.size
    assert columns["lot"] == market.lot.tolist()
    trade = next(one for one in rows if one["kind"] == "TRADE")
    assert (trade["side"], trade["price"], trade["qty"], trade["tick"]) == (
        "SELL",
        100.1,
        0.01,
        1001,
    )
    field = next(one for one in rows if one["field"] == "fundingRate")
    assert (field["lot"], field["side"], np.isnan(field["price"])) == (100_000, None, True)
    facts = table.schema.metadata_str
    assert json.loads(facts["instrument"])["tickSize"] == "0.10"
