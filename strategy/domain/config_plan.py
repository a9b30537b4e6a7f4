"""How a trade is laid out: the plan part of the strategy section (pipeline §6, phase 7).

bps = 1/10,000 of the entry price, R = distance of the stop. The percentages of a ladder are ROE, what the
margin gains or loses (at 25x 21 % ROE are 0.84 % of price), unless `unit` says PRICE.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

from strategy.domain.config_regime import ScorerSettings


class LadderTarget(Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """One take-profit of a ladder."""

    distance_pct: Annotated[
        float,
        Meta(description="Gain from the average entry, percent in the unit.", gt=0, le=10_000),
    ]
    fraction: Annotated[
        float,
        Meta(description="Share of the position it takes; the last takes the rest.", gt=0, le=1),
    ]


class LadderDca(Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """One averaging order of a ladder, resting from the first fill on."""

    distance_pct: Annotated[
        float,
        Meta(
            description="Loss from the entry at which it rests, percent in the unit.",
            gt=0,
            le=10_000,
        ),
    ]
    size_x: Annotated[float, Meta(description="Its size, in sizes of the entry.", gt=0, le=10)] = (
        1.0
    )


class LadderSettings(Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """The plan `ladder`: several targets, averaging orders below the entry, one stop behind them."""

    unit: Annotated[
        Literal["ROE", "PRICE"], Meta(description="What percentages mean: ROE or PRICE.")
    ] = "ROE"
    leverage: Annotated[float, Meta(description="Leverage asked of the venue.", ge=1, le=100)] = (
        25.0
    )
    targets: Annotated[
        tuple[LadderTarget, ...],
        Meta(description="Take-profits, nearest first.", min_length=1, max_length=20),
    ] = (
        LadderTarget(distance_pct=21.0, fraction=0.4),
        LadderTarget(distance_pct=42.0, fraction=0.3),
        LadderTarget(distance_pct=63.0, fraction=0.3),
    )
    dca_levels: Annotated[
        tuple[LadderDca, ...],
        Meta(description="Averaging orders, nearest first; may be none.", max_length=20),
    ] = (
        LadderDca(distance_pct=5.0),
        LadderDca(distance_pct=15.0),
        LadderDca(distance_pct=30.0),
    )
    stop_pct: Annotated[
        float,
        Meta(description="Stop behind the average entry, percent in the unit.", gt=0, le=10_000),
    ] = 50.0
    break_even_after_tp: Annotated[
        int,
        Meta(description="Target whose fill moves the stop to break-even, 0 = none.", ge=0, le=20),
    ] = 1
    time_stop_s: Annotated[
        int, Meta(description="Close if TP1 is not reached by then, s.", ge=1, le=604_800)
    ] = 14_400

    def price_pct(self, percent: float) -> float:
        """`percent` of this ladder's unit as percent of price."""
        return percent / self.leverage if self.unit == "ROE" else percent

    def __post_init__(self) -> None:
        reasons = []
        for name, levels in (("targets", self.targets), ("dcaLevels", self.dca_levels)):
            distances = [level.distance_pct for level in levels]
            if distances != sorted(set(distances)):
                reasons.append(f"{name}: distances {distances} do not rise")
        if sum(target.fraction for target in self.targets) > 1.0 + 1e-9:
            reasons.append("targets: fractions add up to more than 1")
        if self.price_pct(self.stop_pct) >= 100.0:
            reasons.append("stopPct is the whole price or more")
        if self.break_even_after_tp > len(self.targets):
            reasons.append(
                f"breakEvenAfterTp names target {self.break_even_after_tp} of {len(self.targets)}"
            )
        if reasons:
            raise ValueError("; ".join(reasons))


class PlanSettings(ScorerSettings, frozen=True, kw_only=True, rename="camel"):
    """Which plan, and the distances of `scalp`."""

    plan: Annotated[
        Literal["scalp", "ladder"], Meta(description="How a trade is laid out: scalp or ladder.")
    ] = "scalp"
    max_reprices: Annotated[
        int, Meta(description="How often a pending entry follows the touch.", ge=0, le=100)
    ] = 3
    max_chase_bps: Annotated[
        float,
        Meta(
            description="Farthest a re-priced entry moves from its first price, bps.", ge=0, le=100
        ),
    ] = 10.0
    entry_ticks_inside: Annotated[
        int, Meta(description="Ticks inside the touch a maker entry is put.", ge=0, le=1)
    ] = 0
    stop_vol_x: Annotated[
        float, Meta(description="Stop distance in rv60s * sqrt(horizon).", gt=0, le=50)
    ] = 2.5
    stop_cost_x: Annotated[
        float, Meta(description="Least stop distance in round-trip costs.", ge=1, le=50)
    ] = 3.0
    tp1_cost_x: Annotated[
        float, Meta(description="Least distance of TP1 in round-trip costs.", ge=1, le=50)
    ] = 1.5
    tp1_margin_bps: Annotated[
        float, Meta(description="TP1 beyond break-even with a taker exit, bps.", ge=0, le=100)
    ] = 2.0
    tp1_fraction: Annotated[
        float, Meta(description="Share of the position TP1 takes.", ge=0, le=1)
    ] = 0.4
    tp2_r: Annotated[
        float, Meta(description="Distance of TP2 in stop distances (R).", gt=0, le=20)
    ] = 1.2
    tp2_fraction: Annotated[
        float, Meta(description="Share of the position TP2 takes.", ge=0, le=1)
    ] = 0.4
    trail_r: Annotated[
        float, Meta(description="Trailing distance in stop distances (R).", gt=0, le=10)
    ] = 0.5
    time_stop_s: Annotated[
        int, Meta(description="Close if TP1 is not reached by then, s.", ge=1, le=86_400)
    ] = 180
    stop_trigger_by: Annotated[
        Literal["MarkPrice", "LastPrice", "IndexPrice"],
        Meta(description="Price that triggers the stop."),
    ] = "MarkPrice"
    ladder: LadderSettings = LadderSettings()
