"""The strategy's own z of each feature, from its own numeric path: running scales, floors, caps, regimes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from market.domain.frames import Frames
from strategy.domain.config import DecisionConfig
from strategy.domain.numeric_layout import SCORE_FEATURES
from strategy.domain.numeric_path import NumericPath
from strategy.domain.regime import REGIMES, Regime

FEATURES: tuple[str, ...] = SCORE_FEATURES
_NORMAL = REGIMES.index(Regime.NORMAL)


class FeatureReader:
    """Reads frames in order, as the strategy would; the scales run on from call to call."""

    def __init__(self, symbols: Sequence[str], config: DecisionConfig) -> None:
        """Raises: BadScorer when the config names a scorer that is not to be had."""
        self._path = NumericPath(tuple(symbols), config)

    def read(self, frames: Frames) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """(z f8[n, len(FEATURES)], bool[n]: warm and in the NORMAL regime, so that an entry may follow)."""
        found = self._path.evaluate(frames)
        return found.z, found.accepted & found.warm & (found.regime == _NORMAL)
