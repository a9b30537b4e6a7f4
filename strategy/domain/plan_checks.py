"""What the settings of a plan and of the risk section must not say against each other."""

from __future__ import annotations

from collections.abc import Iterator

from failover.domain.config_sections import ConfigError
from strategy.domain.config import RiskConfig, StrategyConfig


def ladder_fits_risk(strategy: StrategyConfig, risk: RiskConfig) -> Iterator[ConfigError]:
    """No ladder would ever be begun that asks for too much leverage or is liquidated before its stop."""
    if strategy.plan != "ladder":
        return
    ladder, path = strategy.ladder, "strategy.ladder"
    if ladder.leverage > risk.max_leverage:
        yield ConfigError(
            f"{path}.leverage",
            f"{ladder.leverage:g} is above risk.maxLeverage {risk.max_leverage:g}",
        )
    stop_pct = ladder.price_pct(ladder.stop_pct)
    room_pct = 100.0 / ladder.leverage - risk.margin_tiers[0].maintenance_bps / 100
    if stop_pct + risk.liq_buffer_pct > room_pct:
        yield ConfigError(
            f"{path}.stopPct",
            f"the stop lies {stop_pct:.2f} % of price behind the average entry, but at {ladder.leverage:g}x "
            f"liquidation comes at {room_pct:.2f} % and risk.liqBufferPct keeps {risk.liq_buffer_pct:g} %",
        )
    farthest = max((level.distance_pct for level in ladder.dca_levels), default=0.0)
    inner = ladder.dca_levels[:-1]
    held = 1.0 + sum(level.size_x for level in inner)
    average_pct = sum(level.distance_pct * level.size_x for level in inner) / held
    if ladder.dca_levels and farthest >= average_pct + ladder.stop_pct:
        yield ConfigError(
            f"{path}.dcaLevels",
            f"the last rests at {farthest:g} %, behind the stop that stands then "
            f"({average_pct + ladder.stop_pct:.2f} %)",
        )


def ladder_pays_its_fees(strategy: StrategyConfig, risk: RiskConfig) -> Iterator[ConfigError]:
    """The first target must lie beyond break-even, or the stop that follows it would be a loss."""
    if strategy.plan != "ladder":
        return
    first_bps = strategy.ladder.price_pct(strategy.ladder.targets[0].distance_pct) * 100
    fees_bps = risk.maker_fee_bps + risk.taker_fee_bps
    if first_bps <= fees_bps:
        yield ConfigError(
            "strategy.ladder.targets",
            f"the first target lies {first_bps:.2f} bps away and does not pay the fees of {fees_bps:g} bps",
        )
