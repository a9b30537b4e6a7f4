"""The execution service in SIM mode: bus in, simulated account, bus and files out."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import msgspec

from execution.domain.operator import OperatorCommand
from execution.ports import CommitJournal
from execution.services.process_record import ProcessRecord
from execution.services.simulated_account import SimulatedAccount
from failover.adapters.archive import Archive
from failover.adapters.journal import JournalWriter
from failover.adapters.streams import Entry, Gap, MessageCodec, StreamReader
from failover.domain.errors import StorageError
from failover.domain.run_mode import REPLAY_REASON, RunMode
from failover.services.host import ServiceContext
from market.domain.events import unpack_chunk
from market.domain.frames import unpack_frames
from market.domain.instruments import Instrument
from market.services.core_clock import CoreClock
from strategy.domain.messages import OrderRequest, RepriceHint

logger = logging.getLogger(__name__)

TIMER_S = 0.01
CHECKPOINT_S = 1.0
SYMBOLS_CODEC = MessageCodec(list[Instrument])
_REQUEST_CODEC = MessageCodec(OrderRequest | RepriceHint)
_OPERATOR_CODEC = MessageCodec(OperatorCommand)
_CATCH_UP_LIMIT_S = 5.0
_YIELD_EVERY = 50  # inputs handled before the loop gets a turn


class InputClock:
    """Instants of inputs, ns: each later than the one before, in whole microseconds (finer is but journal).

    So the journal tells also in which order inputs were taken that came together.
    """

    def __init__(self) -> None:
        self._clock = CoreClock()
        self._last_ns = 0

    def __call__(self) -> int:
        self._last_ns = max(self._clock() // 1_000 * 1_000, self._last_ns + 1_000)
        return self._last_ns


class SymbolsChanged(Exception):
    """The market has another symbol table: start again with it (the account resumes by itself)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Streams:
    """Keys of the bus streams this service reads and writes (docs/contracts.md)."""

    symbols: str
    frames: str
    raw: str
    requests: str
    operator: str
    events: str
    records: str

    @classmethod
    def with_prefix(cls, prefix: str) -> Streams:
        return cls(
            symbols=f"{prefix}market.symbols",
            frames=f"{prefix}market.frames",
            raw=f"{prefix}market.raw",
            requests=f"{prefix}strategy.requests",
            operator=f"{prefix}operator.commands",
            events=f"{prefix}execution.events",
            records=f"{prefix}execution.records",
        )


@dataclass(slots=True, kw_only=True)
class SimulationService:
    """Runs one `SimulatedAccount` until its host stops. `clock` gives the instants of its inputs."""

    context: ServiceContext
    account: SimulatedAccount
    reader: StreamReader
    streams: Streams
    commits: CommitJournal
    process: ProcessRecord
    archive: Archive
    clock: Callable[[], int]
    journal: JournalWriter
    bad_inputs: Counter[str] = field(default_factory=Counter)
    _is_caught_up: bool = False
    _lag_ms: float = 0.0
    _run_mode_epoch: int = -1

    def on_run_mode(self, mode: RunMode) -> None:
        """While a recorded market is shown nothing is opened; what is open may be closed.

        The next heartbeat says that the switch is followed, with what was open after it.
        """
        is_refusing = REPLAY_REASON in self.account.core.book.safe_mode
        if mode.is_replay and not is_refusing:
            text = f"session {mode.session_id} is being replayed"
            self.account.refuse_entries(REPLAY_REASON, text, self.clock())
        elif is_refusing and not mode.is_replay:
            self.account.allow_entries(REPLAY_REASON, self.clock())
        self._run_mode_epoch = mode.epoch

    async def run(self) -> None:
        """Consume the bus until a stop; ticks and checkpoints run beside it on the same loop."""
        handlers = self._handlers()
        async for items in self.reader.batches():
            for count, item in enumerate(items, start=1):
                if isinstance(item, Gap):
                    self._on_gap(item)
                else:
                    self._take(item, handlers[item.stream])
                if count % _YIELD_EVERY == 0:
                    await asyncio.sleep(0)
            self._note_progress(items[-1])
            if self.context.stopping.is_set():
                return

    async def tick(self) -> None:
        """Wall-clock time, once the market missed meanwhile has been applied (or it takes too long)."""
        started = time.monotonic()
        while not await self.context.sleep(TIMER_S):
            waited_s = time.monotonic() - started
            if self._is_caught_up or waited_s > _CATCH_UP_LIMIT_S:
                self.account.on_timer(self.clock())

    async def keep_checkpoints(self) -> None:
        """Every second: the checkpoint off the loop, the snapshots of phases 10 and 12, the heartbeat."""
        failing = False
        while not await self.context.sleep(CHECKPOINT_S):
            try:
                await self.save()
                failing = False
            except StorageError as error:
                if not failing:
                    logger.error("checkpoint_failed", extra={"reason": str(error)})
                failing = True
            self._report()

    async def save(self) -> None:
        """Write checkpoint and process state, and have the snapshots written. Raises: StorageError."""
        now_ns = self.clock()
        core = self.account.core
        if (commit := self.account.checkpoint(now_ns)) is not None:
            await asyncio.to_thread(self.commits.write_checkpoint, commit)
            if self.account.number == commit.number:  # no step came while the thread wrote
                self.commits.drop_redo()
        self.archive.write_execution_snapshot(core.execution_snapshot_row(now_ns))
        self.archive.write_tpsl_snapshot(core.tpsl_snapshot_row(now_ns))
        process = self.process.next(is_ready=self._is_caught_up)
        await asyncio.to_thread(self.process.write, process)

    # -- inputs -----------------------------------------------------------------------------------------

    def _handlers(self) -> dict[str, Callable[[Entry], None]]:
        return {
            self.streams.raw: self._on_raw,
            self.streams.frames: self._on_frames,
            self.streams.requests: self._on_request,
            self.streams.operator: self._on_operator,
            self.streams.symbols: self._on_symbols,
        }

    def _take(self, entry: Entry, handle: Callable[[Entry], None]) -> None:
        """A payload that cannot be read is counted, logged once per kind, and passed over."""
        try:
            handle(entry)
        except (msgspec.DecodeError, ValueError) as error:
            kind = f"{entry.stream}:{type(error).__name__}"
            self.bad_inputs[kind] += 1
            if self.bad_inputs[kind] == 1:
                logger.exception("bad_input", extra={"stream": entry.stream, "id": entry.entry_id})

    def _on_raw(self, entry: Entry) -> None:
        chunk = unpack_chunk(entry.payload)
        self._check_columns(int(chunk.symbol.max()) if len(chunk) else 0)
        self.account.on_market(chunk, entry, self.clock())

    def _on_frames(self, entry: Entry) -> None:
        frames = unpack_frames(entry.payload)
        if frames.size:
            self._check_columns(int(frames["symbol"].max()))
            self.account.on_frames(frames, entry, self.clock())

    def _on_request(self, entry: Entry) -> None:
        self.account.on_request(_REQUEST_CODEC.decode(entry.payload), entry, self.clock())

    def _on_operator(self, entry: Entry) -> None:
        self.account.on_operator(_OPERATOR_CODEC.decode(entry.payload), entry, self.clock())

    def _on_symbols(self, entry: Entry) -> None:
        table = SYMBOLS_CODEC.decode(entry.payload)
        if tuple(row.symbol for row in table) != self.account.symbols:
            raise SymbolsChanged("market.symbols changed: starting again with the new table")

    def _check_columns(self, highest: int) -> None:
        if highest >= len(self.account.symbols):
            raise ValueError(f"symbol column {highest} is outside the table")

    def _on_gap(self, gap: Gap) -> None:
        logger.warning(
            "stream_gap",
            extra={
                "stream": gap.stream,
                "gap": gap.kind,
                "expected": gap.expected,
                "found": gap.found,
            },
        )
        if gap.stream == self.streams.raw:
            self.account.on_market_gap(self.clock())

    def _note_progress(self, item: Entry | Gap) -> None:
        if isinstance(item, Entry):
            self._lag_ms = max(time.time() * 1e3 - item.ts_ms, 0.0)
        if not self._is_caught_up and self._lag_ms < 500 and not self.account.is_catching_up:
            self._is_caught_up = True
            logger.info("execution_caught_up", extra={"lagMs": round(self._lag_ms)})

    def _report(self) -> None:
        core = self.account.core
        state = core.execution_snapshot_row(self.clock())
        self.context.report(
            lag_ms=self._lag_ms,
            details={
                "mode": core.mode,
                "safeMode": list(core.book.safe_mode),
                "openTrades": len(core.trades),
                "openOrders": state["pendingOrdersCount"] + state["activeOrdersCount"],
                "runModeEpoch": self._run_mode_epoch,
                "badInputs": sum(self.bad_inputs.values()),
                "archive": self.archive.details(),
                "latency": self.account.meter.table.summary(time.time_ns()),
                "journal": self.journal.details(),
            },
        )


Closer = Callable[[], Awaitable[Any] | None]
