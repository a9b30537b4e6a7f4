"""What the simulated venue locks and when it liquidates. A lot at 10000 ticks is worth one USDT."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from execution.domain.sim_config import MarginMode
from execution.domain.venue import ExecType, OrderFilled, OrderUpdated, TriggerBy, VenueCode
from market.domain.events import BID, BUY, SELL


def a_long_of_500(make_venue: Any, mode: MarginMode, **settings: Any) -> Any:
    """Bought at 10001 ticks (500.05 USDT) at 10x with 100 USDT; the opening fee is 0.2750275."""
    venue = make_venue(sim_balance_usdt=100.0, sim={"margin_mode": mode}, **settings)
    venue.snapshot(lots=500)
    venue.mark(10_000)
    venue.place("BUY", 500)
    venue.settle()
    return venue


def test_a_position_locks_its_initial_margin_and_the_fee_to_close(make_venue: Any) -> None:
    """500.05 / 10 = 50.005, and 500.05 * 0.9 * 5.5 bps = 0.24752475."""
    venue = a_long_of_500(make_venue, MarginMode.CROSS)

    position, wallet = venue.last_position(), venue.last_wallet()

    assert position.initial_margin_usdt == Decimal("50.25252475")
    assert position.maintenance_margin_usdt == Decimal("2.74777475")
    assert wallet.wallet_usdt == Decimal("99.7249725")
    assert wallet.equity_usdt == Decimal("99.6749725")  # one tick below the entry
    assert wallet.available_usdt == wallet.equity_usdt - position.initial_margin_usdt


def test_isolated_what_is_free_does_not_depend_on_open_profit(make_venue: Any) -> None:
    venue = a_long_of_500(make_venue, MarginMode.ISOLATED)
    free = venue.exchange.account().available_usdt

    venue.mark(10_500)

    assert venue.exchange.account().available_usdt == free
    assert venue.equity > 120


def test_orders_that_only_close_lock_nothing(make_venue: Any) -> None:
    venue = a_long_of_500(make_venue, MarginMode.CROSS)
    free = venue.exchange.account().available_usdt

    venue.place("SELL", 500, 10_300)
    venue.settle()
    assert venue.exchange.account().available_usdt == free
    beyond = venue.place("SELL", 600, 10_300)  # 600 more than there is to close
    venue.settle()

    assert venue.last(beyond).code == VenueCode.INSUFFICIENT_BALANCE


def test_closing_needs_no_margin(make_venue: Any) -> None:
    venue = a_long_of_500(make_venue, MarginMode.CROSS)
    venue.mark(8_500)
    assert venue.exchange.account().available_usdt < 0

    order = venue.place("SELL", 500)
    venue.settle()

    assert venue.fills(order) == [(10_000, 500)]


def test_a_higher_price_of_a_resting_order_is_checked_against_the_margin(make_venue: Any) -> None:
    venue = make_venue(sim_balance_usdt=100.0)
    order = venue.place("BUY", 980, 9_990)  # locks 97.902, 0.538 to open and 0.485 to close
    venue.settle()
    assert venue.last(order).status == "NEW"

    venue.amend(order, price_ticks=10_300)
    venue.settle()

    assert venue.refusals() == [VenueCode.INSUFFICIENT_BALANCE]


@pytest.mark.parametrize(
    ("mode", "alive", "dead", "bust"),
    [
        # 1000.1 * (1 - 0.1 + 0.005) = 905.0905; bankrupt at 900.09
        (MarginMode.ISOLATED, 9_051, 9_050, 9_001),
        # equity is the maintenance margin at 806.1456; bankrupt, fee included, at 801.0906
        (MarginMode.CROSS, 8_062, 8_061, 8_011),
    ],
)
@pytest.mark.parametrize("gap", [0, 3_000])
def test_a_long_is_liquidated_at_its_price_and_closed_at_the_bankruptcy_price(
    make_venue: Any, mode: MarginMode, alive: int, dead: int, bust: int, gap: int
) -> None:
    """However far the mark price jumps: what lies beyond bankruptcy is the venue's loss."""
    venue = a_long_of_500(make_venue, mode)
    venue.mark(alive)
    assert venue.position == 500

    venue.mark(dead - gap)

    fill = venue.told(OrderFilled)[-1]
    assert (fill.exec_type, fill.client_order_id, fill.is_maker) == (ExecType.BUST, "", False)
    assert (fill.price_ticks, fill.qty_lots) == (bust, 500)
    assert fill.fee_usdt == (Decimal(bust) * 500 / 10_000 * Decimal("0.00055")).quantize(
        Decimal("1e-8")
    )
    assert venue.position == 0
    assert venue.last_position().is_liquidated
    assert not venue.last_wallet().is_below_zero


def test_cross_a_liquidation_leaves_less_than_a_tick_of_the_account(make_venue: Any) -> None:
    venue = a_long_of_500(make_venue, MarginMode.CROSS)

    venue.mark(8_000)

    assert 0 <= venue.equity < Decimal("0.05")  # 500 lots times one tick


def test_isolated_a_liquidation_costs_the_margin_and_no_more(make_venue: Any) -> None:
    """100 - 0.2750275 less 500 lots * 1000 ticks = 50 and the fee of 0.2475275."""
    venue = a_long_of_500(make_venue, MarginMode.ISOLATED)

    venue.mark(5_000)

    assert venue.equity == Decimal("49.477445")


def test_a_short_is_liquidated_above(make_venue: Any) -> None:
    """Sold at 1000: 1000 * (1 + 0.1 - 0.005) = 1095, bankrupt at 1100."""
    venue = make_venue(sim_balance_usdt=100.0, sim={"margin_mode": MarginMode.ISOLATED})
    venue.snapshot(lots=500)
    venue.mark(10_000)
    venue.place("SELL", 500)
    venue.settle()

    venue.mark(10_949)
    assert venue.position == -500
    venue.mark(10_950)

    assert venue.fills()[-1] == (11_000, 500)


def test_without_a_mark_price_the_last_price_liquidates(make_venue: Any) -> None:
    venue = make_venue(sim_balance_usdt=100.0, sim={"margin_mode": MarginMode.ISOLATED})
    venue.snapshot(lots=500)
    venue.trade(BUY, 10_000, 1)
    venue.place("BUY", 500)
    venue.settle()

    venue.trade(SELL, 9_051, 1)
    assert venue.position == 500
    venue.trade(SELL, 9_050, 1)

    assert venue.position == 0


def test_liquidation_cancels_the_orders_first(make_venue: Any) -> None:
    """A stop at the same mark price comes too late: the venue takes the position over."""
    venue = a_long_of_500(make_venue, MarginMode.ISOLATED)
    stop = venue.a_stop(9_100, TriggerBy.MARK, lots=500)
    resting = venue.place("BUY", 20, 9_000)
    venue.settle()

    venue.mark(9_000)

    assert venue.last(stop).reason == venue.last(resting).reason == "EC_NoError CancelAllBeforeLiq"
    assert venue.fills(stop) == []
    assert venue.told(OrderFilled)[-1].exec_type is ExecType.BUST
    assert venue.exchange.open_orders() == ()
    assert [u.status for u in venue.told(OrderUpdated)].count("FILLED") == 1  # the entry


def test_what_was_told_as_liquidation_price_is_where_it_happens(make_venue: Any) -> None:
    for mode in MarginMode:
        venue = a_long_of_500(make_venue, mode)
        told = venue.last_position().liquidation_ticks

        venue.mark(int(told) + 1)
        assert venue.position == 500
        venue.mark(int(told))
        assert venue.position == 0


def test_more_margin_by_a_lower_leverage_moves_the_liquidation_away(make_venue: Any) -> None:
    venue = a_long_of_500(make_venue, MarginMode.ISOLATED)
    before = venue.last_position().liquidation_ticks

    venue.leverage(8.0)
    venue.settle()

    assert venue.last_position().liquidation_ticks == pytest.approx(before - 10_001 / 40)


def test_an_account_that_falls_below_zero_says_so(make_venue: Any) -> None:
    """A close through an empty book costs more than there is, while the mark price stands still."""
    venue = a_long_of_500(make_venue, MarginMode.CROSS, sim_price_band_bps=9_000.0)
    for tick in range(9_996, 10_001):
        venue.level(BID, tick, 0)
    venue.level(BID, 7_000, 500)

    venue.place("SELL", 500)
    venue.settle()

    assert venue.position == 0
    assert venue.last_wallet().is_below_zero
    assert venue.last_wallet().equity_usdt < -50


def test_another_config_takes_effect_at_once(make_venue: Any) -> None:
    venue = a_long_of_500(make_venue, MarginMode.CROSS)
    config = make_venue(sim={"margin_mode": MarginMode.ISOLATED}, maker_fee_bps=0.0).config
    venue.exchange.on_config(config)

    order = venue.place("SELL", 5, 10_001)
    venue.settle()
    venue.trade(BUY, 10_002, 5)
    assert venue.told(OrderFilled)[-1].client_order_id == order
    assert venue.told(OrderFilled)[-1].fee_usdt == 0
    venue.mark(9_050)

    assert venue.position == 0
