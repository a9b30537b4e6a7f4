"""The public websocket, request by request, as Bybit answers (V5 documentation and captured frames)."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from collections.abc import AsyncIterator

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from execution.exchange.build import synthetic_exchange
from execution.exchange.public_socket import MAX_ARGS_CHARS
from execution.exchange.server import ServerOptions
from tests.exchange.client import WAIT_S, Client, subscribe
from tests.exchange.served import RunningExchange, running


@pytest.fixture
async def client(exchange: RunningExchange) -> AsyncIterator[Client]:
    async with connect(exchange.public, compression=None) as connection:
        yield Client(connection)


async def test_a_ping_is_answered_as_the_public_channel_does(client: Client) -> None:
    reply = await client.ask({"op": "ping", "req_id": "p-1"})

    assert reply.pop("conn_id")
    assert reply == {"success": True, "ret_msg": "pong", "req_id": "p-1", "op": "ping"}


@pytest.mark.parametrize("req_id", ["a-1", 7, ""])
async def test_a_reply_echoes_the_request_id_in_its_own_type(
    client: Client, req_id: str | int
) -> None:
    reply = await client.ask(subscribe("publicTrade.BTCUSDT", req_id=req_id, callerMethodName="x"))

    assert (reply["success"], reply["ret_msg"], reply["op"]) == (True, "", "subscribe")
    assert reply["req_id"] == req_id
    assert type(reply["req_id"]) is type(req_id)


@pytest.mark.parametrize(
    "topic",
    [
        "orderbook.50.NOPEUSDT", "orderbook.50.btcusdt", "orderbook.500.BTCUSDT", "nonsense",
        "orderbook.BTCUSDT", "kline.7.BTCUSDT", "order", "publicTrade.5.BTCUSDT", "", 5,
    ],
)  # fmt: skip
async def test_one_bad_topic_spoils_its_whole_request(client: Client, topic: object) -> None:
    reply = await client.ask(subscribe("tickers.BTCUSDT", topic, "publicTrade.ETHUSDT"))  # type: ignore[arg-type]

    assert reply["success"] is False
    assert reply["ret_msg"] == f"error:handler not found,topic:{topic}"
    # Nothing of it was subscribed: the good topic can still be.
    assert (await client.ask(subscribe("tickers.BTCUSDT")))["success"] is True


async def test_a_topic_subscribed_twice_is_refused_and_keeps_running(client: Client) -> None:
    await client.ask(subscribe("orderbook.50.ETHUSDT"))
    reply = await client.ask(subscribe("orderbook.50.ETHUSDT", req_id="again"))

    assert reply["ret_msg"] == "error:already subscribed,topic:orderbook.50.ETHUSDT"
    client.pushes.clear()
    assert (await client.push_of("orderbook.50.ETHUSDT"))["type"] == "delta"


async def test_what_is_no_json_or_no_known_request_is_answered_and_the_socket_stays_open(
    client: Client,
) -> None:
    for bad in ("{not json", "[]", "12", '"x"', "\x00", "[" * 5000):
        reply = await client.ask(bad)
        assert reply["success"] is False
        assert reply["ret_msg"].startswith("Failed to decode incoming data:")
    for request in ({"op": "dance"}, {}, {"op": 5}, {"op": None, "req_id": {}}):
        assert (await client.ask(request))["ret_msg"] == "error:invalid op"
    for args in (None, [], "tickers.BTCUSDT", {}):
        assert (await client.ask({"op": "subscribe", "args": args}))["success"] is False

    assert (await client.ask({"op": "ping"}))["ret_msg"] == "pong"


async def test_the_arguments_of_one_connection_are_limited(client: Client) -> None:
    topics = [f"kline.{i}.{s}" for i in ("1", "3") for s in ("BTCUSDT", "ETHUSDT")]
    too_many = topics + [f"tickers.{'X' * 200}"] * (MAX_ARGS_CHARS // 200)

    assert (await client.ask(subscribe(*too_many)))["success"] is False
    assert (await client.ask(subscribe(*topics)))["success"] is True


async def test_after_unsubscribing_nothing_more_comes_and_a_new_subscription_starts_afresh(
    client: Client,
) -> None:
    topic = "orderbook.50.BTCUSDT"
    await client.ask(subscribe(topic))
    first = await client.push_of(topic, "snapshot")
    await client.push_of(topic, "delta")

    reply = await client.ask({"op": "unsubscribe", "args": [topic], "req_id": 3})
    assert (reply["success"], reply["op"], reply["req_id"]) == (True, "unsubscribe", 3)
    client.pushes.clear()
    await client.ask({"op": "ping"})
    assert client.pushes == []

    await client.ask(subscribe(topic))
    second = await client.push_of(topic)
    assert second["type"] == "snapshot"
    assert second["data"]["u"] > first["data"]["u"]


@pytest.mark.parametrize("depth", [50, 200, 1000])
async def test_a_book_topic_is_a_snapshot_and_then_deltas_without_a_gap(
    client: Client, depth: int
) -> None:
    """`u` rises by one, `seq` never falls, deletes name held levels, the book never crosses,
    and a book with enough orders holds exactly `depth` levels."""
    topic = f"orderbook.{depth}.BTCUSDT"
    await client.ask(subscribe(topic))
    frame = await client.push_of(topic)
    assert frame["type"] == "snapshot"
    assert frame["data"]["u"] > 1
    book = {side: dict(map(tuple, frame["data"][side])) for side in "ba"}
    last = frame["data"]
    for _ in range(25):
        frame = await client.push_of(topic)
        data = frame["data"]
        assert frame["type"] == "delta"
        assert data["u"] == last["u"] + 1
        assert data["seq"] >= last["seq"]
        assert frame["cts"] <= frame["ts"]
        for side in "ba":
            prices = [float(price) for price, _ in data[side]]
            assert prices == sorted(prices, reverse=side == "b")
            for price, size in data[side]:
                assert len(price.partition(".")[2]) == 2
                if size == "0":
                    del book[side][price]
                else:
                    book[side][price] = size
        assert max(map(float, book["b"])) < min(map(float, book["a"]))
        if depth == 50:  # a side rests on some two hundred prices, at times on a few less
            assert len(book["b"]) == len(book["a"]) == depth
        assert max(len(book["b"]), len(book["a"])) <= depth
        last = data


async def test_tickers_come_whole_once_and_then_only_what_changed(client: Client) -> None:
    await client.ask(subscribe("tickers.ETHUSDT"))
    whole = await client.push_of("tickers.ETHUSDT", "snapshot")
    assert len(whole["data"]) > 20
    assert all(isinstance(value, str) for value in whole["data"].values())
    known = dict(whole["data"])
    for _ in range(10):
        frame = await client.push_of("tickers.ETHUSDT")
        assert frame["type"] == "delta"
        changed = {k: v for k, v in frame["data"].items() if k != "symbol"}
        assert frame["data"]["symbol"] == "ETHUSDT"
        assert changed
        assert all(known[name] != value for name, value in changed.items())
        known.update(changed)


async def test_trades_and_candles_tell_the_same_story(client: Client) -> None:
    await client.ask(subscribe("publicTrade.BTCUSDT", "kline.1.BTCUSDT", "allLiquidation.BTCUSDT"))
    trade = (await client.push_of("publicTrade.BTCUSDT"))["data"][0]
    assert trade["S"] in ("Buy", "Sell")
    assert float(trade["v"]) > 0
    assert trade["s"] == "BTCUSDT"
    candle = (await client.push_of("kline.1.BTCUSDT"))["data"][0]
    low, high = float(candle["low"]), float(candle["high"])
    assert low <= float(candle["close"]) <= high
    assert candle["confirm"] is False
    assert candle["end"] - candle["start"] == 59_999


async def test_compression_is_accepted_when_offered(exchange: RunningExchange) -> None:
    async with connect(exchange.public, compression="deflate") as connection:
        assert "permessage-deflate" in connection.response.headers["Sec-WebSocket-Extensions"]
        client = Client(connection)
        await client.ask(subscribe("orderbook.200.BTCUSDT"))
        assert (await client.push_of("orderbook.200.BTCUSDT"))["type"] == "snapshot"


async def test_channels_that_are_not_served_are_refused_cleanly(exchange: RunningExchange) -> None:
    for path in ("/v5/private", "/v5/trade", "/v5/public/spot"):
        with pytest.raises(Exception, match="404"):
            await connect(f"ws://127.0.0.1:{exchange.port}{path}")


async def test_a_client_that_does_not_read_is_cut_off_and_the_others_go_on() -> None:
    """The slow one has a tiny receive buffer and never reads; its queue of 200 frames fills up."""
    server = synthetic_exchange(
        seed=4, symbols=("BTCUSDT", "ETHUSDT"), options=ServerOptions(speed=5.0, queue_limit=200)
    )
    topics = [f"orderbook.{d}.{s}" for d in (1, 50, 200, 1000) for s in ("BTCUSDT", "ETHUSDT")]
    with running(server) as busy:
        raw = socket.socket()
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        raw.connect(("127.0.0.1", busy.port))
        raw.sendall(
            b"GET /v5/public/linear HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n"
            b"Connection: Upgrade\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
            b"Sec-WebSocket-Version: 13\r\n\r\n"
        )
        request = json.dumps(subscribe(*topics)).encode()
        raw.sendall(struct.pack("!BBH", 0x81, 0x80 | 126, len(request)) + b"\0\0\0\0" + request)
        async with connect(busy.public, compression=None, max_queue=None) as connection:
            client = Client(connection)
            await client.ask(subscribe("orderbook.50.ETHUSDT"))
            frames = 0
            async with asyncio.timeout(60):
                while busy.call(lambda: server.venue.subscriber_count("orderbook.50.BTCUSDT")) or (
                    frames < 100
                ):
                    await client.push_of("orderbook.50.ETHUSDT")
                    frames += 1
        raw.close()


async def test_clients_are_told_that_the_exchange_goes_away() -> None:
    with running(synthetic_exchange(seed=4, symbols=("GRIFFAINUSDT",))) as short:
        connection = await connect(short.public)
        await Client(connection).ask({"op": "ping"})
    closed = None
    while closed is None:
        try:
            async with asyncio.timeout(WAIT_S):
                await connection.recv()
        except ConnectionClosed as error:
            closed = error
    assert closed.rcvd is not None
    assert closed.rcvd.code == 1001
