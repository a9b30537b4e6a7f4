"""An account that lives through a market made by dice, on real files, with its tape in memory.

`Bus` holds what the streams of the bus would hold; a `Life` is one process of the execution service
without its wires. `end` leaves it as `kill -9` would; a new Life on the same folder takes up its work.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from execution.adapters.order_log import CommitStore, OrderLog
from execution.domain.config import ExecutionConfig
from execution.domain.core import ExecutionCore
from execution.domain.operator import OperatorAction, OperatorCommand
from execution.domain.profile import ExecutionSettings
from execution.domain.remote_venue import RemoteVenue
from execution.domain.simulated_exchange import SimulatedExchange
from execution.services.account_memory import RunFacts, RunStart
from execution.services.simulated_account import SimulatedAccount, Sinks
from execution.services.tape import GATHER_NS, JournalTape
from failover.adapters.archive import Archive
from failover.adapters.streams import Entry
from failover.domain.errors import DiskFull
from failover.domain.journal import FORMAT, Begun, JournalRecord, Made, Numbered, Stood, Taken
from market.domain.chunks import concat_chunks
from market.domain.events import (
    ASK,
    BID,
    ChunkBuilder,
    EventChunk,
    EventKind,
    TickerField,
    pack_chunk,
    unpack_chunk,
)
from market.domain.frames import FRAME_DTYPE, BookState, Frames, pack_frames, unpack_frames
from strategy.domain.config import RiskConfig
from strategy.domain.messages import (
    EntryPlan,
    OrderRequest,
    RepriceHint,
    Side,
    StopPlan,
    TakeProfitLevel,
    TradePlan,
    Trailing,
)
from tests.execution.instruments import an_instrument

MS = 1_000_000
START_NS = 1_767_225_600_000_000_000  # 2026-01-01T00:00:00Z
SYMBOLS = ("BTCUSDT", "ETHUSDT")
MARKET_RUN = "m1"
SETTINGS = ExecutionSettings(
    config=ExecutionConfig(max_notional_usdt=100_000.0), limits=RiskConfig(), version="v1"
)


class Bus:
    """The market's and the strategy's streams, and the recording that a proof reads."""

    def __init__(self, seed: int) -> None:
        self.dice = np.random.default_rng(seed)
        self.now_ns = START_NS
        self.entries: list[Entry] = []
        self.chunks: list[EventChunk] = []
        self.frame_rows: list[Frames] = []
        self.requests = 0
        self._seq = self._frame_number = 0
        self._mid = dict.fromkeys(range(len(SYMBOLS)), 10_000)

    def next_ns(self) -> int:
        """No two inputs at one instant, as the service's clock has it."""
        self.now_ns += 1_000
        return self.now_ns

    def put(self, stream: str, payload: bytes, number: int, count: int) -> Entry:
        entry = Entry(
            stream=stream, entry_id=f"{self.now_ns // MS}-{len(self.entries)}", run_id=MARKET_RUN,
            number=number, count=count, payload=payload,
        )  # fmt: skip
        self.entries.append(entry)
        return entry

    def market(self) -> Entry:
        """A few messages: each symbol's book moves, prints and marks follow it."""
        builder, first = ChunkBuilder(), self._seq + 1
        for symbol in self._mid:
            self._mid[symbol] += int(self.dice.integers(-8, 9))
            self._book(builder, symbol)
            if self.dice.random() < 0.5:
                self._print(builder, symbol)
        chunk = builder.take()
        self.chunks.append(chunk)
        return self.put("t:market.raw", pack_chunk(chunk), first, len(chunk))

    def _book(self, builder: ChunkBuilder, symbol: int) -> None:
        mid = self._mid[symbol]
        lots = int(self.dice.integers(1, 400))
        levels = [(BID, mid - i, lots) for i in range(1, 8)]
        levels += [(ASK, mid + i, lots) for i in range(1, 8)]
        self._add(builder, EventKind.BOOK_SNAPSHOT, symbol, levels)
        mark = int(Decimal("0.1") * 10**9) * mid
        self._add(builder, EventKind.TICKER, symbol, [(0, int(TickerField.MARK_PRICE), mark)])

    def _print(self, builder: ChunkBuilder, symbol: int) -> None:
        side = int(self.dice.integers(2))
        tick = self._mid[symbol] + (1 if side == 0 else -1) * int(self.dice.integers(1, 4))
        self._add(builder, EventKind.TRADE, symbol, [(side, tick, int(self.dice.integers(1, 300)))])

    def _add(
        self,
        builder: ChunkBuilder,
        kind: EventKind,
        symbol: int,
        levels: list[tuple[int, int, int]],
    ) -> None:
        self._seq += 1
        exchange_ns = self.now_ns + int(self.dice.integers(-3, 2)) * MS  # its clock is not ours
        builder.add(
            kind, symbol=symbol, seq=self._seq, core_ts_ns=self.now_ns,
            exchange_ts_ns=exchange_ns, levels=levels,
        )  # fmt: skip

    def frames(self) -> Entry:
        rows = np.zeros(len(SYMBOLS), FRAME_DTYPE)
        rows["symbol"], rows["ts_ns"] = range(len(SYMBOLS)), self.now_ns
        rows["book_state"], rows["spread_bps"], rows["mark_price"] = BookState.OK, 2.0, np.nan
        rows["bid_tick"] = [mid - 1 for mid in self._mid.values()]
        rows["ask_tick"] = [mid + 1 for mid in self._mid.values()]
        self.frame_rows.append(rows)
        self._frame_number += len(rows)
        first = self._frame_number - len(rows) + 1
        return self.put("t:market.frames", pack_frames(rows), first, len(rows))

    def request(self) -> Entry:
        """Mostly a wish to open, now and then one to close, and the word that a signal has faded."""
        self.requests += 1
        symbol, roll = SYMBOLS[int(self.dice.integers(2))], self.dice.random()
        wish: OrderRequest | RepriceHint
        if roll < 0.15:
            wish = RepriceHint(
                request_id=f"s1-{max(1, self.requests - 1)}", symbol=symbol, ts_ns=self.now_ns,
                signal_holds=False,
            )  # fmt: skip
        else:
            plan = self._plan(symbol) if roll < 0.8 else None
            wish = OrderRequest(
                request_id=f"s1-{self.requests}", symbol=symbol,
                action="OPEN" if plan else "CLOSE", side=plan.side if plan else Side.LONG,
                decision_ts_ns=self.now_ns, valid_until_ns=self.now_ns + 2_000 * MS, plan=plan,
            )  # fmt: skip
        return self.put("t:strategy.requests", msgspec.msgpack.encode(wish), self.requests, 1)

    def _plan(self, symbol: str) -> TradePlan:
        side = Side.LONG if self.dice.random() < 0.5 else Side.SHORT
        sign, mid = side.sign, self._mid[SYMBOLS.index(symbol)]
        at_market, entry = self.dice.random() < 0.5, mid - side.sign
        return TradePlan(
            plan_id=f"plan-{self.requests}", profile="scalp", symbol=symbol, side=side,
            qty_lots=100, leverage=float(self.dice.integers(2, 6)),
            entry=EntryPlan(
                type="MARKET" if at_market else "LIMIT", price_ticks=entry,
                time_in_force="PostOnly", timeout_ms=3_000, max_reprices=3,
            ),
            stop=StopPlan(price_ticks=entry - sign * 60),
            take_profits=(
                TakeProfitLevel(price_ticks=entry + sign * 10, qty_lots=40),
                TakeProfitLevel(price_ticks=entry + sign * 25, qty_lots=40),
            ),
            trailing=Trailing(activate_bps=10.0, distance_bps=8.0), time_stop_s=20,
        )  # fmt: skip


class Recorded:
    """A `MarketSource` over what a bus carried."""

    def __init__(self, bus: Bus) -> None:
        self.chunk = concat_chunks(bus.chunks)
        self.rows = np.concatenate(bus.frame_rows)

    def messages(self, run_id: str, first: int, count: int) -> EventChunk:
        assert run_id == MARKET_RUN
        return self.chunk.slice(first - 1, first - 1 + count)

    def frames(self, run_id: str, first: int, count: int) -> Frames:
        assert run_id == MARKET_RUN
        return self.rows[first - 1 : first - 1 + count]


class ListJournal:
    """A journal in memory: records as the writer numbers them, a state each `every` inputs' batch."""

    def __init__(self, states_every: int = 10_000) -> None:
        self.records: list[JournalRecord] = []
        self._states_every = states_every
        self._since_state = states_every

    def begin(self, at_ns: int, payload: bytes) -> None:
        self.records.append(
            Begun(core="execution", run_id="e1", at_ns=at_ns, format=FORMAT, payload=payload)
        )

    def take(self, kind: str, at_ns: int, payload: bytes = b"") -> None:
        self._since_state += 1
        self.records.append(Taken(kind, at_ns, payload))

    def made(self, payload: bytes) -> None:
        self.records.append(Made(payload))

    def wants_checkpoint(self) -> bool:
        return self._since_state >= self._states_every

    def stood(self, at_ns: int, payload: bytes) -> None:
        self._since_state = 0
        self.records.append(Stood(at_ns, payload))

    def keep_last(
        self, at_ns: int, stream: str, run_id: str, first: int, count: int, content: bytes
    ) -> None:
        """This market is never killed."""

    @property
    def numbered(self) -> list[Numbered]:
        return [Numbered(number, record) for number, record in enumerate(self.records, start=1)]


class FragileLog(OrderLog):
    """The order log of a disk that is full until told otherwise."""

    is_full = False

    def append(self, lines: list[Any], ts_ns: int) -> None:
        if self.is_full:
            raise DiskFull("orders", "no space left")
        super().append(lines, ts_ns)


class Sink:
    """Takes news, rows and day lines."""

    def append(self, record: Any, count: int = 1, *, ts_ns: int | None = None) -> Any:
        return 0

    def has(self, identity: str) -> bool:
        return False

    def put(self, rows: Sequence[dict[str, Any]], log_seq: int) -> None:
        pass


class Life:
    """One process of the execution service, fed by hand."""

    def __init__(
        self,
        folder: Path,
        bus: Bus,
        journal: Any,
        run_id: str = "e1",
        *,
        is_simulated: bool = True,
        gather_ns: int = GATHER_NS,
    ) -> None:
        """Not simulated: whoever made it puts a `RemoteVenue` in the place of its venue."""
        self.bus, self.journal = bus, journal
        self.archive, self.commits = Archive(folder), CommitStore(folder / "system")
        self.orders = FragileLog(self.archive)
        recovered, sink = self.commits.recover(), Sink()
        table = recovered.instruments([an_instrument(symbol) for symbol in SYMBOLS])
        config = SETTINGS.config
        self.account = SimulatedAccount(
            core=ExecutionCore(table, config, "SIM", run_id, SETTINGS.limits, version="v1"),
            venue=SimulatedExchange(table, config) if is_simulated else RemoteVenue(),
            symbols=SYMBOLS,
            settings=SETTINGS,
            sinks=Sinks(
                commits=self.commits, order_log=self.orders, trade_log=sink, quality_log=sink,
                events=sink, records=sink, projection=sink,
            ),
        )  # fmt: skip
        facts = RunFacts(
            run_id=run_id, mode="SIM", instruments=tuple(table), symbols=SYMBOLS,
            is_simulated=is_simulated,
        )  # fmt: skip
        self.start = RunStart(facts=facts, settings=SETTINGS, recovered=recovered)
        journal.begin(bus.next_ns(), msgspec.msgpack.encode(self.start))
        self.account.tape = self.tape = JournalTape(journal, gather_ns)
        self.account.recover(recovered, bus.next_ns())
        self._catch_up()

    def _catch_up(self) -> None:
        """Market and requests from where the account stands, as the reader of the bus brings them."""
        for entry in self.bus.entries:
            place = self.account.positions.get(entry.stream)
            if place is not None and entry.number >= place.next_number:
                self.bus.now_ns += 100_000
                self.read(entry)

    def read(self, entry: Entry) -> None:
        account, now_ns = self.account, self.bus.next_ns()
        if entry.stream.endswith("market.raw"):
            account.on_market(unpack_chunk(entry.payload), entry, now_ns)
        elif entry.stream.endswith("market.frames"):
            account.on_frames(unpack_frames(entry.payload), entry, now_ns)
        else:
            wish = msgspec.msgpack.decode(entry.payload, type=OrderRequest | RepriceHint)
            account.on_request(wish, entry, now_ns)

    def live(self, steps: int, *, checkpoint_every: int = 10_000) -> None:
        """Steps of about 10 ms: market, time, and now and then something else."""
        for step in range(steps):
            self.bus.now_ns += 10 * MS + int(self.bus.dice.integers(0, 300)) * 1_000
            self.read(self.bus.market())
            self.pass_time()
            if step % 10 == 0:
                self.read(self.bus.frames())
            if step % 23 == 5:
                self.read(self.bus.request())
            if self.bus.dice.random() < 0.02:
                self.something_else()
            if step % checkpoint_every == checkpoint_every - 1:
                self.checkpoint()

    def pass_time(self) -> None:
        self.bus.now_ns += 2 * MS
        self.account.on_timer(self.bus.now_ns)

    def something_else(self) -> None:
        roll, now_ns = int(self.bus.dice.integers(7)), self.bus.next_ns()
        if roll == 0:
            self.account.say_latency(
                "frames are late" if self.bus.dice.random() < 0.5 else "", now_ns
            )
        elif roll == 1:
            timeout_ms = int(self.bus.dice.integers(1_000, 4_000))
            config = msgspec.structs.replace(SETTINGS.config, order_timeout_ms=timeout_ms)
            settings = msgspec.structs.replace(SETTINGS, config=config, version=f"v{timeout_ms}")
            self.account.on_settings(settings, "", now_ns)
        elif roll == 2:
            self.orders.is_full = not self.orders.is_full
        elif roll == 3:
            self.account.on_market_gap(now_ns)
        elif roll == 4:
            self.operate(OperatorAction.PANIC_CLOSE_ALL)
            self.operate(OperatorAction.SAFE_MODE_OFF)
        elif roll == 5:
            self.account.refuse_entries("REPLAY", "a session is shown", now_ns)
            self.account.allow_entries("REPLAY", self.bus.next_ns())
        else:
            self.bus.now_ns += 300 * MS  # the feed is silent: the wall clock moves the venue
            self.pass_time()

    def operate(self, action: OperatorAction) -> None:
        entry = self.bus.put("t:operator.commands", b"", len(self.bus.entries), 1)
        command = OperatorCommand(
            command_id=entry.entry_id, action=action, reason="test", actor="anna", source="CLI",
            ts_ns=self.bus.now_ns,
        )  # fmt: skip
        self.account.on_operator(command, entry, self.bus.next_ns())

    def checkpoint(self) -> None:
        commit = self.account.checkpoint(self.bus.next_ns())
        if commit is not None:
            self.commits.write_checkpoint(commit)
            self.commits.drop_redo()

    def end(self) -> None:
        """The process is gone; only what is on disk stays."""
        self.archive.close()
        self.commits.close()
