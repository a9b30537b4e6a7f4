"""What the dashboard shows of the trading config: limits to measure against, and which document it is."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from django.conf import settings

from failover.services.config_files import load_configured


@dataclass(frozen=True, slots=True)
class ShownConfig:
    """`profile` is the name or path of the document, `version` the name of its content."""

    profile: str
    version: str
    max_heat_pct: float
    entry_score: float


@lru_cache(maxsize=1)
def shown_config() -> ShownConfig:
    """Read once, as the trading services do at their start. Raises: BadConfigDocument."""
    document = load_configured(settings)
    return ShownConfig(
        profile=settings.ENVIRONMENT.trading_config,
        version=document.version,
        max_heat_pct=document["risk"].max_heat_pct,
        entry_score=document["strategy"].entry_score,
    )
