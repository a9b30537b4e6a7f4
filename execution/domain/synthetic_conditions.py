"""The weather of a synthetic symbol: volatility regimes, pumps, dumps and thin books, second by second."""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from execution.domain.synthetic_flow import CONDITION_SIZE
from execution.domain.synthetic_profile import SymbolProfile


class Episode(IntEnum):
    PUMP = 0
    DUMP = 1
    THIN = 2


class _Regime(NamedTuple):
    """Factors on the profile's volatility, flow, depth and spread, and the mean stay in seconds."""

    volatility: float
    flow: float
    depth: float
    spread: float
    mean_stay_s: float


CALM = _Regime(0.6, 0.7, 1.1, 1.0, 70.0)
NORMAL = _Regime(1.0, 1.0, 1.0, 1.0, 150.0)
ACTIVE = _Regime(1.9, 1.8, 0.85, 1.25, 70.0)

_QUIET_START_S = 150.0  # no episode before this, so that a demo can warm up
_MEAN_PAUSE_S = 260.0
_EPISODE_LENGTH_S = (50.0, 110.0)
_EPISODE_DRIFT = 1.2  # bps per second for each bps/sqrt(s) of the profile's volatility
_CRASH_HAZARD = 1.0 / 70.0  # per second


class ConditionScript:
    """Yields one row of conditions (see `synthetic_flow`) per second, in order, from a seeded generator."""

    def __init__(self, profile: SymbolProfile, rng: np.random.Generator) -> None:
        self._profile = profile
        self._rng = rng
        self._regime = NORMAL
        self._regime_left_s = rng.exponential(NORMAL.mean_stay_s)
        self._episode: Episode | None = None
        self._episode_number = 0
        self._until_change_s = _QUIET_START_S + rng.exponential(_MEAN_PAUSE_S)

    def next_second(self) -> NDArray[np.float64]:
        """Conditions of the next second, f8[CONDITION_SIZE]."""
        self._change_regime()
        if self._profile.has_episodes:
            self._change_episode()
        regime = self._regime
        row = np.zeros(CONDITION_SIZE, np.float64)
        row[:5] = regime.volatility, regime.flow, regime.flow, regime.depth, regime.spread
        if self._episode is not None:
            self._apply_episode(row, self._episode)
        return row

    def _change_regime(self) -> None:
        self._regime_left_s -= 1.0
        if self._regime_left_s <= 0.0:
            if self._regime is NORMAL:
                self._regime = ACTIVE if self._rng.random() < 0.6 else CALM
            else:
                self._regime = NORMAL
            self._regime_left_s = self._rng.exponential(self._regime.mean_stay_s)

    def _change_episode(self) -> None:
        self._until_change_s -= 1.0
        if self._until_change_s > 0.0:
            return
        if self._episode is None:
            self._episode = Episode(int(self._rng.integers(len(Episode))))
            self._episode_number += 1
            self._until_change_s = self._rng.uniform(*_EPISODE_LENGTH_S)
        else:
            self._episode = None
            self._until_change_s = self._rng.exponential(_MEAN_PAUSE_S)

    def _apply_episode(self, row: NDArray[np.float64], episode: Episode) -> None:
        if episode is Episode.THIN:
            row[:5] *= 1.2, 0.6, 0.6, 0.12, 3.0
            return
        rising = episode is Episode.PUMP
        with_flow, against_flow = 10.0, 4.0
        row[0] *= 1.6
        row[1] *= with_flow if rising else against_flow
        row[2] *= against_flow if rising else with_flow
        row[3] *= 0.7
        row[4] *= 1.5
        drift = _EPISODE_DRIFT * self._profile.volatility_bps
        row[5:] = drift if rising else -drift, _CRASH_HAZARD, self._episode_number
