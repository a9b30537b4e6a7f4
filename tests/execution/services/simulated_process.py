"""One life of the execution service with a simulated venue, on real files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from execution.adapters.order_log import CommitStore, OrderLog, QualityLog, TradeLog
from execution.domain.config import ExecutionConfig
from execution.domain.core import ExecutionCore
from execution.domain.simulated_exchange import SimulatedExchange
from execution.services.market_change import on_market_of
from execution.services.process_record import ProcessRecord
from execution.services.simulated_account import SimulatedAccount, Sinks
from failover.adapters.archive import Archive
from failover.adapters.process_state import ProcessStateStore
from failover.adapters.streams import Entry
from failover.domain.errors import DiskFull
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


def fills(process: Process) -> list[dict[str, Any]]:
    sink = process.account.sinks.projection
    assert isinstance(sink, Written)
    return [row for row in sink.rows if row["record"] == "FILL"]
