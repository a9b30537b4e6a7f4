"""pybit and ccxt as they are, only told another address (bybit-v5: real clients)."""

from __future__ import annotations

import asyncio
import queue
from collections.abc import Iterator
from typing import Any

import ccxt
import ccxt.pro
import pybit.unified_trading
import pytest
from pybit.exceptions import InvalidRequestError

from tests.exchange.served import RunningExchange

WAIT_S = 60.0
BTC = "BTC/USDT:USDT"


def pybit_http(exchange: RunningExchange) -> pybit.unified_trading.HTTP:
    session = pybit.unified_trading.HTTP()
    session.endpoint = exchange.rest
    return session


def test_pybit_reads_the_market_over_http(exchange: RunningExchange) -> None:
    session = pybit_http(exchange)
    try:
        assert int(session.get_server_time()["result"]["timeSecond"]) > 0
        instruments = session.get_instruments_info(category="linear")["result"]["list"]
        assert {row["symbol"] for row in instruments} >= {"BTCUSDT", "AI16ZUSDT"}
        book = session.get_orderbook(category="linear", symbol="BTCUSDT", limit=5)["result"]
        assert float(book["b"][0][0]) < float(book["a"][0][0])
        assert session.get_tickers(category="linear")["result"]["list"]
        assert session.get_kline(symbol="BTCUSDT", interval=1, category="linear")["result"]["list"]
        assert session.get_funding_rate_history(category="linear", symbol="BTCUSDT")["result"][
            "list"
        ]
        assert session.get_public_trade_history(category="linear", symbol="BTCUSDT")["result"][
            "list"
        ]
        assert session.get_risk_limit(category="linear", symbol="BTCUSDT")["result"]["list"]
        with pytest.raises(InvalidRequestError) as refused:
            session.get_orderbook(category="linear", symbol="NOPEUSDT")
        assert refused.value.status_code == 10001
    finally:
        session.client.close()


@pytest.fixture
def pybit_stream(
    exchange: RunningExchange, monkeypatch: pytest.MonkeyPatch
) -> Iterator[pybit.unified_trading.WebSocket]:
    url = exchange.public.replace("/linear", "/{CHANNEL_TYPE}")
    monkeypatch.setattr(pybit.unified_trading, "PUBLIC_WSS", url)
    stream = pybit.unified_trading.WebSocket(channel_type="linear", testnet=False)
    try:
        yield stream
    finally:
        stream.exit()


def test_pybit_follows_every_public_topic_and_its_book_stays_whole(
    pybit_stream: pybit.unified_trading.WebSocket,
) -> None:
    """pybit merges deltas by price text and dies of a delete it does not know."""
    heard: queue.Queue[dict[str, Any]] = queue.Queue()
    for depth in (1, 50, 200):
        pybit_stream.orderbook_stream(depth, "BTCUSDT", heard.put)
    pybit_stream.trade_stream(["BTCUSDT", "ETHUSDT"], heard.put)
    pybit_stream.ticker_stream("ETHUSDT", heard.put)
    pybit_stream.kline_stream(1, "BTCUSDT", heard.put)
    wanted = {f"orderbook.{depth}.BTCUSDT" for depth in (1, 50, 200)}
    wanted |= {"publicTrade.BTCUSDT", "publicTrade.ETHUSDT", "tickers.ETHUSDT", "kline.1.BTCUSDT"}
    books = 0

    while wanted or books < 100:
        message = heard.get(timeout=WAIT_S)
        wanted.discard(message["topic"])
        if message["topic"] == "orderbook.50.BTCUSDT":
            books += 1
            assert len(message["data"]["b"]) == len(message["data"]["a"]) == 50

    assert pybit_stream.is_connected()


def pointed(client: Any, exchange: RunningExchange) -> Any:
    api = client.urls["api"]
    api.update({name: exchange.rest for name, url in api.items() if isinstance(url, str)})
    if "ws" in api:
        api["ws"]["public"] = {
            name: exchange.public.replace("linear", name) for name in api["ws"]["public"]
        }
    return client


def test_ccxt_loads_all_its_markets_and_reads_one(exchange: RunningExchange) -> None:
    client = pointed(ccxt.bybit({"timeout": 20_000}), exchange)
    try:
        assert BTC in client.load_markets()
        assert client.market(BTC)["precision"] == {"amount": 0.001, "price": 0.1}
    finally:
        client.session.close()
    linear = pointed(ccxt.bybit({"options": {"fetchMarkets": {"types": ["linear"]}}}), exchange)
    try:
        linear.load_markets()
        book = linear.fetch_order_book(BTC, 10)
        assert book["bids"][0][0] < book["asks"][0][0]
        assert linear.fetch_trades(BTC)[-1]["price"] > 0
        assert len(linear.fetch_ohlcv(BTC, "1m", limit=10)) == 10
        assert linear.fetch_ticker(BTC)["last"] > 0
        assert linear.fetch_funding_rate_history(BTC)
        assert linear.fetch_time() > 0
    finally:
        linear.session.close()


async def test_ccxt_pro_watches_book_trades_ticker_and_candles(exchange: RunningExchange) -> None:
    options = {"options": {"fetchMarkets": {"types": ["linear"]}}}
    client = pointed(ccxt.pro.bybit(options), exchange)
    try:
        async with asyncio.timeout(WAIT_S):
            for _ in range(20):
                book = await client.watch_order_book(BTC)
                assert book["bids"][0][0] < book["asks"][0][0]
            assert await client.watch_trades(BTC)
            assert (await client.watch_ticker(BTC))["last"] > 0
            assert await client.watch_ohlcv(BTC, "1m")
    finally:
        await client.close()
