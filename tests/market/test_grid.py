"""Exact conversion between the wire's numbers and whole units."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from market.domain.grid import MAX_UNITS, BadNumber, OffGrid, UnitGrid, UnitTexts, scaled_integer

_UNITS = [Decimal(u) for u in ("0.1", "0.001", "0.5", "0.00000025", "1", "10", "0.025", "1000")]


@given(st.sampled_from(_UNITS), st.integers(0, MAX_UNITS), st.booleans())
def test_units_survive_the_way_to_text_and_back(unit: Decimal, units: int, padded: bool) -> None:
    grid, texts = UnitGrid(unit), UnitTexts(unit)
    units //= texts._numerator

    text = texts[units]

    assert Decimal(text) == units * unit
    assert grid[text + "0" * (padded and "." in text)] == units
    assert grid[Decimal(text)] == units


@given(st.sampled_from(_UNITS), st.integers(0, MAX_UNITS))
def test_units_survive_the_way_through_a_double_of_a_json_reader(unit: Decimal, units: int) -> None:
    grid, texts = UnitGrid(unit), UnitTexts(unit)
    units //= texts._numerator

    assert grid[float(texts[units])] == units


@given(
    st.text(max_size=30)
    | st.floats()
    | st.integers()
    | st.decimals(allow_nan=False)
    | st.booleans()
)
def test_whatever_is_asked_the_answer_is_exact_or_a_bad_number(value: object) -> None:
    grid = UnitGrid(Decimal("0.1"))
    try:
        units = grid[value]
    except BadNumber:
        return

    assert units * Decimal("0.1") == Decimal(
        repr(value) if isinstance(value, float) else str(value)
    )


@pytest.mark.parametrize(
    "text",
    ["NaN", "Infinity", "-1", "1e5", "", "1.", ".5", "0x10", "\uff11\uff12", "1" * 21, " 1", "1_0"],
)
def test_a_text_that_is_no_plain_number_is_refused(text: str) -> None:
    with pytest.raises(BadNumber):
        UnitGrid(Decimal("0.1"))[text]


def test_a_price_between_two_ticks_is_told_apart_from_nonsense() -> None:
    with pytest.raises(OffGrid, match="whole number"):
        UnitGrid(Decimal("0.5"))["100.25"]


def test_the_memory_of_a_grid_is_bounded() -> None:
    grid, texts = UnitGrid(Decimal("0.1")), UnitTexts(Decimal("0.1"))

    for units in range(30_000):
        assert grid[texts[units]] == units

    assert len(grid) <= 8192
    assert len(texts) <= 8192


@given(st.integers(-(10**15), 10**15), st.integers(0, 9))
def test_a_scaled_integer_is_the_number_times_its_power_of_ten(value: int, decimals: int) -> None:
    text = f"{Decimal(value).scaleb(-decimals):f}"

    assert scaled_integer(text, decimals) == value
    assert scaled_integer(text, decimals + 2) == value * 100
