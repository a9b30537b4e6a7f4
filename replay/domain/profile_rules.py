"""From what a symbol is like to the thresholds it should have."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta, Struct

from replay.domain.profile_statistics import SymbolStatistics


class ProfileUpdaterConfig(
    Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True
):
    """How `profileUpdater` turns recordings into proposed thresholds (pipeline §7)."""

    days: Annotated[
        int, Meta(description="Days of recordings looked at, today included.", ge=1, le=90)
    ] = 7
    min_hours: Annotated[
        float,
        Meta(description="Sound data a symbol needs before anything is said, h.", gt=0, le=2160),
    ] = 4.0
    tolerance_pct: Annotated[
        float,
        Meta(description="Difference to the value in force that matters, percent.", ge=0, le=1000),
    ] = 20.0
    spread_x: Annotated[
        float, Meta(description="maxSpreadBps, in 99 % quantiles of the spread.", ge=1, le=100)
    ] = 2.0
    depth_share: Annotated[
        float, Meta(description="minDepthUsd, in 5 % quantiles of the thinner side.", gt=0, le=1)
    ] = 0.5
    least_depth_usd: Annotated[
        float, Meta(description="minDepthUsd is never below it, USD.", ge=0, le=1e12)
    ] = 2_000.0
    vol_floor_share: Annotated[
        float, Meta(description="volFloorBps, in 5 % quantiles of rv300s.", gt=0, le=1)
    ] = 0.5
    flow_floor_share: Annotated[
        float, Meta(description="notionalFloorUsd, in medians of the trade flow.", gt=0, le=1)
    ] = 0.25
    spread_floor_share: Annotated[
        float, Meta(description="spreadFloorBps, in medians of the spread.", gt=0, le=1)
    ] = 0.5
    flicker_x: Annotated[
        float, Meta(description="flickerMax, in 99.9 % quantiles of flicker.", ge=1, le=100)
    ] = 2.0


Suggestion = dict[str, dict[str, float]]  # section -> field in JSON -> value
# Where the schema of the sections ends; a suggestion outside would refuse the whole document.
_RANGES = {
    "maxSpreadBps": (0.1, 1000.0),
    "volFloorBps": (0.001, 1000.0),
    "notionalFloorUsd": (0.01, 1e12),
    "spreadFloorBps": (0.001, 1000.0),
    "flickerMax": (0.1, 1000.0),
}


def suggested(statistics: SymbolStatistics, config: ProfileUpdaterConfig) -> Suggestion:
    """Thresholds for one symbol; what was never seen is left out."""
    spread = statistics.spread_bps
    strategy = {
        "maxSpreadBps": _times(config.spread_x, spread.quantile(0.99)),
        "minDepthUsd": _times(config.depth_share, statistics.depth_usd.quantile(0.05)),
        "volFloorBps": _times(config.vol_floor_share, statistics.rv300s.quantile(0.05)),
        "notionalFloorUsd": _times(
            config.flow_floor_share, statistics.flow_usd_per_s.quantile(0.5)
        ),
        "spreadFloorBps": _times(config.spread_floor_share, spread.quantile(0.5)),
        "flickerMax": _times(config.flicker_x, statistics.flicker.quantile(0.999)),
    }
    known = {name: _within(name, value) for name, value in strategy.items() if value}
    if "minDepthUsd" in known:
        known["minDepthUsd"] = max(known["minDepthUsd"], config.least_depth_usd)
    found: Suggestion = {"strategy": known}
    if "maxSpreadBps" in known:
        found["execution"] = {"maxSpreadBps": known["maxSpreadBps"]}
    return found


def _times(factor: float, value: float | None) -> float | None:
    return None if value is None else float(f"{factor * value:.3g}")


def _within(name: str, value: float) -> float:
    low, high = _RANGES.get(name, (0.0, float("inf")))
    return min(max(value, low), high)


def differing(found: Suggestion, in_force: dict[str, Any], tolerance_pct: float) -> Suggestion:
    """Those of `found` that are further than the tolerance from what holds (sections in JSON names)."""
    changes: Suggestion = {}
    for section, fields in found.items():
        own = {
            name: value
            for name, value in fields.items()
            if _is_apart(value, in_force[section].get(name), tolerance_pct)
        }
        if own:
            changes[section] = own
    return changes


def _is_apart(value: float, held: float | None, tolerance_pct: float) -> bool:
    return held is None or abs(value - held) > tolerance_pct / 100.0 * max(abs(held), 1e-12)
