"""Bybit's own messages from a capture and from the archive, through the parser of the live socket."""

from __future__ import annotations

import gzip
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from market.domain.events import FLAG_RPI, EventKind
from market.domain.recordings import BadRecording
from market.recordings import open_market_data

START_S = 1_786_310_819.526357
LINEAR, SPOT = "ws.2", "ws.3"

RULES = {
    "symbol": "ABCUSDT", "contractType": "LinearPerpetual", "status": "Trading", "baseCoin": "ABC",
    "quoteCoin": "USDT", "priceScale": "2", "fundingInterval": 480,
    "leverageFilter": {"minLeverage": "1", "maxLeverage": "25.00", "leverageStep": "0.01"},
    "priceFilter": {"minPrice": "0.05", "maxPrice": "99999.00", "tickSize": "0.05"},
    "lotSizeFilter": {
        "maxOrderQty": "1000", "minOrderQty": "0.1", "qtyStep": "0.1", "maxMktOrderQty": "500",
        "minNotionalValue": "5",
    },
}  # fmt: skip


def book(u: int, kind: str = "delta", symbol: str = "ABCUSDT", depth: int = 200) -> dict[str, Any]:
    return {
        "topic": f"orderbook.{depth}.{symbol}", "type": kind, "ts": 1_786_310_819_400,
        "data": {"s": symbol, "b": [["10.00", "1.0"]], "a": [["10.05", "2.0"]], "u": u, "seq": u},
        "cts": 1_786_310_819_398,
    }  # fmt: skip


def trades(*prices: str, symbol: str = "ABCUSDT", rpi: bool = False) -> dict[str, Any]:
    rows = [
        {
            "T": 1_786_310_819_390,
            "s": symbol,
            "S": "Sell",
            "v": "0.3",
            "p": price,
            "RPI": rpi,
            "BT": False,
        }
        for price in prices
    ]
    return {
        "topic": f"publicTrade.{symbol}",
        "type": "snapshot",
        "ts": 1_786_310_819_391,
        "data": rows,
    }


def ticker(**fields: str) -> dict[str, Any]:
    data = {"symbol": "ABCUSDT", **fields}
    return {"topic": "tickers.ABCUSDT", "type": "delta", "ts": 1_786_310_819_400, "data": data}


def recv(message: Any, conn: str = LINEAR, after_s: float = 0.0) -> dict[str, Any]:
    text = message if isinstance(message, str) else json.dumps(message)
    return {"t": "recv", "conn": conn, "ts": START_S + after_s, "data": text}


def head(symbols: tuple[str, ...] = ("ABCUSDT",)) -> list[dict[str, Any]]:
    reply = {"retCode": 0, "result": {"category": "linear", "list": [RULES]}}
    topics = [f"orderbook.200.{symbol}" for symbol in symbols]
    request = {"op": "subscribe", "args": topics}
    return [
        {"t": "header", "format": 2, "exchange": "BYBIT"},
        {"t": "http", "conn": "http", "ts": 1.0, "url": "https://x/instruments-info?category=linear",
         "data": json.dumps(reply)},
        {"t": "connect", "conn": LINEAR, "ts": 2.0, "addr": "wss://x/v5/public/linear"},
        {"t": "send", "conn": LINEAR, "ts": 3.0, "data": json.dumps(request)},
        {"t": "connect", "conn": SPOT, "ts": 2.0, "addr": "wss://x/v5/public/spot"},
    ]  # fmt: skip


def write(path: Path, rows: list[Any]) -> Path:
    text = "".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows)
    path.write_bytes(gzip.compress(text.encode()))
    return path


def kinds(path: Path, **options: Any) -> tuple[Any, list[str]]:
    data = open_market_data([path], **options)
    return data, [EventKind(kind).name for chunk in data.chunks for kind in chunk.kind]


def test_a_capture_gives_its_linear_messages_with_its_own_rules(tmp_path: Path) -> None:
    rows = [
        *head(),
        recv({"success": True, "ret_msg": "", "conn_id": "1", "op": "subscribe"}),
        recv(book(7, "snapshot")),
        recv(book(3, "snapshot"), conn=SPOT),
        recv(book(8), after_s=0.5),
        recv(trades("10.00", "10.05", rpi=True), after_s=0.6),
        recv(ticker(markPrice="10.02", bid1Price="10.00"), after_s=0.7),
    ]

    data = open_market_data([write(tmp_path / "c.gz", rows)])
    (chunk,) = data.chunks

    names = [EventKind(kind).name for kind in chunk.kind]
    assert names == ["BOOK_SNAPSHOT", "BOOK_DELTA", "TRADE", "TRADE", "TICKER"]
    assert data.instruments[0].max_market_qty == 500
    assert chunk.flags.tolist() == [0, 0, FLAG_RPI, FLAG_RPI, 0]
    assert chunk.core_ts_ns[0] == 1_786_310_819_526_357_000
    assert chunk.exchange_ts_ns[:3].tolist() == [
        1_786_310_819_398_000_000, 1_786_310_819_398_000_000, 1_786_310_819_390_000_000,
    ]  # fmt: skip
    assert chunk.tick[:2].tolist() == [200, 201]
    assert chunk.lot[:2].tolist() == [10, 20]
    assert data.line_counts["other connection left out"] == 1


def test_a_jump_of_the_update_id_is_a_gap_until_the_next_snapshot(tmp_path: Path) -> None:
    rows = [
        *head(),
        *(recv(m) for m in (book(7, "snapshot"), book(9), book(10), book(20, "snapshot"))),
    ]

    data, found = kinds(write(tmp_path / "c.gz", rows))

    assert found == ["BOOK_SNAPSHOT", "FEED_GAP", "FEED_GAP", "BOOK_SNAPSHOT"]
    assert data.faults.counts == {"sequence_gap": 1}
    assert "line 7" in data.faults.examples[0]


def test_bad_frames_and_lines_are_counted_with_their_place(tmp_path: Path) -> None:
    rows = [
        *head(),
        "{torn",
        recv("{not json"),
        recv({"topic": "weather.ABCUSDT"}),
        recv(trades("10.01")),
        recv(trades("10.00", symbol="XYZUSDT")),
        recv(trades("10.00")),
    ]

    data, found = kinds(write(tmp_path / "c.gz", rows))

    assert found == ["TRADE"]
    assert data.faults.counts == {"bad_line": 1, "not_json": 1, "unknown_topic": 1, "off_grid": 1}
    assert data.line_counts["symbol left out"] == 1
    assert all(
        f"line {n}" in text for n, text in zip((6, 7, 8, 9), data.faults.examples, strict=True)
    )


def test_a_symbol_that_was_not_captured_is_refused_by_name(tmp_path: Path) -> None:
    path = write(tmp_path / "c.gz", [*head(), recv(trades("10.00"))])

    with pytest.raises(BadRecording, match="holds no NOPEUSDT; it has ABCUSDT"):
        open_market_data([path], symbols=["NOPEUSDT"])


def test_an_instruments_file_overrides_the_rules_of_a_capture(tmp_path: Path) -> None:
    path = write(tmp_path / "c.gz", [*head(), recv(trades("10.01"))])
    finer = json.loads(json.dumps(RULES))
    finer["priceFilter"]["tickSize"] = "0.01"
    rules = tmp_path / "rules.json"
    rules.write_text(json.dumps({"result": {"category": "linear", "list": [finer]}}))

    (chunk,) = open_market_data([path], instruments_file=rules).chunks

    assert chunk.tick.tolist() == [1001]


def test_the_archive_has_no_receive_time_so_the_sending_time_stands_in(tmp_path: Path) -> None:
    path = tmp_path / "xrpusdt.zip"
    messages = [book(1, "snapshot", "XRPUSDT", 500), book(2, "delta", "XRPUSDT", 500)]
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.data", "".join(json.dumps(m) + "\n" for m in messages))

    (chunk,) = open_market_data([path]).chunks

    assert chunk.kind.tolist() == [EventKind.BOOK_SNAPSHOT, EventKind.BOOK_DELTA]
    assert set(chunk.core_ts_ns.tolist()) == {1_786_310_819_400_000_000}
    assert set(chunk.exchange_ts_ns.tolist()) == {1_786_310_819_398_000_000}
