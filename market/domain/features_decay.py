"""Exponential forgetting, the same bits on every x86-64 machine.

The C library's `exp` picks a variant by CPU and may differ in the last bit; a digest of frames must
not. So 2**-x is built from exact powers of two, a table rounded from 40 digits and a short polynomial.
"""

from __future__ import annotations

from decimal import Decimal, localcontext

import numpy as np

from market.domain.kernel_jit import at, hot_jit

LN2 = 0.6931471805599453

_PARTS = 64  # table steps per half-life
_SIXTH, _TWENTY_FOURTH, _FRACTION_120 = 1 / 6, 1 / 24, 1 / 120
_FORGOTTEN = 64_000.0  # steps after which the weight is 0: 1,000 half-lives


def _fractions() -> list[float]:
    with localcontext() as context:
        context.prec = 40
        return [float(Decimal(2) ** (Decimal(-k) / _PARTS)) for k in range(_PARTS)]


_HALVINGS = np.array([0.5**n for n in range(1001)])
_FRACTIONS = np.array(_fractions())


@hot_jit
def decay(elapsed_ns: float, half_life_ns: float) -> float:
    """Weight left after `elapsed_ns` >= 0: 2 ** -(elapsed / half life), to 2e-15 relative."""
    steps = elapsed_ns * (_PARTS / half_life_ns)
    if steps >= _FORGOTTEN:
        return 0.0
    whole = np.int64(steps)
    r = (steps - whole) * (LN2 / _PARTS)
    # e**-r by its series, in pairs that do not wait for each other.
    square = r * r
    tail = (1.0 - r) + square * ((0.5 - r * _SIXTH) + square * (_TWENTY_FOURTH - r * _FRACTION_120))
    return _HALVINGS[at(whole >> 6)] * _FRACTIONS[at(whole & 63)] * tail


@hot_jit
def fifth_power(x: float) -> float:
    square = x * x
    return square * square * x


@hot_jit
def sixth_power(x: float) -> float:
    cube = x * x * x
    return cube * cube
