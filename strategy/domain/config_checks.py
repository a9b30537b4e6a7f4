"""What the fields of different sections must not say against each other (strategy's part)."""

from __future__ import annotations

from collections.abc import Iterator

from failover.domain.config_sections import ConfigError
from market.domain.config import MarketConfig
from strategy.domain.config import RiskConfig, StrategyConfig
from strategy.domain.scorer import SCORERS, BadScorer

_FRAMES_OF_SILENCE = 2


def stop_within_the_day(risk: RiskConfig) -> Iterator[ConfigError]:
    """One stop must not lose more than the whole day may."""
    if risk.risk_per_trade_pct > risk.daily_loss_limit_pct:
        yield ConfigError(
            "risk.riskPerTradePct",
            f"{risk.risk_per_trade_pct:g} is above dailyLossLimitPct {risk.daily_loss_limit_pct:g}: "
            "one stop would lose more than a day may",
        )


def scorer_is_to_be_had(strategy: StrategyConfig) -> Iterator[ConfigError]:
    """The scorer is a class of an allowed package, and one can be made."""
    try:
        SCORERS.make(strategy.scorer)
    except BadScorer as bad:
        yield ConfigError("strategy.scorer", str(bad))


def waits_outlast_frames(market: MarketConfig, strategy: StrategyConfig) -> Iterator[ConfigError]:
    """All time-outs happen at frames, so none can be shorter than the grid of frames."""
    interval_ms = market.evaluation_interval_ms
    waits = {
        "entryTimeoutMs": (strategy.entry_timeout_ms, 1),
        "exitTimeoutMs": (strategy.exit_timeout_ms, 1),
        "requestTtlMs": (strategy.request_ttl_ms, 1),
        "feedSilenceMs": (strategy.feed_silence_ms, _FRAMES_OF_SILENCE),
        "executionSilenceMs": (strategy.execution_silence_ms, _FRAMES_OF_SILENCE),
    }
    for name, (wait_ms, frames) in waits.items():
        if wait_ms < frames * interval_ms:
            yield ConfigError(
                f"strategy.{name}",
                f"{wait_ms} is below {frames * interval_ms}, the time of {frames} frame(s) of "
                f"market.evaluationIntervalMs {interval_ms}",
            )
