"""Curves stay small and lose no extreme."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from replay.domain.curves import (
    Curve,
    CurvePoints,
    EquityCurve,
    Line,
    falls_below_peak,
    summed,
)

SECOND = 1_000_000_000
walks = st.lists(
    st.tuples(st.integers(0, 5 * SECOND), st.floats(-1e6, 1e6)), min_size=1, max_size=200
)


def told(steps: list[tuple[int, float]], most: int) -> tuple[CurvePoints, list[tuple[int, float]]]:
    curve, now_ns, values = Curve(most=most), 0, []
    for wait_ns, value in steps:
        now_ns += wait_ns
        curve.add(now_ns, value)
        values.append((now_ns, value))
        assert len(curve) <= most
    return curve.points(), values


@given(walks, st.integers(2, 9))
def test_a_curve_keeps_its_bound_its_extremes_and_its_end(
    steps: list[tuple[int, float]], most: int
) -> None:
    points, values = told(steps, most)

    assert len(points.last) <= most
    assert min(points.low) == min(value for _, value in values)
    assert max(points.high) == max(value for _, value in values)
    assert points.last[-1] == values[-1][1]
    assert points.starts_ns == sorted(set(points.starts_ns))


@given(walks)
def test_each_bucket_says_what_happened_in_it(steps: list[tuple[int, float]]) -> None:
    points, values = told(steps, 8)

    for start, low, high, last in zip(
        points.starts_ns, points.low, points.high, points.last, strict=True
    ):
        inside = [v for t, v in values if start <= t < start + points.bucket_ns]
        assert (low, high, last) == (min(inside), max(inside), inside[-1])


@given(st.lists(st.floats(-1e5, 1e5), min_size=1, max_size=60))
def test_the_drawdown_is_the_deepest_fall_of_all_values(values: list[float]) -> None:
    curve = EquityCurve(0.0)
    for n, value in enumerate(values):
        curve.add(n * SECOND, value)

    falls = [max([0.0, *values[: n + 1]]) - value for n, value in enumerate(values)]
    assert curve.drawdown.deepest_usdt == max(falls)


def test_accounts_add_up_and_keep_their_result_after_their_end() -> None:
    first = CurvePoints(bucket_ns=10, starts_ns=[0, 10], low=[1, 1], high=[9, 9], last=[105, 103])
    second = CurvePoints(bucket_ns=10, starts_ns=[10, 40], low=[1, 1], high=[9, 9], last=[50, 58])

    line = summed([(first, 100.0), (second, 50.0)])

    assert line.ts_ns.tolist() == [10, 20, 50]
    assert line.value.tolist() == [5.0, 3.0, 11.0]


def test_a_loss_from_the_start_is_a_drawdown() -> None:
    line = Line(ts_ns=np.arange(3), value=np.array([-2.0, 3.0, 1.0]))

    assert falls_below_peak(line).value == pytest.approx([-2.0, 0.0, -2.0])
