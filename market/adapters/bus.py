"""The market's streams: their names, what an entry holds, and how the market service writes them.

| stream | payload | records of an entry |
| --- | --- | --- |
| `market.frames` | `pack_frames` | rows |
| `market.raw` | `pack_chunk` | messages; a record's number is the message's `seq` |
| `market.symbols` | msgpack list of `Instrument`, index = `symbol` of frames and chunks | 1 |

All three are written under one run id, the recorder run: a reader that meets another one in `market.raw`
or `market.frames` reads the newest `market.symbols` before it goes on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import msgspec
from redis.asyncio import Redis

from failover.adapters.streams import StreamWriter
from market.domain.chunks import concat_chunks
from market.domain.events import EventChunk, pack_chunk, unpack_chunk
from market.domain.frames import Frames, pack_frames, unpack_frames
from market.domain.instruments import Instrument

FRAMES_STREAM = "market.frames"
RAW_STREAM = "market.raw"
SYMBOLS_STREAM = "market.symbols"

# Bounded by entries. Boundary frames of all symbols share an entry (10 a second), raw chunks are
# gathered for 10 ms (at most 100 entries a second). With triggers and bursts on top both keep more than
# five minutes: an entry of 20 symbols' frames is about 9 kB, a raw one at 5,000 messages/s about 6 kB.
FRAMES_MAXLEN = 6_000
RAW_MAXLEN = 32_000
# Entries grow with the market: in a storm memory is kept and the retention gives way (see `trim`).
RAW_MAX_BYTES = 160 * 1024 * 1024
SYMBOLS_MAXLEN = 16
RAW_EVERY_S = 0.01

_decode_symbols = msgspec.msgpack.Decoder(list[Instrument]).decode
_encode = msgspec.msgpack.Encoder().encode


def read_frames(payload: bytes) -> Frames:
    """Rows of one `market.frames` entry. Raises ValueError."""
    return unpack_frames(payload)


def read_chunk(payload: bytes) -> EventChunk:
    """Messages of one `market.raw` entry. Raises ValueError."""
    return unpack_chunk(payload)


def read_symbols(payload: bytes) -> list[Instrument]:
    """The symbol table of one `market.symbols` entry. Raises msgspec.DecodeError."""
    return _decode_symbols(payload)


async def latest_symbols(client: Redis, prefix: str) -> tuple[str, list[Instrument]] | None:
    """(market run, symbol table) as last published, or None. Raises RedisError, OSError."""
    newest: Any = await client.xrevrange(prefix + SYMBOLS_STREAM, count=1)
    if not newest:
        return None
    _, fields = newest[0]
    return fields[b"r"].decode(), read_symbols(fields[b"d"])


class MarketPublisher:
    """Frames go out at once, raw chunks every `RAW_EVERY_S`; neither ever waits for the bus."""

    def __init__(self, client: Redis, prefix: str, run_id: str) -> None:
        self._client = client
        self._frames = StreamWriter(
            client, prefix + FRAMES_STREAM, FRAMES_MAXLEN, run_id=run_id, max_pending=2_000
        )
        self._raw = StreamWriter(
            client, prefix + RAW_STREAM, RAW_MAXLEN, run_id=run_id, max_pending=2_000
        )
        self._symbols = StreamWriter(client, prefix + SYMBOLS_STREAM, SYMBOLS_MAXLEN, run_id=run_id)
        self._gathered: list[EventChunk] = []
        self._raw_entry_bytes = 1000.0  # running mean

    def take_frames(self, frames: Frames) -> None:
        """A `FrameSink`. Boundary frames of all symbols arrive together; a trigger frame must not wait."""
        self._frames.append(pack_frames(frames), int(frames.size))

    def take_chunk(self, chunk: EventChunk) -> None:
        """A `ChunkSink`: gather for `RAW_EVERY_S`, then publish as one entry."""
        if not self._gathered:
            asyncio.get_running_loop().call_later(RAW_EVERY_S, self.flush_raw)
        self._gathered.append(chunk)

    def flush_raw(self) -> None:
        """Publish what was gathered as one entry."""
        if self._gathered:
            chunk = concat_chunks(self._gathered)
            self._gathered = []
            payload = pack_chunk(chunk)
            self._raw_entry_bytes += (len(payload) + 100 - self._raw_entry_bytes) / 256
            self._raw.append(payload, len(chunk))

    def publish_symbols(self, instruments: Sequence[Instrument]) -> None:
        self._symbols.append(_encode(list(instruments)))

    async def has_symbols(self) -> bool:
        """Whether the bus still holds the symbol table. Raises RedisError, OSError."""
        return bool(await self._client.exists(self._symbols.name))

    async def trim(self) -> None:
        """Keep the raw stream within `RAW_MAX_BYTES`. Raises RedisError, OSError."""
        entries = int(RAW_MAX_BYTES / self._raw_entry_bytes)
        if entries < RAW_MAXLEN:
            await self._client.xtrim(self._raw.name, maxlen=entries, approximate=True)

    async def close(self) -> None:
        """Send what is pending, within the writers' time limits."""
        self.flush_raw()
        for writer in (self._frames, self._raw, self._symbols):
            await writer.close()

    def details(self) -> dict[str, int]:
        """For the heartbeat: entries that wait for the bus and those dropped."""
        writers = (self._frames, self._raw, self._symbols)
        return {
            "busPending": sum(writer.pending for writer in writers),
            "busDropped": sum(writer.dropped for writer in writers),
        }
