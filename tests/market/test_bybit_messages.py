"""Parsers of the public websocket: real messages, our own from the protocol, and hostile ones."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from market.adapters.bybit_messages import (
    BadMessage,
    BookMessage,
    KlineMessage,
    LiquidationMessage,
    Reply,
    TickerMessage,
    TradeMessage,
    named_topic,
    parse,
)
from market.domain.config import MarketConfig
from market.domain.errors import BadPayload
from market.domain.kernel import MarketKernel
from market.services.hub import MarketHub
from tests.market.helpers import HandClock, an_instrument

OWN: dict[str, tuple[type, bytes]] = {
    "book snapshot": (
        BookMessage,
        (
            b'{"topic":"orderbook.50.BTCUSDT","type":"snapshot","ts":1700000000005,"data":{"s":"BTCUSDT",'
            b'"b":[["100.10","1.5"],["100.00","2"]],"a":[["100.20","0.7"]],"u":7,"seq":70},'
            b'"cts":1700000000003}'
        ),
    ),
    "touch with another key order": (
        BookMessage,
        (
            b'{"ts":1700000000005,"type":"snapshot","data":{"u":7,"seq":70,"a":[],"b":[],"s":"BTCUSDT"},'
            b'"topic":"orderbook.1.BTCUSDT"}'
        ),
    ),
    "trades": (
        TradeMessage,
        (
            b'{"topic":"publicTrade.BTCUSDT","type":"snapshot","ts":1700000000005,"data":[{"T":1700000000004,'
            b'"s":"BTCUSDT","S":"Sell","v":"0.001","p":"100.10","L":"PlusTick","i":"a-b","BT":false,'
            b'"RPI":true,"seq":71},{"T":1700000000004,"s":"BTCUSDT","S":"Buy","v":"2","p":"100.2",'
            b'"i":"c","BT":true}]}'
        ),
    ),
    "ticker snapshot": (
        TickerMessage,
        (
            b'{"topic":"tickers.BTCUSDT","type":"snapshot","cs":1,"ts":1700000000005,"data":{"symbol":"BTCUSDT",'
            b'"lastPrice":"100.1","markPrice":"100.11","indexPrice":"100.12","fundingRate":"-0.0001",'
            b'"nextFundingTime":"1700006400000","openInterest":"12.5","preOpenPrice":""}}'
        ),
    ),
    "ticker delta": (
        TickerMessage,
        (
            b'{"topic":"tickers.BTCUSDT","type":"delta","cs":2,"ts":1700000000105,"data":{"symbol":"BTCUSDT",'
            b'"markPrice":"100.21"}}'
        ),
    ),
    "kline": (
        KlineMessage,
        (
            b'{"topic":"kline.1.BTCUSDT","type":"snapshot","ts":1700000000005,"data":[{"start":1699999980000,'
            b'"end":1700000039999,"interval":"1","open":"1","close":"1","high":"1","low":"1","volume":"1",'
            b'"turnover":"1","confirm":true,"timestamp":1700000000005}]}'
        ),
    ),
    "liquidation": (
        LiquidationMessage,
        (
            b'{"topic":"allLiquidation.BTCUSDT","type":"snapshot","ts":1700000000005,"data":[{"T":1700000000001,'
            b'"s":"BTCUSDT","S":"Buy","v":"3","p":"99.1"}]}'
        ),
    ),
    "subscribed": (
        Reply,
        b'{"success":true,"ret_msg":"","conn_id":"x","req_id":"1","op":"subscribe"}',
    ),
    "refused": (
        Reply,
        (
            b'{"success":false,"ret_msg":"error:handler not found,topic:orderbook.50.NOPEUSDT","conn_id":"x",'
            b'"req_id":17,"op":"subscribe"}'
        ),
    ),
    "pong": (Reply, b'{"success":true,"ret_msg":"pong","conn_id":"x","req_id":"","op":"ping"}'),
}


@pytest.mark.parametrize("name", OWN)
def test_each_kind_of_message_becomes_its_struct(name: str) -> None:
    kind, frame = OWN[name]

    assert isinstance(parse(frame), kind)
    assert parse(frame.decode()) == parse(frame)


def test_the_fields_of_a_book_and_a_trade_are_the_exchanges_own_text() -> None:
    book, trades = parse(OWN["book snapshot"][1]), parse(OWN["trades"][1])

    assert isinstance(book, BookMessage)
    assert book.data.b == [("100.10", "1.5"), ("100.00", "2")]
    assert (book.data.u, book.cts, book.type) == (7, 1_700_000_000_003, "snapshot")
    assert isinstance(trades, TradeMessage)
    assert [(t.S, t.p, t.v, t.RPI, t.BT) for t in trades.data] == [
        ("Sell", "100.10", "0.001", True, False),
        ("Buy", "100.2", "2", False, True),
    ]


@pytest.mark.parametrize(
    ("ret_msg", "topic"),
    [
        ("error:handler not found,topic:orderbook.50.NOPEUSDT", "orderbook.50.NOPEUSDT"),
        ("error:already subscribed,topic:orderbook.1.ETHUSDT", "orderbook.1.ETHUSDT"),
        ("Invalid topic: invalid.topic.BTCUSDT", "invalid.topic.BTCUSDT"),
        ("error:invalid op", ""),
    ],
)
def test_the_topic_a_refusal_names_is_found(ret_msg: str, topic: str) -> None:
    assert named_topic(ret_msg) == topic


_FIXTURES = {
    "ws-allLiquidation": LiquidationMessage,
    "ws-kline": KlineMessage,
    "ws-orderbook-50-delta": BookMessage,
    "ws-orderbook-50-delta-docs": BookMessage,
    "ws-orderbook-50-snapshot-3levels": BookMessage,
    "ws-public-pong": Reply,
    "ws-public-subscribe-error-duplicate": Reply,
    "ws-public-subscribe-error-unknown-topic": Reply,
    "ws-public-subscribe-reply": Reply,
    "ws-publicTrade": TradeMessage,
    "ws-tickers-delta": TickerMessage,
    "ws-tickers-snapshot-linear": TickerMessage,
    "nautilus/ws_subscription_failure": Reply,
    "nautilus/ws_ticker_linear": TickerMessage,
}


@pytest.mark.shared_data
@pytest.mark.parametrize("name", _FIXTURES)
def test_every_captured_public_message_is_understood(shared: Path, name: str) -> None:
    frame = (shared / "fixtures" / "bybit" / f"{name}.json").read_bytes()

    message = parse(frame)

    assert isinstance(message, _FIXTURES[name])
    original = json.loads(frame)
    for key in ("topic", "ts", "op", "success", "ret_msg"):
        if key in original:
            assert getattr(message, key) == original[key]


@pytest.mark.shared_data
def test_no_captured_public_message_is_left_out_of_these_tests(shared: Path) -> None:
    fixtures = shared / "fixtures" / "bybit"
    public = {p.stem for p in fixtures.glob("ws-*.json")} - {
        p.stem
        for pattern in ("ws-private-*", "ws-trade-*")
        for p in fixtures.glob(pattern + ".json")
    }
    sent_by_us = {"ws-public-subscribe-request"}

    assert public - sent_by_us - {"ws-orderbook-500-replay"} <= set(_FIXTURES)


@pytest.mark.shared_data
def test_a_recorded_book_of_500_levels_replays_without_a_gap(shared: Path) -> None:
    frames = json.loads((shared / "fixtures/bybit/ws-orderbook-500-replay.json").read_bytes())
    books = [parse(json.dumps(frame)) for frame in frames]

    assert all(isinstance(book, BookMessage) for book in books)
    assert [book.data.u for book in books] == list(
        range(books[0].data.u, books[0].data.u + len(books))
    )


@pytest.mark.shared_data
def test_every_message_of_the_real_linear_capture_is_understood(shared: Path) -> None:
    path = shared / "data/bybit_v5_raw/bybit_v5_public_20260809T2126.jsonl.gz"
    expected, parsed = Counter[str](), Counter[str]()
    with gzip.open(path) as file:
        for line in map(json.loads, file):
            if line["t"] == "recv" and line["conn"] == "BYBIT.ws.2":
                expected[json.loads(line["data"]).get("topic", "reply").partition(".")[0]] += 1
                parsed[type(parse(line["data"])).__name__] += 1

    assert parsed == {
        "BookMessage": expected["orderbook"],
        "TradeMessage": expected["publicTrade"],
        "TickerMessage": expected["tickers"],
        "KlineMessage": expected["kline"],
        "Reply": expected["reply"],
    }
    assert min(parsed.values()) > 10


# --- hostile input: whatever it is, the answer is a message or BadMessage


def _accepts(frame: bytes) -> None:
    try:
        message = parse(frame)
    except BadMessage as refused:
        reason = refused
    else:
        _feed(message)
        return
    assert reason.kind
    assert len(str(reason)) < 400


def _feed(message: object) -> None:
    """What parses must be taken or refused by the hub, never blow it up."""
    hub = _HUB
    try:
        if isinstance(message, BookMessage):
            hub.on_raw_orderbook(
                "BTCUSDT",
                {
                    "subtype": "DELTA",
                    "bids": message.data.b,
                    "asks": message.data.a,
                    "ts": message.ts,
                },
            )
        elif isinstance(message, TradeMessage):
            for trade in message.data:
                hub.on_raw_trade(
                    "BTCUSDT", {"price": trade.p, "qty": trade.v, "side": trade.S, "ts": trade.T}
                )
        elif isinstance(message, TickerMessage):
            hub.on_raw_ticker("BTCUSDT", {"markPrice": message.data.mark_price, "ts": message.ts})
    except BadPayload:
        pass
    hub.flush()


_HUB = MarketHub(
    [an_instrument()], MarketKernel([an_instrument()], MarketConfig()), clock=HandClock()
)


@given(st.binary(max_size=400))
def test_random_bytes_never_stop_the_parser(frame: bytes) -> None:
    _accepts(frame)


@given(st.sampled_from(sorted(OWN)), st.data())
@settings(max_examples=80)
def test_mutilated_real_frames_never_stop_the_parser(name: str, data: st.DataObject) -> None:
    frame = bytearray(OWN[name][1])
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, max(0, len(frame) - 1)))
        match data.draw(st.integers(0, 3)):
            case 0:
                del frame[at:]
            case 1:
                frame[at : at + 1] = data.draw(st.binary(max_size=6))
            case 2:
                frame[at : at + 1] = data.draw(
                    st.sampled_from([b'"', b"{", b"[", b"]", b"null", b"-1", b"1e999", b"\\u0000"])
                )
            case 3:
                frame[at:at] = frame[max(0, at - 20) : at]

    _accepts(bytes(frame))


_hostile_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**80), 2**80)
    | st.floats()
    | st.sampled_from(["NaN", "-1", "1e400", "Infinity", "", "0", "9" * 5000])
    | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)  # fmt: skip


@given(st.sampled_from(sorted(OWN)), st.data())
@settings(max_examples=300)
def test_wrong_types_and_absurd_values_never_stop_the_parser(
    name: str, data: st.DataObject
) -> None:
    """Any value anywhere in a real frame replaced by something it should not be."""
    message = json.loads(OWN[name][1])
    node = message
    while isinstance(node, (dict, list)) and node:
        keys = list(node) if isinstance(node, dict) else list(range(len(node)))
        key = data.draw(st.sampled_from(keys))
        if not isinstance(node[key], (dict, list)) or data.draw(st.booleans()):
            node[key] = data.draw(_hostile_values)
            break
        node = node[key]

    _accepts(json.dumps(message).encode())


@pytest.mark.parametrize(
    "opening", [b"[", b'{"a":', b'{"topic":"orderbook.50.BTCUSDT","x":' + b"["]
)
@pytest.mark.parametrize("depth", [1_000, 1_000_000])
def test_deep_nesting_never_stops_the_parser(opening: bytes, depth: int) -> None:
    with pytest.raises(BadMessage):
        parse(opening + opening[-1:] * depth)
    with pytest.raises(BadMessage):
        parse(b'{"topic":"orderbook.50.BTCUSDT","x":' + b'{"a":' * depth)


@pytest.mark.parametrize(
    "frame",
    [
        b'{"topic":"orderbook.50.BTCUSDT","x":"' + b"x" * 10_000_000 + b'"}',
        b'{"topic":"orderbook.50.BTCUSDT","type":"delta","ts":' + b"9" * 10_000_000 + b"}",
        b" " * 10_000_000,
    ],
)
def test_a_frame_of_ten_megabytes_never_stops_the_parser(frame: bytes) -> None:
    with pytest.raises(BadMessage):
        parse(frame)


def test_a_message_with_two_topics_is_judged_by_what_it_means() -> None:
    """Of a repeated key the last one holds; the struct then fits the topic or the frame is refused."""
    frame = OWN["book snapshot"][1].replace(b'"type"', b'"topic":"publicTrade.BTCUSDT","type"', 1)

    with pytest.raises(BadMessage):
        parse(frame)
