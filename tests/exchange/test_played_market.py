"""The exchange plays a recorded file: a raw Bybit v5 capture or our own recording."""

from __future__ import annotations

import asyncio
import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from websockets.asyncio.client import connect

from execution.domain.synthetic_instruments import synthetic_instruments
from execution.domain.synthetic_market import synthetic_chunks
from execution.domain.synthetic_outbox import Channel
from execution.exchange.build import BadMarket, played_exchange
from execution.exchange.played_market import PlayedMarket
from execution.exchange.recorded_market import open_recorded
from execution.exchange.server import ServerOptions
from execution.exchange.venue_facts import instrument_row
from market.domain.events import ASK, BID, EventKind
from tests.exchange.client import WAIT_S, Client, subscribe
from tests.exchange.served import running

SECOND_NS = 1_000_000_000
T0 = 1_763_424_000.0


def a_capture(path: Path, frames: list[tuple[float, dict[str, Any]]]) -> Path:
    """Write a capture of one linear connection (and noise that must be passed over)."""
    row = instrument_row(synthetic_instruments()[0])
    rules = {"retCode": 0, "result": {"category": "linear", "list": [row]}}
    lines: list[object] = [
        {"t": "header", "format": 2},
        {"t": "http", "url": "…/instruments-info?category=linear", "data": json.dumps(rules)},
        {"t": "connect", "conn": "ws.2", "addr": "wss://stream.bybit.com/v5/public/linear"},
        {"t": "connect", "conn": "ws.3", "addr": "wss://stream.bybit.com/v5/public/spot"},
        {"t": "recv", "conn": "ws.3", "ts": T0, "data": '{"topic":"orderbook.50.BTCUSDT"}'},
    ]
    lines += [
        {
            "t": "recv",
            "conn": "ws.2",
            "ts": T0 + at,
            "data": json.dumps(frame, separators=(",", ":")),
        }
        for at, frame in frames
    ]
    text = "\n".join(json.dumps(line) for line in lines) + '\n{"t":"recv","conn":"ws.2","ts'
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


def book(kind: str, u: int, bids: list[list[str]], asks: list[list[str]]) -> dict[str, Any]:
    return {
        "topic": "orderbook.200.BTCUSDT",
        "type": kind,
        "ts": int(T0 * 1000) + u,
        "data": {"s": "BTCUSDT", "b": bids, "a": asks, "u": u, "seq": u},
        "cts": int(T0 * 1000) + u - 1,
    }


SNAPSHOT = book("snapshot", 5, [["100.10", "1"], ["100.00", "2"]], [["100.20", "3"]])
DELTA = book("delta", 6, [["100.10", "0"]], [["100.20", "1.5"], ["100.30", "4"]])
TRADE = {
    "topic": "publicTrade.BTCUSDT",
    "type": "snapshot",
    "ts": int(T0 * 1000) + 9,
    "data": [
        {"T": int(T0 * 1000) + 9, "s": "BTCUSDT", "S": "Sell", "v": "0.5", "p": "100.10",
         "L": "MinusTick", "i": "x", "BT": False, "RPI": False, "seq": 9},
    ],
}  # fmt: skip


@pytest.mark.parametrize("name", ["capture.jsonl", "capture.jsonl.gz"])
async def test_a_capture_is_served_as_it_was_recorded_at_its_pace(
    tmp_path: Path, name: str
) -> None:
    """The book at every depth, the trade, and then a standing market whose touch is repeated."""
    path = a_capture(tmp_path / name, [(0.0, SNAPSHOT), (1.0, DELTA), (1.5, TRADE)])
    server = played_exchange(path, options=ServerOptions(speed=4.0))
    board = server.venue.boards[0]
    with running(server) as played:
        async with connect(played.public, compression=None) as connection:
            client = Client(connection)
            async with asyncio.timeout(WAIT_S):
                while not played.call(lambda: board.trades):
                    await client.ask({"op": "ping"})
            await client.ask(subscribe("orderbook.1.BTCUSDT", "orderbook.50.BTCUSDT"))
            whole = await client.push_of("orderbook.50.BTCUSDT", "snapshot")
            touches = [await client.push_of("orderbook.1.BTCUSDT") for _ in range(3)]

    trade = board.trades[0]
    assert (trade.side, trade.tick, trade.lots) == ("Sell", 1001, 500)
    assert whole["data"]["b"] == [["100.00", "2.000"]]
    assert whole["data"]["a"] == [["100.20", "1.500"], ["100.30", "4.000"]]
    last, repeated = touches[-2:]
    assert {touch["type"] for touch in touches} == {"snapshot"}
    assert repeated["data"] == last["data"]
    assert repeated["ts"] - last["ts"] >= 2990


def test_a_recording_played_back_has_the_book_it_was_made_from() -> None:
    """Chunks of the synthetic market through the player: at the end both hold the same 50 levels."""
    symbols = ("ETHUSDT", "AI16ZUSDT")
    chunks = list(synthetic_chunks(3, 12, symbols=symbols))
    expected = [({}, {}) for _ in symbols]  # type: list[tuple[dict[int, int], dict[int, int]]]
    trades = 0
    for chunk in chunks:
        trades += int(np.count_nonzero(chunk.kind == EventKind.TRADE))
        for i in range(len(chunk)):
            if chunk.kind[i] not in (EventKind.BOOK_SNAPSHOT, EventKind.BOOK_DELTA):
                continue
            span = slice(int(chunk.level_offset[i]), int(chunk.level_offset[i + 1]))
            columns = (chunk.side[span], chunk.tick[span], chunk.lot[span])
            for side, tick, lot in zip(*(c.tolist() for c in columns), strict=True):
                if lot:
                    expected[chunk.symbol[i]][side][tick] = lot
                else:
                    del expected[chunk.symbol[i]][side][tick]
    player = PlayedMarket(synthetic_instruments(symbols), iter(chunks), start_ns=7 * SECOND_NS)

    played = player.step(7 * SECOND_NS + 20 * SECOND_NS)

    assert player.is_finished
    assert np.count_nonzero(played.channel == Channel.TRADE) == trades
    assert (np.diff(played.sent_ns) >= -10_000_000).all()
    for index, (bids, asks) in enumerate(expected):
        held_bids, held_asks = player.window(index, 50)
        assert [tuple(row) for row in held_bids.tolist()] == sorted(bids.items(), reverse=True)
        assert [tuple(row) for row in held_asks.tolist()] == sorted(asks.items())
    assert (BID, ASK) == (0, 1)


def test_what_cannot_be_played_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "noise.jsonl").write_bytes(b"\x00\xff not a recording\n" * 3)
    (tmp_path / "empty.jsonl").touch()
    (tmp_path / "torn.jsonl.gz").write_bytes(gzip.compress(b'{"t":"header"}\n' * 99)[:40])
    (tmp_path / "folder").mkdir()
    paths = ["noise.jsonl", "empty.jsonl", "torn.jsonl.gz", "folder", "nowhere"]
    for path in (tmp_path / name for name in paths):
        with pytest.raises(BadMarket) as refused:
            played_exchange(path)
        assert str(path) in str(refused.value)
        assert "\n" not in str(refused.value)


@pytest.mark.shared_data
def test_the_real_capture_plays_without_a_crossed_or_empty_book(shared: Path) -> None:
    """All four linear symbols, 42 s: every book stands after the first second and never crosses."""
    recorded = open_recorded(shared / "data/bybit_v5_raw/bybit_v5_public_20260809T2126.jsonl.gz")
    symbols = [instrument.symbol for instrument in recorded.instruments]
    player = PlayedMarket(recorded.instruments, recorded.chunks, start_ns=SECOND_NS)
    for symbol in range(len(symbols)):
        player.enable_depth(symbol, 200, on=True)
    counts: dict[int, int] = {}
    for second in range(2, 48):
        messages = player.step(second * SECOND_NS)
        for channel, count in zip(*np.unique(messages.channel, return_counts=True), strict=True):
            counts[int(channel)] = counts.get(int(channel), 0) + int(count)
        for symbol in range(len(symbols)) if second > 5 else ():
            bids, asks = player.window(symbol, 200)
            assert bids[0, 0] < asks[0, 0]
            assert len(bids) == len(asks) == 200

    assert player.is_finished
    assert symbols == ["BTCUSDT", "DOGEUSDT", "ETHUSDT", "SOLUSDT"]
    assert counts[Channel.TRADE] > 150
    assert counts[Channel.TICKER] > 100
    assert counts[Channel.BOOK_200] > 1000
