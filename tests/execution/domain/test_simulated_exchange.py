"""The simulated venue: what it fills, at what price, in what order, and that its money balances."""

from __future__ import annotations

from collections import defaultdict
from decimal import Decimal
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from execution.domain.config import ExecutionConfig
from execution.domain.simulated_exchange import SimulatedExchange
from execution.domain.venue import (
    AmendOrder,
    CancelOrder,
    CommandRefused,
    OrderFilled,
    OrderSide,
    OrderType,
    OrderUpdated,
    PlaceOrder,
    TimeInForce,
    TriggerBy,
    VenueCode,
    VenueUpdate,
)
from market.domain.events import (
    ASK,
    BID,
    BUY,
    SELL,
    ChunkBuilder,
    EventChunk,
    EventKind,
    TickerField,
)
from market.domain.instruments import Instrument

MS = 1_000_000


class Venue:
    """One symbol: each market message comes 1 ms after the one before."""

    def __init__(
        self,
        instrument: Instrument,
        config: ExecutionConfig | None = None,
        *,
        min_notional_usdt: int = 1,
    ) -> None:
        # A lot is worth one USDT here: stories may be told with a handful of lots.
        instrument = msgspec.structs.replace(instrument, min_notional=Decimal(min_notional_usdt))
        self.exchange = SimulatedExchange([instrument], config or ExecutionConfig())
        self.now = 1_000 * MS
        self.placed = 0
        self.updates: list[VenueUpdate] = []
        self.snapshot()

    def feed(self, kind: EventKind, levels: list[tuple[int, int, int]], flags: int = 0) -> None:
        self.now += MS
        builder = ChunkBuilder()
        builder.add(
            kind, symbol=0, seq=self.now, core_ts_ns=self.now, exchange_ts_ns=self.now,
            levels=levels, flags=flags,
        )  # fmt: skip
        self.updates += self.exchange.process(builder.take())

    def snapshot(self, bid: int = 10_000, lots: int = 5) -> None:
        levels = [(BID, bid - i, lots) for i in range(5)]
        self.feed(EventKind.BOOK_SNAPSHOT, levels + [(ASK, bid + 1 + i, lots) for i in range(5)])

    def trade(self, taker: int, tick: int, lots: int, flags: int = 0) -> None:
        self.feed(EventKind.TRADE, [(taker, tick, lots)], flags)

    def level(self, side: int, tick: int, lots: int) -> None:
        self.feed(EventKind.BOOK_DELTA, [(side, tick, lots)])

    def mark(self, tick: int) -> None:
        self.feed(EventKind.TICKER, [(0, int(TickerField.MARK_PRICE), tick * 10**8)])

    def place(self, side: str, lots: int, price: int | None = None, **changes: Any) -> str:
        self.placed += 1
        identity = changes.pop("client_order_id", f"o{self.placed}")
        kind = changes.pop("type", OrderType.MARKET if price is None else OrderType.LIMIT)
        self.exchange.submit(
            PlaceOrder(
                client_order_id=identity,
                symbol="BTCUSDT",
                side=OrderSide(side),
                type=kind,
                time_in_force=changes.pop(
                    "time_in_force", TimeInForce.IOC if price is None else TimeInForce.GTC
                ),
                qty_lots=lots,
                price_ticks=price,
                decision_ts_ns=self.now,
                **changes,
            )
        )
        return identity

    def settle(self, ms: int = 30) -> None:
        self.now += ms * MS
        self.updates += self.exchange.advance(self.now)

    def fills(self, identity: str | None = None) -> list[tuple[int, int]]:
        return [
            (u.price_ticks, u.qty_lots)
            for u in self.updates
            if isinstance(u, OrderFilled) and identity in (None, u.client_order_id)
        ]

    def last(self, identity: str) -> OrderUpdated:
        return [
            u for u in self.updates if isinstance(u, OrderUpdated) and u.client_order_id == identity
        ][-1]

    def refusals(self) -> list[int]:
        return [u.code for u in self.updates if isinstance(u, CommandRefused)]

    @property
    def position(self) -> int:
        return self.exchange.account().positions["BTCUSDT"].lots


@pytest.fixture
def venue(an_instrument: Any) -> Venue:
    return Venue(an_instrument("BTCUSDT"))


# -- taking ------------------------------------------------------------------------------------------


def test_a_market_order_walks_the_book_level_by_level_and_cancels_the_rest(venue: Venue) -> None:
    order = venue.place("BUY", 100)

    venue.settle()

    assert venue.fills(order) == [(10_001, 5), (10_002, 5), (10_003, 5), (10_004, 5), (10_005, 5)]
    assert venue.last(order).status == "CANCELED"
    assert venue.last(order).filled_lots == 25


def test_liquidity_we_took_is_not_there_again_until_the_level_changes(venue: Venue) -> None:
    first = venue.place("BUY", 5)
    venue.settle()
    second = venue.place("BUY", 5)
    venue.settle()
    venue.level(ASK, 10_001, 7)
    third = venue.place("BUY", 5)
    venue.settle()

    assert venue.fills(first) == [(10_001, 5)]
    assert venue.fills(second) == [(10_002, 5)]
    assert venue.fills(third) == [(10_001, 5)]


def test_an_order_takes_effect_one_latency_after_the_decision(venue: Venue) -> None:
    order = venue.place("BUY", 5)
    for _ in range(19):
        venue.level(BID, 9_990, 3)
    assert venue.fills(order) == []

    venue.level(ASK, 10_001, 9)  # 20 ms: the order is there before this message is

    assert venue.fills(order) == [(10_001, 5)]


def test_an_update_is_heard_one_latency_after_it_happened(venue: Venue) -> None:
    venue.place("BUY", 5)
    venue.settle()

    assert {u.deliver_at_ns - u.venue_ts_ns for u in venue.updates} == {20 * MS}


def test_a_fill_or_kill_order_that_cannot_fill_whole_fills_nothing(venue: Venue) -> None:
    order = venue.place("BUY", 6, 10_001, time_in_force=TimeInForce.FOK)
    venue.settle()

    assert venue.fills(order) == []
    assert "EC_CancelForNoFullFill" in venue.last(order).reason


def test_an_immediate_or_cancel_order_takes_what_its_price_reaches(venue: Venue) -> None:
    order = venue.place("BUY", 20, 10_002, time_in_force=TimeInForce.IOC)
    venue.settle()

    assert venue.fills(order) == [(10_001, 5), (10_002, 5)]
    assert venue.last(order).status == "CANCELED"


def test_a_post_only_order_that_would_take_is_accepted_and_then_cancelled(venue: Venue) -> None:
    order = venue.place("BUY", 5, 10_001, time_in_force=TimeInForce.POST_ONLY)
    venue.settle()

    assert venue.fills(order) == []
    assert venue.last(order).status == "CANCELED"
    assert "EC_PostOnlyWillTakeLiquidity" in venue.last(order).reason


def test_a_limit_that_crosses_takes_and_rests_with_what_is_left(venue: Venue) -> None:
    order = venue.place("BUY", 8, 10_001)
    venue.settle()
    assert venue.fills(order) == [(10_001, 5)]

    venue.trade(SELL, 10_001, 2)

    assert venue.fills(order) == [(10_001, 5), (10_001, 2)]


def test_nothing_is_matched_while_the_book_is_not_to_be_trusted(venue: Venue) -> None:
    venue.feed(EventKind.FEED_GAP, [])
    order = venue.place("BUY", 5)
    venue.settle()
    assert venue.fills(order) == []

    venue.snapshot(bid=10_050)

    assert venue.fills(order) == [(10_051, 5)]


def test_a_stop_triggered_without_a_trusted_book_takes_from_the_next_snapshot(venue: Venue) -> None:
    venue.place("BUY", 5)
    venue.settle()
    stop = venue.place(
        "SELL", 5, type=OrderType.STOP_MARKET, trigger_ticks=9_990,
        trigger_by=TriggerBy.MARK, reduce_only=True, close_on_trigger=True,
    )  # fmt: skip
    venue.mark(10_000)
    venue.settle()
    venue.feed(EventKind.FEED_GAP, [])

    venue.mark(9_980)
    venue.mark(10_000)  # the price coming back does not undo it
    venue.level(BID, 9_999, 7)
    assert venue.fills(stop) == []

    venue.snapshot(bid=9_900)

    assert venue.fills(stop) == [(9_900, 5)]
    assert venue.position == 0


def test_a_change_to_an_untrusted_book_fills_no_resting_order(venue: Venue) -> None:
    order = venue.place("BUY", 5, 9_998)
    venue.settle()
    venue.trade(SELL, 10_000, 1)
    venue.feed(EventKind.FEED_GAP, [])

    venue.level(ASK, 9_998, 9)
    assert venue.fills(order) == []

    venue.snapshot(bid=9_990)

    assert venue.fills(order) == [(9_998, 5)]


# -- resting -----------------------------------------------------------------------------------------


def test_a_resting_order_waits_for_the_size_displayed_before_it(venue: Venue) -> None:
    order = venue.place("BUY", 4, 10_000)
    venue.settle()

    venue.trade(SELL, 10_000, 3)
    assert venue.fills(order) == []
    venue.trade(SELL, 10_000, 3)  # two were still ahead: one is left for us

    assert venue.fills(order) == [(10_000, 1)]


def test_a_cancel_ahead_of_us_does_not_advance_the_queue(venue: Venue) -> None:
    order = venue.place("BUY", 4, 10_000)
    venue.settle()

    venue.level(BID, 10_000, 1)
    venue.trade(SELL, 10_000, 4)
    assert venue.fills(order) == []
    venue.trade(SELL, 10_000, 2)

    assert venue.fills(order) == [(10_000, 1)]


def test_a_price_that_trades_through_fills_up_to_what_traded(venue: Venue) -> None:
    order = venue.place("BUY", 10, 10_000)
    venue.settle()

    venue.trade(SELL, 9_999, 6)

    assert venue.fills(order) == [(10_000, 6)]


def test_outside_the_window_an_order_queues_behind_the_first_size_displayed(venue: Venue) -> None:
    order = venue.place("BUY", 3, 9_990)
    venue.settle()
    venue.trade(SELL, 9_990, 100)  # nobody knows who was ahead
    assert venue.fills(order) == []

    venue.level(BID, 9_990, 8)
    venue.trade(SELL, 9_990, 8)
    assert venue.fills(order) == []
    venue.trade(SELL, 9_990, 2)

    assert venue.fills(order) == [(9_990, 2)]


def test_block_and_retail_trades_fill_nobody(venue: Venue) -> None:
    order = venue.place("BUY", 3, 10_000)
    venue.settle()

    venue.trade(SELL, 9_990, 100, flags=1)
    venue.trade(SELL, 9_990, 100, flags=2)
    assert venue.fills(order) == []
    venue.trade(SELL, 9_990, 100)

    assert venue.fills(order) == [(10_000, 3)]


def test_the_better_price_and_then_the_earlier_order_is_filled_first(venue: Venue) -> None:
    early = venue.place("BUY", 2, 9_999)
    second = venue.place("BUY", 2, 9_999)
    late_better = venue.place("BUY", 2, 10_000)
    venue.settle()

    venue.trade(SELL, 9_990, 5)

    assert venue.fills(late_better) == [(10_000, 2)]
    assert venue.fills(early) == [(9_999, 2)]
    assert venue.fills(second) == [(9_999, 1)]


def test_an_amended_price_loses_its_place_and_a_smaller_size_keeps_it(venue: Venue) -> None:
    kept = venue.place("BUY", 4, 10_000)
    moved = venue.place("BUY", 4, 9_999)
    venue.settle()
    venue.trade(SELL, 10_000, 5)  # the queue ahead of `kept` is gone
    for identity, changes in ((kept, {"qty_lots": 2}), (moved, {"price_ticks": 10_000})):
        venue.exchange.amend(
            AmendOrder(
                client_order_id=identity, symbol="BTCUSDT", decision_ts_ns=venue.now, **changes
            )
        )
    venue.settle()

    venue.trade(SELL, 10_000, 3)

    assert venue.fills(kept) == [(10_000, 2)]
    assert venue.fills(moved) == []


# -- conditional and reduce-only ---------------------------------------------------------------------


def a_stop(venue: Venue, trigger: int, by: TriggerBy, lots: int = 5) -> str:
    return venue.place(
        "SELL", lots, type=OrderType.STOP_MARKET, trigger_ticks=trigger, trigger_by=by,
        reduce_only=True, close_on_trigger=True,
    )  # fmt: skip


def test_a_stop_by_mark_price_ignores_the_last_price(venue: Venue) -> None:
    venue.mark(10_000)
    venue.place("BUY", 5)
    venue.settle()
    stop = a_stop(venue, 9_995, TriggerBy.MARK)
    venue.settle()

    venue.trade(SELL, 9_990, 1)
    assert venue.fills(stop) == []
    venue.mark(9_995)

    assert venue.fills(stop) == [(10_000, 5)]
    assert venue.position == 0


def test_a_stop_by_last_price_is_triggered_by_a_trade(venue: Venue) -> None:
    venue.trade(BUY, 10_001, 1)
    venue.place("BUY", 5)
    venue.settle()
    stop = a_stop(venue, 9_999, TriggerBy.LAST)
    venue.settle()

    venue.trade(SELL, 9_999, 1)

    assert venue.fills(stop) == [(10_000, 5)]


def test_a_stop_on_the_wrong_side_of_the_market_is_refused(venue: Venue) -> None:
    venue.mark(10_000)
    venue.place("BUY", 5)
    venue.settle()

    stop = a_stop(venue, 10_010, TriggerBy.MARK)
    venue.settle()

    assert (venue.last(stop).status, venue.last(stop).code) == ("REJECTED", 110093)


def test_a_reduce_only_order_never_flips_the_position(venue: Venue) -> None:
    venue.place("BUY", 5)
    venue.settle()

    order = venue.place("SELL", 20, reduce_only=True)
    venue.settle()

    assert sum(lots for _, lots in venue.fills(order)) == 5
    assert venue.position == 0


def test_a_reduce_only_order_without_a_position_is_refused(venue: Venue) -> None:
    order = venue.place("SELL", 5, reduce_only=True)
    venue.settle()

    assert venue.last(order).code == VenueCode.REDUCE_ONLY


def test_resting_reduce_only_orders_go_when_the_position_is_gone(venue: Venue) -> None:
    venue.mark(10_000)
    venue.place("BUY", 5)
    venue.settle()
    target = venue.place("SELL", 5, 10_020, reduce_only=True)
    stop = a_stop(venue, 9_990, TriggerBy.MARK)
    venue.settle()

    venue.place("SELL", 5, reduce_only=True)
    venue.settle()

    assert venue.last(target).status == "CANCELED"
    assert venue.last(stop).status == "CANCELED"
    assert venue.exchange.open_orders() == ()


# -- refusals ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lots", "price", "code"),
    [
        (0, 10_000, VenueCode.PARAMETER),
        (200_000, 10_000, VenueCode.PARAMETER),
        (5, 20_000_000, VenueCode.PRICE_OUT_OF_RANGE),
        (4, 10_000, VenueCode.BELOW_MIN_NOTIONAL),
        (99_000, 10_400, VenueCode.INSUFFICIENT_BALANCE),
    ],
)
def test_an_order_against_the_rules_is_rejected_with_the_venues_code(
    an_instrument: Any, lots: int, price: int, code: int
) -> None:
    venue = Venue(
        an_instrument("BTCUSDT"),
        ExecutionConfig(sim_balance_usdt=1000.0, sim_leverage=1.0),
        min_notional_usdt=5,
    )
    order = venue.place("BUY", lots, price)
    venue.settle()

    assert (venue.last(order).status, venue.last(order).code) == ("REJECTED", code)


def test_the_same_order_id_is_taken_once(venue: Venue) -> None:
    venue.place("BUY", 5, client_order_id="same")
    venue.settle()
    venue.place("BUY", 5, client_order_id="same")
    venue.settle()

    assert venue.last("same").code == VenueCode.DUPLICATE_LINK_ID
    assert venue.position == 5


def test_cancelling_what_is_over_is_refused_and_changes_nothing(venue: Venue) -> None:
    order = venue.place("BUY", 5)
    venue.settle()
    venue.exchange.cancel(
        CancelOrder(client_order_id=order, symbol="BTCUSDT", decision_ts_ns=venue.now)
    )
    venue.settle()

    assert venue.refusals() == [VenueCode.ORDER_NOT_FOUND]


# -- money, memory, determinism ------------------------------------------------------------------------


def a_random_market(seed: int, messages: int) -> EventChunk:
    """Snapshots, deltas, trades and marks around a wandering price."""
    rng, builder, mid = np.random.default_rng(seed), ChunkBuilder(), 10_000
    for i in range(messages):
        now, kind = (i + 1) * 3 * MS, int(rng.integers(10))
        mid += int(rng.integers(-1, 2))
        if i % 40 == 0:
            levels = [(BID, mid - k, int(rng.integers(1, 20))) for k in range(1, 6)]
            levels += [(ASK, mid + k, int(rng.integers(1, 20))) for k in range(1, 6)]
            event = EventKind.BOOK_SNAPSHOT
        elif kind < 4:
            side = int(rng.integers(2))
            tick = mid - int(rng.integers(1, 7)) if side == BID else mid + int(rng.integers(1, 7))
            event, levels = EventKind.BOOK_DELTA, [(side, tick, int(rng.integers(0, 20)))]
        elif kind < 8:
            taker = int(rng.integers(2))
            tick = mid + int(rng.integers(0, 4)) * (1 if taker == BUY else -1)
            event, levels = EventKind.TRADE, [(taker, tick, int(rng.integers(1, 20)))]
        else:
            event = EventKind.TICKER
            levels = [(0, int(TickerField.MARK_PRICE), mid * 10**8)]
        builder.add(event, symbol=0, seq=i, core_ts_ns=now, exchange_ts_ns=now, levels=levels)
    return builder.take()


def random_commands(seed: int, count: int) -> list[PlaceOrder | CancelOrder | AmendOrder]:
    rng = np.random.default_rng(seed)
    commands: list[PlaceOrder | CancelOrder | AmendOrder] = []
    for i in range(count):
        at, kind = int(rng.integers(0, 1200)) * MS, int(rng.integers(6))
        common = {"symbol": "BTCUSDT", "decision_ts_ns": at}
        older = f"o{int(rng.integers(0, i + 1))}"
        if kind == 0:
            commands.append(CancelOrder(client_order_id=older, **common))
        elif kind == 1:
            price = 10_000 + int(rng.integers(-8, 9))
            commands.append(
                AmendOrder(
                    client_order_id=older,
                    price_ticks=price,
                    qty_lots=int(rng.integers(1, 30)),
                    **common,
                )
            )
        else:
            is_market = kind == 2
            commands.append(
                PlaceOrder(
                    client_order_id=f"o{i}",
                    side=OrderSide.BUY if rng.integers(2) else OrderSide.SELL,
                    type=OrderType.MARKET if is_market else OrderType.LIMIT,
                    time_in_force=TimeInForce.IOC
                    if is_market
                    else list(TimeInForce)[int(rng.integers(4))],
                    qty_lots=int(rng.integers(5, 40)),
                    price_ticks=None if is_market else 10_000 + int(rng.integers(-8, 9)),
                    reduce_only=bool(rng.integers(5) == 0),
                    **common,
                )
            )
    return commands


def run_market(
    instrument: Instrument, seed: int, chunk_size: int, restart_at: int | None = None
) -> tuple[SimulatedExchange, list[VenueUpdate]]:
    """The same market and commands in pieces of `chunk_size`; optionally through a restart."""
    exchange = SimulatedExchange([instrument], ExecutionConfig())
    for command in random_commands(seed, 60):
        exchange.submit(command)
    market, updates = a_random_market(seed, 400), []
    for start in range(0, len(market), chunk_size):
        updates += exchange.process(market.slice(start, min(start + chunk_size, len(market))))
        if restart_at is not None and start >= restart_at:
            state, restart_at = exchange.state(), None
            exchange = SimulatedExchange([instrument], ExecutionConfig())
            exchange.restore(state)
    return exchange, updates


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_money_balances_to_the_last_unit_and_no_order_fills_more_than_its_size(seed: int) -> None:
    instrument = INSTRUMENT
    exchange, updates = run_market(instrument, seed, 50)
    unit = instrument.tick_size * instrument.qty_step
    cash, position = Decimal("10000.0"), 0
    filled: dict[str, int] = defaultdict(int)
    for update in updates:
        if isinstance(update, OrderFilled):
            sign = update.side.sign
            cash -= sign * update.price_ticks * update.qty_lots * unit + update.fee_usdt
            position += sign * update.qty_lots
            filled[update.client_order_id] += update.qty_lots
            assert update.qty_lots > 0
            assert update.leaves_lots >= 0
        elif isinstance(update, OrderUpdated):
            assert filled[update.client_order_id] == update.filled_lots <= update.qty_lots or (
                update.status == "REJECTED"
            )

    value = instrument.lots_to_qty(position) * exchange._floor.market.mark_usdt("BTCUSDT")
    account = exchange.account()
    held = account.positions["BTCUSDT"].lots if "BTCUSDT" in account.positions else 0

    assert held == position
    assert account.equity_usdt == cash + value


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_maker_fills_never_exceed_what_traded_or_was_displayed(seed: int) -> None:
    """Fed message by message: what our resting orders get from a print is at most its size."""
    exchange = SimulatedExchange([INSTRUMENT], ExecutionConfig())
    for command in random_commands(seed, 60):
        exchange.submit(command)
    market = a_random_market(seed, 400)
    for i in range(len(market)):
        before = exchange.now_ns
        updates = exchange.process(market.slice(i, i + 1))
        now = int(market.exchange_ts_ns[i])
        if market.kind[i] != EventKind.TRADE or before >= now:
            continue
        traded = int(market.lot[market.level_offset[i]])
        ours = [u for u in updates if isinstance(u, OrderFilled) and u.venue_ts_ns == now]
        assert sum(u.qty_lots for u in ours if u.is_maker) <= traded


@pytest.mark.parametrize("chunk_size", [1, 7, 4096])
def test_the_size_of_chunks_changes_nothing(an_instrument: Any, chunk_size: int) -> None:
    _, whole = run_market(an_instrument("BTCUSDT"), 11, 400)

    _, pieces = run_market(an_instrument("BTCUSDT"), 11, chunk_size)

    assert pieces == whole
    assert any(isinstance(u, OrderFilled) for u in whole)


def test_a_restart_in_the_middle_changes_nothing(an_instrument: Any) -> None:
    through, whole = run_market(an_instrument("BTCUSDT"), 5, 10)

    resumed, pieces = run_market(an_instrument("BTCUSDT"), 5, 10, restart_at=200)

    assert pieces == whole
    assert resumed.state() == through.state()


INSTRUMENT = Instrument(
    symbol="BTCUSDT", tick_size=Decimal("0.1"), qty_step=Decimal("0.001"), min_qty=Decimal("0.001"),
    max_qty=Decimal(100), max_market_qty=Decimal(50), min_notional=Decimal(5),
    min_price=Decimal("0.1"), max_price=Decimal(1_000_000), min_leverage=Decimal(1),
    max_leverage=Decimal(100), leverage_step=Decimal("0.01"), price_scale=1,
    funding_interval_min=480, base_coin="BTC",
)  # fmt: skip
