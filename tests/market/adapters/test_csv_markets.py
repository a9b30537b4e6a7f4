"""CSV files of trades, quotes and best levels become the messages that a venue would have sent."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from market.domain.events import EventKind
from market.recordings import BadRecording, open_market_data
from tests.market.import_samples import packed, zipped

MS = 1_000_000
BYBIT = "timestamp,symbol,side,size,price,tickDirection,trdMatchID,grossValue,homeNotional,foreignNotional\n"
TARDIS = "exchange,symbol,timestamp,local_timestamp,"
BITMEX_BOOK = "timestamp_ms,symbol," + ",".join(
    f"{side}_{what}_{level}" for side in ("ask", "bid") for level in range(1, 11) for what in ("px", "sz")
)  # fmt: skip


def events(*paths: Path, **options: Any) -> list[tuple[str, int, list[tuple[int, int, int]]]]:
    """(kind, core time, entries) of every message."""
    found = []
    for chunk in open_market_data(paths, **options).chunks:
        for i in range(len(chunk)):
            span = slice(int(chunk.level_offset[i]), int(chunk.level_offset[i + 1]))
            columns = (
                chunk.side[span].tolist(),
                chunk.tick[span].tolist(),
                chunk.lot[span].tolist(),
            )
            entries = list(zip(*columns, strict=True))
            found.append((EventKind(chunk.kind[i]).name, int(chunk.core_ts_ns[i]), entries))
    return found


def bybit_trade(at: str, price: str, side: str = "Buy", symbol: str = "XRPUSDT") -> str:
    return f"{at},{symbol},{side},10.5,{price},PlusTick,id,1,1,1\n"


def bitmex_row(at_ms: int, ask: float, bid: float, symbol: str = "XBTUSD") -> str:
    asks = ",".join(f"{ask + level / 2},{level + 1}" for level in range(10))
    bids = ",".join(f"{bid - level / 2},{level + 1}" for level in range(10))
    return f"{at_ms},{symbol},{asks},{bids}\n"


def test_bybit_trades_have_the_time_of_the_exchange_alone(tmp_path: Path) -> None:
    rows = bybit_trade("1733011200.6910", "1.9500") + bybit_trade("1733011201.25", "1.9501", "Sell")
    path = packed(tmp_path / "XRPUSDT2024-12-01.csv.gz", BYBIT + rows)

    data = open_market_data([path])
    (chunk,) = data.chunks

    assert chunk.kind.tolist() == [EventKind.TRADE] * 2
    assert chunk.core_ts_ns.tolist() == [1_733_011_200_691_000_000, 1_733_011_201_250_000_000]
    assert chunk.exchange_ts_ns.tolist() == chunk.core_ts_ns.tolist()
    assert (chunk.side.tolist(), chunk.tick.tolist(), chunk.lot.tolist()) == (
        [0, 1], [19500, 19501], [105, 105],
    )  # fmt: skip
    assert any("no book" in note for note in data.notes)


def test_bybit_trades_and_books_of_one_time_are_one_market_trades_first(tmp_path: Path) -> None:
    trades = packed(tmp_path / "t.csv.gz", BYBIT + bybit_trade("1733011200.691", "1.9500"))
    book = (
        '{"topic":"orderbook.500.XRPUSDT","type":"snapshot","ts":1733011200691,"data":{"s":"XRPUSDT",'
        '"b":[["1.9499","5"]],"a":[["1.9500","6"]],"u":1,"seq":1},"cts":1733011200690}\n'
    )

    found = events(zipped(tmp_path / "ob500.zip", book), trades)

    assert [kind for kind, _, _ in found] == ["TRADE", "BOOK_SNAPSHOT"]


def test_a_file_that_runs_backwards_is_refused(tmp_path: Path) -> None:
    rows = "".join(bybit_trade(f"{1_733_011_200 - n}.5", "1.9500") for n in range(1200))

    with pytest.raises(BadRecording, match="line 1001: runs backwards in time"):
        events(packed(tmp_path / "t.csv.gz", BYBIT + rows))


def test_rows_that_cannot_be_read_are_counted_with_their_line(tmp_path: Path) -> None:
    rows = [
        bybit_trade("1733011200.1", "1.9500"),
        "torn,row\n",
        bybit_trade("soon", "1.9500"),
        bybit_trade("1733011200.2", "1.9500", side="Up"),
        bybit_trade("1733011200.3", "1.95001"),
        bybit_trade("1733011200.4", "1.9500", symbol="ADAUSDT"),
    ]
    data = open_market_data(
        [packed(tmp_path / "t.csv.gz", BYBIT + "".join(rows))], symbols=["XRPUSDT"]
    )

    (chunk,) = data.chunks

    assert len(chunk) == 1
    assert data.faults.counts == {"bad_line": 3, "off_grid": 1}
    assert [f"line {n}" in text for n, text in zip((3, 4, 5, 6), data.faults.examples, strict=True)]
    assert data.line_counts["symbol left out"] == 1


def test_tardis_quotes_are_a_book_of_one_level_a_side(tmp_path: Path) -> None:
    rows = (
        "binance-futures,BTCUSDT,1000000,1000500,1.5,100.2,100.1,2.5\n"
        "binance-futures,BTCUSDT,1100000,1100500,1.5,100.2,100.1,2.5\n"
        "binance-futures,BTCUSDT,1200000,1200500,3.5,100.3,100.1,2\n"
    )
    quotes = packed(
        tmp_path / "q.csv.gz", TARDIS + "ask_amount,ask_price,bid_price,bid_amount\n" + rows
    )
    trades = packed(
        tmp_path / "t.csv.gz",
        TARDIS + "id,side,price,amount\nbinance-futures,BTCUSDT,1150000,1150600,7,sell,100.1,0.5\n",
    )

    found = events(quotes, trades)

    assert found == [
        ("BOOK_SNAPSHOT", 1_000_500_000, [(0, 1001, 2500), (1, 1002, 1500)]),
        ("TRADE", 1_150_600_000, [(1, 1001, 500)]),
        ("BOOK_DELTA", 1_200_500_000, [(0, 1001, 2000), (1, 1002, 0), (1, 1003, 3500)]),
    ]


def test_bitmex_levels_that_leave_the_ten_best_are_gone(tmp_path: Path) -> None:
    rows = bitmex_row(1000, 8000.5, 8000.0) + bitmex_row(1001, 8001.0, 8000.0)
    path = packed(tmp_path / "b.csv.gz", BITMEX_BOOK + "\n" + rows)

    first, second = events(path, as_linear=True)

    assert (first[0], len(first[2])) == ("BOOK_SNAPSHOT", 20)
    assert second[:2] == ("BOOK_DELTA", 1001 * MS)
    assert (1, 16001, 0) in second[2]  # 8000.5 is no ask any more
    assert (1, 16011, 10) in second[2]  # 8005.5 has come into sight
    assert all(side == 1 for side, _, _ in second[2])


def test_inverse_contracts_say_what_they_are_taken_for(tmp_path: Path) -> None:
    path = packed(tmp_path / "b.csv.gz", BITMEX_BOOK + "\n" + bitmex_row(1000, 8000.5, 8000.0))

    with pytest.raises(
        BadRecording, match="no USDT linear perpetual; --as-linear takes it for one"
    ):
        events(path)
    data = open_market_data([path], as_linear=True)

    assert "XBTUSD: one contract (1 USD) counts as 0.000125 XBT, as at 8,000 USD" in data.notes
    assert str(data.instruments[0].qty_step) == "0.000125"


def test_candles_are_no_ticks(tmp_path: Path) -> None:
    path = packed(
        tmp_path / "k.csv.gz", "timestamp_ms,high,low,close,quote_volume_usdt\n1,2,1,2,3\n"
    )

    with pytest.raises(BadRecording, match="holds candles, no ticks"):
        events(path)
