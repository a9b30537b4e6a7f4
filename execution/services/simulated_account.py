"""SIM mode without its wires: the desk, what makes it durable, and where its news goes.

Synchronous on purpose: one input at a time, journalled before it has an effect. Live time is the wall
clock; market messages carry exchange time, taken back to our clock where the exchange's runs ahead of
it. The venue's clock follows the messages, and the wall clock
only moves it once the feed has been silent for `FEED_QUIET_NS` (its last messages are then surely here).
Silent for `FEED_DEAD_NS` the feed is dead: nobody may trade on its last picture, commands wait for it.
"""

from __future__ import annotations

import logging
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from execution.domain.core import ExecutionCore
from execution.domain.desk import COMMANDS, SimulatedDesk
from execution.domain.exchange_clock import ExchangeClock
from execution.domain.latency import REASON as LATENCY_REASON
from execution.domain.operator import OperatorCommand
from execution.domain.outputs import ExecutionOutput, LogLine, RecordRow, is_sent_line
from execution.domain.profile import ExecutionSettings, execution_settings_of
from execution.domain.remote_venue import RemoteVenue
from execution.domain.simulated_exchange import SimulatedExchange
from execution.domain.tape import (
    AccountRecovered,
    EntriesAllowed,
    EntriesRefused,
    FramesRead,
    LatencyJudged,
    LinesSent,
    MarketGapped,
    MarketRead,
    NewsTold,
    OperatorRead,
    RequestRead,
    RowsTold,
    SettingsTaken,
    StepMade,
    TapeInput,
    TimerTicked,
    VenueSpoke,
    WriteFailed,
)
from execution.domain.venue import VenueCommand, VenueUpdate
from execution.ports import (
    Commit,
    CommitJournal,
    DayLines,
    NewsWriter,
    OrderLines,
    Recovered,
    RowSink,
    Tape,
)
from execution.services.account_memory import AccountMemory, News, state_seal
from execution.services.latency import OrderMeter
from execution.services.tape import NoTape
from execution.services.unit_change import in_units_of
from failover.adapters.streams import Entry, Position
from failover.domain.config_versions import ActiveConfig
from failover.domain.errors import StorageError
from market.domain.events import EventChunk
from market.domain.frames import Frames
from strategy.domain.messages import ExecutionEvent, ExecutionSnapshot, OrderRequest, RepriceHint

logger = logging.getLogger(__name__)

FEED_QUIET_NS = 100_000_000
FEED_DEAD_NS = 6_000_000_000
CONFIG_INVALID = "CONFIG_INVALID"
_UNWRITABLE = "ORDER_LOG_UNWRITABLE"
_NO_MARKET = "SYMBOL_WITHOUT_MARKET"
_ENCODER = msgspec.msgpack.Encoder()
_NO_STEP = _ENCODER.encode(([], []))  # a commit of what was done before


@dataclass(slots=True, kw_only=True)
class Sinks:
    """Where steps leave their traces."""

    commits: CommitJournal
    order_log: OrderLines
    trade_log: DayLines
    quality_log: DayLines
    events: NewsWriter
    records: NewsWriter
    projection: RowSink


@dataclass(slots=True, kw_only=True)
class SimulatedAccount:
    """One simulated account in live time. `positions` = how far each input stream has been consumed.

    `bybit_env` names the market it lives on (see `execution.services.market_change`), `settings` are those
    that core and venue were made with. Each public method below "inputs" is one input of the `tape`.
    """

    core: ExecutionCore
    venue: SimulatedExchange | RemoteVenue
    symbols: tuple[str, ...]
    sinks: Sinks
    settings: ExecutionSettings = field(default_factory=ExecutionSettings)
    tape: Tape = field(default_factory=NoTape)
    log: logging.Logger = logger
    positions: dict[str, Position] = field(default_factory=dict)
    bybit_env: str = ""
    desk: SimulatedDesk = field(init=False)
    clock: ExchangeClock = field(default_factory=ExchangeClock)
    _number: int = 0
    _now_ns: int = 0
    _last_market_ns: int = 0
    _observe_until: str = ""
    _backlog: list[LogLine] = field(default_factory=list)
    _unpublished: list[News] = field(default_factory=list)
    _checkpointed: int = -1
    _writes: int = 0  # to commits and order log within this input
    meter: OrderMeter = field(default_factory=OrderMeter)

    def __post_init__(self) -> None:
        self.desk = SimulatedDesk(self.core, self.venue, self._journal, self._sent)

    # -- start ------------------------------------------------------------------------------------------

    def recover(self, recovered: Recovered, now_ns: int) -> str:
        """Take up where the last process ended, however it ended; returns one line for the log.

        The first input of the `tape`: what was recovered stands in its `RunStart`.
        """
        on_disk = self.sinks.order_log.last_seq() if recovered.newest is not None else 0
        self._begin(AccountRecovered(now_ns, on_disk))
        self._last_market_ns = now_ns
        recovered = in_units_of(recovered, self.core.instruments)
        checkpoint, newest = recovered.checkpoint, recovered.newest
        last = newest or checkpoint
        if last is None:
            return "fresh account"
        same_books = checkpoint is not None and checkpoint.symbols == self.symbols
        if checkpoint is not None:
            self._restore_venue(checkpoint, with_books=same_books)
        if newest is not None:
            self.venue.restore(newest.venue)
        self.core.restore(last.core)
        self.desk.deliveries.restore(last.deliveries)
        self._number = last.number
        self.positions = dict((checkpoint or last).positions if same_books else last.positions)
        for stream, position in last.positions.items():
            if not stream.endswith("market.raw"):
                self.positions[stream] = position
            elif same_books and newest is not None:
                self._observe_until = position.entry_id
        if newest is not None:
            self._complete(newest, on_disk)
        self._look_for_lost_symbols(now_ns)
        return (
            f"resumed {len(self.core.trades)} trade(s), {len(self.venue.open_orders())} order(s) at "
            f"commit {last.number}, log seq {self.core.log_seq}, torn bytes {recovered.torn_bytes}"
        )

    def _look_for_lost_symbols(self, now_ns: int) -> None:
        """A trade whose symbol the market no longer follows is blind: no entries until it is back."""
        lost = sorted(set(self.core.trades) - set(self.symbols))
        if not lost:
            self._publish(self.core.clear_safe_mode(_NO_MARKET, now_ns))
            return
        text = (
            f"{', '.join(lost)}: there is a trade, but the market does not follow the symbol; "
            "add it to SYMBOLS (or --symbols) of run_market"
        )
        self.log.critical("symbol_without_market", extra={"symbols": lost, "reason": text})
        self._publish(self.core.set_safe_mode(_NO_MARKET, text, now_ns))

    def _restore_venue(self, commit: Commit, *, with_books: bool) -> None:
        self.venue.restore(commit.venue)
        if not with_books:  # the symbol table changed: columns mean other symbols now
            self.venue.forget_books()

    def _complete(self, commit: Commit, on_disk: int) -> None:
        """Do what the last step was about to do; every part of it may be done twice."""
        missing = [line for line in commit.lines if int(line.record["seq"]) > on_disk]
        if before := [line for line in missing if not is_sent_line(line)]:
            self.sinks.order_log.append(before, commit.ts_ns)
        self.desk.resubmit(commit.commands)
        if after := [line for line in missing if is_sent_line(line)]:
            self.sinks.order_log.append(after, commit.ts_ns)
        self._publish(commit.news, may_be_on_disk=True)

    # -- inputs -------------------------------------------------------------------------------------------

    def on_market(self, chunk: EventChunk, entry: Entry, now_ns: int) -> None:
        """Show the venue the market; after a restart, first only to its books up to where it was."""
        bus_ms, bus_seq = _order(entry.entry_id)
        seal = zlib.crc32(entry.payload)
        self._begin(
            MarketRead(now_ns, entry.run_id, entry.number, entry.count, bus_ms, bus_seq, seal),
            entry.payload,
        )
        self._arrived(entry)
        self._last_market_ns = now_ns
        chunk = self.clock.shifted(chunk)
        if self._observe_until and _not_after(entry.entry_id, self._observe_until):
            self.venue.observe(chunk)
            return
        self._observe_until = ""
        self.desk.on_market(chunk)
        self._publish_steps(self.desk.deliver(now_ns))

    def on_market_gap(self, now_ns: int) -> None:
        """Raw messages are missing: the venue takes the next snapshots."""
        self._begin(MarketGapped(now_ns))
        self.venue.distrust_books()

    def on_frames(self, frames: Frames, entry: Entry, now_ns: int) -> None:
        seal = zlib.crc32(entry.payload)
        self._begin(
            FramesRead(now_ns, entry.run_id, entry.number, entry.count, seal), entry.payload
        )
        self._publish_steps(self.desk.on_quotes(frames))

    def on_request(self, request: OrderRequest | RepriceHint, entry: Entry, now_ns: int) -> None:
        self._begin(RequestRead(now_ns, entry.entry_id, _ENCODER.encode(request)))
        self._arrived(entry)
        if isinstance(request, OrderRequest):
            self.meter.request_written(entry.ts_ms)
        outputs = self.desk.on_request(request, now_ns, entry.entry_id)
        self.meter.request_done()
        self._publish_steps(outputs)

    def on_operator(self, command: OperatorCommand, entry: Entry, now_ns: int) -> None:
        self._begin(OperatorRead(now_ns, _ENCODER.encode(command)))
        self._arrived(entry)
        self._publish_steps(self.desk.on_operator(command, now_ns))

    def on_venue(self, update: VenueUpdate, now_ns: int) -> None:
        """A word of a venue that is not simulated here."""
        self._begin(VenueSpoke(now_ns, _ENCODER.encode(update)))
        self._publish_steps(self.desk.on_venue(update, now_ns))

    def on_config(self, config: ActiveConfig, now_ns: int) -> None:
        """Go by another config from the next input on; under one that cannot be used nothing is opened."""
        self.on_settings(execution_settings_of(config.document), config.problem, now_ns)

    def on_settings(self, settings: ExecutionSettings, problem: str, now_ns: int) -> None:
        """As `on_config`; `problem` says why `settings` are but the defaults, empty when they are not."""
        self._begin(SettingsTaken(now_ns, _ENCODER.encode(settings), problem))
        self.settings = settings
        if problem:
            self._refuse_entries(CONFIG_INVALID, problem, now_ns)
        self._publish_steps(self.desk.on_config(settings))

    def refuse_entries(self, reason: str, text: str, now_ns: int) -> None:
        """Safe mode for `reason`, until an operator (or the end of its cause) ends it, over restarts."""
        self._begin(EntriesRefused(now_ns, reason, text))
        self._refuse_entries(reason, text, now_ns)

    def allow_entries(self, reason: str, now_ns: int) -> None:
        """The cause of `refuse_entries` is proven gone."""
        self._begin(EntriesAllowed(now_ns, reason))
        self._checkpointed = -1
        self._publish_steps(self.core.clear_safe_mode(reason, now_ns))

    def _refuse_entries(self, reason: str, text: str, now_ns: int) -> None:
        self._checkpointed = -1  # idle or not: the next checkpoint holds it
        self._publish_steps(self.core.set_safe_mode(reason, text, now_ns))

    def say_latency(self, text: str, now_ns: int) -> None:
        """`text` says what is too slow: safe mode while it lasts; empty ends it."""
        self._begin(LatencyJudged(now_ns, text))
        causes = self.core.book.safe_mode
        if text and LATENCY_REASON not in causes:
            self.log.warning("latency_too_high", extra={"reason": text})
            self._publish_steps(self.core.set_safe_mode(LATENCY_REASON, text, now_ns))
        elif not text and LATENCY_REASON in causes:
            self._publish_steps(self.core.clear_safe_mode(LATENCY_REASON, now_ns))

    def on_timer(self, now_ns: int) -> None:
        """Every few ms of wall clock."""
        self._begin(TimerTicked(now_ns))
        is_quiet = FEED_QUIET_NS <= now_ns - self._last_market_ns < FEED_DEAD_NS
        venue_time_ns = now_ns - FEED_QUIET_NS if is_quiet and not self._observe_until else 0
        self._publish_steps(self.desk.on_timer(now_ns, venue_time_ns))
        if self._backlog or _UNWRITABLE in self.core.book.safe_mode:
            self._retry_backlog(now_ns)

    def _begin(self, item: TapeInput, content: bytes = b"") -> None:
        if self.tape.wants_memory():
            self.tape.remember(self.memory(), self._now_ns or item.now_ns)
        self.tape.input(item, content)
        self._now_ns, self._writes = item.now_ns, 0

    def _arrived(self, entry: Entry) -> None:
        self.positions[entry.stream] = Position(
            entry_id=entry.entry_id, run_id=entry.run_id, next_number=entry.number + entry.count
        )

    # -- memory -------------------------------------------------------------------------------------------

    def memory(self) -> bytes:
        """The running account to the last bit, between two inputs: `recall` goes on from it."""
        return _ENCODER.encode(
            AccountMemory(
                settings=self.settings,
                core=self.core.memory(),
                venue=self.venue.state(),
                deliveries=self.desk.deliveries.state(),
                clock=self.clock.memory(),
                number=self._number,
                last_market_ns=self._last_market_ns,
                observe_until=self._observe_until,
                backlog=self._backlog,
                unpublished=self._unpublished,
            )
        )

    def recall(self, memory: AccountMemory) -> None:
        """Be the account that `memory` is of; core and venue were made anew with its settings."""
        self.settings = memory.settings
        self.core.recall(memory.core)
        self.venue.restore(memory.venue)
        self.desk.deliveries.restore(memory.deliveries)
        self.clock.recall(memory.clock)
        self._number, self._last_market_ns = memory.number, memory.last_market_ns
        self._observe_until = memory.observe_until
        self._backlog, self._unpublished = memory.backlog, memory.unpublished

    # -- durability ---------------------------------------------------------------------------------------

    @property
    def number(self) -> int:
        """Number of the last commit."""
        return self._number

    @property
    def is_catching_up(self) -> bool:
        """The books have not yet reached the point where the last process ended."""
        return bool(self._observe_until)

    def checkpoint(self, now_ns: int) -> Commit | None:
        """The state to write as a checkpoint; None when nothing has happened since the last one."""
        self._now_ns = now_ns
        is_unchanged = self._number == self._checkpointed and self.venue.is_idle
        if is_unchanged and now_ns % 10_000_000_000 > 1_000_000_000:
            return None  # an idle account is written every ten seconds, for its books and positions
        self._checkpointed = self._number
        return self._commit(with_books=True)

    def _commit(self, *, with_books: bool) -> Commit:
        names_all = with_books or self._checkpointed < 0
        return Commit(
            number=self._number,
            core=self.core.state(),
            venue=self.venue.state(with_books=with_books),
            deliveries=self.desk.deliveries.state(),
            positions=dict(self.positions),
            symbols=self.symbols,
            ts_ns=self._now_ns,
            instruments=tuple(self.core.instruments.values()) if names_all else (),
            bybit_env=self.bybit_env,
        )

    def _journal(self, outputs: list[ExecutionOutput]) -> bool:
        """The write-ahead point of one step (see `execution.adapters.order_log`)."""
        lines = [output for output in outputs if isinstance(output, LogLine)]
        commands: list[VenueCommand] = [o for o in outputs if isinstance(o, COMMANDS)]
        if not lines and not commands:
            return True
        self._number += 1
        commit = self._commit(with_books=False)
        commit.lines, commit.commands = lines, commands
        # One input may make several steps before its news go out: each commit carries all of it.
        self._unpublished += [
            output
            for output in outputs
            if isinstance(output, ExecutionEvent | ExecutionSnapshot | RecordRow)
        ]
        commit.news = list(self._unpublished)
        self._backlog += [line for line in lines if not is_sent_line(line)]
        self.tape.output(
            StepMade(self._number, state_seal(commit), _ENCODER.encode((lines, commands)))
        )
        try:
            self._write_commit(commit)
            self._write_lines()
        except StorageError as error:
            self._announce(error)
            return False
        self.meter.journalled()
        return True

    def _sent(self, lines: list[LogLine]) -> None:
        """These commands have really been given to the venue: the log says so now, not before."""
        self.tape.output(LinesSent(_ENCODER.encode(lines)))
        self._backlog += lines
        try:
            self._write_lines()
        except StorageError as error:
            self._announce(error)

    def _write_commit(self, commit: Commit) -> None:
        self._writes += 1
        self.sinks.commits.append(commit)

    def _write_lines(self) -> None:
        """Write all lines that wait, oldest first; those that cannot be written go on waiting."""
        self._writes += 1
        self.sinks.order_log.append(self._backlog, self._now_ns)
        self._backlog.clear()

    def _announce(self, error: StorageError) -> None:
        self.tape.output(WriteFailed(self._writes, error.reason))
        if _UNWRITABLE not in self.core.book.safe_mode:
            self.log.critical("order_log_unwritable", extra={"reason": str(error)})
            self._publish(self.core.set_safe_mode(_UNWRITABLE, error.reason, self._now_ns))

    def _retry_backlog(self, now_ns: int) -> None:
        """Lines that could not be written, then the state they led to; also after a restart."""
        try:
            if self._backlog:
                self._write_lines()
            commit = self._commit(with_books=False)
            commit.number += 1
            self._write_commit(commit)
        except StorageError as error:
            self.tape.output(WriteFailed(self._writes, error.reason))
            return
        self._number = commit.number
        self.tape.output(StepMade(self._number, state_seal(commit), _NO_STEP))
        self.log.warning("order_log_writable_again")
        self._publish(self.core.clear_safe_mode(_UNWRITABLE, now_ns))

    # -- news -----------------------------------------------------------------------------------------------

    def _publish_steps(self, outputs: Sequence[ExecutionOutput]) -> None:
        """Publish what the steps of one input brought; from here on no restart need bring it again."""
        self._publish(outputs)
        self._unpublished.clear()

    def _publish(self, outputs: Sequence[ExecutionOutput], *, may_be_on_disk: bool = False) -> None:
        news = [o for o in outputs if isinstance(o, ExecutionEvent | ExecutionSnapshot)]
        rows = [o.row for o in outputs if isinstance(o, RecordRow)]
        if news:
            payload = _ENCODER.encode(news)
            self.tape.output(NewsTold(payload))
            self.sinks.events.append(payload, len(news))
        if rows:
            payload = _ENCODER.encode(rows)
            self.tape.output(RowsTold(payload))
            self.sinks.records.append(payload, len(rows))
            self.sinks.projection.put(rows, self.core.log_seq)
        for row in rows:
            self.meter.row(row)
            if row["record"] == "TRADE":
                self._keep(row, self.sinks.trade_log, row["planId"], may_be_on_disk)
            elif row["record"] == "QUALITY":
                self._keep(row, self.sinks.quality_log, row["clientOrderId"], may_be_on_disk)

    def _keep(self, row: dict[str, Any], log: DayLines, identity: str, may_be_there: bool) -> None:
        if may_be_there and log.has(identity):
            return
        try:
            log.append(row, ts_ns=self._now_ns)
        except StorageError as error:  # the order log and the ORM have it too
            logger.error("day_log_unwritable", extra={"reason": str(error)})


def _not_after(entry_id: str, other: str) -> bool:
    return _order(entry_id) <= _order(other)


def _order(entry_id: str) -> tuple[int, int]:
    milliseconds, _, sequence = entry_id.partition("-")
    return int(milliseconds), int(sequence or 0)
