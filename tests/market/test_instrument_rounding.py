"""Everything that leaves the system passes through these functions: they are exact, or they refuse."""

from __future__ import annotations

from decimal import ROUND_FLOOR, Decimal, localcontext

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from market.domain.instruments import BadQuantity, Instrument
from tests.market.helpers import an_instrument

_GRIDS = st.sampled_from(
    [
        Decimal(g)
        for g in ("0.10", "0.01", "0.5", "0.05", "0.0001", "0.0000001", "1", "5", "10", "0.025")
    ]
)
_STEPS = st.sampled_from([Decimal(g) for g in ("0.001", "0.01", "0.1", "1", "10", "100", "1000")])


@st.composite
def instruments(draw: st.DrawFn) -> Instrument:
    tick, step = draw(_GRIDS), draw(_STEPS)
    exponent = tick.normalize().as_tuple().exponent
    assert isinstance(exponent, int)
    return an_instrument(tick_size=tick, qty_step=step, price_scale=max(0, -exponent))


_PRICES = st.decimals("0.0000001", "5000000", places=9) | st.floats(1e-7, 5e6)


@given(instruments(), st.integers(0, 10**13))
def test_ticks_and_lots_survive_the_way_out_and_back(rules: Instrument, units: int) -> None:
    assert rules.price_to_ticks(rules.ticks_to_price(units)) == units
    assert rules.price_to_ticks(Decimal(rules.format_price(units))) == units
    assert rules.qty_to_lots(rules.lots_to_qty(units)) == units
    assert rules.qty_to_lots(Decimal(rules.format_qty(units))) == units


@given(instruments(), _PRICES)
def test_a_rounded_price_is_the_neighbour_on_its_side(
    rules: Instrument, price: Decimal | float
) -> None:
    exact = Decimal(repr(price)) if isinstance(price, float) else price
    down, up = rules.round_price_down(price), rules.round_price_up(price)
    nearest = rules.round_price_nearest(price)

    with localcontext(prec=60):
        assert rules.tick_size * down <= exact < rules.tick_size * (down + 1)
        assert rules.tick_size * (up - 1) < exact <= rules.tick_size * up
        assert abs(rules.tick_size * nearest - exact) * 2 <= rules.tick_size
    assert nearest in (down, up)


@given(instruments(), _PRICES)
def test_a_quantity_is_never_rounded_up(rules: Instrument, qty: Decimal | float) -> None:
    """Rounding up would risk more than was sized."""
    exact = Decimal(repr(qty)) if isinstance(qty, float) else qty
    lots = rules.round_qty_down(qty)

    with localcontext(prec=60):
        assert rules.qty_step * lots <= exact < rules.qty_step * (lots + 1)


@given(instruments(), st.decimals("0", "1e25", places=12))
def test_rounding_is_exact_however_many_digits_a_number_has(
    rules: Instrument, price: Decimal
) -> None:
    """The default decimal context has 28 digits; a long price must not be rounded twice."""
    with localcontext(prec=80):
        expected = int((price / rules.tick_size).to_integral_value(rounding=ROUND_FLOOR))

    assert rules.round_price_down(price) == expected


@given(instruments(), st.integers(1, 10**12), st.integers(1, 10**6))
def test_a_price_between_two_ticks_is_refused_not_guessed(
    rules: Instrument, ticks: int, part: int
) -> None:
    between = rules.ticks_to_price(ticks) + rules.tick_size * Decimal(part) / Decimal(10**6 + 1)

    with pytest.raises(BadQuantity, match="not a multiple"):
        rules.price_to_ticks(between)


@given(instruments(), st.integers(0, 10**13), st.integers(0, 10**13))
def test_texts_for_the_venue_have_no_exponent_and_the_venues_decimals(
    rules: Instrument, ticks: int, lots: int
) -> None:
    price, qty = rules.format_price(ticks), rules.format_qty(lots)

    assert "e" not in (price + qty).lower()
    assert len(price.partition(".")[2]) == rules.price_scale
    assert Decimal(price) == rules.ticks_to_price(ticks)
    assert Decimal(qty) == rules.lots_to_qty(lots)


@given(instruments(), st.integers(1, 10**9), st.integers(1, 10**9))
def test_notional_is_price_times_quantity_exactly(rules: Instrument, ticks: int, lots: int) -> None:
    with localcontext(prec=60):
        expected = rules.tick_size * ticks * (rules.qty_step * lots)

    assert rules.notional(ticks, lots) == expected


@pytest.mark.parametrize(
    ("price", "qty", "is_market", "reduce_only", "words"),
    [
        ("100", "0.05", False, False, []),
        ("100", "0.0", False, True, ["quantity 0.000 below minimum"]),
        ("100", "1190.001", False, False, ["above maximum 1190"]),
        ("100", "500.001", True, False, ["above maximum 500"]),
        ("0", "1", False, True, ["price 0.0 outside"]),
        ("2000000", "1", False, False, ["outside"]),
        ("100", "0.049", False, False, ["notional 4.9000 below minimum 5"]),
        ("100", "0.049", False, True, []),
    ],
)
def test_every_rule_an_order_breaks_is_named(
    price: str, qty: str, is_market: bool, reduce_only: bool, words: list[str]
) -> None:
    rules = an_instrument()

    reasons = rules.refusals(
        rules.price_to_ticks(Decimal(price)),
        rules.qty_to_lots(Decimal(qty)),
        is_market=is_market,
        reduce_only=reduce_only,
    )

    assert len(reasons) == len(words)
    for reason, word in zip(reasons, words, strict=True):
        assert word in reason


def test_a_price_computed_with_numpy_rounds_like_a_plain_one() -> None:
    rules = an_instrument()

    assert rules.round_price_down(np.float64(100.19)) == rules.round_price_down(100.19) == 1001


@given(
    rules=instruments(),
    ticks=st.integers(0, 10**8),
    lots=st.integers(0, 10**7),
    is_market=st.booleans(),
    reduce_only=st.booleans(),
)
def test_an_order_is_free_of_refusals_exactly_when_it_keeps_every_rule(
    rules: Instrument, ticks: int, lots: int, is_market: bool, reduce_only: bool
) -> None:
    """Most orders keep them, which is seen in whole numbers; the rules themselves are decimals."""
    qty, price = rules.qty_step * lots, rules.tick_size * ticks
    keeps_all = (
        rules.min_qty <= qty <= (rules.max_market_qty if is_market else rules.max_qty)
        and rules.min_price <= price <= rules.max_price
        and (reduce_only or qty * price >= rules.min_notional)
    )

    refusals = rules.refusals(ticks, lots, is_market=is_market, reduce_only=reduce_only)

    assert keeps_all == (not refusals)
