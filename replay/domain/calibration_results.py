"""What a calibration found, ready for JSON (camelCase): the evidence of a proposed profile."""

from __future__ import annotations

import math
from typing import Annotated

from msgspec import Meta, Struct


class CalibrationSettings(
    Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True
):
    """How it is estimated; all of it goes into the evidence."""

    horizons_s: tuple[Annotated[float, Meta(gt=0, le=3600)], ...] = (1.0, 5.0, 10.0, 30.0)
    folds: Annotated[int, Meta(ge=2, le=100, description="Blocks that are judged.")] = 5
    embargo_s: Annotated[float, Meta(ge=0, le=86_400, description="Beyond the label's end, s.")] = (
        10.0
    )
    step_ms: Annotated[int, Meta(ge=100, le=60_000, description="Grid of the samples, ms.")] = 500
    ridge: Annotated[
        float, Meta(ge=0, le=100, description="Penalty, in mean squares of a feature.")
    ] = 0.05
    resamples: Annotated[int, Meta(ge=100, le=100_000)] = 1000
    confidence: Annotated[float, Meta(gt=0.5, lt=1)] = 0.95
    seed: Annotated[int, Meta(ge=0)] = 1
    move_cap: Annotated[
        float, Meta(gt=0, description="Moves are cut there to fit, in rv10s * sqrt(horizon).")
    ] = 6.0
    min_blocks: Annotated[
        int, Meta(ge=3, description="Fewer blocks of the bootstrap are no evidence.")
    ] = 20
    min_trades: Annotated[
        int, Meta(ge=1, description="Fewer paying signals a horizon apart are no evidence.")
    ] = 30


class Interval(Struct, frozen=True, kw_only=True, rename="camel"):
    """None where the data cannot give it."""

    value: float | None
    low: float | None
    high: float | None


class FoldFigures(Struct, frozen=True, kw_only=True, rename="camel"):
    """One walk-forward step; times are ns of core time."""

    train_from_ns: int
    train_to_ns: int
    train_samples: int
    test_from_ns: int
    test_to_ns: int
    test_samples: int
    information_coefficient: float | None


class WeightFigures(Struct, frozen=True, kw_only=True, rename="camel"):
    """Over all samples of the symbol. `t_value`: Newey-West; None where the feature never moved."""

    weight: float
    t_value: float | None


class NetEdge(Struct, frozen=True, kw_only=True, rename="camel"):
    """Out of sample, of the signals whose expected move reached the gate; bps of notional.

    `net_bps` = realised move in the direction of the signal - cost of the planned orders. Maker entries
    that would not have been filled are not taken out: it is an upper bound of what trading would bring.
    """

    signals: int
    signal_share: float
    trades: int  # at least a horizon apart
    expected_bps: float | None
    realised_bps: float | None
    cost_bps: float | None
    net_bps: Interval


class StrongestSignals(Struct, frozen=True, kw_only=True, rename="camel"):
    """The tenth of all out-of-sample samples with the largest expected move, paying or not; bps."""

    expected_bps: float | None
    realised_bps: float | None
    cost_bps: float | None


class HorizonFigures(Struct, frozen=True, kw_only=True, rename="camel"):
    """Everything about one horizon; counts and figures are out of sample unless said otherwise."""

    horizon_s: float
    samples: int
    blocks: float  # of the bootstrap: how much independent evidence there is
    mean_block_s: float
    information_coefficient: Interval
    information_coefficient_all_horizons: Interval  # wide enough to hold for all horizons at once
    edge_coef: Interval  # of the move on the pressure; for all horizons at once, like `net_bps`
    weights: dict[str, WeightFigures]
    folds: tuple[FoldFigures, ...]
    net_edge: NetEdge
    strongest: StrongestSignals


class Found(Struct, frozen=True, kw_only=True, rename="camel"):
    """What the evidence speaks for."""

    horizon_s: float
    edge_coef: float
    weights: dict[str, float]


class SymbolCalibration(Struct, frozen=True, kw_only=True, rename="camel"):
    """`found` is None when nothing is proposed; `verdict` says in words why or why not."""

    symbol: str
    samples: int
    usable_samples: int
    from_ns: int
    to_ns: int
    horizons: tuple[HorizonFigures, ...]
    verdict: str
    found: Found | None = None


def rounded(value: float, digits: int = 6) -> float | None:
    """`value` to `digits` significant digits: the last bits of a sum are no evidence. None if unknown."""
    return float(f"{value:.{digits}g}") if math.isfinite(value) else None
