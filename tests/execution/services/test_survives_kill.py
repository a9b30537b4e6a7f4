"""The service as a real process on a real bus, killed with SIGKILL again and again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from redis import Redis

from failover.adapters.journal_reader import JournalReader, journal_runs
from failover.services.valkey import running_valkey
from market.domain.events import (
    ASK,
    BID,
    BUY,
    ChunkBuilder,
    EventChunk,
    EventKind,
    TickerField,
    pack_chunk,
    unpack_chunk,
)
from market.domain.frames import FRAME_DTYPE, BookState, Frames, pack_frames, unpack_frames
from market.domain.instruments import Instrument
from replay.services.verify_execution import ExecutionProofs
from strategy.domain.messages import (
    EntryPlan,
    OrderRequest,
    Side,
    StopPlan,
    TakeProfitLevel,
    TradePlan,
    Trailing,
)

ROOT = Path(__file__).parents[3]
KILLS = 3
SYMBOLS = ("BTCUSDT", "ETHUSDT")


class Stream:
    """A writer of one stream, synchronous: what a living neighbour service would do."""

    def __init__(self, redis: Redis, name: str, run: str) -> None:
        self._redis, self._name, self._run, self._next = redis, f"scalper-1:bus:{name}", run, 1
        self.put_before: dict[tuple[int, int], bytes] = {}  # (first number, count) -> payload

    def put(self, payload: bytes, count: int = 1) -> None:
        self.put_before[self._next, count] = payload
        fields = {"r": self._run, "n": self._next, "c": count, "d": payload}
        self._redis.xadd(self._name, fields, maxlen=100_000, approximate=True)
        self._next += count


class Neighbours(threading.Thread):
    """Market and strategy in one thread: a price that swings, and a wish to trade every half second."""

    def __init__(self, url: str, instruments: list[Any]) -> None:
        super().__init__(daemon=True)
        redis = Redis.from_url(url, protocol=2)
        self.stop_asked = threading.Event()
        self.pause_asks = threading.Event()
        self.sent: list[OrderRequest] = []
        self._raw = Stream(redis, "market.raw", "m1")
        self._frames = Stream(redis, "market.frames", "m1")
        self._requests = Stream(redis, "strategy.requests", "s1")
        Stream(redis, "market.symbols", "m1").put(msgspec.msgpack.encode(instruments))
        self._seq = 0
        self._mid = [10_000, 10_000]
        self._rng = np.random.default_rng(7)

    def messages(self, run_id: str, first: int, count: int) -> EventChunk:
        """As a `MarketSource`."""
        return unpack_chunk(self._raw.put_before[first, count])

    def frames(self, run_id: str, first: int, count: int) -> Frames:
        return unpack_frames(self._frames.put_before[first, count])

    def run(self) -> None:
        step = 0
        while not self.stop_asked.wait(0.01):
            self._market(step)
            if step % 10 == 0:
                self._quote()
            if step % 25 == 0 and not self.pause_asks.is_set():
                self._ask(step)
            step += 1

    def _market(self, step: int) -> None:
        builder, now = ChunkBuilder(), time.time_ns()
        for symbol in range(len(SYMBOLS)):
            self._mid[symbol] += int(self._rng.integers(-3, 4))
            mid = self._mid[symbol]
            levels = [(BID, mid - i, 50) for i in range(1, 11)]
            levels += [(ASK, mid + i, 50) for i in range(1, 11)]
            mark = (0, int(TickerField.MARK_PRICE), mid * 10**8)
            taker = int(self._rng.integers(2))
            price = mid + 1 if taker == BUY else mid - 1
            for kind, entries in (
                (EventKind.BOOK_SNAPSHOT, levels),
                (EventKind.TRADE, [(taker, price, 30)]),
                (EventKind.TICKER, [mark]),
            ):
                self._seq += 1
                builder.add(
                    kind,
                    symbol=symbol,
                    seq=self._seq,
                    core_ts_ns=now,
                    exchange_ts_ns=now,
                    levels=entries,
                )
        chunk = builder.take()
        self._raw.put(pack_chunk(chunk), len(chunk))

    def _quote(self) -> None:
        rows = np.zeros(len(SYMBOLS), FRAME_DTYPE)
        rows["symbol"], rows["ts_ns"] = range(len(SYMBOLS)), time.time_ns()
        rows["book_state"], rows["spread_bps"], rows["mark_price"] = BookState.OK, 2.0, np.nan
        rows["bid_tick"] = [mid - 1 for mid in self._mid]
        rows["ask_tick"] = [mid + 1 for mid in self._mid]
        self._frames.put(pack_frames(rows), len(rows))

    def _ask(self, step: int) -> None:
        index = int(self._rng.integers(2))
        side = Side.LONG if self._rng.integers(2) else Side.SHORT
        now, mid, sign = time.time_ns(), self._mid[index], side.sign
        plan = TradePlan(
            plan_id=f"plan-{step}",
            profile="scalp",
            symbol=SYMBOLS[index],
            side=side,
            qty_lots=100,
            leverage=5.0,
            entry=EntryPlan(
                type="MARKET" if self._rng.integers(2) else "LIMIT",
                price_ticks=mid - sign,
                time_in_force="PostOnly",
                timeout_ms=400,
                max_reprices=3,
            ),
            stop=StopPlan(price_ticks=mid - sign * 12),
            take_profits=(
                TakeProfitLevel(price_ticks=mid + sign * 6, qty_lots=40),
                TakeProfitLevel(price_ticks=mid + sign * 10, qty_lots=40),
            ),
            trailing=Trailing(activate_bps=5.0, distance_bps=5.0),
            time_stop_s=1,
        )
        request = OrderRequest(
            request_id=f"s1-{plan.symbol}-{step}", symbol=plan.symbol, action="OPEN", side=side,
            decision_ts_ns=now, valid_until_ns=now + 2_000_000_000, plan=plan,
        )  # fmt: skip
        self.sent.append(request)
        self._requests.put(msgspec.msgpack.encode(request))


@pytest.fixture
def bus(tmp_path: Path) -> Iterator[str]:
    with running_valkey(Path(tmp_path) / "v.sock") as server:
        yield server.url


def start_service(url: str, data_dir: Path, config: Path) -> subprocess.Popen[bytes]:
    environment = {
        **os.environ, "DATA_DIR": str(data_dir), "REDIS_URL": url, "EXECUTION_MODE": "SIM",
        "TRADING_CONFIG": str(config), "DJANGO_SETTINGS_MODULE": "scalper_site.settings",
        "LOG_LEVEL": "warning", "DATABASE_URL": "", "SQLITE_PATH": str(data_dir / "db.sqlite3"),
    }  # fmt: skip
    command = (
        "call_command('migrate', verbosity=0, skip_checks=True); "
        if not service_has_run(data_dir)
        else ""
    )
    code = (
        "import django; django.setup(); from django.core.management import call_command; "
        f"{command}call_command('run_execution')"
    )
    with (data_dir / "service.log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-c", code], cwd=ROOT, env=environment, stdout=log, stderr=log
        )


def service_has_run(data_dir: Path) -> bool:
    return (data_dir / "service.log").exists() and (data_dir / "orders").exists()


def lines_of(data_dir: Path) -> list[dict[str, Any]]:
    lines = []
    for path in sorted((data_dir / "orders").glob("day-*.jsonl")):
        for raw in path.read_bytes().splitlines():
            try:
                lines.append(msgspec.json.decode(raw))
            except msgspec.DecodeError:
                continue  # the service is writing this very line
    return lines


def progress(data_dir: Path) -> int:
    """Log lines about orders that left (refused requests are no progress)."""
    return sum(1 for line in lines_of(data_dir) if line["kind"] != "RESULT")


def wait_for(
    condition: Any, what: str, service: subprocess.Popen[bytes], timeout_s: float = 60
) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert service.poll() is None, f"the service ended while waiting for {what}"
        assert time.monotonic() < deadline, f"no {what} within {timeout_s} s"
        time.sleep(0.02)


def assert_nothing_lost_or_doubled(lines: list[dict[str, Any]]) -> None:
    """What the order log must say of itself, whoever was killed when."""
    seqs = [line["seq"] for line in lines]
    assert seqs == list(range(1, len(seqs) + 1)), "log lines are missing, doubled or out of order"
    placed = [
        x["clientOrderId"] for x in lines if x["kind"] == "INTENT" and x["command"] == "PLACE"
    ]
    assert len(placed) == len(set(placed)), "an order was placed twice"
    fills = [line for line in lines if line["kind"] == "FILL"]
    ids = [line["execId"] for line in fills]
    assert len(ids) == len(set(ids)), "an execution was counted twice"
    known = set(placed)
    assert all(line["clientOrderId"] in known for line in fills), "a fill of an unknown order"
    filled: dict[str, float] = defaultdict(float)
    for line in fills:
        filled[line["clientOrderId"]] += line["fillQty"]
        assert line["filledQty"] == pytest.approx(filled[line["clientOrderId"]])
        assert filled[line["clientOrderId"]] <= line["qty"] + 1e-9


def test_kill_9_at_any_moment_loses_no_order_or_fill_and_doubles_none(
    bus: str, tmp_path: Path, an_instrument: Callable[[str], Instrument]
) -> None:
    """Kills at random moments while trades run; then every trade ends flat and the books agree."""
    data_dir = tmp_path / "data"
    data_dir.mkdir()
    config = tmp_path / "config.json"
    config.write_text(
        '{"market":{},"strategy":{},"risk":{"maxTradesPerHour":100000,"lossStreak":1000,'
        '"dailyLossLimitPct":50,"dailyLossClosePct":60,"maxDrawdownPct":90},"execution":{}}'
    )
    neighbours = Neighbours(bus, [an_instrument(symbol) for symbol in SYMBOLS])
    neighbours.start()
    rng = np.random.default_rng(3)
    service = start_service(bus, data_dir, config)
    try:
        for kill in range(KILLS):
            more = progress(data_dir) + int(rng.integers(2, 25))
            wait_for(lambda more=more: progress(data_dir) >= more, "news of orders", service)
            service.send_signal(signal.SIGKILL)
            service.wait(10)
            if kill % 2:  # half the time the market goes on without us for a while
                time.sleep(float(rng.random()) * 0.3)
            service = start_service(bus, data_dir, config)
        wait_for(lambda: len(trades_closed(lines_of(data_dir))) >= 3, "three trades", service)
        neighbours.pause_asks.set()
        wait_for(lambda: is_flat(data_dir), "flat account", service)
        service.send_signal(signal.SIGTERM)
        assert service.wait(15) == 0
    finally:
        neighbours.stop_asked.set()
        neighbours.join(10)
        service.kill()
        service.wait(10)

    lines = lines_of(data_dir)
    assert_nothing_lost_or_doubled(lines)
    trades = trades_closed(lines)
    assert_money_agrees(lines, trades, data_dir, [an_instrument(s) for s in SYMBOLS])
    assert_every_plan_is_flat(lines)
    assert_proved(data_dir, neighbours)


def assert_proved(data_dir: Path, market: Neighbours) -> None:
    """Each life of the account, its recovery included, follows from what its journal says it took in.

    A life of a tenth of a second may leave no journal: what it did is counted as unproved.
    """
    lives = [list(JournalReader(run).records()) for run in journal_runs(data_dir / "journal")]
    runs = [records for records in lives if records]
    runs.sort(key=lambda records: records[0].record.at_ns)  # type: ignore[union-attr]
    proofs = ExecutionProofs(market)
    for records in runs:
        proofs.prove(records)
    report = proofs.report
    assert (report.first, report.refused) == (None, [])
    assert report.compared == report.outputs > 100
    assert report.runs == len(runs) >= 2
    assert len(runs) == KILLS + 1 or report.unproved > 0 or len(lives) > len(runs)


def trades_closed(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [line["trade"] for line in lines if line.get("event") == "TRADE_CLOSED"]


def is_flat(data_dir: Path) -> bool:
    path = data_dir / "system" / "execution_snapshot.json"
    if not path.exists():
        return False
    row = msgspec.json.decode(path.read_bytes())
    open_orders = row["pendingOrdersCount"] + row["activeOrdersCount"]
    return bool(row["openPositionsCount"] == 0 and open_orders == 0 and _is_fresh(row))


def _is_fresh(row: dict[str, Any]) -> bool:
    from datetime import UTC, datetime

    at = datetime.fromisoformat(row["timestamp"])
    return (datetime.now(UTC) - at).total_seconds() < 1.5


def assert_every_plan_is_flat(lines: list[dict[str, Any]]) -> None:
    held: dict[str, float] = defaultdict(float)
    for line in lines:
        if line["kind"] == "FILL":
            held[line["planId"]] += line["fillQty"] * (1 if line["side"] == "BUY" else -1)
    assert all(abs(quantity) < 1e-9 for quantity in held.values()), held


def assert_money_agrees(
    lines: list[dict[str, Any]],
    trades: list[dict[str, Any]],
    data_dir: Path,
    instruments: list[Instrument],
) -> None:
    """Three records of the same money: the fills of the log, the closed trades, the venue's own ledger."""
    from execution.adapters.order_log import CommitStore
    from execution.domain.config import ExecutionConfig
    from execution.domain.simulated_exchange import SimulatedExchange

    cash = sum(
        line["fillQty"] * line["fillPrice"] * (-1 if line["side"] == "BUY" else 1) - line["fee"]
        for line in lines
        if line["kind"] == "FILL"
    )
    recovered = CommitStore(data_dir / "system").recover()
    last = recovered.newest or recovered.checkpoint
    assert last is not None
    venue = SimulatedExchange(instruments, ExecutionConfig())
    venue.restore(last.venue)
    closed = sum(trade["realizedPnl"] for trade in trades)
    on_file = [
        msgspec.json.decode(raw)
        for path in (data_dir / "trades_log").glob("*.jsonl")
        for raw in path.read_bytes().splitlines()
    ]

    assert closed == pytest.approx(cash, abs=1e-6)
    assert float(venue.account().equity_usdt) - 10_000 == pytest.approx(cash, abs=1e-6)
    assert sorted(t["planId"] for t in on_file) == sorted(t["planId"] for t in trades)
