"""Feeds an account again what its tape says, on sinks in memory, and shows what it takes in and gives.

The account is the very class that runs live; only the disk's faults are told to it as they were then.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from execution.domain.core import ExecutionCore
from execution.domain.operator import OperatorCommand
from execution.domain.outputs import LogLine
from execution.domain.profile import ExecutionSettings
from execution.domain.remote_venue import RemoteVenue
from execution.domain.simulated_exchange import SimulatedExchange
from execution.domain.tape import (
    AccountRecovered,
    EntriesAllowed,
    EntriesRefused,
    FramesRead,
    LatencyJudged,
    MarketGapped,
    MarketRead,
    OperatorRead,
    RequestRead,
    SettingsTaken,
    TapeInput,
    TapeOutput,
    TimerTicked,
    VenueSpoke,
    WriteFailed,
)
from execution.domain.venue import VenueUpdate
from execution.ports import Commit, Recovered
from execution.services.account_memory import AccountMemory, RunFacts, RunStart
from execution.services.latency import OrderMeter
from execution.services.simulated_account import SimulatedAccount, Sinks
from failover.adapters.streams import Entry
from failover.domain.errors import StorageError
from market.domain.events import unpack_chunk
from market.domain.frames import unpack_frames
from strategy.domain.messages import OrderRequest, RepriceHint

_decode_memory = msgspec.msgpack.Decoder(AccountMemory).decode
_decode_request = msgspec.msgpack.Decoder(OrderRequest | RepriceHint).decode
_decode_operator = msgspec.msgpack.Decoder(OperatorCommand).decode
_decode_settings = msgspec.msgpack.Decoder(ExecutionSettings).decode
_decode_update: Any = msgspec.msgpack.Decoder(VenueUpdate).decode
_SILENT = logging.getLogger("execution.refeed")
_SILENT.disabled = True  # what is told again is no news


class Refeed:
    """One account from its start on, or from a recorded `memory`. `feed` in order; it tells what came of it.

    Raises: msgspec.DecodeError where the memory is of another build.
    """

    def __init__(self, start: RunStart, memory: bytes | None = None) -> None:
        known = None if memory is None else _decode_memory(memory)
        settings = start.settings if known is None else known.settings
        self._recovered = start.recovered
        self._disk = _Disk()
        self._tape = _Tape()
        self.account = _account(start.facts, settings, self._disk)
        if known is not None:
            self.account.recall(known)
        self.account.tape = self._tape

    def feed(
        self, item: TapeInput, content: bytes = b"", failed: Iterable[WriteFailed] = ()
    ) -> tuple[TapeInput | None, list[TapeOutput]]:
        """Hand over one input; returns (the input as the account saw it, what it gave).

        `content` are the packed messages or frames of a `MarketRead` or `FramesRead`, `failed` the faults
        of the disk that it met. Raises: msgspec.DecodeError, ValueError for what cannot be read.
        """
        self._disk.begin(failed)
        self._tape.begin()
        if isinstance(item, AccountRecovered):
            self._disk.lines.seq = item.log_seq
            self.account.recover(self._recovered, item.now_ns)
        _hand_over(self.account, item, content)
        return self._tape.taken, self._tape.given


def _account(facts: RunFacts, settings: ExecutionSettings, disk: _Disk) -> SimulatedAccount:
    core = ExecutionCore(
        facts.instruments, settings.config, facts.mode, facts.run_id, settings.limits,
        settings.symbols, settings.version, symbol_limits=settings.symbol_limits,
    )  # fmt: skip
    venue: SimulatedExchange | RemoteVenue = RemoteVenue()
    if facts.is_simulated:
        venue = SimulatedExchange(
            facts.instruments, settings.config, facts.venue_id, settings.symbols
        )
    nowhere, no_lines = _Nowhere(), _NoLines()
    return SimulatedAccount(
        core=core,
        venue=venue,
        settings=settings,
        symbols=facts.symbols,
        bybit_env=facts.bybit_env,
        sinks=Sinks(
            commits=disk, order_log=disk.lines, trade_log=no_lines, quality_log=no_lines,
            events=nowhere, records=nowhere, projection=nowhere,
        ),
        log=_SILENT,
        meter=OrderMeter(lambda: 0),
    )  # fmt: skip


def _hand_over(account: SimulatedAccount, item: TapeInput, content: bytes) -> None:
    now_ns = item.now_ns
    if isinstance(item, TimerTicked):
        account.on_timer(now_ns)
    elif isinstance(item, MarketRead):
        entry_id = f"{item.bus_ms}-{item.bus_seq}"
        account.on_market(unpack_chunk(content), _entry(item, entry_id, content), now_ns)
    elif isinstance(item, FramesRead):
        account.on_frames(unpack_frames(content), _entry(item, "0-0", content), now_ns)
    elif isinstance(item, MarketGapped):
        account.on_market_gap(now_ns)
    elif isinstance(item, RequestRead):
        account.on_request(_decode_request(item.payload), _alone(item.entry_id), now_ns)
    elif isinstance(item, OperatorRead):
        account.on_operator(_decode_operator(item.payload), _alone("0-0"), now_ns)
    elif isinstance(item, SettingsTaken):
        account.on_settings(_decode_settings(item.payload), item.problem, now_ns)
    elif isinstance(item, EntriesRefused):
        account.refuse_entries(item.reason, item.text, now_ns)
    elif isinstance(item, LatencyJudged):
        account.say_latency(item.text, now_ns)
    elif isinstance(item, VenueSpoke):
        account.on_venue(_decode_update(item.payload), now_ns)
    elif isinstance(item, EntriesAllowed):
        account.allow_entries(item.reason, now_ns)


def _entry(item: MarketRead | FramesRead, entry_id: str, content: bytes) -> Entry:
    return Entry(
        stream="market", entry_id=entry_id, run_id=item.run_id, number=item.number,
        count=item.count, payload=content,
    )  # fmt: skip


def _alone(entry_id: str) -> Entry:
    return Entry(stream="", entry_id=entry_id, run_id="", number=0, count=1, payload=b"")


class _Tape:
    """Keeps what the account says of one input."""

    def __init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        self.taken: TapeInput | None = None
        self.given: list[TapeOutput] = []

    def wants_memory(self) -> bool:
        return False

    def remember(self, memory: bytes, now_ns: int) -> None:
        """Not asked for."""

    def input(self, item: TapeInput, content: bytes = b"") -> None:
        self.taken = item

    def output(self, item: TapeOutput) -> None:
        self.given.append(item)


class _Disk:
    """Commits and order log that keep nothing, and fail where they failed then."""

    def __init__(self) -> None:
        self.lines = _Lines(self)
        self.begin(())

    def begin(self, failed: Iterable[WriteFailed]) -> None:
        """Another input: `failed` are the writes, counted from 1, that meet a fault."""
        self._reasons = {fault.write: fault.reason for fault in failed}
        self._writes = 0

    def write(self) -> None:
        self._writes += 1
        if (reason := self._reasons.get(self._writes)) is not None:
            raise StorageError("", reason)

    def append(self, commit: Commit) -> None:
        self.write()

    def recover(self) -> Recovered:
        return Recovered(checkpoint=None, newest=None)

    def write_checkpoint(self, commit: Commit) -> None:
        """Not kept."""

    def drop_redo(self) -> None:
        """Not kept."""


class _Lines:
    def __init__(self, disk: _Disk) -> None:
        self._disk = disk
        self.seq = 0

    def append(self, lines: list[LogLine], ts_ns: int) -> None:
        self._disk.write()

    def last_seq(self) -> int:
        return self.seq


class _NoLines:
    """A day log."""

    def append(self, record: Any, *, ts_ns: int | None = None) -> None:
        """Not kept."""

    def has(self, identity: str) -> bool:
        return False


class _Nowhere:
    """A sink of news or rows."""

    def append(self, payload: bytes, count: int = 1) -> int:
        return 0

    def put(self, rows: Sequence[dict[str, Any]], log_seq: int) -> None:
        """Not kept."""
