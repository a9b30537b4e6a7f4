"""Our frames and rows have the fields of messages captured from Bybit or printed in its documentation."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import connect

from tests.exchange.client import Client, subscribe
from tests.exchange.served import RunningExchange
from tests.exchange.test_rest_market import get

pytestmark = pytest.mark.shared_data


def shape(value: Any) -> Any:
    """Field names and JSON types; of a list the shape of its first element."""
    if isinstance(value, dict):
        return {name: shape(item) for name, item in value.items()}
    if isinstance(value, list):
        return [shape(value[0])] if value else []
    return type(value).__name__


def missing(expected: Any, ours: Any, where: str = "") -> list[str]:
    """What the captured message has and ours lacks, or has in another type. Extra fields are allowed."""
    if isinstance(expected, dict) and isinstance(ours, dict):
        return [
            problem
            for name, item in expected.items()
            for problem in (
                missing(item, ours[name], f"{where}.{name}")
                if name in ours
                else [f"{where}.{name}"]
            )
        ]
    if isinstance(expected, list) and isinstance(ours, list):
        return missing(expected[0], ours[0], f"{where}[]") if expected and ours else []
    return [] if expected == ours or "NoneType" in (expected, ours) else [f"{where}: {expected}"]


def captured(shared: Path, name: str) -> Any:
    return shape(json.loads((shared / "fixtures/bybit" / name).read_text(encoding="utf-8")))


@pytest.mark.parametrize(
    ("fixture", "path", "params"),
    [
        ("rest-market-time.json", "market/time", {}),
        ("rest-market-instruments-info-linear.json", "market/instruments-info", {"category": "linear"}),
        ("rest-market-orderbook.json", "market/orderbook", {"category": "linear", "symbol": "BTCUSDT"}),
        ("rest-market-recent-trade.json", "market/recent-trade",
         {"category": "linear", "symbol": "BTCUSDT"}),
        ("rest-market-tickers-linear.json", "market/tickers", {"category": "linear"}),
        ("rest-market-kline.json", "market/kline", {"symbol": "BTCUSDT", "interval": "5"}),
        ("rest-market-funding-history.json", "market/funding/history",
         {"category": "linear", "symbol": "BTCUSDT"}),
    ],
)  # fmt: skip
def test_a_rest_reply_has_every_field_of_the_captured_one(
    exchange: RunningExchange, shared: Path, fixture: str, path: str, params: dict[str, object]
) -> None:
    assert missing(captured(shared, fixture), shape(get(exchange, path, **params))) == []


def test_a_risk_limit_row_has_every_field_of_the_captured_one(
    exchange: RunningExchange, shared: Path
) -> None:
    ours = get(exchange, "market/risk-limit", category="linear", symbol="BTCUSDT")["result"]

    assert missing(captured(shared, "result-market-risk-limit.json"), shape(ours)) == []


@pytest.mark.parametrize(
    ("fixture", "topic", "kind"),
    [
        ("ws-orderbook-50-snapshot-3levels.json", "orderbook.50.BTCUSDT", "snapshot"),
        ("ws-orderbook-50-delta-docs.json", "orderbook.50.BTCUSDT", "delta"),
        ("ws-publicTrade.json", "publicTrade.BTCUSDT", "snapshot"),
        ("ws-tickers-snapshot-linear.json", "tickers.BTCUSDT", "snapshot"),
        ("ws-kline.json", "kline.5.BTCUSDT", "snapshot"),
    ],
)
async def test_a_push_has_every_field_of_the_captured_one(
    exchange: RunningExchange, shared: Path, fixture: str, topic: str, kind: str
) -> None:
    async with connect(exchange.public, compression=None) as connection:
        client = Client(connection)
        await client.ask(subscribe(topic))
        frame = await client.push_of(topic, kind)

    assert missing(captured(shared, fixture), shape(frame)) == []


@pytest.mark.parametrize(
    ("fixture", "request_frame"),
    [
        ("ws-public-pong.json", {"op": "ping", "req_id": "x"}),
        ("ws-public-subscribe-reply.json", subscribe("tickers.BTCUSDT", req_id="x")),
        (
            "ws-public-subscribe-error-unknown-topic.json",
            subscribe("orderbook.50.NOPEUSDT", req_id="x"),
        ),
    ],
)
async def test_a_reply_has_exactly_the_fields_of_the_captured_one(
    exchange: RunningExchange, shared: Path, fixture: str, request_frame: dict[str, object]
) -> None:
    async with connect(exchange.public, compression=None) as connection:
        reply = await Client(connection).ask(request_frame)

    assert shape(reply) == captured(shared, fixture)
