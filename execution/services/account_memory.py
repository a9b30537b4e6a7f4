"""A running account as bytes: what its journal begins with, and goes on from each minute."""

from __future__ import annotations

import zlib

import msgspec

from execution.domain.outputs import LogLine, RecordRow
from execution.domain.profile import ExecutionSettings
from execution.ports import Commit, Recovered
from market.domain.instruments import Instrument
from strategy.domain.messages import ExecutionEvent, ExecutionSnapshot

News = ExecutionEvent | ExecutionSnapshot | RecordRow


class RunFacts(msgspec.Struct, kw_only=True, frozen=True):
    """What an account was made of. `venue_id` is for a new one. Not simulated: a venue's words are inputs."""

    run_id: str
    mode: str
    instruments: tuple[Instrument, ...]
    symbols: tuple[str, ...]
    bybit_env: str = ""
    venue_id: str = "SIM"
    is_simulated: bool = True


class RunStart(msgspec.Struct, kw_only=True, frozen=True):
    """The payload of a journal's `Begun`: the account as it was made, and what it was then to recover."""

    facts: RunFacts
    settings: ExecutionSettings
    recovered: Recovered


class AccountMemory(msgspec.Struct, kw_only=True):
    """All that the next outputs of a running account depend on, beside `RunFacts`."""

    settings: ExecutionSettings
    core: bytes
    venue: bytes
    deliveries: bytes
    clock: tuple[int, int, int]
    number: int
    last_market_ns: int
    observe_until: str
    backlog: list[LogLine]
    unpublished: list[News]


def state_seal(commit: Commit) -> int:
    """CRC-32 of the state that a step left: core, venue without its books, news on their way."""
    return zlib.crc32(commit.deliveries, zlib.crc32(commit.venue, zlib.crc32(commit.core)))
