"""The statistics give the published figures, keep their bounds, and stay silent where nothing is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from replay.domain.statistics import (
    asymptotic_interval,
    bootstrap_interval,
    deflated_sharpe,
    expected_best_sharpe,
    least_observations,
    moments,
    probabilistic_sharpe,
    sharpe_error_factor,
    trial_variance,
)

# Bailey & Lopez de Prado (2014), their numerical example: 5 years of daily data.
DAILY = 250
PAPER = {"sharpe": 2.5 / math.sqrt(DAILY), "count": 1250, "skew": -3.0, "kurtosis": 10.0}

samples = st.lists(
    st.floats(-50, 50, allow_subnormal=False).map(lambda x: round(x, 4)), min_size=3, max_size=60
)


def test_the_expected_best_of_a_hundred_trials_is_the_papers() -> None:
    assert expected_best_sharpe(100, 0.5 / DAILY) == pytest.approx(0.1132, abs=5e-5)


@pytest.mark.parametrize(("trials", "expected"), [(100, 0.9004), (46, 0.9505)])
def test_the_deflated_sharpe_of_the_paper(trials: int, expected: float) -> None:
    found = deflated_sharpe(**PAPER, trials=trials, variance=0.5 / DAILY)

    assert found == pytest.approx(expected, abs=3e-4)


def test_with_normal_returns_the_paper_needs_88_trials_for_the_same_doubt() -> None:
    normal = {**PAPER, "skew": 0.0, "kurtosis": 3.0}

    assert deflated_sharpe(**normal, trials=88, variance=0.5 / DAILY) == pytest.approx(
        0.9505, abs=1e-3
    )


def test_lo_error_of_normal_returns_is_one_plus_half_the_squared_ratio() -> None:
    assert sharpe_error_factor(0.8, 0.0, 3.0) == pytest.approx(1.0 + 0.8**2 / 2)


def test_moments_by_hand() -> None:
    found = moments([1.0, 2.0, 3.0, 6.0])

    assert found is not None
    assert (found.count, found.mean) == (4, 3.0)
    assert found.std == pytest.approx(math.sqrt(14 / 3))
    assert found.skew == pytest.approx((-8 - 1 + 0 + 27) / 4 / 3.5**1.5)
    assert found.kurtosis == pytest.approx((16 + 1 + 0 + 81) / 4 / 3.5**2)


@pytest.mark.parametrize(
    "returns", [[], [1.0], [1.0, 2.0], [0.1] * 9, [0.0] * 5, [math.nan] * 9, [1.0, math.inf, 2.0]]
)
def test_what_cannot_be_known_is_not_made_up(returns: list[float]) -> None:
    assert moments(returns) is None
    assert bootstrap_interval(returns, seed=1) is None


def test_least_observations_reach_the_level_and_one_fewer_does_not() -> None:
    needed = least_observations(0.1, -0.5, 5.0, level=0.95)

    assert needed is not None
    reached = probabilistic_sharpe(0.1, needed, -0.5, 5.0)
    before = probabilistic_sharpe(0.1, needed - 1, -0.5, 5.0)
    assert reached is not None
    assert before is not None
    assert reached >= 0.95 > before
    assert least_observations(-0.1, 0.0, 3.0) is None


@given(samples, st.integers(1, 500), st.floats(0, 2))
def test_probabilities_are_probabilities_and_deflation_never_adds_confidence(
    returns: list[float], trials: int, variance: float
) -> None:
    found = moments(returns)
    if found is None:
        return
    shape = (found.sharpe, found.count, found.skew, found.kurtosis)
    plain = probabilistic_sharpe(*shape)
    deflated = deflated_sharpe(*shape, trials=trials, variance=variance)

    if plain is None:
        assert deflated is None
        return
    assert deflated is not None
    assert 0.0 <= deflated <= plain <= 1.0


@given(st.integers(1, 300), st.integers(0, 300), st.floats(0.001, 4))
def test_more_trials_never_lower_the_bar(trials: int, more: int, variance: float) -> None:
    assert expected_best_sharpe(trials + more, variance) >= expected_best_sharpe(trials, variance)


@settings(max_examples=20)
@given(samples, st.integers(0, 9))
def test_the_bootstrap_is_a_function_of_its_seed_and_keeps_its_order(
    returns: list[float], seed: int
) -> None:
    first = bootstrap_interval(returns, seed=seed, draws=100)

    assert first == bootstrap_interval(returns, seed=seed, draws=100)
    if first is not None:
        assert first.low <= first.high
        assert math.isfinite(first.low)
        assert math.isfinite(first.high)


def test_both_intervals_cover_the_truth_about_as_often_as_they_say() -> None:
    """300 samples of 60 normal returns with a true ratio of 0.2: 95 % of the intervals hold it."""
    random = np.random.default_rng(7)
    covered = {"bootstrap": 0, "asymptotic": 0}
    for number in range(300):
        returns = random.normal(0.2, 1.0, 60)
        found = moments(returns)
        assert found is not None
        boot = bootstrap_interval(returns, seed=number, draws=300)
        assert boot is not None
        normal = asymptotic_interval(found)
        covered["bootstrap"] += boot.low <= 0.2 <= boot.high
        covered["asymptotic"] += normal.low <= 0.2 <= normal.high

    assert 0.88 <= covered["bootstrap"] / 300 <= 0.99
    assert 0.91 <= covered["asymptotic"] / 300 <= 0.99


def test_identical_trials_do_not_make_the_correction_vanish() -> None:
    assert trial_variance([0.3, 0.3, 0.3], 101) == pytest.approx(0.01)
    assert trial_variance([0.0, 1.0], 101) == pytest.approx(0.5)
    assert trial_variance([], 101) == pytest.approx(0.01)
    assert trial_variance([math.nan], 1) == 0.0
