"""The thresholds of the trading config that the pages measure against."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# JSON names as in the config document; `quality` and `latency` are parts of its execution section.
_SHOWN: Mapping[str, tuple[str, ...]] = {
    "strategy": (
        "entryScore", "watchScore", "armFrames", "feeMultiple", "maxSpreadBps", "minDepthUsd",
        "cooldownS", "horizonS",
    ),
    "risk": (
        "maxHeatPct", "maxPositions", "maxTradesPerHour", "dailyLossLimitPct", "dailyLossClosePct",
        "lossStreak", "maxDrawdownPct", "riskPerTradePct",
    ),
}  # fmt: skip

Limits = dict[str, float | int]


def shown_limits(sections: Mapping[str, Mapping[str, Any]]) -> Limits:
    """Flat: the numbers of `sections` (a resolved config document as JSON) that some page names."""
    limits: Limits = {}
    for section, names in _SHOWN.items():
        values = sections.get(section, {})
        limits |= {name: values[name] for name in names if name in values}
    execution = sections.get("execution", {})
    quality, latency = execution.get("quality") or {}, execution.get("latency") or {}
    for values, names in (
        (quality, ("qualityBlock", "qualityRecover", "minOrders", "probationQtyPct")),
        (latency, ("latencyMaxMs",)),
    ):
        limits |= {name: values[name] for name in names if name in values}
    return limits
