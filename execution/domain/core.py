"""The execution core: requests, venue updates, quotes, time and operators in; outputs in order out.

Pure: a function of its state and what comes in. Every method returns what is to be done, in this order:
order log lines (on disk before the rest), venue commands, SENT lines, then news and rows. All that must
survive a crash is in one `CoreState`, written out by `state()` and read back by `restore()`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from execution.domain.account import AccountBook
from execution.domain.attention import (
    FINISHED_KEPT_NS,
    first_needed,
    needs_look,
    next_second_ns,
)
from execution.domain.config import ExecutionConfig
from execution.domain.operator import OperatorCommand
from execution.domain.operator_desk import OperatorDesk
from execution.domain.orders import Order
from execution.domain.outputs import ExecutionOutput
from execution.domain.position_check import PositionCheck
from execution.domain.records import Row
from execution.domain.requests import RequestDesk
from execution.domain.trade import ManagedTrade, Quote
from execution.domain.trade_runner import TradeRunner
from execution.domain.venue import (
    CommandRefused,
    FundingPaid,
    OrderFilled,
    OrderUpdated,
    PositionUpdated,
    VenueUpdate,
)
from execution.domain.views import Views
from execution.domain.workspace import CoreState, Workspace
from market.domain.frames import Frames
from market.domain.instruments import Instrument
from strategy.domain.config import RiskConfig
from strategy.domain.messages import (
    EventType,
    ExecutionSnapshot,
    OrderRequest,
    RepriceHint,
    RiskSnapshot,
)

_ORDER_NEWS = frozenset({OrderUpdated, OrderFilled, CommandRefused})


class CoreMemory(msgspec.Struct, kw_only=True):
    """All that a core's next outputs depend on, its config and instruments apart."""

    state: CoreState
    quotes: dict[str, Quote]
    shown: dict[str, tuple[Any, ...]]
    settled: dict[str, int]


class ExecutionCore:
    """One account. `run_id` names this process's life; it goes into snapshots, not into ids."""

    def __init__(
        self,
        instruments: Sequence[Instrument],
        config: ExecutionConfig,
        mode: str,
        run_id: str,
        limits: RiskConfig | None = None,
        symbols: Mapping[str, ExecutionConfig] | None = None,
        version: str = "",
        *,
        records: bool = True,
        symbol_limits: Mapping[str, RiskConfig] | None = None,
    ) -> None:
        """`limits` hold account-wide; `symbols` are the full settings of those that have their own.

        Without `records` there are no order log lines and, but for fills and closed trades, no rows;
        decisions are the same. For runs that nobody writes down.
        """
        self.mode = mode
        self._work = Workspace(
            instruments,
            config,
            mode,
            run_id,
            limits,
            symbols,
            version,
            records=records,
            symbol_limits=symbol_limits,
        )
        self._trades = TradeRunner(self._work)
        self._positions = PositionCheck(self._work, self._trades)
        self._requests = RequestDesk(self._work, self._trades)
        self._operators = OperatorDesk(self._work, self._trades)
        self._views = Views(self._work)

    # -- inputs -------------------------------------------------------------------------------------

    def on_request(
        self, request: OrderRequest | RepriceHint, now_ns: int, stream_id: str = ""
    ) -> list[ExecutionOutput]:
        """A wish of the strategy; the same `request_id` (and action) is carried out once."""
        work = self._work
        now = work.tick_clock(now_ns)
        work.settled.pop(request.symbol, None)
        if stream_id:
            work.state.requests_stream_id = stream_id
        if isinstance(request, RepriceHint):
            self._requests.hint(request, now)
        else:
            self._requests.request(request, now)
        return work.take()

    def on_venue(self, update: VenueUpdate, now_ns: int) -> list[ExecutionOutput]:
        """News of an order, a position or the account; anything heard before changes nothing."""
        work = self._work
        now = work.tick_clock(now_ns)
        if type(update) in _ORDER_NEWS:
            self._on_order_news(update, now)  # type: ignore[arg-type]
        elif type(update) is PositionUpdated:
            self._positions.on_position(update, now)
        elif type(update) is FundingPaid:
            work.settled.pop(update.symbol, None)
            self._trades.on_funding(update, now)
        # WalletUpdated repeats what fills and funding have said.
        return work.take()

    def _on_order_news(self, update: OrderUpdated | OrderFilled | CommandRefused, now: int) -> None:
        work = self._work
        order = work.state.orders.get(update.client_order_id)
        # When the trade of its symbol was looked at last, if it wanted nothing since.
        looked_ns = work.settled.pop(update.symbol, None)
        if order is not None and type(update) is OrderUpdated:
            self._trades.on_update(order, update, looked_ns, now)
        elif type(update) is OrderFilled:
            if order is not None:
                self._trades.on_fill(order, update, now)
            else:
                self._trades.on_foreign_fill(update, now)
            self._positions.on_fill(update)
        elif type(update) is CommandRefused and update.command == "LEVERAGE":
            self._trades.on_leverage_refused(update, now)
        elif order is not None and type(update) is CommandRefused:
            self._trades.on_refused(order, update, now)
        else:
            work.note_error(f"update of unknown order {update.client_order_id}", now)

    def on_quotes(
        self, frames: Frames, start: int = 0, stop: int | None = None
    ) -> list[ExecutionOutput]:
        """Frames start..stop (all) in emission order: the touch of each symbol, and time."""
        work, stop = self._work, len(frames) if stop is None else stop
        active, rows = work.state.trades, work.rows_of(frames)
        if not active:
            work.mark_out(rows, start, stop)
            work.quotes_of(rows, start, stop)
            return work.take()
        for row in range(start, stop):
            quote = work.quote(rows, row)
            work.quality.on_quote(quote)
            if (trade := active.get(quote.symbol)) is not None:
                self._trades.manage(trade, work.tick_clock(quote.ts_ns))
        return work.take()

    def needs_look(self, frames: Frames, start: int, stop: int) -> bool:
        """Whether the frames of an instant that `next_attention` has named need `on_quotes` and `on_timer`.

        Else `note_quotes` does for them. Nothing must have been heard in between.
        """
        return needs_look(self._work, self._work.rows_of(frames), start, stop)

    def next_attention(self, frames: Frames, start: int) -> int:
        """First frame from `start` on that may need something; `len(frames)` when none does.

        The frames before it need no more than `note_quotes`. News of the venue, requests and operators
        end the calm: ask again after them.
        """
        return first_needed(self._work, self._work.rows_of(frames), start)

    def note_quotes(
        self, frames: Frames, start: int = 0, stop: int | None = None
    ) -> list[ExecutionOutput]:
        """Frames start..stop that `next_attention` passed over: their last quotes, and the last of the
        snapshots that `on_timer` at each boundary would have sent meanwhile.
        """
        stop = len(frames) if stop is None else stop
        if start >= stop:
            return []
        work, state = self._work, self._work.state
        rows, due_ns = work.rows_of(frames), next_second_ns(state.last_snapshot_ns)
        if rows.times[stop - 1] < due_ns:
            work.pass_over(rows, start, stop, start)
            return work.take()
        second, unquoted = work.pass_seconds(rows, start, stop, due_ns), start
        if second:
            if work.holds_any():  # what is held is valued as of this second
                work.pass_over(rows, start, second, unquoted)
                unquoted = second
            else:
                work.mark_out(rows, start, second)
            state.last_snapshot_ns = work.tick_clock(rows.times[second - 1])
            state.book.roll_hour(state.last_snapshot_ns)
            self._trades.forget_ended_before(state.last_snapshot_ns - FINISHED_KEPT_NS)
            work.news.append(self._views.snapshot(state.last_snapshot_ns))
            start = second
        work.pass_over(rows, start, stop, unquoted)
        work.tick_clock(rows.last_boundary_ns(stop))
        return work.take()

    def on_timer(self, now_ns: int) -> list[ExecutionOutput]:
        """Time alone: time-outs, the UTC day, forced close, a snapshot in every second."""
        now, state = self._work.tick_clock(now_ns), self._work.state
        self._positions.on_time(now)
        for trade in (*state.trades.values(), *state.strays.values()):
            # A settled trade was managed at its own frame of this instant.
            if trade.is_stray or self._work.settled.get(trade.plan.symbol) != now:
                self._trades.manage(trade, now)
        if now >= next_second_ns(state.last_snapshot_ns):
            state.last_snapshot_ns = now
            self._trades.forget_ended_before(now - FINISHED_KEPT_NS)
            account = self._trades.enforce_limits(now)
            self._work.news.append(self._views.snapshot(now, account))
        return self._work.take()

    def on_config(
        self,
        config: ExecutionConfig,
        limits: RiskConfig,
        version: str,
        symbols: Mapping[str, ExecutionConfig] | None = None,
        symbol_limits: Mapping[str, RiskConfig] | None = None,
    ) -> list[ExecutionOutput]:
        """Go by another config from the next input on. Trades that run keep their plan.

        Waits, distances and limits are those of the new one at once; the venue's own settings
        (`sim_...`, the queue model) are the venue's business. The order log says when it began.
        """
        now = self._work.state.now_ns
        self._work.settled.clear()
        self._work.use_config(config, limits, version, symbols, symbol_limits)
        self._work.quality.on_config(now)
        self._work.log_event("CONFIG_ACTIVATED", now, configVersion=version)
        for trade in list(self._work.state.trades.values()):
            self._trades.manage(trade, now)
        self._trades.enforce_limits(now)
        return self._work.take()

    def on_operator(self, command: OperatorCommand, now_ns: int) -> list[ExecutionOutput]:
        """Carry out, or refuse with a reason; the same `command_id` is carried out once."""
        self._work.settled.clear()
        self._operators.command(command, self._work.tick_clock(now_ns))
        return self._work.take()

    def set_safe_mode(self, reason: str, text: str, now_ns: int) -> list[ExecutionOutput]:
        """The host found a cause (a full disk, a lost feed): entries stop until it is cleared.

        Those under way are taken back at the next look at their trade.
        """
        self._work.settled.clear()
        self._operators.safe_mode_on(reason, text, self._work.tick_clock(now_ns))
        return self._work.take()

    def clear_safe_mode(self, reason: str, now_ns: int) -> list[ExecutionOutput]:
        """The cause is proven gone."""
        self._work.settled.clear()
        causes = self._work.state.book.safe_mode
        if causes.pop(reason, None) is not None:
            kind = EventType.SAFE_MODE_ON if causes else EventType.SAFE_MODE_OFF
            self._work.event(kind, "", self._work.tick_clock(now_ns), f"{reason} is over")
        return self._work.take()

    # -- state and views ------------------------------------------------------------------------------

    @property
    def config(self) -> ExecutionConfig:
        """The account-wide settings in force."""
        return self._work.config

    @property
    def instruments(self) -> dict[str, Instrument]:
        return self._work.instruments

    @property
    def quotes(self) -> dict[str, Quote]:
        return self._work.quotes

    @property
    def book(self) -> AccountBook:
        return self._work.state.book

    @property
    def trades(self) -> dict[str, ManagedTrade]:
        return self._work.state.trades

    @property
    def orders(self) -> dict[str, Order]:
        return self._work.state.orders

    @property
    def requests_stream_id(self) -> str:
        return self._work.state.requests_stream_id

    @property
    def log_seq(self) -> int:
        return self._work.state.log_seq

    def state(self) -> bytes:
        return msgspec.msgpack.encode(self._work.state)

    def restore(self, state: bytes, *, new_epoch: bool = True) -> None:
        """Take up where `state` was written; a new epoch marks the lines of the new process."""
        self._work.state = msgspec.msgpack.decode(state, type=CoreState)
        if new_epoch:
            self._work.state.epoch += 1
        self._work.state.last_snapshot_ns = 0
        self._work.settled.clear()
        self._work.quality.forget_views()

    def memory(self) -> bytes:
        """`state` and what a restart forgets: the running core to the last bit, between two inputs."""
        work = self._work
        return msgspec.msgpack.encode(
            CoreMemory(state=work.state, quotes=work.quotes, shown=work.shown, settled=work.settled)
        )

    def recall(self, memory: bytes) -> None:
        """Go on exactly where `memory` was taken, in the same epoch."""
        work, known = self._work, msgspec.msgpack.decode(memory, type=CoreMemory)
        work.state, work.quotes, work.settled = known.state, known.quotes, known.settled
        work.shown = {symbol: _as_tuples(face) for symbol, face in known.shown.items()}
        work.quality.forget_views()

    def risk(self, now_ns: int) -> RiskSnapshot:
        """The account against its limits, as execution sees it."""
        return self._work.risk(now_ns)

    def snapshot(self, now_ns: int) -> ExecutionSnapshot:
        """All that execution holds (see `ExecutionSnapshot`)."""
        return self._views.snapshot(now_ns)

    def execution_snapshot_row(self, now_ns: int) -> Row:
        """`data/system/execution_snapshot.json` (phase 10 §10)."""
        return self._views.execution_snapshot_row(now_ns)

    def tpsl_snapshot_row(self, now_ns: int) -> Row:
        """`data/system/tpsl_snapshot.json` (records.md)."""
        return self._views.tpsl_snapshot_row(now_ns)

    def position_snapshots(self) -> tuple[Row, ...]:
        """Open positions for `process_state.json` (phase 17 §3.1)."""
        return self._views.position_snapshots()

    def order_snapshots(self) -> tuple[Row, ...]:
        """Live orders for `process_state.json` (phase 17 §3.1)."""
        return self._views.order_snapshots()

    def open_order_rows(self, now_ns: int) -> list[Row]:
        """Every live order as an ORDER row."""
        return self._views.open_order_rows(now_ns)


def _as_tuples(value: Any) -> Any:
    """msgpack knows lists alone; what was shown last is compared as tuples."""
    return tuple(map(_as_tuples, value)) if isinstance(value, list | tuple) else value
