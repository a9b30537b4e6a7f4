"""Execution quality: follows every order from its placement to its last markout (pipeline §8).

Pure and event-timed. Markouts are read from the first usable frame at or after fill + 1, 5 and 30 s, in
core time. References, in ticks: the mid at the decision; the touch when the venue's first word of the order
arrives (of the side it takes from, or rests on); for a stop, its trigger price and the touch at its trigger.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import msgspec

from execution.domain.orders import Order, OrderState
from execution.domain.quality_block import BlockState, SymbolQuality
from execution.domain.quality_config import QualityConfig
from execution.domain.quality_figures import OrderFigures
from execution.domain.trade import ENTRY, Quote
from execution.domain.venue import OrderFilled, OrderType, OrderUpdated, VenueOrderStatus
from market.domain.frames import BookState
from strategy.domain.messages import QualityView

MARKOUT_HORIZONS_S = (1, 5, 30)
ADVERSE_HORIZON_S = 5
NEVER_NS = 2**63 - 1
_NS_PER_S = 1_000_000_000
_MARKOUT_GRACE_NS = 2 * _NS_PER_S  # a frame later than this after the horizon says nothing of it
_NEVER_THERE = (VenueOrderStatus.REJECTED, VenueOrderStatus.EXPIRED)
_NOT_THE_VENUE = "ORDER_LOG_UNWRITABLE"  # refused on our side: no fault of the execution


class Markout(msgspec.Struct, kw_only=True):
    """One fill waiting for the mid of `due_ns`; fills of an order at one instant are one."""

    client_order_id: str
    horizon_s: int
    due_ns: int
    tick_lots: int
    lots: int


class FollowedOrder(msgspec.Struct, kw_only=True):
    """An order on its way to its record."""

    client_order_id: str
    symbol: str
    leg: str
    plan_id: str
    request_id: str
    config_version: str
    side_sign: int
    qty_lots: int
    placed_ns: int
    is_conditional: bool
    takes: bool  # a market order: its arrival touch is the opposite one
    reference_ticks: float  # mid at the decision, or the trigger price of a conditional order
    touch_ticks: float = 0.0  # 0 = not yet arrived
    arrived_ns: int = 0
    first_fill_ns: int = 0
    filled_lots: int = 0
    filled_tick_lots: int = 0
    maker_lots: int = 0
    ended_ns: int = 0
    recorded_ns: int = 0  # the last markout is in
    outcome: str = ""
    last_error: str = ""
    waiting: int = 0  # markouts
    markout_weights: dict[int, int] = {}
    markout_sums: dict[int, float] = {}  # bps times weight; a weight is lots as they were then

    @property
    def average_ticks(self) -> float | None:
        return self.filled_tick_lots / self.filled_lots if self.filled_lots else None

    def slippage_bps(self, against_ticks: float) -> float | None:
        """What the fills cost beyond `against_ticks`; positive is worse for us."""
        if self.average_ticks is None or against_ticks <= 0:
            return None
        return (self.average_ticks - against_ticks) * self.side_sign / against_ticks * 1e4

    @property
    def markouts_bps(self) -> dict[int, float]:
        return {
            horizon_s: self.markout_sums[horizon_s] / lots
            for horizon_s, lots in self.markout_weights.items()
        }

    @property
    def time_to_fill_ms(self) -> float | None:
        """From placement (of a stop: from its trigger) to the first fill."""
        if not self.first_fill_ns or self.waits_for_price:
            return None
        begin_ns = (
            (self.arrived_ns or self.first_fill_ns) if self.is_conditional else self.placed_ns
        )
        return (self.first_fill_ns - begin_ns) / 1e6

    @property
    def waits_for_price(self) -> bool:
        """A take-profit or DCA leg rests where the plan wants it: no decision of the moment."""
        return self.leg.startswith(("TP", "DCA"))

    @property
    def decision_slippage_bps(self) -> float | None:
        return None if self.waits_for_price else self.slippage_bps(self.reference_ticks)

    @property
    def took(self) -> bool:
        return self.filled_lots > 0 and self.maker_lots * 2 < self.filled_lots

    def figures(self) -> OrderFigures:
        markouts = self.markouts_bps
        is_entry, is_maker = self.leg == ENTRY, self.filled_lots > 0 and not self.took
        adverse = markouts.get(ADVERSE_HORIZON_S) if is_entry and is_maker else None
        return OrderFigures(
            was_rejected=self.outcome == OrderState.REJECTED and self.last_error != _NOT_THE_VENUE,
            touch_slippage_bps=self.slippage_bps(self.touch_ticks) if self.took else None,
            mid_slippage_bps=self.decision_slippage_bps,
            fill_ratio=self.filled_lots / self.qty_lots if is_entry and self.qty_lots else None,
            time_to_fill_ms=self.time_to_fill_ms,
            adverse_bps=None if adverse is None else -adverse,
            markouts_bps=markouts,
        )


def _mark(followed: FollowedOrder, markout: Markout, quote: Quote | None) -> None:
    followed.waiting -= 1
    if quote is None:  # the market was not to be seen: no markout is better than a wrong one
        return
    price = markout.tick_lots / markout.lots
    bps = (quote.mid_ticks - price) * followed.side_sign / price * 1e4
    horizon_s = markout.horizon_s
    lots, total = followed.markout_weights, followed.markout_sums
    lots[horizon_s] = lots.get(horizon_s, 0) + markout.lots
    total[horizon_s] = total.get(horizon_s, 0.0) + bps * markout.lots


class QualityState(msgspec.Struct, kw_only=True):
    """All that a restart must bring back. `markouts` by symbol, in the order of their fills."""

    orders: dict[str, FollowedOrder] = {}
    markouts: dict[str, list[Markout]] = {}
    symbols: dict[str, SymbolQuality] = {}


class _KnownView(NamedTuple):
    """A view that holds from `made_ns` until `until_ns`, as long as nothing is heard of its symbol."""

    symbol: SymbolQuality
    config: QualityConfig
    made_ns: int
    until_ns: int
    view: QualityView


class _Dues(NamedTuple):
    """When the first of `waiting` is due, and when the first of their orders may be complete."""

    waiting: list[Markout]
    first_ns: int
    record_ns: int


_NO_DUES = _Dues([], NEVER_NS, NEVER_NS)


def _dues_of(waiting: list[Markout]) -> _Dues:
    """In order of their fills: what waits longest of an order is its last one."""
    last: dict[str, int] = {}
    first_ns = NEVER_NS
    for markout in waiting:
        due_ns = last[markout.client_order_id] = markout.due_ns
        if due_ns < first_ns:
            first_ns = due_ns
    return _Dues(waiting, first_ns, min(last.values()))


class _Configs(dict[str, QualityConfig]):
    """By symbol; asked for once."""

    def __init__(self, config_of: Callable[[str], QualityConfig]) -> None:
        super().__init__()
        self._config_of = config_of

    def __missing__(self, symbol: str) -> QualityConfig:
        config = self[symbol] = self._config_of(symbol)
        return config


class QualityTracker:
    """Follows orders; `take_finished` hands over those whose record is complete, in order."""

    def __init__(
        self, state_of: Callable[[], QualityState], config_of: Callable[[str], QualityConfig]
    ) -> None:
        """The config is asked for anew by `on_config` (hot reload), the state by `forget_views` (restart)."""
        self._state_of = state_of
        self.state = state_of()
        self._configs = _Configs(config_of)
        self.finished: list[FollowedOrder] = []
        self._known_views: dict[str, _KnownView] = {}
        self._due_of: dict[str, _Dues] = {}  # each look at a frame asks for it
        self._first_due_ns = 0  # of all symbols; 0 = look
        self._told: dict[str, tuple[float, float, bool]] = {}
        self._may_have_news = True
        self._next_change_ns = 0  # 0 = look

    # -- orders ---------------------------------------------------------------------------------------

    def on_placed(self, order: Order, quote: Quote | None, config_version: str = "") -> None:
        """A new order leaves; `quote` is what it was decided on."""
        is_conditional = order.type.is_conditional
        mid = quote.mid_ticks if quote is not None and quote.has_touch else 0.0
        self.state.orders[order.client_order_id] = FollowedOrder(
            client_order_id=order.client_order_id,
            symbol=order.symbol,
            leg=order.leg,
            plan_id=order.plan_id,
            request_id=order.request_id,
            config_version=config_version,
            side_sign=order.side.sign,
            qty_lots=order.qty_lots,
            placed_ns=order.decision_ts_ns,
            is_conditional=is_conditional,
            takes=order.type is not OrderType.LIMIT,
            reference_ticks=float(order.trigger_ticks or 0) if is_conditional else mid,
        )

    def on_update(
        self, order: Order, update: OrderUpdated, quote: Quote | None, now_ns: int
    ) -> None:
        """The venue spoke of an order: it has arrived, was triggered, or has ended."""
        followed = self.state.orders.get(order.client_order_id)
        if followed is None:
            return
        qty_lots, filled_lots = order.qty_lots, followed.filled_lots
        followed.qty_lots = max(filled_lots, qty_lots)
        if not followed.touch_ticks:
            if followed.is_conditional and order.trigger_ticks:
                # a stop is moved while it waits
                followed.reference_ticks = float(order.trigger_ticks)
            if update.status not in _NEVER_THERE and (
                update.triggered or not followed.is_conditional
            ):
                self._arrive(followed, quote, now_ns)
        if order.state.is_final:
            self._end(followed, order, now_ns)

    def on_fill(self, order: Order, fill: OrderFilled, quote: Quote | None, now_ns: int) -> None:
        """One execution, counted before by the order itself."""
        followed = self.state.orders.get(order.client_order_id)
        if followed is None:
            return
        self._arrive(followed, quote, now_ns)
        followed.first_fill_ns = followed.first_fill_ns or now_ns
        followed.filled_lots += fill.qty_lots
        followed.filled_tick_lots += fill.price_ticks * fill.qty_lots
        followed.maker_lots += fill.qty_lots if fill.is_maker else 0
        self._await_markouts(followed, fill, now_ns)
        if order.state.is_final:
            self._end(followed, order, now_ns)

    def _arrive(self, followed: FollowedOrder, quote: Quote | None, now_ns: int) -> None:
        if followed.touch_ticks or quote is None or not quote.has_touch:
            return
        buys = followed.side_sign > 0
        followed.touch_ticks = float(quote.ask_ticks if buys is followed.takes else quote.bid_ticks)
        followed.arrived_ns = now_ns

    def _await_markouts(self, followed: FollowedOrder, fill: OrderFilled, now_ns: int) -> None:
        waiting = self.state.markouts.setdefault(followed.symbol, [])
        identity, value = followed.client_order_id, fill.price_ticks * fill.qty_lots
        own = {m.due_ns: m for m in waiting if m.client_order_id == identity} if waiting else {}
        self._due_of.pop(followed.symbol, None)
        self._first_due_ns = 0
        for horizon_s in MARKOUT_HORIZONS_S:
            due_ns = now_ns + horizon_s * _NS_PER_S
            if due_ns in own:
                same = own[due_ns]
                same.tick_lots, same.lots = same.tick_lots + value, same.lots + fill.qty_lots
                continue
            followed.waiting += 1
            waiting.append(
                Markout(
                    client_order_id=identity,
                    horizon_s=horizon_s,
                    due_ns=due_ns,
                    tick_lots=value,
                    lots=fill.qty_lots,
                )
            )

    def _end(self, followed: FollowedOrder, order: Order, now_ns: int) -> None:
        followed.outcome, followed.last_error = order.state.value, order.last_error
        followed.ended_ns = followed.ended_ns or now_ns
        self._finish_if_complete(followed, now_ns)

    # -- frames -----------------------------------------------------------------------------------------

    def next_due_ns(self, symbol: str) -> int:
        """Core time from which a frame of `symbol` is needed; `NEVER_NS` = none."""
        return self._dues(symbol).first_ns

    def next_record_ns(self, symbol: str) -> int:
        """Core time of the frame of `symbol` that may complete a record; `NEVER_NS` = none."""
        return self._dues(symbol).record_ns

    @property
    def first_due_ns(self) -> int:
        """Core time from which a frame of any symbol is needed."""
        if not self._first_due_ns:
            dues = [self._dues(symbol).first_ns for symbol in self.state.markouts]
            self._first_due_ns = min(dues, default=NEVER_NS)
        return self._first_due_ns

    def _dues(self, symbol: str) -> _Dues:
        waiting = self.state.markouts.get(symbol)
        if not waiting:
            return _NO_DUES
        known = self._due_of.get(symbol)
        if known is None or known.waiting is not waiting:
            known = self._due_of[symbol] = _dues_of(waiting)
        return known

    def on_quote(self, quote: Quote) -> None:
        """A frame of one symbol, in order of emission."""
        waiting = self.state.markouts.get(quote.symbol)
        if not waiting or quote.ts_ns < self.next_due_ns(quote.symbol):
            return
        self._first_due_ns = 0
        usable = quote.book_state == BookState.OK and quote.has_touch
        still, marked, ts_ns = [], {}, quote.ts_ns
        for markout in waiting:
            late_ns = ts_ns - markout.due_ns
            if late_ns < 0 or (not usable and late_ns <= _MARKOUT_GRACE_NS):
                still.append(markout)
            else:
                followed = self.state.orders[markout.client_order_id]
                marked[markout.client_order_id] = followed
                _mark(followed, markout, quote if usable and late_ns <= _MARKOUT_GRACE_NS else None)
        if still:
            self.state.markouts[quote.symbol] = still
        else:
            del self.state.markouts[quote.symbol]
        for followed in marked.values():
            if not followed.waiting:
                self._finish_if_complete(followed, ts_ns)

    # -- records, score, block ---------------------------------------------------------------------------

    def _finish_if_complete(self, followed: FollowedOrder, now_ns: int) -> None:
        if not followed.outcome or followed.waiting:
            return
        del self.state.orders[followed.client_order_id]
        config, symbol = self._configs[followed.symbol], self._symbol(followed.symbol)
        symbol.on_order(
            followed.plan_id, followed.figures(), followed.filled_lots > 0, now_ns, config
        )
        followed.recorded_ns = now_ns
        self.finished.append(followed)
        self._judge_if_complete(symbol, followed.symbol, followed.plan_id, now_ns)

    def on_trade_over(self, symbol: str, plan_id: str, now_ns: int) -> None:
        """The trade of a plan is flat and has no live order."""
        known = self.state.symbols.get(symbol)
        if known is not None and plan_id in known.trial_plans:
            self._forget_view(symbol)
            known.on_trade_over(plan_id)
            self._judge_if_complete(known, symbol, plan_id, now_ns)

    def _judge_if_complete(
        self, known: SymbolQuality, symbol: str, plan_id: str, now_ns: int
    ) -> None:
        if plan_id not in known.trial_plans:
            return  # only trials are judged trade by trade
        for order in self.state.orders.values():
            if order.plan_id == plan_id:
                return
        self._forget_view(symbol)
        known.on_records_complete(plan_id, now_ns, self._configs[symbol])

    def take_finished(self) -> list[FollowedOrder]:
        finished, self.finished = self.finished, []
        return finished

    def _symbol(self, symbol: str) -> SymbolQuality:
        """To be changed: what was last said of it holds no longer."""
        self._forget_view(symbol)
        known = self.state.symbols.get(symbol)
        if known is None:
            known = self.state.symbols[symbol] = SymbolQuality()
        return known

    def on_config(self, now_ns: int) -> None:
        """Other thresholds hold: what they forbid is blocked at once; a block runs its time."""
        self._configs.clear()
        self._known_views.clear()
        self._may_have_news, self._next_change_ns = True, 0
        for name, symbol in self.state.symbols.items():
            symbol.judge(now_ns, self._configs[name])

    def refuses(self, symbol: str, now_ns: int) -> bool:
        """Whether a new entry on `symbol` is blocked now."""
        known = self.state.symbols.get(symbol)
        return known is not None and not known.admits(now_ns)

    def is_blocked(self, symbol: str, now_ns: int) -> bool:
        """Whether nothing may be added to a trade of `symbol`; a trial goes on with what it has begun."""
        known = self.state.symbols.get(symbol)
        if known is None or known.state is not BlockState.BLOCKED:
            return False
        return known.is_blocked(now_ns)

    def entry_qty_pct(self, symbol: str, now_ns: int) -> float:
        """Size of an entry in % of what was asked: less than 100 on trial."""
        known = self.state.symbols.get(symbol)
        on_trial = known is not None and known.is_on_trial(now_ns)
        return self._configs[symbol].probation_qty_pct if on_trial else 100.0

    def on_entry(self, symbol: str, plan_id: str, now_ns: int) -> None:
        """An entry on `symbol` was accepted."""
        known = self.state.symbols.get(symbol)
        if known is not None and known.state is not BlockState.OPEN:
            self._forget_view(symbol)
            known.on_entry(plan_id, now_ns, self._configs[symbol])

    def forget_views(self) -> None:
        """The state is another one: nothing that was said or reckoned of the one before holds."""
        self.state, self._first_due_ns = self._state_of(), 0
        self._known_views.clear()
        self._told, self._may_have_news, self._next_change_ns = {}, True, 0

    def _forget_view(self, symbol: str) -> None:
        self._known_views.pop(symbol, None)
        self._may_have_news, self._next_change_ns = True, 0

    def views(self, now_ns: int) -> dict[str, QualityView]:
        """Every symbol whose orders were judged."""
        views = {
            name: self._view(name, symbol, now_ns) for name, symbol in self.state.symbols.items()
        }
        self._told = {
            name: (view.slippage_bps, view.adverse_markout_bps, view.blocked)
            for name, view in views.items()
        }
        self._may_have_news = False
        return views

    def next_change_ns(self, after_ns: int) -> int:
        """When what `views` says next changes by time alone; `NEVER_NS` = it does not."""
        if self._next_change_ns <= after_ns:
            changes = [s.next_change_ns(after_ns) for s in self.state.symbols.values()]
            known = (change_ns for change_ns in changes if change_ns is not None)
            self._next_change_ns = min(known, default=NEVER_NS)
        return self._next_change_ns

    def has_news(self, now_ns: int) -> bool:
        """Whether anything that entries are decided by is other than the last `views` said."""
        if not self._may_have_news:
            return False
        told, symbols = self._told, self.state.symbols
        self._may_have_news = len(told) != len(symbols)
        for name, symbol in symbols.items():
            if symbol.decided_by(now_ns, self._configs[name]) != told.get(name):
                self._may_have_news = True
        return self._may_have_news

    def _view(self, name: str, symbol: SymbolQuality, now_ns: int) -> QualityView:
        """Asked for in every second, changed by news and rarely by time: made anew only then."""
        known, config = self._known_views.get(name), self._configs[name]
        if (
            known is None
            or known.symbol is not symbol
            or known.config is not config
            or not known.made_ns <= now_ns < known.until_ns
        ):
            change_ns = symbol.next_change_ns(now_ns)
            until_ns = NEVER_NS if change_ns is None else change_ns
            view = symbol.view(now_ns, config)
            known = self._known_views[name] = _KnownView(symbol, config, now_ns, until_ns, view)
        return known.view
