"""How long commands are on their way, and that what is random there comes from the seed alone."""

from __future__ import annotations

from typing import Any

from execution.domain.sim_latency import even_draw
from execution.domain.venue import OrderUpdated

MS = 1_000_000


def acknowledged_ms(venue: Any) -> list[float]:
    """How long after the start each order was there."""
    return [
        (u.venue_ts_ns - 1_001 * MS) / MS
        for u in venue.told(OrderUpdated)
        if u.status == "ACKNOWLEDGED"
    ]


def test_orders_amends_and_cancels_may_take_different_times(make_venue: Any) -> None:
    venue = make_venue(sim={"amend_latency_ms": 5.0, "cancel_latency_ms": 2.0})
    order = venue.place("BUY", 5, 9_999)
    venue.settle(ms=20)
    venue.amend(order, qty_lots=4)
    venue.settle(ms=4)
    assert venue.last(order).qty_lots == 5
    venue.settle(ms=1)
    assert venue.last(order).qty_lots == 4
    venue.cancel(order)
    venue.settle(ms=2)

    assert venue.last(order).status == "CANCELED"


def test_commands_of_one_order_never_overtake_each_other(make_venue: Any) -> None:
    venue = make_venue(sim={"cancel_latency_ms": 1.0})
    order = venue.place("BUY", 5, 9_999)
    venue.cancel(order)
    venue.settle()

    assert venue.refusals() == []
    assert venue.last(order).status == "CANCELED"


def test_jitter_comes_from_the_seed(make_venue: Any) -> None:
    drawn = []
    for seed in (1, 1, 2):
        venue = make_venue(sim={"latency_jitter_ms": 50.0, "seed": seed})
        for _ in range(5):
            venue.place("BUY", 5, 9_999)
        venue.settle(ms=100)
        drawn.append(acknowledged_ms(venue))

    assert drawn[0] == drawn[1] != drawn[2]
    assert len(set(drawn[0])) == 5
    assert all(20 <= ms < 70 for ms in drawn[0])


def test_draws_are_even() -> None:
    draws = [even_draw(7, number) for number in range(4_000)]
    shares = [sum(1 for d in draws if i <= d * 10 < i + 1) for i in range(10)]

    assert min(shares) > 320
    assert max(shares) < 480
