"""Two runs side by side: what is equal, where they part, and what the difference in PnL is made of."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal

import hypothesis.strategies as st
import msgspec
import pytest
from hypothesis import given, settings

from replay.domain.comparison import Alignment, Decision, Kind, Outcome, align, paired_in_time
from replay.domain.comparison_records import (
    BadRecord,
    compared_trade,
    order_decision,
    state_decision,
    trade_decision,
)
from replay.domain.comparison_trades import ComparedTrade, attribute


def a_decision(
    ts_ms: int, role: str = "PLACE ENTRY", *, symbol: str = "BTCUSDT", **facts: object
) -> Decision:
    return Decision(ts_ms=ts_ms, symbol=symbol, kind=Kind.ORDER, role=role, facts=facts)


def aligned(
    a: list[Decision], b: list[Decision], *, tolerance_ms: int = 0, pair_window_ms: int = 1000
) -> Alignment:
    return align(a, b, tolerance_ms=tolerance_ms, pair_window_ms=pair_window_ms)


def test_a_run_is_equal_to_itself() -> None:
    decisions = [a_decision(n, qty=n % 3) for n in range(20)]

    found = aligned(decisions, decisions)

    assert found.is_equal
    assert found.counts["ORDER"].equal == 20


def test_the_first_divergence_is_the_earliest_of_all_symbols() -> None:
    a = [a_decision(10), a_decision(20, symbol="ETHUSDT"), a_decision(30, price=1.0)]
    b = [a_decision(10), a_decision(30, price=2.0)]

    found = aligned(a, b)

    assert found.first_divergence is not None
    first = found.rows[found.first_divergence]
    assert (first.ts_ms, first.symbol, first.outcome) == (20, "ETHUSDT", Outcome.ONLY_A)


def test_the_same_order_at_another_price_is_one_row_that_says_so() -> None:
    found = aligned([a_decision(10, price=1.0, qty=5)], [a_decision(700, price=1.5, qty=5)])

    (row,) = found.rows
    assert (row.outcome, row.differing, row.lag_ms) == (Outcome.DIFFERENT, ("time", "price"), 690)


def test_what_lies_further_apart_than_the_window_is_on_one_side_each() -> None:
    found = aligned([a_decision(10, price=1.0)], [a_decision(1011, price=1.5)])

    assert [row.outcome for row in found.rows] == [Outcome.ONLY_A, Outcome.ONLY_B]


def test_equal_decisions_within_the_tolerance_are_equal() -> None:
    assert aligned([a_decision(10)], [a_decision(30)], tolerance_ms=20).is_equal
    assert not aligned([a_decision(10)], [a_decision(31)], tolerance_ms=20).is_equal


DECISIONS = st.lists(
    st.builds(
        a_decision,
        st.integers(0, 60).map(lambda n: n * 50),
        st.sampled_from(["PLACE ENTRY", "PLACE STOP", "CANCEL ENTRY"]),
        symbol=st.sampled_from(["BTCUSDT", "ETHUSDT"]),
        price=st.integers(1, 3),
    ),
    max_size=30,
)


@settings(max_examples=40)
@given(DECISIONS, DECISIONS, st.sampled_from([0, 50, 200]))
def test_every_decision_is_in_exactly_one_row(
    a: list[Decision], b: list[Decision], tolerance_ms: int
) -> None:
    found = aligned(a, b, tolerance_ms=tolerance_ms)

    def counted(decisions: list[Decision | None]) -> Counter[bytes]:
        return Counter(msgspec.json.encode(each) for each in decisions if each is not None)

    assert counted([row.a for row in found.rows]) == counted([*a])
    assert counted([row.b for row in found.rows]) == counted([*b])
    assert [row.ts_ms for row in found.rows] == sorted(row.ts_ms for row in found.rows)
    for row in found.rows:
        if row.outcome is Outcome.EQUAL:
            assert row.a is not None
            assert row.b is not None
            assert row.a.facts == row.b.facts
            assert abs(row.lag_ms or 0) <= tolerance_ms
    total = found.counts["ORDER"]
    assert total.equal + total.different + total.only_a == len(a)
    assert total.equal + total.different + total.only_b == len(b)


@settings(max_examples=40)
@given(DECISIONS, DECISIONS)
def test_swapping_the_sides_swaps_the_result(a: list[Decision], b: list[Decision]) -> None:
    one, other = aligned(a, b).counts["ORDER"], aligned(b, a).counts["ORDER"]

    assert (one.equal, one.different) == (other.equal, other.different)
    assert (one.only_a, one.only_b) == (other.only_b, other.only_a)


def most_pairs(ones: list[int], others: list[int], within: int) -> int:
    """The size of a largest matching, by trying everything."""
    if not ones:
        return 0
    best = most_pairs(ones[1:], others, within)
    for n, other in enumerate(others):
        if abs(other - ones[0]) <= within:
            best = max(best, 1 + most_pairs(ones[1:], others[:n] + others[n + 1 :], within))
    return best


@settings(max_examples=40)
@given(
    st.lists(st.integers(0, 12), max_size=5).map(sorted),
    st.lists(st.integers(0, 12), max_size=5).map(sorted),
    st.integers(0, 4),
)
def test_as_many_pairs_are_found_as_there_are(
    ones: list[int], others: list[int], within: int
) -> None:
    assert len([*paired_in_time(ones, others, int, within)]) == most_pairs(ones, others, within)


# --- records


def test_the_state_events_of_a_run_and_of_the_live_file_are_the_same_decision() -> None:
    shared = {
        "symbol": "BTCUSDT", "fromState": "FLAT", "toState": "WATCH",
        "eventType": "SCORING_UPDATE", "reason": "LONG score 57.7",
    }  # fmt: skip
    of_run = state_decision(
        {"runId": "r1", "kind": "StateEvent", "tsNs": 1763424010100000000, **shared}
    )
    of_live = state_decision({"runId": "s9", "timestamp": "2025-11-18T00:00:10.100Z", **shared})

    assert of_run == of_live
    assert of_run is not None
    assert of_run.role == "FLAT → WATCH"


def test_ids_of_a_run_do_not_make_orders_different() -> None:
    line = {
        "kind": "INTENT", "timestamp": "2025-11-18T00:00:12.500Z", "symbol": "BTCUSDT", "side": "BUY",
        "leg": "ENTRY", "type": "LIMIT", "price": 1.5, "qty": 2, "clientOrderId": "x", "command": "PLACE",
    }  # fmt: skip

    assert order_decision(line) == order_decision(line | {"clientOrderId": "y", "seq": 9})
    assert order_decision(line) != order_decision(line | {"price": 1.6})
    assert order_decision(line | {"kind": "ACK"}) is None
    assert order_decision({"kind": "RESULT", "event": "SET_LEVERAGE"}) is None


@pytest.mark.parametrize(
    "record",
    [{"kind": "INTENT", "clientOrderId": "x"}, {"kind": "FILL", "clientOrderId": "x", "tsNs": "a"}],
)
def test_a_line_that_lacks_what_it_needs_is_told(record: dict[str, object]) -> None:
    with pytest.raises(BadRecord):
        order_decision(record)


def test_a_value_that_is_no_plain_one_is_compared_as_text() -> None:
    """A damaged or newer record must not break the comparison."""
    record = {
        "kind": "INTENT", "timestamp": "2025-11-18T00:00:12Z", "symbol": "BTCUSDT",
        "clientOrderId": "x", "command": "AMEND", "leg": "TP1", "wanted": {"price": [1, 2]},
    }  # fmt: skip
    decision = order_decision(record)
    assert decision is not None

    assert decision.facts == {"price": "[1, 2]"}
    assert aligned([decision], [decision]).is_equal


# --- attribution


def a_trade(**changes: object) -> ComparedTrade:
    record = {
        "timestamp": "2025-11-18T00:01:00Z", "openedAt": "2025-11-18T00:00:30Z", "symbol": "BTCUSDT",
        "side": "LONG", "entryPrice": 100.0, "closePrice": 101.0, "qty": 2.0, "fees": 0.5,
        "funding": 0.1, "realizedPnl": 1.4, "exitReason": "TP1",
    }  # fmt: skip
    return compared_trade(record | changes)


def test_each_part_of_a_difference_is_told_apart() -> None:
    """2 at 100 → 101 less 0.6, against 3 at 99.5 → 101.5 less 0.9."""
    a = a_trade()
    b = a_trade(entryPrice=99.5, closePrice=101.5, qty=3.0, fees=0.8, realizedPnl=5.1)

    found = attribute([a], [b], trade_window_ms=0)

    parts = found.parts
    assert (parts.entry, parts.exit, parts.quantity) == (1, 1, 2)
    assert (parts.fees, parts.funding, parts.rounding) == (Decimal("-0.3"), 0, 0)
    assert found.difference_usdt == parts.total == Decimal("3.7")
    assert (found.equal_trades, found.different_trades) == (0, 1)


def test_a_short_gains_by_a_lower_exit() -> None:
    a = a_trade(side="SHORT", entryPrice=101.0, closePrice=100.0)
    b = a_trade(side="SHORT", entryPrice=101.0, closePrice=99.0, realizedPnl=3.4)

    assert attribute([a], [b], trade_window_ms=0).parts.exit == 2


def test_trades_that_one_side_alone_has_count_whole() -> None:
    a, b = a_trade(), a_trade(openedAt="2025-11-18T00:00:40Z", realizedPnl=-7.0)

    found = attribute([a], [b], trade_window_ms=9_999)
    parts = found.parts

    assert (parts.only_a, parts.only_b) == (Decimal("-1.4"), -7)
    assert (found.only_a_trades, found.only_b_trades) == (1, 1)
    assert attribute([a], [b], trade_window_ms=10_000).different_trades == 1


def test_equal_trades_are_counted_and_not_listed() -> None:
    found = attribute([a_trade()], [a_trade()], trade_window_ms=0)

    assert (found.equal_trades, found.trades, found.difference_usdt) == (1, (), 0)


PRICES = st.decimals("0.00001", "99999", places=5, allow_nan=False).map(float)
TRADES = st.lists(
    st.builds(
        lambda minute, **fields: a_trade(openedAt=f"2025-11-18T00:{minute:02d}:00Z", **fields),
        st.integers(0, 5),
        symbol=st.sampled_from(["BTCUSDT", "ETHUSDT"]),
        side=st.sampled_from(["LONG", "SHORT"]),
        entryPrice=PRICES,
        closePrice=PRICES,
        qty=PRICES,
        fees=PRICES,
        funding=st.floats(-5, 5).map(lambda x: round(x, 8)),
        realizedPnl=st.floats(-1e5, 1e5).map(lambda x: round(x, 8)),
    ),
    max_size=8,
)


@settings(max_examples=40)
@given(TRADES, TRADES)
def test_the_parts_add_up_to_the_difference_to_the_last_digit(
    a: list[ComparedTrade], b: list[ComparedTrade]
) -> None:
    found = attribute(a, b, trade_window_ms=60_000)

    assert found.parts.total == found.difference_usdt == found.pnl_b_usdt - found.pnl_a_usdt
    assert sum((each.difference_usdt for each in found.trades), Decimal(0)) == found.difference_usdt
    paired = found.equal_trades + found.different_trades
    assert (paired + found.only_a_trades, paired + found.only_b_trades) == (len(a), len(b))


def test_a_closed_trade_is_a_decision_too() -> None:
    record = {
        "timestamp": "2025-11-18T00:01:00Z", "symbol": "BTCUSDT", "side": "LONG", "entryPrice": 1,
        "closePrice": 2, "qty": 3, "realizedPnl": 4, "durationSeconds": 60,
    }  # fmt: skip

    assert trade_decision(record).role == "LONG closed"
    assert compared_trade(record).opened_ms == compared_trade(record).closed_ms - 60_000
