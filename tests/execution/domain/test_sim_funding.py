"""Funding at the simulated venue. A lot at 10000 ticks is worth one USDT; 1 bp of 500 lots is 0.05."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from execution.domain.sim_config import MarginMode
from execution.domain.venue import OrderFilled

MS = 1_000_000
ONE_BP = 100_000  # 1e-9
HOUR_MS = 3_600_000


def a_position(make_venue: Any, side: str = "BUY", **settings: Any) -> Any:
    venue = make_venue(**settings)
    venue.snapshot(lots=500)
    venue.mark(10_000)
    venue.ticker(FUNDING_RATE=ONE_BP, NEXT_FUNDING_TIME=5_000)
    venue.place(side, 500)
    venue.settle()
    return venue


@pytest.mark.parametrize(("side", "fee"), [("BUY", "0.05"), ("SELL", "-0.05")])
def test_with_a_positive_rate_longs_pay_and_shorts_get(
    make_venue: Any, side: str, fee: str
) -> None:
    venue = a_position(make_venue, side)
    before = venue.equity

    venue.settle(ms=10_000)

    (paid,) = venue.fundings()
    assert paid.fee_usdt == Decimal(fee)
    assert (paid.rate, paid.mark_usdt) == (Decimal("0.0001"), Decimal(1000))
    assert paid.venue_ts_ns == 5_000 * MS
    assert venue.equity == before - Decimal(fee)


def test_it_is_paid_before_the_first_message_at_or_after_the_instant(make_venue: Any) -> None:
    """That message brings the rate of the next interval and another mark price."""
    venue = a_position(make_venue)
    venue.now = 5_000 * MS - MS

    venue.ticker(FUNDING_RATE=7, NEXT_FUNDING_TIME=5_000 + 8 * HOUR_MS, MARK_PRICE=11_000 * 10**8)

    assert [u.fee_usdt for u in venue.fundings()] == [Decimal("0.05")]


def test_an_instant_is_paid_once_although_the_ticker_still_names_it(make_venue: Any) -> None:
    venue = a_position(make_venue)
    venue.settle(ms=10_000)
    for _ in range(3):
        venue.ticker(FUNDING_RATE=ONE_BP, NEXT_FUNDING_TIME=5_000)
    venue.settle(ms=10_000)

    assert len(venue.fundings()) == 1


def test_a_silent_ticker_is_followed_by_the_instruments_interval(make_venue: Any) -> None:
    """Instants at 5 s, then at multiples of eight hours from midnight."""
    venue = a_position(make_venue)

    venue.settle(ms=17 * HOUR_MS)

    assert [u.venue_ts_ns // MS for u in venue.fundings()] == [5_000, 8 * HOUR_MS, 16 * HOUR_MS]


def test_who_is_flat_at_the_instant_pays_nothing(make_venue: Any) -> None:
    venue = a_position(make_venue)
    venue.place("SELL", 500)
    venue.settle()

    venue.settle(ms=10_000)

    assert venue.fundings() == []


def test_who_opens_after_the_instant_does_not_pay_it(make_venue: Any) -> None:
    venue = make_venue()
    venue.snapshot(lots=500)
    venue.ticker(FUNDING_RATE=ONE_BP, NEXT_FUNDING_TIME=1_010)
    venue.settle(ms=100)

    venue.place("BUY", 500)
    venue.settle(ms=10_000)

    assert len(venue.told(OrderFilled)) == 1
    assert venue.fundings() == []


def test_without_a_rate_nothing_is_paid(make_venue: Any) -> None:
    venue = make_venue()
    venue.snapshot(lots=500)
    venue.place("BUY", 500)
    venue.settle(ms=17 * HOUR_MS)

    assert venue.fundings() == []


def test_a_new_instant_in_the_ticker_is_kept(make_venue: Any) -> None:
    """An instrument may change its interval; the venue wakes up for the earlier instant."""
    venue = a_position(make_venue)
    venue.ticker(NEXT_FUNDING_TIME=2_000)

    venue.settle(ms=2_000)

    assert [u.venue_ts_ns // MS for u in venue.fundings()] == [2_000]


def test_isolated_funding_the_wallet_cannot_pay_comes_out_of_the_margin(make_venue: Any) -> None:
    """51 USDT less 0.275 of fee less 50.2525 locked leave 0.47; 1 % of 500 USDT is 5."""
    venue = a_position(make_venue, sim_balance_usdt=51.0, sim={"margin_mode": MarginMode.ISOLATED})
    before = venue.last_position()
    venue.ticker(FUNDING_RATE=100 * ONE_BP)

    venue.settle(ms=10_000)

    after = venue.last_position()
    eaten = before.initial_margin_usdt - after.initial_margin_usdt
    assert Decimal("4.5") < eaten < 5
    moved = after.liquidation_ticks - before.liquidation_ticks
    assert moved == pytest.approx(float(eaten) / 0.5 * 10)  # half a coin, ten ticks to the USDT
    assert venue.last_wallet().available_usdt == 0


def test_funding_can_liquidate(make_venue: Any) -> None:
    venue = a_position(make_venue, sim_balance_usdt=52.0)
    venue.ticker(FUNDING_RATE=1_000 * ONE_BP)

    venue.settle(ms=10_000)

    assert [u.fee_usdt for u in venue.fundings()] == [Decimal(50)]
    assert venue.position == 0
    assert venue.equity >= 0
