"""Costs of a trade are taken apart exactly, and add up again to what it earned."""

from __future__ import annotations

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from replay.domain.trade_results import Costs, Fill, costs_of

UNIT = Decimal("0.01")  # one tick times one lot


def summed(fills: list[Fill]) -> Costs:
    return sum((costs_of(fill, UNIT) for fill in fills), Costs())


def test_a_maker_entry_and_a_late_taker_exit_by_hand() -> None:
    """Bid 100, ask 104, mid 102. Bought 10 at the bid; sold at 96 when the mid had been 101 at the decision.

    At mid prices: bought at 102, sold at 101: -10 ticks of 10 lots. The entry earned half a spread (2), the
    exit paid half of a spread of 2 (1) and slipped another 4 ticks.
    """
    entry = Fill(
        sign=1, price_ticks=100, lots=10, fee_usdt=Decimal("0.02"), is_maker=True,
        half_spread_ticks=Decimal(2), reference_ticks=Decimal(90),
    )  # fmt: skip
    leave = Fill(
        sign=-1, price_ticks=96, lots=10, fee_usdt=Decimal("0.05"), is_maker=False,
        half_spread_ticks=Decimal(1), reference_ticks=Decimal(101),
    )  # fmt: skip

    costs = summed([entry, leave])

    assert costs.gross_usdt == Decimal("-0.10")
    assert costs.spread_usdt == Decimal("-0.20") + Decimal("0.10")
    assert costs.slippage_usdt == Decimal("0.40")
    assert costs.fees_usdt == Decimal("0.07")
    assert costs.net_usdt == (96 - 100) * 10 * UNIT - Decimal("0.07")


def test_a_taker_fill_at_an_unknown_market_has_no_slippage() -> None:
    costs = costs_of(
        Fill(sign=1, price_ticks=50, lots=2, fee_usdt=Decimal(0), is_maker=False), UNIT
    )

    assert (costs.spread_usdt, costs.slippage_usdt, costs.gross_usdt) == (0, 0, Decimal("-1.00"))


fills = st.builds(
    Fill,
    sign=st.sampled_from([1, -1]),
    price_ticks=st.integers(1, 10**7),
    lots=st.integers(1, 10**6),
    fee_usdt=st.decimals(-10, 1000, places=8),
    is_maker=st.booleans(),
    half_spread_ticks=st.integers(0, 200).map(lambda n: Decimal(n) / 2),
    reference_ticks=st.none() | st.integers(1, 2 * 10**7).map(lambda n: Decimal(n) / 2),
)


@given(st.lists(fills, min_size=1, max_size=12), st.decimals(-5, 5, places=8))
def test_gross_less_all_costs_is_exactly_the_cash_that_moved(
    made: list[Fill], funding_usdt: Decimal
) -> None:
    costs = summed(made) + Costs(funding_usdt=funding_usdt)

    cash = sum((-f.sign * f.price_ticks * f.lots * UNIT for f in made), Decimal(0))
    fees = sum((f.fee_usdt for f in made), Decimal(0))
    assert costs.net_usdt == cash - fees - funding_usdt
    parts = (costs.spread_usdt, costs.slippage_usdt, costs.fees_usdt, costs.funding_usdt)
    assert costs.gross_usdt - sum(parts) == costs.net_usdt


@given(st.lists(fills, max_size=12))
def test_only_taker_fills_slip_and_only_maker_fills_earn_the_spread(made: list[Fill]) -> None:
    for fill in made:
        costs = costs_of(fill, UNIT)
        assert (costs.spread_usdt <= 0) if fill.is_maker else (costs.spread_usdt >= 0)
        assert not (fill.is_maker and costs.slippage_usdt)
