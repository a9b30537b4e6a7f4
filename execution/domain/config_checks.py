"""What the fields of different sections must not say against each other (execution's part)."""

from __future__ import annotations

from collections.abc import Iterator

from execution.domain.config import ExecutionConfig
from failover.domain.config_sections import ConfigError
from market.domain.config import MarketConfig
from strategy.domain.config import RiskConfig, StrategyConfig

_FRAMES_OF_A_QUOTE = 2


def fees_agree(risk: RiskConfig, execution: ExecutionConfig) -> Iterator[ConfigError]:
    """The gate must reckon with the fees that the simulated venue takes."""
    pairs = {
        "makerFeeBps": (risk.maker_fee_bps, execution.maker_fee_bps),
        "takerFeeBps": (risk.taker_fee_bps, execution.taker_fee_bps),
    }
    for name, (reckoned, taken) in pairs.items():
        if reckoned != taken:
            yield ConfigError(
                f"execution.{name}",
                f"{taken:g} differs from risk.{name} {reckoned:g}: say the same in both",
            )


def quotes_outlast_frames(
    market: MarketConfig, execution: ExecutionConfig
) -> Iterator[ConfigError]:
    """A quote comes with each frame: it must not be stale before the next one."""
    least_ms = _FRAMES_OF_A_QUOTE * market.evaluation_interval_ms
    if execution.stale_quote_ms < least_ms:
        yield ConfigError(
            "execution.staleQuoteMs",
            f"{execution.stale_quote_ms} is below {least_ms}, the time of {_FRAMES_OF_A_QUOTE} frames "
            f"of market.evaluationIntervalMs {market.evaluation_interval_ms}",
        )


def entries_outlast_latency(
    strategy: StrategyConfig, execution: ExecutionConfig
) -> Iterator[ConfigError]:
    """An entry that times out before the venue could answer never fills."""
    both_ways_ms = 2 * execution.sim_latency_ms
    if strategy.entry_timeout_ms <= both_ways_ms:
        yield ConfigError(
            "strategy.entryTimeoutMs",
            f"{strategy.entry_timeout_ms} is not above {both_ways_ms}, both ways of "
            f"execution.simLatencyMs {execution.sim_latency_ms}",
        )


def tiers_agree(risk: RiskConfig, execution: ExecutionConfig) -> Iterator[ConfigError]:
    """Plans must reckon with the liquidation prices that the simulated venue has."""
    if risk.margin_tiers != execution.sim.margin_tiers:
        yield ConfigError(
            "execution.sim.marginTiers", "differ from risk.marginTiers: say the same in both"
        )


def some_entry_fits(risk: RiskConfig, execution: ExecutionConfig) -> Iterator[ConfigError]:
    """The least entry must not be above the largest position."""
    largest = min(risk.max_notional_usd, execution.max_notional_usdt)
    if execution.min_notional_usdt > largest:
        yield ConfigError(
            "execution.minNotionalUsdt",
            f"{execution.min_notional_usdt:g} is above the largest position of {largest:g} USDT: "
            "no entry would ever fit",
        )
