"""The public connector against a server that misbehaves on command."""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from market.adapters.bybit_book_sequence import BookSequence, Verdict
from market.adapters.bybit_public_ws import BybitPublicFeed
from market.adapters.bybit_topics import (
    MAX_CONNECTION_CHARS,
    FeedTimings,
    split_by_connection,
    topics_of,
)
from market.domain.config import MarketConfig
from market.domain.errors import BadPayload
from market.domain.events import EventKind
from market.domain.kernel import MarketKernel
from market.services.hub import MarketHub
from tests.market.helpers import CollectedChunks, HandClock, an_instrument
from tests.market.misbehaving_server import (
    MisbehavingServer,
    book_frame,
    eventually,
    trade_frame,
)

FAST = FeedTimings(
    ping_every_s=0.2,
    silent_socket_s=60,
    silent_book_s=60,
    check_every_s=0.02,
    backoff_first_s=0.01,
    backoff_max_s=0.05,
    reply_within_s=60,
)


class HeardCalls:
    """A hub that only remembers what it was told."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, str, Any]] = []

    def on_raw_trade(self, symbol: str, payload: Mapping[str, Any]) -> None:
        self.calls.append(("trade", symbol, payload))

    def on_raw_orderbook(self, symbol: str, payload: Mapping[str, Any]) -> None:
        if any(price == "0.3" for price, _ in payload["bids"]):
            raise BadPayload("off_grid", "0.3")
        self.calls.append((payload["subtype"], symbol, payload))

    def on_raw_ticker(self, symbol: str, payload: Mapping[str, Any]) -> None:
        self.calls.append(("ticker", symbol, payload))

    def on_gap(self, symbol: str) -> None:
        self.calls.append(("gap", symbol, None))

    def on_liveness(self, symbol: str) -> None:
        self.calls.append(("alive", symbol, None))

    def count(self, what: str, symbol: str = "BTCUSDT") -> int:
        return sum(1 for call in self.calls if call[:2] == (what, symbol))

    def books(self) -> list[str]:
        return [call[0] for call in self.calls if call[0] in ("SNAPSHOT", "DELTA", "gap")]


@pytest.fixture
async def server() -> AsyncIterator[MisbehavingServer]:
    async with MisbehavingServer() as server:
        yield server


@pytest.fixture
def heard() -> HeardCalls:
    return HeardCalls()


@contextlib.asynccontextmanager
async def a_running_feed(
    url: str, sink: Any, symbols: tuple[str, ...] = ("BTCUSDT",), **options: Any
) -> AsyncIterator[BybitPublicFeed]:
    options.setdefault("timings", FAST)
    feed = BybitPublicFeed(url, symbols, sink, rng=random.Random(7), is_local=True, **options)
    stopping = asyncio.Event()
    task = asyncio.create_task(feed.run(stopping))
    try:
        yield feed
    finally:
        stopping.set()
        async with asyncio.timeout(60):
            await task


BOOK = "orderbook.50.BTCUSDT"


async def test_twenty_symbols_are_subscribed_in_requests_of_ten(server, heard) -> None:
    symbols = tuple(f"S{i}USDT" for i in range(20))
    async with a_running_feed(server.url, heard, symbols):
        await eventually(lambda: len(server.subscribed()) == 100)

    assert max(len(args) for _, args in server.requests) == 10
    asked = {topic for _, args in server.requests for topic in args}
    for symbol in symbols:
        assert f"orderbook.50.{symbol}" in asked
        assert heard.count("SNAPSHOT", symbol) == 1


def test_a_long_list_of_symbols_is_spread_over_connections_within_the_limit() -> None:
    topics = topics_of([f"SYMBOL{i}USDT" for i in range(700)], 50)

    groups = split_by_connection(topics)

    assert [t for group in groups for t in group] == topics
    assert len(groups) > 1
    for group in groups:
        assert sum(len(t.name) for t in group) <= MAX_CONNECTION_CHARS


async def test_a_delta_follows_its_snapshot_and_a_jump_asks_for_a_new_one(server, heard) -> None:
    async with a_running_feed(server.url, heard) as feed:
        await eventually(lambda: heard.books() == ["SNAPSHOT"])
        await server.send(book_frame(BOOK, "delta", 101, [["100.1", "2"]]))
        await server.send(book_frame(BOOK, "delta", 103, [["100.2", "2"]]))
        await server.send(book_frame(BOOK, "delta", 104, [["100.3", "2"]]))
        await eventually(lambda: heard.count("SNAPSHOT") == 2)

    assert heard.books()[:4] == ["SNAPSHOT", "DELTA", "gap", "SNAPSHOT"]
    assert ("unsubscribe", [BOOK]) in server.requests
    assert feed.stats.gaps == 1


async def test_a_restarted_service_replaces_the_book_with_update_id_one(server, heard) -> None:
    async with a_running_feed(server.url, heard):
        await eventually(lambda: heard.books() == ["SNAPSHOT"])
        await server.send(book_frame(BOOK, "snapshot", 1, [["99", "1"]], [["101", "1"]]))
        await server.send(book_frame(BOOK, "delta", 2, [["99", "0"]]))
        await eventually(lambda: heard.count("DELTA") == 1)

    assert heard.books()[:3] == ["SNAPSHOT", "SNAPSHOT", "DELTA"]


async def test_a_delta_before_the_snapshot_is_left_out(server, heard) -> None:
    server.on_subscribed = lambda topics: [
        frame
        for topic in topics
        if topic == BOOK
        for frame in (
            book_frame(topic, "delta", 99, [["1", "1"]]),
            book_frame(topic, "snapshot", 100, [["2", "1"]]),
            book_frame(topic, "delta", 100, [["3", "1"]]),
            book_frame(topic, "delta", 101, [["4", "1"]]),
        )
    ]
    async with a_running_feed(server.url, heard) as feed:
        await eventually(lambda: heard.count("DELTA") == 1)

    assert heard.books()[:2] == ["SNAPSHOT", "DELTA"]
    assert feed.stats.ignored == {"EARLY": 1, "REPEATED": 1}


async def test_one_unknown_topic_does_not_spoil_the_others(server, heard, caplog) -> None:
    server.unknown_topics = {"orderbook.50.NOPEUSDT", "tickers.NOPEUSDT"}
    async with a_running_feed(server.url, heard, ("NOPEUSDT", "BTCUSDT")) as feed:
        await eventually(lambda: len(server.subscribed()) == 8)
        states = feed.symbol_states(0.0)

    assert sorted(states["NOPEUSDT"]["refused"]) == sorted(server.unknown_topics)
    assert states["BTCUSDT"]["refused"] == []
    assert heard.count("SNAPSHOT") == 1
    refused = [r.topic for r in caplog.records if r.message == "topic_refused"]
    assert sorted(refused) == sorted(server.unknown_topics)


async def test_a_refusal_that_names_no_topic_is_narrowed_down_one_by_one(server, heard) -> None:
    server.unknown_topics = {"kline.1.BTCUSDT"}
    server.unknown_text = "error:something is wrong"
    server.echoes_request_id = False
    async with a_running_feed(server.url, heard) as feed:
        await eventually(lambda: len(server.subscribed()) == 4)
        await eventually(lambda: feed.symbol_states(0.0)["BTCUSDT"]["refused"] != [])
        refused = feed.symbol_states(0.0)["BTCUSDT"]["refused"]

    assert refused == ["kline.1.BTCUSDT"]


async def test_a_topic_already_subscribed_counts_as_subscribed(server, heard) -> None:
    async with a_running_feed(server.url, heard) as feed:
        await eventually(lambda: len(server.subscribed()) == 5)
        (connection,) = feed.connections
        connection._outbox.append(("subscribe", [BOOK]))
        connection._wake.set()
        await eventually(lambda: server.requests[-1] == ("subscribe", [BOOK]))
        await server.send(trade_frame("BTCUSDT", ("Buy", "1", "1")))
        await eventually(lambda: heard.count("trade") == 1)
        assert feed.symbol_states(0.0)["BTCUSDT"]["refused"] == []


async def test_a_dropped_connection_is_reopened_and_the_book_was_untrusted_meanwhile(
    server, heard
) -> None:
    async with a_running_feed(server.url, heard):
        for round_number in range(1, 4):
            await eventually(lambda n=round_number: heard.count("SNAPSHOT") == n)
            server.sockets[-1].transport.abort()
        await eventually(lambda: heard.count("SNAPSHOT") == 4)

    assert heard.books()[:7] == ["SNAPSHOT", "gap"] * 3 + ["SNAPSHOT"]


async def test_a_silent_socket_is_left_though_it_answers_pings(server, heard) -> None:
    timings = FeedTimings(
        ping_every_s=0.05, silent_socket_s=0.5, check_every_s=0.02, backoff_first_s=0.01
    )
    async with a_running_feed(server.url, heard, timings=timings):
        await eventually(lambda: len(server.sockets) >= 2 and heard.count("SNAPSHOT") >= 2)

    assert server.pings > 0
    assert heard.books()[:3] == ["SNAPSHOT", "gap", "SNAPSHOT"]


async def test_a_half_open_connection_that_never_answers_is_left(heard) -> None:
    """The peer's machine is gone: the handshake worked, then nothing ever comes, not even a close."""
    async with MisbehavingServer() as server:
        server.answers = False
        timings = FeedTimings(reply_within_s=0.2, check_every_s=0.02, backoff_first_s=0.01)
        async with a_running_feed(server.url, heard, timings=timings):
            await eventually(lambda: len(server.sockets) >= 2)
            server.answers = True
            await eventually(lambda: heard.count("SNAPSHOT") == 1)


async def test_a_port_that_accepts_and_says_nothing_is_tried_again(heard, caplog) -> None:
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        url = f"ws://127.0.0.1:{deaf.getsockname()[1]}/v5/public/linear"
        timings = FeedTimings(open_within_s=0.05, backoff_first_s=0.01, backoff_max_s=0.02)
        async with a_running_feed(url, heard, timings=timings):
            await eventually(lambda: caplog.messages.count("feed_disconnected") >= 2)


async def test_a_book_that_falls_silent_while_its_touch_moves_is_asked_for_again(
    server, heard
) -> None:
    timings = FeedTimings(
        silent_book_s=0.3, silent_socket_s=60, check_every_s=0.02, ping_every_s=60
    )
    async with a_running_feed(server.url, heard, timings=timings):
        await eventually(lambda: heard.count("SNAPSHOT") == 1)
        for u in itertools_count(101):
            await server.send(book_frame("orderbook.1.BTCUSDT", "snapshot", u, [["1", "1"]]))
            await asyncio.sleep(0.02)
            if heard.count("SNAPSHOT") == 2:
                break

    assert heard.books()[:3] == ["SNAPSHOT", "gap", "SNAPSHOT"]
    assert ("unsubscribe", [BOOK]) in server.requests


async def test_a_quiet_book_whose_touch_repeats_itself_is_left_alone(server, heard) -> None:
    timings = FeedTimings(silent_book_s=0.1, check_every_s=0.02, ping_every_s=60)
    async with a_running_feed(server.url, heard, timings=timings):
        await eventually(lambda: heard.count("SNAPSHOT") == 1)
        for _ in range(25):
            await server.send(book_frame("orderbook.1.BTCUSDT", "snapshot", 100, [["1", "1"]]))
            await asyncio.sleep(0.02)

    assert ("unsubscribe", [BOOK]) not in server.requests
    assert heard.count("alive") >= 25


async def test_garbage_is_counted_and_said_once_and_the_feed_goes_on(server, heard, caplog) -> None:
    garbage: list[str | bytes] = [
        "not json",
        "[" * 5000,
        '{"topic":"orderbook.50.BTCUSDT","type":"delta","ts":1,"data":{"u":"NaN"}}',
        (
            '{"topic":"orderbook.50.ETHUSDT","type":"snapshot","ts":1,'
            '"data":{"s":"ETHUSDT","b":[],"a":[],"u":1}}'
        ),
        '{"topic":"nonsense"}',
        '{"success":false,"ret_msg":"error:invalid op","op":"dance"}',
        "null",
        "",
    ]
    async with a_running_feed(server.url, heard) as feed:
        await eventually(lambda: heard.count("SNAPSHOT") == 1)
        for _ in range(3):
            await server.send(*garbage)
        await server.send(" " * 10_000_000 + "{}")
        await server.send(book_frame(BOOK, "delta", 101, [["100.1", "2"]]))
        await eventually(lambda: heard.count("DELTA") == 1)
        assert len(server.sockets) == 1
        assert sum(feed.faults.counts.values()) == 3 * len(garbage) + 1

    logged = [record.kind for record in caplog.records if record.message == "feed_fault"]
    assert len(logged) == len(set(logged)) == len(feed.faults.counts)


async def test_a_frame_beyond_all_measure_costs_one_reconnect(server, heard, monkeypatch) -> None:
    monkeypatch.setattr("market.adapters.bybit_public_ws.MAX_FRAME_BYTES", 100_000)
    async with a_running_feed(server.url, heard):
        await eventually(lambda: heard.count("SNAPSHOT") == 1)
        with contextlib.suppress(Exception):
            await server.send("x" * 200_000)
        await eventually(lambda: heard.count("SNAPSHOT") == 2)


async def test_a_price_off_the_grid_is_reported_and_the_book_asked_for_again(server, heard) -> None:
    suspects: list[str] = []
    async with a_running_feed(server.url, heard, on_off_grid=suspects.append) as feed:
        await eventually(lambda: heard.count("SNAPSHOT") == 1)
        await server.send(book_frame(BOOK, "delta", 101, [["0.3", "2"]]))
        await eventually(lambda: heard.count("SNAPSHOT") == 2)

    assert suspects == ["BTCUSDT"]
    assert feed.faults.counts["off_grid"] == 1


async def test_a_stop_ends_the_feed_though_the_server_is_away(heard) -> None:
    async with a_running_feed("ws://127.0.0.1:9/v5/public/linear", heard) as feed:
        await asyncio.sleep(0)

    assert feed.stats.connects == 0


async def test_what_the_socket_says_ends_in_the_books_of_the_kernel(server) -> None:
    instruments = [an_instrument(), an_instrument("ETHUSDT")]
    kernel, collected = MarketKernel(instruments, MarketConfig()), CollectedChunks()
    loop = asyncio.get_running_loop()
    hub = MarketHub(
        instruments, kernel, clock=HandClock(), chunk_sinks=[collected],
        on_pending=lambda: loop.call_soon(hub.flush),
    )  # fmt: skip
    async with a_running_feed(server.url, hub, ("BTCUSDT", "ETHUSDT")):
        await eventually(lambda: len(collected.all) >= 2)
        await server.send(
            *(book_frame(BOOK, "delta", 101 + i, [[f"99.{i}", "3"]]) for i in range(5)),
            trade_frame("ETHUSDT", ("Buy", "100.5", "0.5"), ("Sell", "100.0", "1.5")),
        )
        await eventually(lambda: len(collected.all) >= 9)

    assert kernel.book_levels(0, 10)[0].tolist()[0] == [1000, 1000]
    assert len(kernel.book_levels(0, 10)[0]) == 6
    chunk = collected.all
    first_entries = chunk.level_offset[:-1][chunk.kind == EventKind.TRADE]
    assert chunk.side[first_entries].tolist() == [0, 1]


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 6)), max_size=30))
def test_only_an_unbroken_chain_from_a_snapshot_is_ever_applied(messages) -> None:
    sequence, chain = BookSequence(), None
    for is_snapshot, u in messages:
        verdict = sequence.check(is_snapshot=is_snapshot, u=u)
        if is_snapshot:
            assert verdict is Verdict.APPLY
            chain = u
        elif verdict is Verdict.APPLY:
            assert chain is not None
            assert u == chain + 1
            chain = u
        elif verdict is Verdict.GAP:
            assert chain is not None
            assert u not in (chain, chain + 1)
            chain = None
        else:
            assert chain is None or u == chain
        assert sequence.is_known is (chain is not None)


def itertools_count(start: int) -> range:
    """Bounded, so that a test that waits for the connector ends."""
    return range(start, start + 500)
