"""A desk in a hand-made market: every test of execution tells its story through it."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import numpy as np
import pytest

from execution.domain.config import ExecutionConfig
from execution.domain.core import ExecutionCore
from execution.domain.desk import SimulatedDesk
from execution.domain.operator import OperatorAction, OperatorCommand
from execution.domain.outputs import LogLine, RecordRow
from execution.domain.simulated_exchange import SimulatedExchange
from market.domain.events import ASK, BID, BUY, SELL, ChunkBuilder, EventKind, TickerField
from market.domain.frames import FRAME_DTYPE, BookState
from market.domain.instruments import Instrument
from strategy.domain.config import RiskConfig
from strategy.domain.messages import (
    EntryPlan,
    ExecutionEvent,
    OrderRequest,
    Side,
    StopPlan,
    TakeProfitLevel,
    TradePlan,
    Trailing,
)
from tests.execution.instruments import an_instrument

MS = 1_000_000
START_NS = 1_767_225_600_000_000_000  # 2026-01-01T00:00:00Z


class World:
    """A market made by hand around a desk; time moves only when told to."""

    def __init__(
        self,
        config: ExecutionConfig | None = None,
        limits: RiskConfig | None = None,
        symbols: tuple[str, ...] = ("BTCUSDT", "ETHUSDT"),
    ) -> None:
        self.config = config or ExecutionConfig(max_notional_usdt=100_000.0)
        self.instruments = [an_instrument(symbol) for symbol in symbols]
        self.core = ExecutionCore(self.instruments, self.config, "SIM", "run-1", limits)
        self.venue = SimulatedExchange(self.instruments, self.config)
        self.desk = SimulatedDesk(self.core, self.venue)
        self.now_ns = START_NS
        self.seq = 0
        self.requests = 0
        self.outputs: list[Any] = []
        self.quotes = dict.fromkeys(symbols, (10000, 10001))
        for symbol in symbols:
            self.book(symbol=symbol)
            self.mark(10_000, symbol=symbol)
            self.quote(symbol=symbol)

    # -- the market ---------------------------------------------------------------------------------

    def _feed(self, kind: EventKind, symbol: str, levels: list[tuple[int, int, int]]) -> None:
        builder = ChunkBuilder()
        self.seq += 1
        builder.add(
            kind,
            symbol=self._index(symbol),
            seq=self.seq,
            core_ts_ns=self.now_ns,
            exchange_ts_ns=self.now_ns,
            levels=levels,
        )
        self.desk.on_market(builder.take())

    def _index(self, symbol: str) -> int:
        return [i.symbol for i in self.instruments].index(symbol)

    def book(
        self, bid: int = 10_000, ask: int = 10_001, lots: int = 1000, symbol: str = "BTCUSDT"
    ) -> None:
        """A fresh book of ten levels a side, and the quote that goes with it."""
        levels = [(BID, bid - i, lots) for i in range(10)] + [
            (ASK, ask + i, lots) for i in range(10)
        ]
        self._feed(EventKind.BOOK_SNAPSHOT, symbol, levels)
        self.quotes[symbol] = (bid, ask)

    def level(self, side: int, tick: int, lots: int, symbol: str = "BTCUSDT") -> None:
        self._feed(EventKind.BOOK_DELTA, symbol, [(side, tick, lots)])

    def gap(self, symbol: str = "BTCUSDT") -> None:
        self._feed(EventKind.FEED_GAP, symbol, [])

    def trade(self, taker: str, tick: int, lots: int, symbol: str = "BTCUSDT") -> None:
        self._feed(EventKind.TRADE, symbol, [(BUY if taker == "BUY" else SELL, tick, lots)])

    def mark(self, tick: int, symbol: str = "BTCUSDT") -> None:
        scale = int(Decimal("0.1") * 10**9)
        self._feed(EventKind.TICKER, symbol, [(0, int(TickerField.MARK_PRICE), tick * scale)])

    def quote(
        self,
        symbol: str = "BTCUSDT",
        state: BookState = BookState.OK,
        spread_bps: float | None = None,
    ) -> None:
        bid, ask = self.quotes[symbol]
        row = np.zeros(1, FRAME_DTYPE)
        row["symbol"], row["ts_ns"], row["book_state"] = self._index(symbol), self.now_ns, state
        row["bid_tick"], row["ask_tick"] = bid, ask
        row["spread_bps"] = (ask - bid) / bid * 1e4 if spread_bps is None else spread_bps
        row["mark_price"] = np.nan
        self.outputs += self.desk.on_quotes(row)

    def move_to(self, bid: int, symbol: str = "BTCUSDT", trade: bool = True) -> None:
        """The whole market steps to a new price: book, print, mark and quote."""
        old = self.quotes[symbol][0]
        self.book(bid, bid + 1, symbol=symbol)
        if trade:
            if bid >= old:
                self.trade("BUY", bid + 1, 1, symbol=symbol)
            else:
                self.trade("SELL", bid, 1, symbol=symbol)
        self.mark(bid, symbol=symbol)
        self.quote(symbol=symbol)

    def wait(self, ms: int, step_ms: int = 10) -> None:
        """Let time pass in steps, hearing the venue and ticking the core."""
        for _ in range(0, ms, step_ms):
            self.now_ns += step_ms * MS
            self.outputs += self.desk.on_timer(self.now_ns, self.now_ns)

    # -- wishes ---------------------------------------------------------------------------------------

    def plan(self, **changes: Any) -> TradePlan:
        side = changes.pop("side", Side.LONG)
        sign = side.sign
        entry = changes.pop("entry_ticks", 10_000 if sign > 0 else 10_001)
        kind = changes.pop("type", "LIMIT")
        fields: dict[str, Any] = {
            "plan_id": f"plan-{self.requests + 1}",
            "profile": "scalp",
            "symbol": "BTCUSDT",
            "side": side,
            "qty_lots": 100,
            "leverage": 5.0,
            "entry": EntryPlan(
                type=kind,
                price_ticks=None if kind == "MARKET" else entry,
                time_in_force="PostOnly",
                timeout_ms=changes.pop("timeout_ms", 3000),
                max_reprices=changes.pop("max_reprices", 3),
            ),
            "stop": StopPlan(price_ticks=changes.pop("stop_ticks", entry - sign * 50)),
            "take_profits": (
                TakeProfitLevel(price_ticks=entry + sign * 30, qty_lots=40),
                TakeProfitLevel(price_ticks=entry + sign * 60, qty_lots=40),
            ),
            "trailing": Trailing(activate_bps=30.0, distance_bps=20.0),
            "time_stop_s": 180,
        }
        return TradePlan(**{**fields, **changes})

    def ask(
        self, action: str = "OPEN", plan: TradePlan | None = None, **changes: Any
    ) -> OrderRequest:
        """Send a request; returns it so that it can be sent again."""
        if action == "OPEN" and plan is None:
            plan = self.plan()
        self.requests += 1
        fields: dict[str, Any] = {
            "request_id": f"s1-BTCUSDT-{self.requests}",
            "symbol": plan.symbol if plan else "BTCUSDT",
            "action": action,
            "side": plan.side if plan else Side.LONG,
            "decision_ts_ns": self.now_ns,
            "valid_until_ns": self.now_ns + 2000 * MS,
            "plan": plan,
        }
        request = OrderRequest(**{**fields, **changes})
        self.outputs += self.desk.on_request(request, self.now_ns)
        return request

    def operate(self, action: OperatorAction, **changes: Any) -> dict[str, Any]:
        """Give an operator command; returns the row of its result."""
        fields: dict[str, Any] = {
            "command_id": f"c-{self.seq}-{len(self.outputs)}",
            "action": action,
            "reason": "test",
            "actor": "tester",
            "source": "CLI",
            "ts_ns": self.now_ns,
        }
        self.outputs += self.desk.on_operator(OperatorCommand(**{**fields, **changes}), self.now_ns)
        return self.rows("OPERATOR_RESULT")[-1]

    def open_long(self, **changes: Any) -> None:
        """A long of the whole plan, taken at market, protected and with its take-profits resting."""
        self.ask(plan=self.plan(type="MARKET", **changes))
        self.wait(150)

    # -- what came of it --------------------------------------------------------------------------------

    def lines(self, kind: str | None = None) -> list[dict[str, Any]]:
        lines = [o.record for o in self.outputs if isinstance(o, LogLine)]
        return [line for line in lines if kind in (None, line["kind"])]

    def rows(self, record: str) -> list[dict[str, Any]]:
        rows = [o.row for o in self.outputs if isinstance(o, RecordRow)]
        return [row for row in rows if row["record"] == record]

    def events(self) -> list[ExecutionEvent]:
        return [o for o in self.outputs if isinstance(o, ExecutionEvent)]

    def event_types(self, leg: str | None = None) -> list[str]:
        return [e.type.value for e in self.events() if leg in (None, e.leg)]

    def live(self) -> dict[str, Any]:
        """Live orders of BTCUSDT by leg."""
        return {o.leg: o for o in self.core.orders.values() if o.is_live}

    def position(self, symbol: str = "BTCUSDT") -> int:
        """The venue's signed position, lots."""
        return self.venue.account().positions[symbol].lots


@pytest.fixture
def make_world() -> type[World]:
    return World


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture(name="an_instrument")
def fixture_an_instrument() -> Callable[[str], Instrument]:
    return an_instrument
