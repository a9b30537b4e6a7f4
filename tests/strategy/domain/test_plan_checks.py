"""Settings of plan and risk that contradict each other are refused together, each with its path."""

from __future__ import annotations

from typing import Any

from strategy.domain.config import RiskConfig, StrategyConfig
from strategy.domain.config_plan import LadderDca, LadderSettings, LadderTarget
from strategy.domain.plan_checks import ladder_fits_risk, ladder_pays_its_fees


def found(plan: str = "ladder", risk: dict[str, Any] | None = None, **ladder: Any) -> list[str]:
    strategy = StrategyConfig(plan=plan, ladder=LadderSettings(**ladder))  # type: ignore[arg-type]
    limits = RiskConfig(**(risk or {}))
    errors = [*ladder_fits_risk(strategy, limits), *ladder_pays_its_fees(strategy, limits)]
    return [error.path for error in errors]


def test_the_built_in_ladder_fits_the_built_in_limits() -> None:
    assert found() == []


def test_every_contradiction_of_a_ladder_is_named_at_once() -> None:
    wrong = found(
        leverage=50.0,
        stop_pct=90.0,
        dca_levels=(LadderDca(distance_pct=95.0),),
        targets=(LadderTarget(distance_pct=1.0, fraction=1.0),),
    )

    assert wrong == [
        "strategy.ladder.leverage",
        "strategy.ladder.stopPct",
        "strategy.ladder.dcaLevels",
        "strategy.ladder.targets",
    ]


def test_a_ladder_that_is_not_used_is_not_judged() -> None:
    assert found("scalp", stop_pct=99.0) == []


def test_a_wider_buffer_to_liquidation_refuses_a_stop_that_fitted() -> None:
    """50 % ROE at 25x are 2 % of price; liquidation comes at 3.5 %."""
    assert found(risk={"liq_buffer_pct": 1.5}) == []
    assert found(risk={"liq_buffer_pct": 1.6}) == ["strategy.ladder.stopPct"]
