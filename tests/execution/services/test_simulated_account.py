"""The simulated account on its real files: what it makes of restarts, full disks and silent markets."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from execution.adapters.order_log import CommitStore, OrderLog, QualityLog, TradeLog
from execution.domain.config import ExecutionConfig
from execution.domain.core import ExecutionCore
from execution.domain.sim_kernel import TRUSTED
from execution.domain.simulated_exchange import SimulatedExchange
from execution.services.market_change import on_market_of
from execution.services.process_record import ProcessRecord
from execution.services.simulated_account import FEED_DEAD_NS, SimulatedAccount, Sinks
from failover.adapters.archive import Archive
from failover.adapters.process_state import ProcessStateStore
from failover.adapters.streams import Entry
from failover.domain.errors import DiskFull, Refused
from failover.domain.process_state import ProcessState
from market.domain.events import ASK, BID, ChunkBuilder, EventKind, TickerField
from market.domain.instruments import Instrument
from strategy.domain.messages import OrderRequest

MS = 1_000_000
Make = Callable[[str], Instrument]


class Written:
    """A sink of news that keeps what it is given."""

    def __init__(self) -> None:
        self.payloads: list[bytes] = []
        self.rows: list[dict[str, Any]] = []

    def append(self, payload: bytes, count: int = 1) -> int:
        self.payloads.append(payload)
        return len(self.payloads)

    def put(self, rows: Sequence[dict[str, Any]], log_seq: int) -> None:
        self.rows += rows


class FullDisk:
    """The order log of a disk that is full until told otherwise."""

    def __init__(self, log: OrderLog) -> None:
        self.log = log
        self.is_full = False

    def append(self, lines: list[Any], ts_ns: int) -> None:
        if self.is_full:
            raise DiskFull("orders", "no space left")
        self.log.append(lines, ts_ns)

    def last_seq(self) -> int:
        return self.log.last_seq()


class Process:
    """One life of the execution service, without its bus."""

    def __init__(
        self, folder: Path, table: list[Instrument], now_ns: int, bybit_env: str = "LOCAL"
    ) -> None:
        archive = Archive(folder)
        self.now_ns, self.entries, self.orders = now_ns, 0, FullDisk(OrderLog(archive))
        self.commits, config = (
            CommitStore(folder / "system"),
            ExecutionConfig(max_notional_usdt=1e6),
        )
        recovered = on_market_of(self.commits.recover(), bybit_env, str(folder / "system"))
        instruments = recovered.instruments(table)
        self.account = SimulatedAccount(
            core=ExecutionCore(instruments, config, "SIM", f"e{now_ns}"),
            venue=SimulatedExchange(instruments, config),
            symbols=tuple(instrument.symbol for instrument in table),
            bybit_env=bybit_env,
            sinks=Sinks(
                commits=self.commits, order_log=self.orders, trade_log=TradeLog(archive),
                quality_log=QualityLog(archive),
                events=Written(), records=Written(), projection=Written(),
            ),
        )  # fmt: skip
        self.table = table
        self.record = ProcessRecord(
            ProcessStateStore(folder / "system", run_mode="SIM"), self.account
        )
        self.record.begin()
        self.account.recover(recovered, now_ns)
        self.record.has_recovered = recovered.checkpoint is not None

    def entry(self, stream: str) -> Entry:
        self.entries += 1
        entry_id = f"{self.now_ns // MS}-{self.entries}"
        return Entry(
            stream=stream, entry_id=entry_id, run_id="m", number=self.entries, count=1, payload=b""
        )

    def book(self, mid: int, symbol: str = "BTCUSDT") -> None:
        column = [item.symbol for item in self.table].index(symbol)
        builder = ChunkBuilder()
        levels = [(BID, mid - i, 1000) for i in range(1, 6)]
        levels += [(ASK, mid + i, 1000) for i in range(1, 6)]
        builder.add(
            EventKind.BOOK_SNAPSHOT, symbol=column, seq=self.entries, core_ts_ns=self.now_ns,
            exchange_ts_ns=self.now_ns, levels=levels,
        )  # fmt: skip
        self.account.on_market(builder.take(), self.entry("market.raw"), self.now_ns)

    def mark(self, tick: int, symbol: str = "BTCUSDT") -> None:
        column = [item.symbol for item in self.table].index(symbol)
        price = int(self.table[column].tick_size * tick * 10**9)
        builder = ChunkBuilder()
        builder.add(
            EventKind.TICKER, symbol=column, seq=self.entries, core_ts_ns=self.now_ns,
            exchange_ts_ns=self.now_ns, levels=[(0, int(TickerField.MARK_PRICE), price)],
        )  # fmt: skip
        self.account.on_market(builder.take(), self.entry("market.raw"), self.now_ns)

    def ask(self, request: OrderRequest) -> None:
        self.account.on_request(request, self.entry("strategy.requests"), self.now_ns)

    def wait(self, ms: int) -> None:
        for _ in range(0, ms, 10):
            self.now_ns += 10 * MS
            self.account.on_timer(self.now_ns)

    def checkpoint(self) -> None:
        commit = self.account.checkpoint(self.now_ns)
        assert commit is not None
        self.commits.write_checkpoint(commit)
        self.commits.drop_redo()

    def end(self) -> None:
        self.orders.log.close()
        self.commits.close()

    @property
    def safe_mode(self) -> list[str]:
        return list(self.account.core.book.safe_mode)


@pytest.fixture
def an_open(world: Any) -> Callable[[Process], OrderRequest]:
    """An OPEN at market for a process: the plan of the hand-made market."""

    def make(process: Process) -> OrderRequest:
        return OrderRequest(
            request_id=f"s1-BTCUSDT-{process.entries}", symbol="BTCUSDT", action="OPEN",
            side=world.plan().side, decision_ts_ns=process.now_ns,
            valid_until_ns=process.now_ns + 2000 * MS, plan=world.plan(type="MARKET"),
        )  # fmt: skip

    return make


@pytest.fixture
def holding(
    tmp_path: Path, world: Any, an_instrument: Make, an_open: Callable[[Process], OrderRequest]
) -> Process:
    """A process with a protected long of 100 lots of BTCUSDT, checkpointed."""
    process = Process(tmp_path, [an_instrument("BTCUSDT"), an_instrument("ETHUSDT")], world.now_ns)
    process.account.core.quotes.update(world.core.quotes)
    process.book(10_000)
    process.ask(an_open(process))
    process.wait(400)
    assert process.account.core.trades["BTCUSDT"].position_lots == 100
    process.checkpoint()
    return process


def test_a_position_outlives_its_symbol_in_the_markets_table(
    holding: Process, tmp_path: Path, an_instrument: Make
) -> None:
    """No KeyError, the stop still known, no entry anywhere; all is well when the symbol is back."""
    holding.end()
    without = Process(tmp_path, [an_instrument("ETHUSDT")], holding.now_ns)
    without.book(10_000, "ETHUSDT")
    without.wait(200_000 // 100)

    trade = without.account.core.trades["BTCUSDT"]
    assert without.safe_mode == ["SYMBOL_WITHOUT_MARKET"]
    assert trade.position_lots == 100
    assert trade.order_of("STOP", without.account.core.orders) is not None
    without.checkpoint()
    without.end()

    table = [an_instrument("ETHUSDT"), an_instrument("BTCUSDT")]
    back = Process(tmp_path, table, without.now_ns)
    assert back.safe_mode == []
    back.ask(
        OrderRequest(
            request_id="c",
            symbol="BTCUSDT",
            action="CLOSE",
            side=trade.plan.side,
            decision_ts_ns=back.now_ns,
            valid_until_ns=back.now_ns,
        )
    )
    back.book(10_100)
    back.wait(300)
    back.book(10_100)
    back.wait(300)

    assert back.account.core.trades == {}
    assert back.account.venue.account().positions["BTCUSDT"].lots == 0


def test_a_close_does_not_trade_on_the_last_picture_of_a_dead_feed(holding: Process) -> None:
    holding.wait(FEED_DEAD_NS // MS)
    holding.ask(
        OrderRequest(
            request_id="c",
            symbol="BTCUSDT",
            action="CLOSE",
            side=holding.account.core.trades["BTCUSDT"].plan.side,
            decision_ts_ns=holding.now_ns,
            valid_until_ns=holding.now_ns,
        )
    )
    holding.wait(2000)
    assert holding.account.venue.account().positions["BTCUSDT"].lots == 100

    holding.account.on_market_gap(holding.now_ns)  # the market's new run
    holding.book(9_990)
    holding.wait(300)

    assert holding.account.venue.account().positions["BTCUSDT"].lots == 0
    assert {row["price"] for row in fills(holding)} == {
        1000.1,
        998.9,
    }  # entry at 10001, exit at 9989


def fills(process: Process) -> list[dict[str, Any]]:
    sink = process.account.sinks.projection
    assert isinstance(sink, Written)
    return [row for row in sink.rows if row["record"] == "FILL"]


def test_safe_mode_of_a_full_disk_ends_with_it_also_over_a_restart(
    holding: Process, tmp_path: Path, an_open: Callable[[Process], OrderRequest]
) -> None:
    holding.orders.is_full = True
    holding.ask(msgspec.structs.replace(an_open(holding), request_id="other", plan=None))
    assert holding.safe_mode == ["ORDER_LOG_UNWRITABLE"]
    holding.wait(100)
    assert holding.safe_mode == ["ORDER_LOG_UNWRITABLE"]
    holding.checkpoint()
    holding.end()

    again = Process(tmp_path, holding.table, holding.now_ns)
    assert again.safe_mode == ["ORDER_LOG_UNWRITABLE"]
    again.wait(20)

    assert again.safe_mode == []


def test_process_state_says_what_was_open_and_how_the_last_process_ended(
    holding: Process, tmp_path: Path
) -> None:
    store = ProcessStateStore(tmp_path / "system", run_mode="SIM")

    def state() -> ProcessState:
        loaded = store.load()
        assert loaded is not None
        return loaded

    holding.record.write(holding.record.next(is_ready=True))
    running = state()
    (position,) = running.open_positions_snapshot
    assert (running.phase, running.run_mode, running.pid) == ("RUNNING", "SIM", os.getpid())
    assert running.active_symbols == ("BTCUSDT", "ETHUSDT")
    assert (position["side"], position["qty"], position["entryPrice"]) == ("LONG", 0.1, 1000.1)
    assert {order["leg"] for order in running.open_orders_snapshot} == {"STOP", "TP1", "TP2"}
    assert running.last_failure is None
    holding.end()  # and no word of it: as after kill -9

    again = Process(tmp_path, holding.table, holding.now_ns)
    starting = state()
    assert starting.phase == "STARTING"
    assert starting.open_positions_snapshot == running.open_positions_snapshot
    assert starting.last_failure is not None
    assert starting.last_failure.type == "UNEXPECTED_SHUTDOWN"
    assert again.record.next(is_ready=False).phase == "RECOVERING"
    recovered = again.record.next(is_ready=True)
    assert (recovered.phase, recovered.last_recovery_at is not None) == ("RUNNING", True)
    again.record.end()
    again.end()
    assert state().phase == "STOPPING"

    third = Process(tmp_path, holding.table, holding.now_ns)
    failure = state().last_failure
    assert failure is not None
    assert failure.timestamp == starting.last_failure.timestamp, (
        "it ended by itself: no new failure"
    )
    third.end()


# -- what SENT means ---------------------------------------------------------------------------------


def lines_on_disk(folder: Path) -> list[dict[str, Any]]:
    files = sorted((folder / "orders").glob("day-*.jsonl"))
    return [msgspec.json.decode(line) for file in files for line in file.read_bytes().splitlines()]


def is_gap_free(lines: list[dict[str, Any]]) -> bool:
    return [line["seq"] for line in lines] == list(range(1, len(lines) + 1))


def a_close(process: Process) -> OrderRequest:
    trade = process.account.core.trades["BTCUSDT"]
    return OrderRequest(
        request_id="c", symbol="BTCUSDT", action="CLOSE", side=trade.plan.side,
        decision_ts_ns=process.now_ns, valid_until_ns=process.now_ns,
    )  # fmt: skip


def test_sent_is_written_only_after_the_venue_was_given_the_command(
    holding: Process, tmp_path: Path
) -> None:
    submit, seen = holding.account.venue.submit, {}

    def watching(command: Any) -> None:
        lines = lines_on_disk(tmp_path)
        own = [x["kind"] for x in lines if x.get("clientOrderId") == command.client_order_id]
        seen.setdefault(command.client_order_id, own)
        submit(command)

    holding.account.venue.submit = watching  # type: ignore[method-assign]
    holding.ask(a_close(holding))

    placed = [x for x in lines_on_disk(tmp_path) if x["kind"] == "SENT" and x["leg"] == "CLOSE"]
    assert seen[placed[0]["clientOrderId"]] == ["INTENT"]
    assert is_gap_free(lines_on_disk(tmp_path))


def test_a_process_killed_before_it_sent_never_said_that_it_had(
    holding: Process, tmp_path: Path
) -> None:
    """The next process sends the command and only then writes the line, under the same number."""

    def killed(command: Any) -> None:
        raise KeyboardInterrupt

    holding.account.venue.submit = killed  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        holding.ask(a_close(holding))
    left = [line["kind"] for line in lines_on_disk(tmp_path) if line.get("leg") == "CLOSE"]
    assert left == ["INTENT"]
    holding.end()

    again = Process(tmp_path, holding.table, holding.now_ns)
    done = [line["kind"] for line in lines_on_disk(tmp_path) if line.get("leg") == "CLOSE"]

    assert done == ["INTENT", "SENT"]
    assert is_gap_free(lines_on_disk(tmp_path))
    again.book(10_000)
    again.wait(300)
    assert again.account.venue.account().positions["BTCUSDT"].lots == 0


def test_an_entry_kept_back_by_a_full_disk_is_never_called_sent(
    holding: Process, tmp_path: Path, world: Any
) -> None:
    plan = world.plan(symbol="ETHUSDT", plan_id="other")
    request = OrderRequest(
        request_id="other", symbol="ETHUSDT", action="OPEN", side=plan.side,
        decision_ts_ns=holding.now_ns, valid_until_ns=holding.now_ns + 2000 * MS, plan=plan,
    )  # fmt: skip
    holding.account.core.quotes.update(world.core.quotes)
    holding.orders.is_full = True
    holding.ask(request)
    holding.ask(a_close(holding))
    holding.orders.is_full = False
    holding.wait(300)

    lines = [line for line in lines_on_disk(tmp_path) if "leg" in line]
    entry = [line["kind"] for line in lines if line["symbol"] == "ETHUSDT"]
    close = [line["kind"] for line in lines if line["leg"] == "CLOSE"]
    assert entry[0] == "INTENT"
    assert "SENT" not in entry
    assert close[:2] == ["INTENT", "SENT"]
    assert is_gap_free(lines_on_disk(tmp_path))


# -- the venue changes its units -----------------------------------------------------------------------


def finer(instrument: Instrument, *, ticks: int = 1, lots: int = 1) -> Instrument:
    return msgspec.structs.replace(
        instrument,
        tick_size=instrument.tick_size / ticks,
        qty_step=instrument.qty_step / lots,
    )


@pytest.mark.parametrize(("ticks", "lots"), [(10, 1), (2, 1), (1, 10), (5, 20)])
def test_an_open_trade_goes_on_when_the_venue_makes_its_ticks_or_lots_finer(
    holding: Process, tmp_path: Path, an_instrument: Make, ticks: int, lots: int
) -> None:
    """Same prices, quantities and money before and after; then the stop still takes all of it."""
    before = holding.account.core.tpsl_snapshot_row(holding.now_ns)["trades"]
    holding.end()
    table = [finer(an_instrument("BTCUSDT"), ticks=ticks, lots=lots), an_instrument("ETHUSDT")]
    again = Process(tmp_path, table, holding.now_ns)

    core, venue = again.account.core, again.account.venue
    assert core.tpsl_snapshot_row(holding.now_ns)["trades"] == before
    assert venue.account().positions["BTCUSDT"].lots == 100 * lots
    assert core.trades["BTCUSDT"].position_lots == 100 * lots
    again.book(9_900 * ticks)
    again.mark(9_900 * ticks)
    again.wait(300)
    again.book(9_900 * ticks)
    again.wait(300)

    assert core.trades == {}
    assert venue.account().positions["BTCUSDT"].lots == 0
    assert core.book.realized_usdt + 10_000 == venue.account().equity_usdt


def test_coarser_ticks_move_the_orders_of_a_trade_to_the_new_grid(
    holding: Process, tmp_path: Path, an_instrument: Make
) -> None:
    coarse = msgspec.structs.replace(an_instrument("BTCUSDT"), tick_size=Decimal("0.4"))
    holding.end()
    again = Process(tmp_path, [coarse, an_instrument("ETHUSDT")], holding.now_ns)

    orders = {o.leg: o for o in again.account.core.orders.values() if o.is_live}
    assert orders["STOP"].trigger_ticks == round(9_950 / 4)
    assert [orders[leg].price_ticks for leg in ("TP1", "TP2")] == [
        round(10_030 / 4),
        round(10_060 / 4),
    ]


def test_a_position_that_new_lots_cannot_hold_is_closed_as_far_as_they_can(
    holding: Process, tmp_path: Path, an_instrument: Make
) -> None:
    """0.1 in lots of 0.03: three lots are kept and closed, no money is made or lost by the rest."""
    wallet = holding.account.venue.account().wallet_usdt
    coarse = msgspec.structs.replace(
        an_instrument("BTCUSDT"), qty_step=Decimal("0.03"), min_qty=Decimal("0.03"),
        max_qty=Decimal(99), max_market_qty=Decimal(48),
    )  # fmt: skip
    holding.end()
    again = Process(tmp_path, [coarse, an_instrument("ETHUSDT")], holding.now_ns)

    core, venue = again.account.core, again.account.venue
    trade = core.trades["BTCUSDT"]
    assert (trade.position_lots, trade.phase, trade.close_reason) == (
        3, "CLOSING", "LOTS_DO_NOT_FIT",
    )  # fmt: skip
    assert venue.account().positions["BTCUSDT"].lots == 3
    assert venue.account().wallet_usdt == wallet
    again.book(10_000)
    again.wait(300)

    assert core.trades == {}
    assert venue.account().positions["BTCUSDT"].lots == 0
    assert abs(core.book.realized_usdt + 10_000 - venue.account().equity_usdt) < Decimal("0.01")


def test_a_position_is_not_carried_to_another_markets_prices(
    holding: Process, tmp_path: Path
) -> None:
    holding.end()
    saved = (tmp_path / "system" / "execution_checkpoint.msgpack").read_bytes()

    with pytest.raises(Refused) as refusal:
        Process(tmp_path, holding.table, holding.now_ns, "MAINNET")

    line = str(refusal.value)
    assert f"in {tmp_path / 'system'} holds BTCUSDT on BYBIT_ENV=LOCAL" in line
    assert "start with BYBIT_ENV=LOCAL and close them first" in line
    assert "DATA_DIR" in line
    assert (tmp_path / "system" / "execution_checkpoint.msgpack").read_bytes() == saved
    again = Process(tmp_path, holding.table, holding.now_ns)
    assert again.account.core.trades["BTCUSDT"].position_lots == 100


def test_a_flat_account_goes_on_in_another_market_without_the_first_ones_books(
    tmp_path: Path, world: Any, an_instrument: Make
) -> None:
    flat = Process(tmp_path, [an_instrument("BTCUSDT")], world.now_ns)
    flat.book(10_000)
    flat.checkpoint()
    flat.end()

    same = Process(tmp_path, flat.table, flat.now_ns)
    assert same.account.venue.books.facts[0, TRUSTED]
    same.end()
    other = Process(tmp_path, flat.table, flat.now_ns, "MAINNET")

    assert not other.account.venue.books.facts[0, TRUSTED]
    other.checkpoint()
    assert CommitStore(tmp_path / "system").recover().checkpoint.bybit_env == "MAINNET"  # type: ignore[union-attr]


def test_latency_keeps_entries_back_while_it_lasts_and_no_longer(
    holding: Process, an_open: Callable[[Process], OrderRequest]
) -> None:
    slow = "sentToAck took 2000 ms (p90), above 1000 ms for 3 windows of 10 s"

    holding.account.say_latency(slow, holding.now_ns)
    holding.account.say_latency(slow, holding.now_ns)
    assert holding.safe_mode == ["LATENCY_TOO_HIGH"]
    request = msgspec.structs.replace(an_open(holding), symbol="ETHUSDT")
    assert request.plan is not None
    plan = msgspec.structs.replace(request.plan, symbol="ETHUSDT", plan_id="p-eth")
    holding.ask(msgspec.structs.replace(request, plan=plan))
    assert "ETHUSDT" not in holding.account.core.trades
    assert "BTCUSDT" in holding.account.core.trades  # what is open stays managed

    holding.account.say_latency("", holding.now_ns)
    assert holding.safe_mode == []
