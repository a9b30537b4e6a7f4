"""The fee-first gate (pipeline §3): a signal must pay for the orders it would cause.

Cost of the round trip a plan really makes, in bps of notional:

    entry  maker (PostOnly)                                   maker fee
    exit   take-profit rests as maker, `assumed_hit_rate`      maker fee
           stop or time stop takes, the rest of the time      taker fee + half the spread + slippage
    both   the measured adverse markout of our own fills

Slippage and markout are the worse of what the config assumes and what execution has measured.
"""

from __future__ import annotations

import msgspec

from strategy.domain.config import RiskConfig, StrategyConfig
from strategy.domain.messages import QualityView
from strategy.domain.regime import Regime


class CostModel(msgspec.Struct, frozen=True):
    """Round-trip cost in bps as a line in the spread: `fixed_bps + spread_share * spread_bps`."""

    fees_bps: float
    slippage_bps: float
    adverse_markout_bps: float
    spread_share: float

    @property
    def fixed_bps(self) -> float:
        return self.fees_bps + self.slippage_bps + self.adverse_markout_bps

    def round_trip_bps(self, spread_bps: float) -> float:
        return self.fixed_bps + self.spread_share * spread_bps

    def parts(self, spread_bps: float) -> dict[str, float]:
        """What the round trip is made of, bps."""
        return {
            "fees": self.fees_bps,
            "spread": self.spread_share * spread_bps,
            "slippage": self.slippage_bps,
            "adverseMarkout": self.adverse_markout_bps,
        }


_UNMEASURED = QualityView()


def planned_cost(
    strategy: StrategyConfig, risk: RiskConfig, measured: QualityView = _UNMEASURED
) -> CostModel:
    """Cost model of maker entry, maker take-profit and taker stop (see the module docstring)."""
    takes = 1.0 - strategy.assumed_hit_rate
    slippage_bps = max(strategy.taker_slippage_bps, measured.slippage_bps)
    return CostModel(
        fees_bps=risk.maker_fee_bps * (1.0 + strategy.assumed_hit_rate)
        + takes * risk.taker_fee_bps,
        slippage_bps=takes * slippage_bps,
        adverse_markout_bps=max(strategy.adverse_markout_bps, measured.adverse_markout_bps),
        spread_share=takes * 0.5,
    )


class Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """One side of one frame, ready to be judged."""

    score: float
    expected_move_bps: float
    cost_bps: float
    warm: bool
    regime: Regime
    regime_reason: str
    scorer_failure: str = ""


def has_signal(score: float, expected_move_bps: float, cost_bps: float, c: StrategyConfig) -> bool:
    """Score and expected move both reach what an entry needs."""
    return score >= c.entry_score and expected_move_bps >= c.fee_multiple * cost_bps


def blocking_reasons(candidate: Candidate, config: StrategyConfig) -> tuple[str, ...]:
    """Every reason against an entry, in a trader's words; empty when the gate is open."""
    reasons = []
    if not candidate.warm:
        reasons.append("warming up: not enough data yet")
    if candidate.regime is not Regime.NORMAL:
        reasons.append(f"regime {candidate.regime}: {candidate.regime_reason}")
    if candidate.scorer_failure:
        reasons.append(candidate.scorer_failure)
    if not candidate.score >= config.entry_score:
        reasons.append(f"score {candidate.score:.1f} below entry score {config.entry_score:g}")
    needed_bps = config.fee_multiple * candidate.cost_bps
    if not candidate.expected_move_bps >= needed_bps:
        reasons.append(
            f"expected move {candidate.expected_move_bps:.2f} bps does not pay: needs "
            f"{needed_bps:.2f} bps ({config.fee_multiple:g} x cost {candidate.cost_bps:.2f} bps)"
        )
    return tuple(reasons)
