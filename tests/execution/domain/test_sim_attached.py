"""Take-profit and stop-loss that belong to a position of the simulated venue."""

from __future__ import annotations

from typing import Any

import pytest

from execution.domain.venue import OrderUpdated, TriggerBy, VenueCode
from market.domain.events import SELL


def a_protected_long(venue: Any, **changes: Any) -> str:
    venue.mark(10_000)
    levels = {"take_profit_ticks": 10_020, "stop_loss_ticks": 9_980, **changes}
    order = venue.place(
        "BUY", 5, take_profit_by=TriggerBy.MARK, stop_loss_by=TriggerBy.MARK, **levels
    )
    venue.settle()
    return str(order)


def test_an_entry_brings_its_levels_to_the_position_when_it_fills(venue: Any) -> None:
    venue.mark(10_000)
    order = venue.place("BUY", 4, 10_000, take_profit_ticks=10_020, stop_loss_ticks=9_980)
    venue.settle()
    assert venue.exchange.open_orders() == (order,)

    venue.trade(SELL, 9_999, 2)

    assert len(venue.exchange.open_orders()) == 3
    position = venue.last_position()
    assert (position.take_profit_ticks, position.stop_loss_ticks) == (10_020, 9_980)


@pytest.mark.parametrize("mark", [10_020, 9_980])
def test_a_level_that_is_reached_closes_the_position_and_takes_the_other_away(
    venue: Any, mark: int
) -> None:
    a_protected_long(venue)

    venue.mark(mark)

    assert venue.position == 0
    assert venue.exchange.open_orders() == ()
    assert [u.reason for u in venue.told(OrderUpdated)][-1] == "EC_NoError CancelByTpSlTsClear"


def test_levels_follow_the_size_of_the_position(venue: Any) -> None:
    a_protected_long(venue)
    venue.place("BUY", 3)
    venue.settle()
    venue.snapshot(lots=50)

    venue.mark(9_980)

    assert venue.fills()[-1] == (10_000, 8)
    assert venue.position == 0


def test_a_level_may_be_moved_and_removed(venue: Any) -> None:
    a_protected_long(venue)
    venue.trading_stop(take_profit_ticks=0, stop_loss_ticks=9_990, stop_loss_by=TriggerBy.MARK)
    venue.settle()
    position = venue.last_position()
    assert (position.take_profit_ticks, position.stop_loss_ticks) == (None, 9_990)

    venue.mark(10_030)
    assert venue.position == 5
    venue.mark(9_990)

    assert venue.position == 0


def test_an_open_position_may_be_given_levels(venue: Any) -> None:
    venue.mark(10_000)
    venue.place("SELL", 5)
    venue.settle()
    venue.trading_stop(take_profit_ticks=9_950, take_profit_by=TriggerBy.MARK)
    venue.settle()

    venue.mark(9_950)

    assert venue.position == 0


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"take_profit_ticks": 9_990}, VenueCode.PARAMETER),
        ({"stop_loss_ticks": 10_010}, VenueCode.PARAMETER),
        (
            {"stop_loss_ticks": 9_980, "stop_loss_by": TriggerBy.MARK},
            VenueCode.TRADING_STOP_UNCHANGED,
        ),
    ],
)
def test_levels_that_make_no_sense_are_refused(
    venue: Any, changes: dict[str, Any], code: int
) -> None:
    a_protected_long(venue)
    venue.trading_stop(**changes)
    venue.settle()

    assert venue.refusals() == [code]
    assert venue.last_position().stop_loss_ticks == 9_980


def test_without_a_position_there_is_nothing_to_protect(venue: Any) -> None:
    venue.trading_stop(stop_loss_ticks=9_000)
    venue.settle()

    assert venue.refusals() == [VenueCode.PARAMETER]


def test_an_entry_with_a_level_on_the_wrong_side_is_rejected(venue: Any) -> None:
    order = venue.place("BUY", 5, 10_000, stop_loss_ticks=10_050)
    venue.settle()

    assert venue.last(order).code == VenueCode.PARAMETER


def test_a_position_that_flips_loses_the_levels_of_the_old_side(venue: Any) -> None:
    a_protected_long(venue)

    venue.place("SELL", 9)
    venue.settle()

    assert venue.position == -4
    assert venue.exchange.open_orders() == ()
    assert venue.last_position().stop_loss_ticks is None
