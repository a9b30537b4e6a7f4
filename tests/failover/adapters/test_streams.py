"""The transport on a real Valkey."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from redis.asyncio import Redis

from failover.adapters.bus import connect_bus
from failover.adapters.streams import (
    Entry,
    Gap,
    MessageCodec,
    Position,
    StreamReader,
    StreamWriter,
)
from failover.services.valkey import ValkeyServer


async def take(reader: StreamReader, count: int) -> list[Entry | Gap]:
    """The next `count` items."""

    async def collect() -> list[Entry | Gap]:
        items: list[Entry | Gap] = []
        async for item in reader:
            items.append(item)
            if len(items) == count:
                break
        return items

    return await asyncio.wait_for(collect(), 15)


def payloads(items: list[Entry | Gap]) -> list[bytes]:
    return [item.payload for item in items if isinstance(item, Entry)]


@pytest.fixture
async def writer(redis_client: Redis) -> AsyncIterator[Callable[..., StreamWriter]]:
    made: list[StreamWriter] = []

    def make(name: str = "a", maxlen: int = 1000, **options: Any) -> StreamWriter:
        made.append(StreamWriter(redis_client, name, maxlen, **options))
        return made[-1]

    yield make
    for each in made:
        await each.close()


@pytest.fixture
def own_server(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A server that a test may kill."""
    server = ValkeyServer(tmp_path_factory.mktemp("v") / "v.sock")
    server.start()
    yield server
    server.kill()


async def test_what_is_appended_is_read_in_order_with_gap_free_numbers(
    redis_client: Redis, writer: Callable[..., StreamWriter]
) -> None:
    source = writer(run_id="run-1")
    for i in range(1000):
        source.append(b"%d" % i, count=3)

    items = await take(StreamReader(redis_client, {"a": "0"}), 1000)

    assert payloads(items) == [b"%d" % i for i in range(1000)]
    numbers = [(i.number, i.count, i.run_id) for i in items if isinstance(i, Entry)]
    assert numbers == [(1 + 3 * i, 3, "run-1") for i in range(1000)]


async def test_a_burst_goes_out_in_few_round_trips(
    redis_client: Redis, writer: Callable[..., StreamWriter]
) -> None:
    before = (await redis_client.info("stats"))["total_net_input_bytes"]
    events_before = (await redis_client.info("stats")).get("total_reads_processed", 0)
    source = writer()
    for i in range(2000):
        source.append(b"%d" % i)
    assert await source.flush(10)

    after = await redis_client.info("stats")
    assert after["total_net_input_bytes"] > before
    assert after["total_reads_processed"] - events_before < 400
    assert await redis_client.xlen("a") >= 1000


async def test_the_length_of_a_stream_is_bounded(
    redis_client: Redis, writer: Callable[..., StreamWriter]
) -> None:
    source = writer(maxlen=200)
    for _ in range(3000):
        source.append(b"x")
    await source.flush(10)

    assert 200 <= await redis_client.xlen("a") < 500


async def test_a_reader_from_now_reads_only_what_comes_after_it_opened(
    redis_client: Redis, writer: Callable[..., StreamWriter]
) -> None:
    source = writer()
    source.append(b"old")
    await source.flush()
    reader = StreamReader(redis_client, {"a": "$"})
    await reader.open()

    source.append(b"new")

    assert payloads(await take(reader, 1)) == [b"new"]


async def test_a_reader_resumes_after_the_entry_it_took_last(
    redis_client: Redis, writer: Callable[..., StreamWriter]
) -> None:
    source = writer()
    for i in range(10):
        source.append(b"%d" % i)
    first = StreamReader(redis_client, {"a": "0"})
    await take(first, 4)
    stored = msgspec.json.encode(first.position("a"))

    by_position = StreamReader(redis_client, {"a": msgspec.json.decode(stored, type=Position)})
    by_id = StreamReader(redis_client, {"a": first.position("a").entry_id})

    rest = [b"%d" % i for i in range(4, 10)]
    assert payloads(await take(by_position, 6)) == rest
    assert payloads(await take(by_id, 6)) == rest


@pytest.mark.parametrize("resume_by", ["position", "id"])
async def test_records_trimmed_before_they_were_read_are_reported(
    redis_client: Redis, writer: Callable[..., StreamWriter], resume_by: str
) -> None:
    source = writer(maxlen=100, run_id="run-1")
    for i in range(10):
        source.append(b"%d" % i)
    first = StreamReader(redis_client, {"a": "0"})
    await take(first, 10)
    for i in range(10, 2000):
        source.append(b"%d" % i)
    await source.flush(10)

    position = first.position("a")
    start = position if resume_by == "position" else position.entry_id
    gap, entry = await take(StreamReader(redis_client, {"a": start}), 2)

    assert isinstance(gap, Gap)
    assert isinstance(entry, Entry)
    assert gap.kind == "LOST"
    assert gap.expected == (11 if resume_by == "position" else 0)
    assert gap.found == entry.number > 1000


async def test_a_slow_reader_is_told_what_it_missed_while_it_reads(
    redis_client: Redis, writer: Callable[..., StreamWriter]
) -> None:
    source = writer(maxlen=100)
    source.append(b"first")
    reader = StreamReader(redis_client, {"a": "0"}, batch=50)
    await take(reader, 1)
    for i in range(1000):
        source.append(b"%d" % i)
    await source.flush(10)

    gap, entry = await take(reader, 2)

    assert isinstance(gap, Gap)
    assert isinstance(entry, Entry)
    assert (gap.kind, gap.expected, gap.found) == ("LOST", 2, entry.number)


async def test_a_new_run_of_the_writer_is_announced(
    redis_client: Redis, writer: Callable[..., StreamWriter]
) -> None:
    old, new = writer(run_id="old"), writer(run_id="new")
    old.append(b"1")
    await old.flush()
    new.append(b"2")
    await new.flush()

    items = await take(StreamReader(redis_client, {"a": "0"}), 3)

    assert isinstance(items[1], Gap)
    assert (items[1].kind, items[1].previous_run_id, items[1].run_id) == ("NEW_RUN", "old", "new")
    assert payloads(items) == [b"1", b"2"]


async def test_an_entry_sent_twice_is_yielded_once(redis_client: Redis) -> None:
    """A writer whose connection breaks cannot know what arrived, so it sends again."""
    for number in (1, 2, 1, 2, 3):
        await redis_client.xadd("a", {"r": "run", "n": number, "c": 1, "d": b"%d" % number})

    items = await take(StreamReader(redis_client, {"a": "0"}), 3)

    assert payloads(items) == [b"1", b"2", b"3"]
    assert not any(isinstance(item, Gap) for item in items)


async def test_entries_of_several_streams_come_in_the_order_the_server_took_them(
    redis_client: Redis,
) -> None:
    """Also when one stream holds far more than a batch."""
    expected = []
    for i in range(300):
        name = "b" if i % 50 == 0 else "a"
        fields = {"r": name, "n": i + 1, "c": 1, "d": b"%d" % i}
        await redis_client.xadd(name, fields, id=f"{1000 + i}-0")
        expected.append((name, b"%d" % i))

    reader = StreamReader(redis_client, {"a": "0", "b": "0"}, batch=20)
    items: list[Entry] = []
    async for item in reader:
        if isinstance(item, Entry):
            items.append(item)
        if len(items) == 300:
            break

    assert [(item.stream, item.payload) for item in items] == expected


async def test_a_foreign_entry_is_counted_and_passed_over(
    redis_client: Redis, writer: Callable[..., StreamWriter]
) -> None:
    await redis_client.xadd("a", {"hello": "world"})
    await redis_client.xadd("a", {"r": "x", "n": "many", "c": "1", "d": "x"})
    writer().append(b"good")

    reader = StreamReader(redis_client, {"a": "0"})

    assert payloads(await take(reader, 1)) == [b"good"]
    assert reader.malformed == 2


async def test_writer_and_reader_go_on_when_the_server_is_killed_and_comes_back(
    own_server: ValkeyServer,
) -> None:
    """The server keeps nothing: what it held is gone, and the reader is told by number."""
    writing, reading = connect_bus(own_server.url), connect_bus(own_server.url)
    source = StreamWriter(writing, "a", 1000)
    reader = StreamReader(reading, {"a": "0"})
    source.append(b"1")
    assert payloads(await take(reader, 1)) == [b"1"]
    source.append(b"lost with the server")
    await source.flush()
    seen = asyncio.ensure_future(take(StreamReader(reading, {"a": reader.position("a")}), 1))
    await seen

    own_server.kill()
    source.append(b"kept by the writer")
    assert not await source.flush(0.2)
    own_server.start()
    assert await source.flush(10)
    gap, entry = await take(reader, 2)

    assert isinstance(gap, Gap)
    assert (gap.kind, gap.expected, gap.found) == ("LOST", 2, 3)
    assert payloads([entry]) == [b"kept by the writer"]
    await source.close()
    await writing.aclose()
    await reading.aclose()


async def test_a_reader_goes_on_when_the_restarted_server_gives_smaller_ids(
    own_server: ValkeyServer,
) -> None:
    """A clock set back across the restart would otherwise hide every new entry."""
    client = connect_bus(own_server.url)
    fields = {"r": "run", "c": 1, "d": b"x"}
    await client.xadd("a", {**fields, "n": 1}, id="99999999999999-0")
    reader = StreamReader(client, {"a": "0"})
    await take(reader, 1)
    waiting = asyncio.ensure_future(take(reader, 1))

    own_server.kill()
    own_server.start()
    other = connect_bus(own_server.url)
    await other.xadd("a", {**fields, "n": 2}, id="5-0")

    assert [item.number for item in await waiting if isinstance(item, Entry)] == [2]
    await client.aclose()
    await other.aclose()


async def test_a_bus_that_stays_away_costs_the_oldest_entries_and_no_memory(
    tmp_path: Path,
) -> None:
    client = connect_bus(f"unix://{tmp_path / 'nobody.sock'}")
    source = StreamWriter(client, "a", 1000, max_pending=10)

    for i in range(25):
        source.append(b"%d" % i)

    assert source.pending == 10
    assert source.dropped == 15
    assert not await source.close(timeout_s=0.05)
    assert source.dropped == 25
    await client.aclose()


async def test_a_full_server_delays_the_writer_and_loses_nothing(
    own_server: ValkeyServer,
) -> None:
    client = connect_bus(own_server.url)
    source = StreamWriter(client, "a", 1000)
    await client.config_set("maxmemory", "1")
    for i in range(30):
        source.append(b"%d" % i)
    assert not await source.flush(0.2)

    await client.config_set("maxmemory", "64mb")

    assert await source.flush(10)
    items = await take(StreamReader(client, {"a": "0"}), 30)
    assert [item.number for item in items if isinstance(item, Entry)] == list(range(1, 31))
    await source.close()
    await client.aclose()


class Up(msgspec.Struct, tag=True, frozen=True):
    ticks: int


class Down(msgspec.Struct, tag=True, frozen=True):
    ticks: int


def test_a_tagged_union_comes_back_as_it_was_and_anything_else_is_refused() -> None:
    codec = MessageCodec(list[Up | Down])

    assert codec.decode(codec.encode([Up(1), Down(2)])) == [Up(1), Down(2)]
    with pytest.raises(msgspec.ValidationError):
        codec.decode(msgspec.msgpack.encode([{"type": "Sideways", "ticks": 1}]))
