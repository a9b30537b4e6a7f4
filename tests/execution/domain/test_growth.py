"""What would make a position grow is held back and taken back wherever a new entry would be refused."""

from __future__ import annotations

from typing import Any

import pytest

from execution.domain.operator import OperatorAction
from market.domain.frames import BookState
from strategy.domain.config import RiskConfig
from strategy.domain.messages import DcaLevel

LIMITS = RiskConfig(max_notional_usd=100_000.0, max_heat_pct=50.0)


def forbid(world: Any, how: str) -> None:
    if how == "safe mode":
        world.outputs += world.core.set_safe_mode("CONFIG_INVALID", "test", world.now_ns)
    elif how == "trading off":
        world.operate(OperatorAction.TRADING_OFF)
    else:
        world.quote(state=BookState[how])


def allow(world: Any, how: str) -> None:
    if how == "safe mode":
        world.outputs += world.core.clear_safe_mode("CONFIG_INVALID", world.now_ns)
    elif how == "trading off":
        world.operate(OperatorAction.TRADING_ON)
    world.quote()


def enter_a_ladder(world: Any) -> None:
    levels = (DcaLevel(price_ticks=9980, qty_lots=100), DcaLevel(price_ticks=9960, qty_lots=100))
    world.ask(plan=world.plan(dca_levels=levels, trailing=None, time_stop_s=None))
    world.wait(50)
    world.trade("SELL", 10_000, 1100)
    world.wait(150)


WAYS = pytest.mark.parametrize("how", ["safe mode", "trading off", "DEGRADED", "STALE", "EMPTY"])


@WAYS
def test_a_resting_entry_is_taken_back(world: Any, how: str) -> None:
    world.ask(plan=world.plan(timeout_ms=60_000))
    world.wait(300)
    assert set(world.live()) == {"ENTRY"}

    world.book(10_001, 10_002)  # the touch moves away: a better price would be due
    forbid(world, how)
    world.wait(200)

    assert not world.live()
    assert not world.core.trades
    assert not [line for line in world.lines("INTENT") if line["command"] == "AMEND"]


@WAYS
def test_a_returned_post_only_entry_is_not_put_again(world: Any, how: str) -> None:
    world.ask()
    world.book(9_997, 9_998)  # the entry would take by the time it arrives
    forbid(world, how)
    world.wait(300)

    assert not world.live()
    assert len([line for line in world.lines("INTENT") if line["command"] == "PLACE"]) == 1


@WAYS
def test_averaging_orders_go_and_come_back_while_protection_stays(
    make_world: Any, how: str
) -> None:
    world = make_world(limits=LIMITS)
    enter_a_ladder(world)
    assert {"DCA1", "DCA2"} < set(world.live())

    forbid(world, how)
    world.wait(200)
    assert set(world.live()) == {"STOP", "TP1", "TP2"}

    allow(world, how)
    world.wait(1000)
    assert set(world.live()) == {"STOP", "TP1", "TP2", "DCA1", "DCA2"}


def test_averaging_orders_that_were_taken_back_often_are_not_given_up(make_world: Any) -> None:
    world = make_world(limits=LIMITS)
    enter_a_ladder(world)
    for _ in range(world.config.max_retry_count + 2):
        forbid(world, "safe mode")
        world.wait(200)
        allow(world, "safe mode")
        world.wait(1000)

    assert {"DCA1", "DCA2"} < set(world.live())
    assert not world.core.trades["BTCUSDT"].given_up


def test_no_averaging_order_leaves_in_safe_mode(make_world: Any) -> None:
    world = make_world(limits=LIMITS)
    world.ask(plan=world.plan(dca_levels=(DcaLevel(price_ticks=9980, qty_lots=100),)))
    world.wait(50)
    forbid(world, "safe mode")
    world.trade("SELL", 10_000, 1100)  # fills before the cancel of the entry arrives
    world.wait(2000)

    assert set(world.live()) == {"STOP", "TP1", "TP2"}


def test_an_old_quote_holds_an_entry_back_too(world: Any) -> None:
    world.ask(plan=world.plan(timeout_ms=60_000))
    world.wait(300)

    world.wait(world.config.stale_quote_ms + 100, 50)

    assert not world.live()


def test_a_position_is_closed_on_a_degraded_book_in_safe_mode(world: Any) -> None:
    world.open_long()
    forbid(world, "safe mode")
    forbid(world, "DEGRADED")
    world.ask("CLOSE")
    world.wait(500)

    assert world.position() == 0


def test_an_operator_cancels_averaging_orders_for_good(make_world: Any) -> None:
    world = make_world(limits=LIMITS)
    enter_a_ladder(world)

    answer = world.operate(OperatorAction.CANCEL_ORDERS)
    world.wait(2000)

    assert answer["cancelledOrders"] == 2
    assert set(world.live()) == {"STOP", "TP1", "TP2"}
