"""Margin formulas, against captured positions of the venue and examples worked out by hand."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from strategy.domain.margin import (
    DEFAULT_TIERS,
    MarginTable,
    MarginTier,
    bankruptcy_price,
    initial_margin_usdt,
    liquidation_price,
    maintenance_margin_usdt,
)

LONG, SHORT = 1, -1
TWO_TIERS = (
    MarginTier(up_to_usdt=1_000.0, maintenance_bps=50.0, max_leverage=100.0),
    MarginTier(up_to_usdt=3_000.0, maintenance_bps=100.0, max_leverage=50.0),
)


def test_a_captured_long_has_the_margins_the_venue_showed() -> None:
    """0.1 BTC at 23032.9, 10x, taker 6 bps: positionIM 231.5727766, positionMM 12.7602266 (2023)."""
    entry, qty, leverage, taker = Decimal("23032.9"), Decimal("0.1"), Decimal(10), Decimal("0.0006")

    initial = initial_margin_usdt(LONG, entry, qty, leverage, taker)
    maintenance = maintenance_margin_usdt(LONG, entry, qty, leverage, taker, MarginTable())

    assert initial == Decimal("231.5727766")
    assert maintenance == Decimal("12.7602266")


@pytest.mark.parametrize(
    ("sign", "bankrupt", "liquidated"), [(LONG, 90, "90.5"), (SHORT, 110, "109.5")]
)
def test_liquidation_comes_before_bankruptcy_by_the_maintenance_rate(
    sign: int, bankrupt: int, liquidated: str
) -> None:
    """10 at 100, 10x: margin 100, maintenance 5, so 95 may be lost: 9.5 a piece."""
    entry, qty, leverage = Decimal(100), Decimal(10), Decimal(10)

    assert bankruptcy_price(sign, entry, leverage) == bankrupt
    assert liquidation_price(sign, entry, qty, leverage, MarginTable()) == Decimal(liquidated)


def test_the_second_tier_asks_more_only_for_what_lies_in_it() -> None:
    """2000 USDT: 1000 at 0.5 % and 1000 at 1 % is 15; written as 2000 at 1 % less 5 of deduction."""
    table = MarginTable(TWO_TIERS)

    assert table.rate(Decimal(2_000)) == Decimal("0.01")
    assert table.deduction_usdt(Decimal(2_000)) == 5
    assert table.maintenance_usdt(Decimal(2_000)) == 15
    # 20 at 100, 10x: margin 200 less 15 leaves 185 to lose: 9.25 a piece.
    price = liquidation_price(LONG, Decimal(100), Decimal(20), Decimal(10), table)
    assert price == Decimal("90.75")


def test_margin_taken_away_brings_liquidation_nearer() -> None:
    """Funding of 20 paid out of the margin of 10 pieces moves it by 2."""
    before = liquidation_price(SHORT, Decimal(100), Decimal(10), Decimal(10), MarginTable())

    after = liquidation_price(
        SHORT, Decimal(100), Decimal(10), Decimal(10), MarginTable(), Decimal(-20)
    )

    assert before - after == 2


def test_higher_tiers_allow_less_leverage() -> None:
    table = MarginTable()

    assert table.max_leverage(Decimal(2_000_000)) == 100
    assert table.max_leverage(Decimal(2_000_001)) == 90
    assert table.max_leverage(Decimal(10**9)) == 20


@settings(max_examples=60, deadline=None)
@given(value=st.decimals(1, 12_000_000, places=2), step=st.decimals("0.01", 1_000, places=2))
def test_maintenance_never_falls_and_never_jumps_as_a_position_grows(
    value: Decimal, step: Decimal
) -> None:
    table = MarginTable()
    steepest = Decimal(repr(DEFAULT_TIERS[-1].maintenance_bps)) / 10_000

    grown = table.maintenance_usdt(value + step) - table.maintenance_usdt(value)

    assert 0 < grown <= step * steepest


@pytest.mark.parametrize(
    ("tiers", "reason"),
    [
        ((), "at least one"),
        ((TWO_TIERS[1], TWO_TIERS[0]), "does not rise"),
        (
            (TWO_TIERS[0], MarginTier(up_to_usdt=5e3, maintenance_bps=10.0, max_leverage=50.0)),
            "falls",
        ),
    ],
)
def test_tiers_that_are_no_table_are_refused(tiers: tuple[MarginTier, ...], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        MarginTable(tiers)
