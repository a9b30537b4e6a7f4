"""An order's final state depends on what was heard, not on when or how often."""

from __future__ import annotations

from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st

from execution.domain.identity import client_order_id
from execution.domain.orders import TRANSITIONS, Order, OrderState, OrderTransition
from execution.domain.venue import (
    OrderFilled,
    OrderSide,
    OrderType,
    OrderUpdated,
    TimeInForce,
    VenueOrderStatus,
)


def an_order(qty_lots: int = 10) -> Order:
    return Order(
        client_order_id="c-1",
        symbol="BTCUSDT",
        side=OrderSide.BUY,
        type=OrderType.LIMIT,
        time_in_force=TimeInForce.GTC,
        qty_lots=qty_lots,
        price_ticks=100,
        request_id="r-1",
        plan_id="p-1",
        leg="ENTRY",
        attempt=1,
        source="TEST",
        decision_ts_ns=1,
        updated_ts_ns=1,
    )


def a_fill(number: int, lots: int, leaves: int) -> OrderFilled:
    return OrderFilled(
        exec_id=f"e-{number}",
        client_order_id="c-1",
        exchange_order_id="x-1",
        symbol="BTCUSDT",
        side=OrderSide.BUY,
        price_ticks=100 + number,
        qty_lots=lots,
        leaves_lots=leaves,
        fee_usdt=Decimal(0),
        is_maker=True,
        venue_ts_ns=number,
        deliver_at_ns=number,
    )


def an_update(
    status: VenueOrderStatus, revision: int, filled: int, qty: int, price: int = 100
) -> OrderUpdated:
    return OrderUpdated(
        client_order_id="c-1",
        exchange_order_id="x-1",
        symbol="BTCUSDT",
        status=status,
        revision=revision,
        qty_lots=qty,
        filled_lots=filled,
        price_ticks=price,
        venue_ts_ns=revision,
        deliver_at_ns=revision,
    )


@st.composite
def venue_stories(draw: st.DrawFn) -> list[OrderFilled | OrderUpdated]:
    """What a venue could truly say of one order: fills, amends, and one end (or none yet)."""
    qty, filled, revision, price = 10, 0, 0, 100
    story: list[OrderFilled | OrderUpdated] = []

    def say(status: VenueOrderStatus) -> None:
        nonlocal revision
        revision += 1
        story.append(an_update(status, revision, filled, qty, price))

    if draw(st.integers(0, 9)) == 0:
        say(VenueOrderStatus.REJECTED)
        return story
    say(VenueOrderStatus.ACKNOWLEDGED)
    say(VenueOrderStatus.NEW)
    for number in range(draw(st.integers(0, 5))):
        if draw(st.booleans()):
            qty, price = filled + draw(st.integers(1, 12)), draw(st.integers(90, 110))
            say(VenueOrderStatus.PARTIALLY_FILLED if filled else VenueOrderStatus.NEW)
        lots = draw(st.integers(1, qty - filled))
        filled += lots
        story.append(a_fill(number, lots, qty - filled))
        say(VenueOrderStatus.FILLED if filled == qty else VenueOrderStatus.PARTIALLY_FILLED)
        if filled == qty:
            return story
    if draw(st.booleans()):
        say(VenueOrderStatus.CANCELED)
    return story


def told(story: list[OrderFilled | OrderUpdated]) -> tuple[object, ...]:
    order = an_order()
    order.move(OrderTransition.SEND)
    for item in story:
        if isinstance(item, OrderFilled):
            order.on_fill(item)
        else:
            order.on_update(item)
    return (
        order.state,
        order.filled_lots,
        order.filled_tick_lots,
        order.qty_lots,
        order.price_ticks,
        sorted(order.exec_ids),
    )


@settings(max_examples=150, deadline=None)
@given(story=venue_stories(), data=st.data())
def test_a_shuffled_and_repeated_story_ends_the_same(
    story: list[OrderFilled | OrderUpdated], data: st.DataObject
) -> None:
    repeats = data.draw(st.lists(st.sampled_from(story), max_size=6))
    shuffled = data.draw(st.permutations([*story, *repeats]))

    assert told(shuffled) == told(story)


def test_the_table_has_a_row_for_every_state_and_event() -> None:
    assert set(TRANSITIONS) == {(s, e) for s in OrderState for e in OrderTransition}


def test_a_final_state_never_becomes_live_again() -> None:
    for (state, _), target in TRANSITIONS.items():
        assert not state.is_final or target.is_final


def test_a_filled_order_stays_filled_whatever_comes() -> None:
    for event in OrderTransition:
        assert TRANSITIONS[OrderState.FILLED, event] is OrderState.FILLED


def test_a_fill_after_the_cancel_was_acknowledged_is_counted() -> None:
    order = an_order()

    order.on_update(an_update(VenueOrderStatus.CANCELED, 3, 0, 10))
    order.on_fill(a_fill(1, 4, 6))

    assert (order.state, order.filled_lots) == (OrderState.CANCELED, 4)


def test_an_order_of_unknown_fate_takes_any_evidence() -> None:
    order = an_order()
    order.move(OrderTransition.SEND)
    order.move(OrderTransition.LOSE)
    assert order.state is OrderState.IN_DOUBT
    assert order.is_live

    order.on_update(an_update(VenueOrderStatus.NEW, 1, 0, 10))

    assert order.state is OrderState.OPEN


@given(
    request=st.text(min_size=1, max_size=60),
    leg=st.sampled_from(["ENTRY", "STOP", "TP1", "CLOSE"]),
    attempt=st.integers(1, 1000),
)
def test_an_order_id_is_a_valid_link_id_made_from_facts_alone(
    request: str, leg: str, attempt: int
) -> None:
    identity = client_order_id("AISCLP", request, leg, attempt)

    assert identity == client_order_id("AISCLP", request, leg, attempt)
    assert identity != client_order_id("AISCLP", request, leg, attempt + 1)
    assert len(identity) <= 36
    assert all(c.isascii() and (c.isalnum() or c in "_-") for c in identity)
