"""A Binance USD-M capture becomes the stream that a correct order book needs."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from market.domain.events import EventKind
from market.domain.priming import Primer
from market.domain.recordings import BadRecording, MarketData
from market.recordings import open_market_data

SECOND_NS = 1_680_652_700_000_000_000


def stream(kind: str, symbol: str = "BTCUSDT", **data: Any) -> dict[str, Any]:
    return {"stream": f"{symbol.lower()}@x", "data": {"e": kind, "s": symbol, **data}}


def diff(first: int, last: int, before: int, bids: Any = (), asks: Any = ()) -> dict[str, Any]:
    return stream("depthUpdate", U=first, u=last, pu=before, E=1, T=1, b=list(bids), a=list(asks))


def touch(u: int, bid: str, bid_size: str, ask: str, ask_size: str) -> dict[str, Any]:
    return stream("bookTicker", u=u, b=bid, B=bid_size, a=ask, A=ask_size, E=1, T=1)


def trade(
    price: str, qty: str = "0.010", *, sold: bool = False, x: str = "MARKET"
) -> dict[str, Any]:
    return stream("trade", t=1, p=price, q=qty, X=x, m=sold, E=2, T=2)


SNAPSHOT = {
    "lastUpdateId": 100,
    "E": 1,
    "T": 1,
    "bids": [["100.0", "1.000"], ["99.9", "2.000"]],
    "asks": [["100.1", "1.000"], ["100.2", "2.000"]],
}


def write(path: Path, messages: list[Any], *, unit_ns: int = 1_000, start_ms: int = 0) -> Path:
    """One message a line, 1 ms apart; a str is written as it stands."""
    lines = []
    for i, message in enumerate(messages):
        at = (SECOND_NS + (start_ms + i) * 1_000_000) // unit_ns
        lines.append(message if isinstance(message, str) else f"{at} {json.dumps(message)}")
    path.write_bytes(gzip.compress(("\n".join(lines) + "\n").encode()))
    return path


def opened(*paths: Path, **options: Any) -> tuple[MarketData, list[tuple[str, list[Any]]]]:
    """The data and its messages as (kind, [(side, tick, lot)])."""
    data = open_market_data(paths, **options)
    found = []
    for chunk in data.chunks:
        for i in range(len(chunk)):
            span = slice(int(chunk.level_offset[i]), int(chunk.level_offset[i + 1]))
            entries = zip(
                chunk.side[span].tolist(), chunk.tick[span].tolist(), chunk.lot[span].tolist(),
                strict=True,
            )  # fmt: skip
            found.append((EventKind(chunk.kind[i]).name, list(entries)))
    return data, found


def test_diffs_before_the_snapshot_wait_for_it_and_the_outdated_are_dropped(tmp_path: Path) -> None:
    messages = [
        diff(80, 90, 79, bids=[["99.0", "5.000"]]),
        diff(91, 105, 90, bids=[["100.0", "3.000"]]),
        SNAPSHOT,
        diff(106, 110, 105, asks=[["100.1", "0.000"]]),
    ]

    data, found = opened(write(tmp_path / "a.gz", messages))

    assert found == [
        ("BOOK_SNAPSHOT", [(0, 1000, 1000), (0, 999, 2000), (1, 1001, 1000), (1, 1002, 2000)]),
        ("BOOK_DELTA", [(0, 1000, 3000)]),
        ("BOOK_DELTA", [(1, 1001, 0)]),
    ]
    assert not data.faults.counts


def test_a_diff_that_does_not_follow_makes_a_gap_until_the_next_snapshot(tmp_path: Path) -> None:
    later = {**SNAPSHOT, "lastUpdateId": 130}
    messages = [
        SNAPSHOT,
        diff(95, 105, 94),
        diff(120, 125, 119, bids=[["98.0", "1.000"]]),
        diff(126, 131, 125, bids=[["97.0", "1.000"]]),
        later,
        diff(132, 133, 131, bids=[["96.0", "1.000"]]),
    ]

    data, found = opened(write(tmp_path / "a.gz", messages))

    kinds = [kind for kind, _ in found]
    assert kinds == [
        "BOOK_SNAPSHOT",
        "BOOK_DELTA",
        "FEED_GAP",
        "BOOK_SNAPSHOT",
        "BOOK_DELTA",
        "BOOK_DELTA",
    ]
    assert found[-2][1] == [(0, 970, 1000)]
    assert data.faults.counts == {"sequence_gap": 1}
    assert "line 3" in data.faults.examples[0]


def test_a_late_diff_does_not_take_the_touch_back(tmp_path: Path) -> None:
    """depth comes every 30-50 ms: what it says of the touch may be older than the last bookTicker."""
    late_bids = [["100.1", "1.000"], ["100.0", "1.000"], ["99.9", "3.000"]]
    messages = [
        SNAPSHOT,
        diff(95, 105, 94),
        touch(112, "100.0", "9.000", "100.2", "9.000"),
        diff(106, 110, 105, bids=late_bids, asks=[["100.1", "1.000"], ["100.2", "0.000"]]),
        diff(111, 115, 110, bids=[["100.0", "8.000"]]),
    ]

    data, found = opened(write(tmp_path / "a.gz", messages))

    assert found[2:] == [
        ("BBO", [(0, 1000, 9000), (1, 1002, 9000)]),
        (
            "BOOK_DELTA",
            [(0, 1001, 0), (0, 1000, 9000), (0, 999, 3000), (1, 1001, 0), (1, 1002, 9000)],
        ),
        ("BOOK_DELTA", [(0, 1000, 8000)]),
    ]
    assert data.line_counts["depth older than the touch"] == 1


def test_a_touch_older_than_the_book_is_left_out(tmp_path: Path) -> None:
    messages = [SNAPSHOT, diff(95, 120, 94), touch(110, "99.0", "1.000", "101.0", "1.000")]

    data, found = opened(write(tmp_path / "a.gz", messages))

    assert [kind for kind, _ in found] == ["BOOK_SNAPSHOT", "BOOK_DELTA"]
    assert data.line_counts["bookTicker older than the book"] == 1


def test_trades_that_never_met_the_book_are_dropped_and_sides_are_the_takers(
    tmp_path: Path,
) -> None:
    messages = [trade("100.1"), trade("100.0", sold=True), trade("98.0", x="INSURANCE_FUND")]

    data, found = opened(write(tmp_path / "a.gz", messages))

    assert found == [("TRADE", [(0, 1001, 10)]), ("TRADE", [(1, 1000, 10)])]
    assert data.line_counts["trade left out: INSURANCE_FUND"] == 1


def test_mark_price_becomes_ticker_fields(tmp_path: Path) -> None:
    mark = stream(
        "markPriceUpdate", E=5, p="100.05000000", i="100.06", r="0.00010000", T=28_800_000
    )

    _, found = opened(write(tmp_path / "a.gz", [mark]))

    fields = [(0, 2, 100_050_000_000), (0, 3, 100_060_000_000), (0, 4, 100_000), (0, 5, 28_800_000)]
    assert found == [("TICKER", fields)]


@pytest.mark.parametrize("unit_ns", [1, 1_000, 1_000_000])
def test_the_unit_of_the_receive_time_is_told_by_its_length(tmp_path: Path, unit_ns: int) -> None:
    path = write(tmp_path / "a.gz", [trade("100.0"), trade("100.1")], unit_ns=unit_ns)

    (chunk,) = open_market_data([path]).chunks

    assert chunk.core_ts_ns.tolist() == [SECOND_NS, SECOND_NS + 1_000_000]
    assert chunk.exchange_ts_ns.tolist() == [2_000_000, 2_000_000]


def test_the_second_file_of_a_pair_goes_on_with_the_book_of_the_first(tmp_path: Path) -> None:
    first = write(tmp_path / "1.gz", [SNAPSHOT, diff(95, 105, 94)])
    second = write(tmp_path / "2.gz", [diff(106, 110, 105, bids=[["100.0", "4.000"]])], start_ms=50)

    for order in ((first, second), (second, first)):
        data, found = opened(*order)

        assert found[-1] == ("BOOK_DELTA", [(0, 1000, 4000)])
        assert not data.faults.counts


def test_files_that_overlap_are_refused(tmp_path: Path) -> None:
    first = write(tmp_path / "1.gz", [SNAPSHOT, diff(95, 105, 94), trade("100.0")])
    again = write(tmp_path / "2.gz", [trade("100.0")], start_ms=1)

    with pytest.raises(BadRecording, match="begins before the file in front of it ends"):
        opened(first, again)


def test_captures_of_two_symbols_are_merged_by_receive_time(tmp_path: Path) -> None:
    btc = write(tmp_path / "btc.gz", [trade("100.0"), trade("100.1")])
    eth = write(
        tmp_path / "eth.gz", [stream("trade", "ETHUSDT", p="10.00", q="1.000", m=False, T=2)]
    )

    data = open_market_data([eth, btc])
    (chunk,) = data.chunks

    assert data.symbols == ("BTCUSDT", "ETHUSDT")
    assert chunk.symbol.tolist() == [0, 1, 0]
    assert chunk.seq.tolist() == [1, 2, 3]
    only = open_market_data([eth, btc], symbols=["ETHUSDT"])
    assert [len(chunk) for chunk in only.chunks] == [1]


def test_bad_lines_are_counted_with_their_place(tmp_path: Path) -> None:
    messages = [
        SNAPSHOT,
        "1680652700001000 {not json",
        "no time at all",
        trade("100.05"),
        stream("trade", "ETHUSDT", p="1", q="1"),
        stream("weather"),
        trade("100.0"),
    ]

    data, found = opened(write(tmp_path / "a.gz", messages))

    assert [kind for kind, _ in found] == ["BOOK_SNAPSHOT", "TRADE"]
    assert data.faults.counts == {
        "bad_line": 2, "off_grid": 1, "other_symbol": 1, "unknown_message": 1,
    }  # fmt: skip
    assert [example.split(": ")[0].rsplit(" ", 1)[1] for example in data.faults.examples] == list(
        "23456"
    )


def test_a_capture_without_a_snapshot_says_so(tmp_path: Path) -> None:
    data, found = opened(write(tmp_path / "a.gz", [diff(1, 2, 0), trade("100.0")]))

    assert [kind for kind, _ in found] == ["TRADE"]
    assert data.faults.counts == {"no_snapshot": 1}


def test_starting_in_the_middle_states_the_book_as_it_stood(tmp_path: Path) -> None:
    messages = [
        SNAPSHOT,
        diff(95, 105, 94, bids=[["100.0", "0.000"]], asks=[["100.3", "7.000"]]),
        touch(106, "99.9", "2.500", "100.2", "0.500"),
        trade("100.2"),
        trade("99.9", sold=True),
    ]
    path = write(tmp_path / "a.gz", messages)
    start_ns, end_ns = SECOND_NS + 3_000_000, SECOND_NS + 4_000_000

    data, found = opened(path, from_ns=start_ns, to_ns=end_ns)

    book = [(0, 999, 2500), (1, 1002, 500), (1, 1003, 7000)]
    assert found == [("BOOK_SNAPSHOT", book), ("TRADE", [(0, 1002, 10)])]
    assert data.message_counts == {"BOOK_SNAPSHOT": 1, "TRADE": 1}


def test_chunk_sizes_do_not_change_the_stream(tmp_path: Path) -> None:
    messages = [SNAPSHOT, *(trade(f"100.{i}") for i in range(5))]
    path = write(tmp_path / "a.gz", messages)

    assert opened(path, chunk_messages=1)[1] == opened(path)[1]
    assert [len(c) for c in open_market_data([path], chunk_messages=4).chunks] == [4, 2]


def test_priming_keeps_a_broken_book_broken(tmp_path: Path) -> None:
    messages = [SNAPSHOT, diff(95, 105, 94), diff(200, 201, 199), trade("100.0")]
    path = write(tmp_path / "a.gz", messages)

    _, found = opened(path, from_ns=SECOND_NS + 3_000_000)

    assert [kind for kind, _ in found] == ["FEED_GAP", "TRADE"]
    assert len(Primer(3).statement(5)) == 0


@pytest.mark.parametrize(
    ("symbol", "extra", "words"),
    [
        ("BTCUSD_PERP", {}, "not a USDT linear perpetual"),
        ("PEPEUSDT", {"pu": 1}, "trading rules of PEPEUSDT .* --instruments"),
        ("NEXOUSDT", {}, "spot market"),
    ],
)
def test_markets_that_cannot_be_replayed_are_refused(
    tmp_path: Path, symbol: str, extra: dict[str, int], words: str
) -> None:
    path = write(tmp_path / "a.gz", [stream("depthUpdate", symbol, U=1, u=2, b=[], a=[], **extra)])

    with pytest.raises(BadRecording, match=words):
        open_market_data([path])
