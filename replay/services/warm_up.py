"""Loads every compiled kernel of the pipeline before the first event of a paced replay is due.

The first call of each costs up to a second, also out of the cache: on time at all it must come before.
"""

from __future__ import annotations

from execution.domain.config import ExecutionConfig
from market.domain.config import MarketConfig
from replay.services.simulate import simulate_synthetic
from strategy.domain.config import DecisionConfig, StrategyConfig

_SECONDS = 12.0
_EAGER = DecisionConfig(
    market=MarketConfig(warmup_s=1),
    strategy=StrategyConfig(edge_coef=3.0, cooldown_s=1.0, retry_cooldown_s=1.0),
)


def warm_up() -> None:
    """Some seconds of a synthetic market that is traded; what comes of it is thrown away."""
    simulate_synthetic(1, _SECONDS, _EAGER, ExecutionConfig())
