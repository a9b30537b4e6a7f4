"""The service from the socket to the bus and the files: a real Valkey, real files, real processes."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any, Self

import msgspec
import numpy as np
import pytest
from redis.asyncio import Redis

from failover.adapters.bus import connect_bus
from failover.adapters.files import write_atomically
from failover.adapters.jsonl import JsonlAppender
from failover.adapters.streams import Entry, Gap, StreamReader
from failover.services.valkey import running_valkey
from market.adapters.bus import (
    FRAMES_STREAM,
    RAW_STREAM,
    MarketPublisher,
    latest_symbols,
    read_chunk,
    read_frames,
)
from market.adapters.bybit_public_ws import BybitPublicFeed
from market.adapters.bybit_topics import FeedTimings
from market.adapters.endpoints import bybit_endpoints
from market.adapters.recording_reader import Recording
from market.domain.chunks import concat_chunks
from market.domain.config import MarketConfig
from market.domain.events import ChunkBuilder, EventChunk, EventKind, pack_chunk
from market.domain.frames import pack_frames
from market.domain.instruments import Instrument
from market.domain.kernel import MarketKernel
from market.services.core_clock import CoreClock
from market.services.hub import MarketHub
from market.services.instruments import InstrumentBook
from market.services.recorder import MarketRecorder
from market.services.runtime import FeedMeter, InstrumentUnitsChanged, MarketRuntime
from tests.market.helpers import an_instrument
from tests.market.misbehaving_server import MisbehavingServer, book_frame, eventually, trade_frame

RUN = "20241004T120000.000000Z-1a2b"


@pytest.fixture(scope="module")
def valkey_socket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    path = tmp_path_factory.mktemp("bus") / "v.sock"
    with running_valkey(path):
        yield path


@pytest.fixture
async def bus(valkey_socket: Path) -> AsyncIterator[Redis]:
    client = connect_bus(f"unix://{valkey_socket}")
    await client.flushall()
    yield client
    await client.aclose()


def some_messages(first_seq: int, count: int) -> EventChunk:
    builder = ChunkBuilder()
    for seq in range(first_seq, first_seq + count):
        builder.add(
            EventKind.TRADE, symbol=0, seq=seq, core_ts_ns=seq, exchange_ts_ns=seq, levels=[(0, 5, 6)]
        )  # fmt: skip
    return builder.take()


async def entries(bus: Redis, stream: str) -> list[Entry]:
    reader = StreamReader(bus, {stream: "0"})
    async for batch in reader.batches():
        assert not any(isinstance(item, Gap) for item in batch)
        return [item for item in batch if isinstance(item, Entry)]
    raise AssertionError("the stream is empty")


async def test_raw_chunks_are_gathered_into_entries_numbered_by_seq(bus) -> None:
    publisher = MarketPublisher(bus, "t:", RUN)
    for first in (1, 4, 9):
        publisher.take_chunk(some_messages(first, {1: 3, 4: 5, 9: 1}[first]))
    await eventually(lambda: not publisher._gathered)
    publisher.take_chunk(some_messages(10, 2))
    await publisher.close()

    read = await entries(bus, "t:" + RAW_STREAM)

    assert [(e.run_id, e.number, e.count) for e in read] == [(RUN, 1, 9), (RUN, 10, 2)]
    together = concat_chunks([read_chunk(e.payload) for e in read])
    assert pack_chunk(together) == pack_chunk(some_messages(1, 11))


async def test_the_symbol_table_of_the_newest_run_can_be_asked_for(bus, instruments) -> None:
    assert await latest_symbols(bus, "t:") is None
    for run_id in ("run-a", "run-b"):
        publisher = MarketPublisher(bus, "t:", run_id)
        publisher.publish_symbols(instruments)
        await publisher.close()

    assert await latest_symbols(bus, "t:") == ("run-b", instruments)


async def test_in_a_storm_the_raw_stream_keeps_its_memory_and_gives_up_retention(
    bus, monkeypatch
) -> None:
    monkeypatch.setattr("market.adapters.bus.RAW_MAX_BYTES", 400_000)
    publisher = MarketPublisher(bus, "t:", RUN)
    for first in range(1, 600):
        publisher.take_chunk(some_messages((first - 1) * 40 + 1, 40))
        publisher.flush_raw()
    assert await publisher._raw.flush()
    before = await bus.xlen("t:" + RAW_STREAM)
    await publisher.trim()
    after = await bus.xlen("t:" + RAW_STREAM)
    await publisher.close()

    assert before == 599
    assert 100 < after < 400


class Market:
    """The whole service on a server of ours, put together as the wiring does."""

    def __init__(self, url: str, bus: Redis, folder: Path, rules: list[Instrument]) -> None:
        self.venue_rules = list(rules)
        self.reports: list[dict[str, Any]] = []
        self.publisher = MarketPublisher(bus, "t:", RUN)
        self.recorder = MarketRecorder(
            folder, rules, RUN, open_file=JsonlAppender, write_whole=write_atomically
        )
        meter, clock = FeedMeter(), CoreClock()
        loop = asyncio.get_running_loop()
        self.hub = MarketHub(
            rules,
            MarketKernel(rules, MarketConfig()),
            clock=clock,
            chunk_sinks=[self.recorder, self.publisher, meter],
            frame_sinks=[self.publisher],
            on_pending=lambda: loop.call_soon(self.hub.flush),
        )
        self.feed = BybitPublicFeed(
            url,
            [i.symbol for i in rules],
            self.hub,
            rng=random.Random(1),
            is_local=True,
            timings=FeedTimings(silent_socket_s=60, check_every_s=0.02),
        )
        self.book = InstrumentBook(lambda: self.venue_rules, _NoStore(), venue="TEST")
        self.runtime = MarketRuntime(
            hub=self.hub,
            feed=self.feed,
            publisher=self.publisher,
            book=self.book,
            instruments=rules,
            clock=clock,
            meter=meter,
            evaluation_interval_ms=100,
            details=dict,
            report=self.reports.append,
        )
        self.feed.on_off_grid = self.runtime.suspect_rules
        self.stopping = asyncio.Event()

    async def __aenter__(self) -> Self:
        await self.book.load()
        self.recorder.start()
        self.task = asyncio.create_task(self.runtime.run(self.stopping))
        return self

    async def __aexit__(self, *_: object) -> None:
        self.stopping.set()
        await asyncio.gather(self.task, return_exceptions=True)
        await self.publisher.close()
        await asyncio.to_thread(self.recorder.stop)


class _NoStore:
    def load(self) -> list[Instrument]:
        return []

    def save(self, instruments: Any) -> int:
        return 0


async def test_recorded_published_and_replayed_are_the_same_stream(
    bus, tmp_path, instruments
) -> None:
    """What the files hold gives, through the same hub and kernel, the frames that were published."""
    async with (
        MisbehavingServer().without_touches() as server,
        Market(server.url, bus, tmp_path, instruments) as market,
    ):
        await eventually(lambda: market.hub.seq >= 2)
        for u in range(101, 140):
            await server.send(
                book_frame("orderbook.50.BTCUSDT", "delta", u, [[f"99.{u % 10}", str(u)]]),
                trade_frame("SOLUSDT", ("Buy", "100.005", "0.5")),
                "rubbish",
            )
            await asyncio.sleep(0.01)
        await eventually(lambda: market.hub.seq >= 2 + 2 * 39)
        await eventually(lambda: market.reports)

    raw = concat_chunks([read_chunk(e.payload) for e in await entries(bus, "t:" + RAW_STREAM)])
    published = [read_frames(e.payload) for e in await entries(bus, "t:" + FRAMES_STREAM)]
    recording = Recording(tmp_path)
    recorded = concat_chunks(list(recording.chunks()))
    again = MarketKernel(recording.instruments, MarketConfig())
    frames = [again.process(recorded), again.advance(int(published[-1]["ts_ns"][-1]))]

    assert len(raw) == 82
    assert raw.kind[-2:].tolist() == [EventKind.FEED_GAP] * 2  # the end of the feed itself
    assert pack_chunk(recorded) == pack_chunk(raw)
    assert pack_frames(np.concatenate(frames)) == pack_frames(np.concatenate(published))
    assert market.reports[-1]["seq"] == 80
    assert market.reports[-1]["connected"] is True


async def test_boundary_frames_come_by_the_timer_when_the_market_says_nothing(
    bus, tmp_path, instruments
) -> None:
    async with (
        MisbehavingServer().without_touches() as server,
        Market(server.url, bus, tmp_path, instruments) as market,
    ):
        await eventually(lambda: market.hub.seq >= 2)
        published = market.publisher._frames
        before = published._next_number
        await eventually(lambda: published._next_number >= before + 6)
        assert market.hub.seq == 2


async def test_a_new_tick_size_ends_the_run_and_a_new_limit_is_published(
    bus, tmp_path, instruments
) -> None:
    async with (
        MisbehavingServer().without_touches() as server,
        Market(server.url, bus, tmp_path, instruments) as market,
    ):
        await eventually(lambda: market.hub.seq >= 2)
        larger = an_instrument(max_qty=Decimal(7))
        market.venue_rules = [larger, instruments[1]]
        market.runtime._take_changes(await market.book.refresh())
        assert await market.publisher._symbols.flush()
        newest = await latest_symbols(bus, "t:")
        assert newest == (RUN, [larger, instruments[1]])

        market.venue_rules = [an_instrument(tick_size=Decimal("0.05")), instruments[1]]
        await server.send(book_frame("orderbook.50.BTCUSDT", "delta", 101, [["100.05", "1"]]))
        with pytest.raises(InstrumentUnitsChanged, match=r"BTCUSDT: 0\.1 -> 0\.05"):
            await asyncio.wait_for(market.task, 60)


async def test_the_symbol_table_comes_back_after_the_bus_has_lost_it(
    bus, tmp_path, instruments
) -> None:
    async with (
        MisbehavingServer().without_touches() as server,
        Market(server.url, bus, tmp_path, instruments) as market,
    ):
        assert await market.publisher._symbols.flush()
        await bus.flushall()
        await market.runtime._mend_bus()
        assert await market.publisher._symbols.flush()
        assert await latest_symbols(bus, "t:") == (RUN, instruments)


def test_core_time_goes_on_when_the_wall_clock_is_set_back(monkeypatch) -> None:
    wall, monotonic = [10_000_000_000], [500]
    monkeypatch.setattr("market.services.core_clock.time.time_ns", lambda: wall[0])
    monkeypatch.setattr("market.services.core_clock.time.monotonic_ns", lambda: monotonic[0])
    clock = CoreClock()

    seen = [clock()]
    wall[0] -= 5_000_000_000
    for _ in range(3):
        monotonic[0] += 1_000
        wall[0] += 1_000
        seen.append(clock())
    wall[0] = 20_000_000_000
    seen.append(clock())

    start = 10_000_000_000
    assert seen[0] == start
    assert seen[1] >= start
    assert (seen[2] - seen[1], seen[3] - seen[2]) == (1_000, 1_000)
    assert seen[4] == 20_000_000_000
    assert clock.steps_back == 1


@pytest.mark.parametrize("name", ["LOCAL", "TESTNET", "DEMO", "MAINNET"])
def test_every_environment_has_its_hosts(name: str) -> None:
    hosts = bybit_endpoints(name, exchange_host="10.0.0.1", exchange_port=8899)

    assert hosts.ws_public_linear.endswith("/v5/public/linear")
    assert hosts.is_local is (name == "LOCAL")
    assert (hosts.ws_trade is None) is (name == "DEMO")
    assert hosts.rest.startswith("http://10.0.0.1:8899" if name == "LOCAL" else "https://api")


def test_an_unknown_environment_is_refused() -> None:
    with pytest.raises(ValueError, match="use LOCAL, TESTNET, DEMO or MAINNET"):
        bybit_endpoints("mainnet")


# --- real processes: the local exchange and run_market


@pytest.fixture
def environment(tmp_path: Path, valkey_socket: Path, exchange_port: str) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith("BYBIT_")}
    return {
        **kept,
        "DATA_DIR": str(tmp_path / "data"),
        "REDIS_URL": f"unix://{valkey_socket}",
        "EXCHANGE_HOST": "127.0.0.1",
        "EXCHANGE_PORT": exchange_port,
        "ENV_FILE": os.devnull,
    }


def manage(environment: dict[str, str], *arguments: str, **options: Any) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "manage.py", *arguments],
        env=environment, cwd=Path(__file__).parents[2], text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options,
    )  # fmt: skip


@pytest.fixture(scope="module")
def exchange_port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The port of a `run_exchange` with its four synthetic symbols."""
    folder = str(tmp_path_factory.mktemp("exchange"))
    process = manage({**os.environ, "DATA_DIR": folder}, "run_exchange", "--port", "0")
    assert process.stdout is not None
    assert process.stderr is not None
    said = process.stdout.readline()
    drain = threading.Thread(target=process.stderr.read)
    drain.start()
    yield said.strip().rpartition(":")[2]
    process.terminate()
    process.wait(60)
    drain.join()
    process.stdout.close()
    process.stderr.close()


async def test_run_market_follows_the_local_exchange_and_survives_kill(
    bus, environment, tmp_path
) -> None:
    """Killed without warning, then started again: a new run from seq 1, and both runs are readable.

    The database has no tables all the while, which must not stop the feed.
    """
    prefix = "scalper-1:bus:"
    for sign in (signal.SIGKILL, signal.SIGTERM):
        process = manage(environment, "run_market", "--symbols", "ETHUSDT,BTCUSDT")
        running = asyncio.create_task(asyncio.to_thread(process.communicate))
        run_id = ""
        async with asyncio.timeout(120):
            while run_id == "":
                beat = await bus.get(prefix + "heartbeat:market")
                details = msgspec.msgpack.decode(beat)["details"] if beat else {}
                if msgspec.msgpack.decode(beat or b"\x80").get("pid") == process.pid:
                    written = details.get("recorder", {}).get("writtenLines", 0)
                    run_id = details["recorderRun"] if written > 50 else ""
                await asyncio.sleep(0.05)
        process.send_signal(sign)
        _, said = await running
        assert process.returncode == (0 if sign == signal.SIGTERM else -signal.SIGKILL), said
        newest = await latest_symbols(bus, prefix)
        assert newest is not None
        assert newest[0] == run_id
        assert [i.symbol for i in newest[1]] == ["ETHUSDT", "BTCUSDT"]

    recording = Recording(tmp_path / "data" / "market")
    chunks = list(recording.chunks())
    assert len(recording.runs) == 2
    assert [int(c.seq[0]) for c in chunks if int(c.seq[0]) == 1] == [1, 1]
    assert set(concat_chunks(chunks).symbol.tolist()) == {0, 1}
    kernel = MarketKernel(recording.instruments, MarketConfig())
    kernel.process(concat_chunks(chunks))
    bids, asks = kernel.book_levels(0, 50)
    assert len(bids) == len(asks) == 50


def test_an_unknown_symbol_is_one_clear_line_and_an_exit_code(environment) -> None:
    process = manage(environment, "run_market", "--symbols", "BTCUSDT,NOPEUSDT")
    _, said = process.communicate(timeout=120)

    lines = [line for line in said.splitlines() if not line.startswith("{")]
    assert process.returncode != 0
    assert len(lines) == 1
    assert "unknown symbol NOPEUSDT" in lines[0]
