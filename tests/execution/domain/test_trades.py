"""A managed trade, told as stories: entry, protection, targets, exits, and what must never happen."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from execution.domain.config import ExecutionConfig
from execution.domain.orders import OrderState
from execution.domain.records import position_record
from market.domain.events import ASK
from strategy.domain.messages import RepriceHint, Side

MS = 1_000_000


def test_the_stop_follows_the_first_fill_and_grows_with_every_fill(world: Any) -> None:
    world.ask()
    world.wait(100)
    assert list(world.live()) == ["ENTRY"]

    world.trade("SELL", 10_000, 1050)  # a thousand ahead of us, fifty for us
    world.wait(100)
    assert (world.position(), world.live()["STOP"].qty_lots) == (50, 50)
    world.trade("SELL", 10_000, 50)
    world.wait(100)

    assert (world.position(), world.live()["STOP"].qty_lots) == (100, 100)
    assert world.live()["STOP"].state is OrderState.OPEN


def test_take_profits_rest_as_maker_orders_and_never_exceed_the_position(world: Any) -> None:
    world.ask()
    world.wait(50)
    world.trade("SELL", 10_000, 1050)
    world.wait(100)

    targets = [order for leg, order in world.live().items() if leg.startswith("TP")]
    assert [order.qty_lots for order in targets] == [20, 20]
    assert all(order.time_in_force == "PostOnly" and order.reduce_only for order in targets)
    world.trade("SELL", 10_000, 50)
    world.wait(100)

    assert [o.qty_lots for leg, o in world.live().items() if leg.startswith("TP")] == [40, 40]


def test_an_entry_that_is_not_filled_in_time_is_cancelled(world: Any) -> None:
    world.ask(plan=world.plan(timeout_ms=500))
    world.wait(700)

    assert world.event_types("ENTRY") == ["EXECUTION_ORDER_PLACED", "EXECUTION_ORDER_CANCELED"]
    assert [e.reason for e in world.events()][-1] == "ENTRY_TIMEOUT"
    assert world.core.trades == {}


def test_a_partial_fill_goes_on_as_a_smaller_position(world: Any) -> None:
    world.ask(plan=world.plan(timeout_ms=500))
    world.wait(50)
    world.trade("SELL", 10_000, 1030)
    world.wait(700)

    live = world.live()
    assert set(live) == {"STOP", "TP1", "TP2"}
    assert (live["STOP"].qty_lots, live["TP1"].qty_lots, live["TP2"].qty_lots) == (30, 12, 12)


def test_an_entry_follows_the_touch_at_most_as_often_as_planned(world: Any) -> None:
    world.ask(plan=world.plan(timeout_ms=60_000))
    for bid in range(10_001, 10_009):
        world.wait(300)
        world.book(bid, bid + 1)
        world.quote()
    world.wait(300)

    assert world.live()["ENTRY"].price_ticks == 10_003
    assert world.core.trades["BTCUSDT"].reprices == 3


def test_an_entry_is_dropped_when_the_signal_fades(world: Any) -> None:
    request = world.ask()
    world.wait(100)

    hint = RepriceHint(
        request_id=request.request_id, symbol="BTCUSDT", ts_ns=world.now_ns, signal_holds=False
    )
    world.outputs += world.desk.on_request(hint, world.now_ns)
    world.wait(100)

    assert world.events()[-1].reason == "SIGNAL_FADED"
    assert world.core.trades == {}


def test_a_post_only_entry_that_would_take_is_put_once_more_at_the_touch(world: Any) -> None:
    world.ask()
    world.book(9_997, 9_998)  # the market came to us while the order was on its way
    world.quote()
    world.wait(200)

    entry = world.live()["ENTRY"]
    assert (entry.attempt, entry.price_ticks, entry.state) == (2, 9_997, OrderState.OPEN)
    assert "EXECUTION_ORDER_CANCELED" not in world.event_types("ENTRY")


def test_after_the_first_target_the_stop_moves_to_break_even_with_fees(world: Any) -> None:
    world.ask()
    world.wait(50)
    world.trade("SELL", 10_000, 1100)
    world.wait(100)

    world.trade("BUY", 10_031, 40)
    world.mark(10_030)
    world.wait(50)
    world.quote()
    world.wait(100)

    # 10,000 + 2 bps maker + 5.5 bps taker + 1 tick = 10,008.5, rounded to the safe side
    assert world.live()["STOP"].trigger_ticks == 10_009
    assert world.live()["STOP"].qty_lots == 60


def test_a_stop_the_mark_price_does_not_yet_allow_is_moved_later_and_never_taken_away(
    world: Any,
) -> None:
    world.open_long()
    world.book(10_030, 10_031)
    world.trade("BUY", 10_031, 40)  # the first target fills while the mark price lags behind
    world.wait(50)
    world.quote()
    world.wait(400)
    assert world.live()["STOP"].trigger_ticks == 9_950

    world.mark(10_030)
    world.wait(400)

    # 10,001 + 5.5 bps paid + 5.5 bps to leave + 1 tick, rounded to the safe side
    assert world.live()["STOP"].trigger_ticks == 10_014
    assert world.position() == 60


def test_a_trailing_stop_only_tightens_and_waits_between_amends(world: Any) -> None:
    world.open_long()
    stops = []
    for bid in (10_040, 10_050, 10_045, 10_058, 10_052):
        world.move_to(bid)
        world.wait(300)
        stops.append(world.live()["STOP"].trigger_ticks)

    assert stops == sorted(stops)
    amends = [x for x in world.lines("INTENT") if x["command"] == "AMEND" and x["leg"] == "STOP"]
    priced = [x for x in amends if x["wanted"]["triggerPrice"] is not None]
    assert 1 <= len(priced) <= 3  # at most one a second, break-even apart


def test_a_stop_closes_the_whole_position_and_leaves_no_order_behind(world: Any) -> None:
    world.open_long()
    world.move_to(9_950)
    world.wait(200)

    assert world.position() == 0
    assert world.venue.open_orders() == ()
    assert world.rows("TRADE")[-1]["exitReason"] == "STOP_LOSS"
    assert world.event_types()[-1] == "EXECUTION_POSITION_CLOSED"


def test_a_position_that_goes_nowhere_is_closed_by_time(world: Any) -> None:
    world.open_long(time_stop_s=2)
    world.wait(2300)

    assert world.position() == 0
    assert world.rows("TRADE")[-1]["exitReason"] == "TIME_STOP"


def test_a_close_request_takes_the_position_out_and_keeps_the_stop_until_it_is_gone(
    world: Any,
) -> None:
    world.open_long()
    world.ask("CLOSE", reason="OPPOSITE_SIGNAL")
    cancelled = [x["leg"] for x in world.lines("INTENT") if x["command"] == "CANCEL"]
    assert "STOP" not in cancelled
    world.wait(200)

    assert world.position() == 0
    assert world.rows("TRADE")[-1]["exitReason"] == "OPPOSITE_SIGNAL"
    assert world.venue.open_orders() == ()


def test_a_close_that_finds_too_little_liquidity_tries_again(world: Any) -> None:
    world.open_long()
    world.book(lots=5)  # fifty lots on ten levels, for a position of a hundred
    world.ask("CLOSE")
    world.wait(100)
    assert 0 < world.position() < 100
    world.book(lots=1000)
    world.wait(500)

    assert world.position() == 0


def test_a_stop_the_price_has_passed_already_means_close_at_once(world: Any) -> None:
    world.ask(plan=world.plan(type="MARKET"))
    world.now_ns += 25 * MS
    world.desk.deliveries.push(world.venue.advance(world.now_ns))  # filled, not yet heard of
    world.book(9_940, 9_941)
    world.mark(9_940)
    world.wait(300)

    assert world.position() == 0
    assert world.rows("TRADE")[-1]["exitReason"] == "STOP_LOSS"


def test_a_position_without_a_stop_past_the_deadline_is_closed(make_world: Any) -> None:
    """The way to the venue takes longer than the deadline allows: nothing may stay naked."""
    config = ExecutionConfig(
        max_notional_usdt=100_000.0, sim_latency_ms=100, protect_deadline_ms=150
    )
    world = make_world(config)
    world.ask(plan=world.plan(type="MARKET"))
    world.wait(800)

    assert world.position() == 0
    assert world.rows("TRADE")[-1]["exitReason"] == "PROTECT_DEADLINE"


def test_the_books_of_core_and_venue_agree_to_the_last_unit(world: Any) -> None:
    world.open_long()
    world.move_to(10_035)
    world.wait(300)
    world.move_to(9_940)
    world.wait(300)

    assert world.core.book.realized_usdt + 10_000 == world.venue.account().equity_usdt


def test_a_short_is_managed_as_a_long_in_a_mirror(world: Any) -> None:
    world.ask(plan=world.plan(side=Side.SHORT))
    world.wait(50)
    world.trade("BUY", 10_001, 1100)
    world.wait(100)
    assert (world.position(), world.live()["STOP"].trigger_ticks) == (-100, 10_051)

    world.trade("SELL", 9_970, 40)
    world.mark(9_971)
    world.wait(50)
    world.quote()
    world.wait(100)

    assert world.position() == -60
    assert world.live()["STOP"].trigger_ticks == 9_992


steps = st.lists(
    st.tuples(
        st.sampled_from(["move", "thin", "trade", "wait", "close", "fade", "cancel"]),
        st.integers(-25, 25),
    ),
    max_size=25,
)


@settings(max_examples=25, deadline=None)
@given(story=steps, is_market=st.booleans(), side=st.sampled_from(list(Side)))
def test_whatever_happens_the_position_is_protected_and_targets_fit_it(
    story: list[tuple[str, int]], is_market: bool, side: Side
) -> None:
    world = WORLD()
    request = world.ask(plan=world.plan(type="MARKET" if is_market else "LIMIT", side=side))
    for what, amount in story:
        if what == "move":
            world.move_to(world.quotes["BTCUSDT"][0] + amount)
        elif what == "thin":
            world.level(ASK, world.quotes["BTCUSDT"][1], 7)
        elif what == "trade":
            taker = "BUY" if amount > 0 else "SELL"
            world.trade(taker, world.quotes["BTCUSDT"][0] + (amount > 0), 400 + 30 * abs(amount))
        elif what == "close":
            world.ask("CLOSE")
        elif what == "fade":
            hint = RepriceHint(
                request_id=request.request_id, symbol="BTCUSDT", ts_ns=0, signal_holds=amount > 0
            )
            world.outputs += world.desk.on_request(hint, world.now_ns)
        elif what == "cancel":
            world.ask("CANCEL_ENTRY")
        world.wait(120)
        check_protection(world)
    world.ask("CLOSE")
    world.book()
    world.mark(10_000)
    world.wait(1500)

    assert world.core.trades == {}
    assert world.venue.open_orders() == ()
    assert world.core.book.realized_usdt + 10_000 == world.venue.account().equity_usdt


def check_protection(world: Any) -> None:
    """120 ms of quiet are three ways to the venue and back: by then everything fits."""
    trade = world.core.trades.get("BTCUSDT")
    if trade is None or trade.position_lots <= 0:
        return
    live = world.live()
    targets = sum(o.leaves_lots for leg, o in live.items() if leg.startswith("TP"))
    assert "STOP" in live or "CLOSE" in live or trade.phase == "CLOSING"
    if "STOP" in live and trade.phase == "OPEN":
        assert live["STOP"].qty_lots == trade.position_lots
    assert targets <= trade.position_lots
    assert world.position() * trade.plan.side.sign == trade.position_lots
    shown = [{**row, "timestamp": ""} for row in world.rows("POSITION")]
    held = position_record(trade, world.core.orders, world.core.instruments["BTCUSDT"], 0)
    assert shown[-1] == {**held, "timestamp": ""}, "the screen shows what is held"
    assert all(one != other for one, other in pairwise(shown)), "and only what has changed"


WORLD: Any = None


@pytest.fixture(autouse=True)
def _world_for_properties(make_world: Any) -> None:
    globals()["WORLD"] = make_world
