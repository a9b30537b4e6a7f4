"""Calibrates the expected move of pipeline §3 for one symbol: E = edge_coef * |p| * rv10s * sqrt(horizon).

With y = move / (rv10s * sqrt(horizon)) the model is E[y] = edge_coef * p, p = sum w_i z_i. Ridge regression
of y on z gives edge_coef * w_i; the weights are scaled so that their absolute values add up to 1. All that
is claimed is measured walk-forward (`calibration_folds`), with intervals that know that samples overlap
(`calibration_bootstrap`). docs/calibration.md tells how to read the result.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from replay.domain.calibration_horizon import Yardstick, judge_horizon
from replay.domain.calibration_results import (
    CalibrationSettings,
    Found,
    HorizonFigures,
    SymbolCalibration,
    rounded,
)
from replay.domain.calibration_samples import Samples


def calibrate(
    symbol: str,
    samples: Samples,
    features: Sequence[str],
    settings: CalibrationSettings,
    yardstick: Yardstick,
) -> SymbolCalibration:
    """Judge every horizon and say what the evidence speaks for. Same input, same result."""
    horizons = tuple(
        judge_horizon(samples, features, horizon_s, settings, yardstick)
        for horizon_s in sorted(settings.horizons_s)
    )
    found, verdict = _conclude(horizons, settings)
    return SymbolCalibration(
        symbol=symbol,
        samples=len(samples),
        usable_samples=int(np.count_nonzero(samples["usable"])),
        from_ns=int(samples["ts_ns"][0]) if len(samples) else 0,
        to_ns=int(samples["ts_ns"][-1]) if len(samples) else 0,
        horizons=horizons,
        verdict=verdict,
        found=found,
    )


def _conclude(
    horizons: Sequence[HorizonFigures], settings: CalibrationSettings
) -> tuple[Found | None, str]:
    """The horizon with the largest surely positive net edge, or in words why there is none."""
    objections = {each.horizon_s: _objection(each, settings) for each in horizons}
    convincing = [each for each in horizons if not objections[each.horizon_s]]
    if not convincing:
        reasons = "; ".join(f"{h:g} s: {reason}" for h, reason in objections.items())
        return None, f"no edge after cost is shown ({reasons})"
    best = max(convincing, key=lambda each: each.net_edge.net_bps.low or 0.0)
    net = best.net_edge.net_bps
    edge_coef = rounded(best.edge_coef.value or 0.0, 4) or 0.0
    found = Found(
        horizon_s=best.horizon_s,
        edge_coef=edge_coef,
        weights={name: figures.weight for name, figures in best.weights.items()},
    )
    return found, (
        f"edge after cost at {best.horizon_s:g} s: {net.value:.2f} bps a signal "
        f"({net.low:.2f} to {net.high:.2f}) over {best.net_edge.trades} signals a horizon apart"
    )


def _objection(figures: HorizonFigures, settings: CalibrationSettings) -> str:
    """The first reason why this horizon proves nothing; empty when it does."""
    ic, net = figures.information_coefficient_all_horizons, figures.net_edge
    if figures.blocks < settings.min_blocks:
        return f"too short: {figures.blocks:g} independent stretches, {settings.min_blocks} needed"
    if ic.low is None or not ic.low > 0.0:
        return "information coefficient not surely above 0"
    if not (figures.edge_coef.low or 0.0) > 0.0:
        return "edge coefficient not surely above 0"
    if not net.signals:
        return f"no expected move reaches its cost (the strongest tenth {_told(figures)})"
    if net.trades < settings.min_trades:
        return f"only {net.trades} paying signals a horizon apart, {settings.min_trades} needed"
    if net.net_bps.low is None or not net.net_bps.low > 0.0:
        return f"net {net.net_bps.value:.2f} bps a signal is not surely above 0"
    return ""


def _told(figures: HorizonFigures) -> str:
    strongest = figures.strongest
    if strongest.realised_bps is None or strongest.cost_bps is None:
        return "is unknown"
    return f"brought {strongest.realised_bps:.2f} bps at a cost of {strongest.cost_bps:.2f}"
