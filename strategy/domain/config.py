"""The strategy and risk sections of the trading config (pipeline §2-§6).

bps = 1/10,000 of mid; percentages are in percent (0.25 means 0.25 %), never fractions.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct, field

from failover.domain.config_sections import ACCOUNT_WIDE
from market.domain.config import MarketConfig
from strategy.domain.config_plan import PlanSettings
from strategy.domain.config_risk import RiskConfig

__all__ = [
    "DecisionConfig",
    "RiskConfig",
    "ScoreWeights",
    "StrategyConfig",
    "SymbolDecision",
]


class ScoreWeights(Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """Weight of each feature's z in the direction pressure p; the sign says which way it points."""

    microprice_gap: Annotated[
        float, Meta(description="Weight of the microprice's distance from mid.", ge=-5, le=5)
    ] = 0.25
    imb5: Annotated[
        float, Meta(description="Weight of the imbalance of the best 5 levels.", ge=-5, le=5)
    ] = 0.25
    imb20: Annotated[
        float, Meta(description="Weight of the imbalance of the best 20 levels.", ge=-5, le=5)
    ] = 0.0
    ofi1s: Annotated[
        float, Meta(description="Weight of the order flow imbalance over 1 s.", ge=-5, le=5)
    ] = 0.125
    ofi5s: Annotated[
        float, Meta(description="Weight of the order flow imbalance over 5 s.", ge=-5, le=5)
    ] = 0.125
    # named by hand: the renaming would title-case the unit into "flowRatio5S"
    flow_ratio5s: Annotated[
        float, Meta(description="Weight of signed over total trade flow, 5 s.", ge=-5, le=5)
    ] = field(default=0.25, name="flowRatio5s")
    ret5s: Annotated[
        float,
        Meta(description="Weight of the 5 s return: > 0 momentum, < 0 reversion.", ge=-5, le=5),
    ] = 0.0
    basis: Annotated[
        float, Meta(description="Weight of the basis of mark to index price.", ge=-5, le=5)
    ] = 0.0


class StrategyConfig(PlanSettings, frozen=True, kw_only=True, rename="camel"):
    """Thresholds of regime, score, gate, state machine and trade plan."""

    # score and signal (pipeline §3)
    weights: ScoreWeights = ScoreWeights()
    scale_half_life_s: Annotated[
        float, Meta(description="Half-life of each feature's running scale, s.", ge=1, le=604_800)
    ] = 1800.0
    score_gain: Annotated[float, Meta(description="Steepness of the score in p.", gt=0, le=20)] = (
        1.0
    )
    toxicity_penalty: Annotated[
        float, Meta(description="Penalty for VPIN above its floor, per unit of VPIN.", ge=0, le=20)
    ] = 1.0
    toxicity_floor: Annotated[
        float, Meta(description="VPIN that costs nothing yet, share.", ge=0, le=1)
    ] = 0.5
    spread_penalty: Annotated[
        float, Meta(description="Penalty when the spread reaches maxSpreadBps.", ge=0, le=20)
    ] = 0.5
    regime_penalty: Annotated[
        float, Meta(description="Penalty at the threshold of the nearest regime.", ge=0, le=20)
    ] = 0.5
    regime_near_from: Annotated[
        float,
        Meta(description="Part of a regime's threshold that costs nothing yet.", ge=0, lt=1),
    ] = 0.5
    watch_score: Annotated[
        float, Meta(description="Score from which a symbol is watched, 0..100.", ge=50, le=100)
    ] = 55.0
    entry_score: Annotated[
        float, Meta(description="Score an entry needs, 0..100.", ge=50, le=100)
    ] = 70.0
    score_hysteresis: Annotated[
        float, Meta(description="Fall below a score's threshold that disarms, points.", ge=0, le=50)
    ] = 5.0
    arm_frames: Annotated[
        int, Meta(description="Boundary frames in a row at entryScore that arm.", ge=1, le=1000)
    ] = 3
    horizon_s: Annotated[
        float, Meta(description="Horizon of the expected move, s.", gt=0, le=3600)
    ] = 10.0
    edge_coef: Annotated[
        float,
        Meta(
            description="Expected move per unit of p, in units of rv10s * sqrt(horizon).",
            ge=0,
            le=1000,
        ),
    ] = 0.1
    fee_multiple: Annotated[
        float, Meta(description="Expected move an entry needs, in multiples of cost.", ge=1, le=20)
    ] = 1.5
    assumed_hit_rate: Annotated[
        float,
        Meta(description="Share of exits by maker take-profit in the cost estimate.", ge=0, le=1),
    ] = 0.5
    taker_slippage_bps: Annotated[
        float,
        Meta(description="Slippage of an exit that takes, beyond the touch, bps.", ge=0, le=1000),
    ] = 0.5
    adverse_markout_bps: Annotated[
        float,
        Meta(
            description="Loss to mid after our own maker fills, 0 until measured, bps.",
            ge=-1000,
            le=1000,
        ),
    ] = 0.0

    # state machine (pipeline §4)
    cooldown_s: Annotated[
        float, Meta(description="Pause of a symbol after a closed position, s.", ge=0, le=86_400)
    ] = 30.0
    retry_cooldown_s: Annotated[
        float, Meta(description="Pause after an entry that did not fill, s.", ge=0, le=86_400)
    ] = 5.0
    entry_timeout_ms: Annotated[
        int, Meta(description="How long an entry may wait for its fill, ms.", ge=100, le=600_000)
    ] = 3000
    exit_timeout_ms: Annotated[
        int,
        Meta(
            description="How long a close may take before it is asked again, ms.",
            ge=500,
            le=86_400_000,
        ),
    ] = 5000
    request_ttl_ms: Annotated[
        int, Meta(description="Age at which an OPEN request is dead, ms.", ge=100, le=60_000)
    ] = 2000
    reprice_hint_ms: Annotated[
        int, Meta(description="Pace of word on a pending entry's signal, ms.", ge=50, le=86_400_000)
    ] = 500
    execution_silence_ms: Annotated[
        int,
        Meta(
            description="Age of execution's last snapshot that blocks entries, ms.",
            ge=1000,
            le=86_400_000,
            extra=ACCOUNT_WIDE,
        ),
    ] = 5000
    score_update_ms: Annotated[
        int, Meta(description="Pace of published scores per symbol, ms.", ge=100, le=86_400_000)
    ] = 500
    close_on_opposite: Annotated[
        bool, Meta(description="Close a position at market on an armed opposite score.")
    ] = False
    reverse_on_opposite: Annotated[
        bool, Meta(description="After such a close enter the other side without a cooldown.")
    ] = False

    def __post_init__(self) -> None:
        """Refuse what cannot work together; the text names both fields."""
        reasons = []
        if self.watch_score > self.entry_score:
            reasons.append(f"watchScore {self.watch_score} is above entryScore {self.entry_score}")
        if self.tp1_fraction + self.tp2_fraction > 1.0:
            reasons.append("tp1Fraction and tp2Fraction add up to more than 1")
        if self.reverse_on_opposite and not self.close_on_opposite:
            reasons.append(
                "reverseOnOpposite needs closeOnOpposite: a reversal begins with a close"
            )
        if reasons:
            raise ValueError("; ".join(reasons))


class SymbolDecision(Struct, frozen=True, kw_only=True):
    """Strategy and risk of one symbol, its overrides already laid over the base sections."""

    strategy: StrategyConfig = StrategyConfig()
    risk: RiskConfig = RiskConfig()


class DecisionConfig(Struct, frozen=True, kw_only=True):
    """What the strategy core is built from; `version` is carried by each decision.

    `strategy` and `risk` hold for every symbol that is not in `symbols`. Account-wide limits always come
    from the base `risk`.
    """

    market: MarketConfig = MarketConfig()
    strategy: StrategyConfig = StrategyConfig()
    risk: RiskConfig = RiskConfig()
    symbols: dict[str, SymbolDecision] = {}
    version: str = ""

    def strategy_for(self, symbol: str) -> StrategyConfig:
        """The strategy section as it holds for `symbol`."""
        return self.symbols[symbol].strategy if symbol in self.symbols else self.strategy

    def risk_for(self, symbol: str) -> RiskConfig:
        """The risk section as it holds for `symbol`: sizing, fees, caps of one position."""
        return self.symbols[symbol].risk if symbol in self.symbols else self.risk
