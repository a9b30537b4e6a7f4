"""Which plan a signal becomes: the one its symbol's config names."""

from __future__ import annotations

from strategy.domain.config import DecisionConfig
from strategy.domain.plan import PlanInput, Planned
from strategy.domain.plan_ladder import plan_ladder
from strategy.domain.plan_scalp import plan_scalp
from strategy.domain.risk import AccountRisk

_PLANNERS = {"scalp": plan_scalp, "ladder": plan_ladder}


def make_plan(order: PlanInput, account: AccountRisk, config: DecisionConfig) -> Planned:
    """A complete plan with its worst-case size, or every reason why there is none."""
    symbol = order.instrument.symbol
    strategy, risk = config.strategy_for(symbol), config.risk_for(symbol)
    return _PLANNERS[strategy.plan](order, account, strategy, risk)
