"""What a list of trade results can tell, and how sure one may be of it.

Pure functions over returns at the frequency of the observations (one per trade, nothing annualised).
A figure that the data cannot give is None, never 0 and never NaN.

Sources: Lo, "The Statistics of Sharpe Ratios" (2002); Mertens (2002) for its error with skewness and fat
tails; Bailey & Lopez de Prado, "The Sharpe Ratio Efficient Frontier" (2012) and "The Deflated Sharpe
Ratio" (2014); Politis & Romano, "The Stationary Bootstrap" (1994).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist

import msgspec
import numpy as np
from numpy.typing import NDArray

EULER_GAMMA = 0.5772156649015329
BOOTSTRAP_DRAWS = 2000
_NORMAL = NormalDist()
_TINY = 1e-12  # spread of returns, relative to their size, below which there is none

Returns = Sequence[float] | NDArray[np.float64]


class Moments(msgspec.Struct, frozen=True, kw_only=True):
    """`std` with n - 1; `skew` and `kurtosis` (3 for a normal distribution) of the sample itself."""

    count: int
    mean: float
    std: float
    skew: float
    kurtosis: float

    @property
    def sharpe(self) -> float:
        """Mean over standard deviation, per observation."""
        return self.mean / self.std


class Interval(msgspec.Struct, frozen=True, kw_only=True):
    """Two-sided confidence interval; `level` is its probability, 0..1."""

    low: float
    high: float
    level: float


def moments(returns: Returns) -> Moments | None:
    """None with fewer than 3 finite returns, or where all are the same."""
    sample = np.asarray(returns, np.float64)
    sample = sample[np.isfinite(sample)]
    if sample.size < 3:
        return None
    mean = float(sample.mean())
    centred = sample - mean
    variance = float((centred**2).mean())
    if not math.sqrt(variance) > _TINY * max(float(np.abs(sample).max()), 1e-300):
        return None
    return Moments(
        count=int(sample.size),
        mean=mean,
        std=math.sqrt(variance * sample.size / (sample.size - 1)),
        skew=float((centred**3).mean()) / variance**1.5,
        kurtosis=float((centred**4).mean()) / variance**2,
    )


def sharpe_error_factor(sharpe: float, skew: float, kurtosis: float) -> float:
    """Variance of the estimated Sharpe ratio times the number of observations (Mertens 2002).

    With skew 0 and kurtosis 3 it is Lo's 1 + SR^2 / 2. Never below 0: skewed samples can push it there.
    """
    return max(1.0 - skew * sharpe + (kurtosis - 1.0) / 4.0 * sharpe**2, 0.0)


def probabilistic_sharpe(
    sharpe: float, count: int, skew: float, kurtosis: float, benchmark: float = 0.0
) -> float | None:
    """Probability that the true Sharpe ratio is above `benchmark` (Bailey & Lopez de Prado 2012, eq. 11)."""
    factor = sharpe_error_factor(sharpe, skew, kurtosis)
    if count < 2 or factor <= 0.0:
        return None
    return _NORMAL.cdf((sharpe - benchmark) * math.sqrt(count - 1) / math.sqrt(factor))


def expected_best_sharpe(trials: int, variance: float) -> float:
    """Largest Sharpe ratio to expect of `trials` independent tries without any skill (2014, eq. 1).

    `variance`: of the tries' Sharpe ratios. One try has nothing to choose from: 0.
    """
    if trials <= 1 or variance <= 0.0:
        return 0.0
    first = _NORMAL.inv_cdf(1.0 - 1.0 / trials)
    second = _NORMAL.inv_cdf(1.0 - 1.0 / (trials * math.e))
    return max(math.sqrt(variance) * ((1.0 - EULER_GAMMA) * first + EULER_GAMMA * second), 0.0)


def deflated_sharpe(
    sharpe: float, count: int, skew: float, kurtosis: float, *, trials: int, variance: float
) -> float | None:
    """`probabilistic_sharpe` against the best that luck alone would have found in `trials` tries."""
    benchmark = expected_best_sharpe(trials, variance)
    return probabilistic_sharpe(sharpe, count, skew, kurtosis, benchmark)


def trial_variance(trial_sharpes: Sequence[float], count: int) -> float:
    """Variance of the tries' Sharpe ratios for `expected_best_sharpe`.

    At least what pure chance gives a ratio from `count` observations, 1 / (count - 1): near-identical
    tries must not make the correction vanish.
    """
    finite = [s for s in trial_sharpes if math.isfinite(s)]
    chance = 1.0 / (count - 1) if count > 1 else 0.0
    if len(finite) < 2:
        return chance
    return max(float(np.var(finite, ddof=1)), chance)


def least_observations(
    sharpe: float, skew: float, kurtosis: float, *, level: float = 0.95
) -> int | None:
    """Observations needed to call this Sharpe ratio positive at `level` (minimum track record length).

    None where it is not positive: no length of the same would do.
    """
    if sharpe <= 0.0:
        return None
    factor = sharpe_error_factor(sharpe, skew, kurtosis)
    return math.ceil(1.0 + factor * (_NORMAL.inv_cdf(level) / sharpe) ** 2)


def asymptotic_interval(found: Moments, *, level: float = 0.95) -> Interval:
    """Sharpe ratio plus and minus its normal error (Lo 2002 with Mertens' correction)."""
    error = math.sqrt(
        sharpe_error_factor(found.sharpe, found.skew, found.kurtosis) / (found.count - 1)
    )
    reach = _NORMAL.inv_cdf(0.5 + level / 2.0) * error
    return Interval(low=found.sharpe - reach, high=found.sharpe + reach, level=level)


def bootstrap_interval(
    returns: Returns, *, seed: int, level: float = 0.95, draws: int = BOOTSTRAP_DRAWS
) -> Interval | None:
    """Percentiles of the Sharpe ratio over stationary-bootstrap resamples; None without a spread.

    Blocks of random length (mean: cube root of the count) keep streaks together; the same seed gives the
    same interval. Resamples without any spread are left out.
    """
    sample = np.asarray(returns, np.float64)
    sample = sample[np.isfinite(sample)]
    if moments(sample) is None:
        return None
    rows = _resampled(sample, draws, np.random.default_rng(seed))
    spread = rows.std(axis=1, ddof=1)
    usable = spread > _TINY * float(np.abs(sample).max())
    ratios = rows[usable].mean(axis=1) / spread[usable]
    if ratios.size < draws // 2:
        return None
    tail = (1.0 - level) / 2.0
    low, high = np.quantile(ratios, [tail, 1.0 - tail])
    return Interval(low=float(low), high=float(high), level=level)


def _resampled(
    sample: NDArray[np.float64], draws: int, random: np.random.Generator
) -> NDArray[np.float64]:
    """`draws` resamples as rows: at each step go on to the next observation, or jump anywhere."""
    count = sample.size
    jump_chance = 1.0 / max(count ** (1.0 / 3.0), 1.0)
    place = random.integers(0, count, draws)
    rows = np.empty((draws, count))
    for column in range(count):
        rows[:, column] = sample[place]
        jumps = random.random(draws) < jump_chance
        place = np.where(jumps, random.integers(0, count, draws), (place + 1) % count)
    return rows
