"""What is known of a symbol's execution: decayed means of its orders' figures, and the score they make.

Means fade with every order and with time, so that memory stays the same however long it runs and an old
bad hour is outlived. Score = 100 x product of (1 - penalty): any one figure alone can spoil it.
"""

from __future__ import annotations

import math

import msgspec

from execution.domain.quality_config import QualityConfig

_NS_PER_S = 1_000_000_000
_FADE_STEP_NS = 600 * _NS_PER_S


class DecayedMean(msgspec.Struct, kw_only=True):
    """A mean in which an observation halves with each half-life of orders and of time."""

    weight: float = 0.0
    total: float = 0.0
    count: int = 0  # observations ever taken
    last_ns: int = 0

    @property
    def value(self) -> float | None:
        return self.total / self.weight if self.weight > 0 else None

    def add(self, value: float, now_ns: int, config: QualityConfig) -> None:
        """Take one finite observation made at `now_ns`."""
        last_ns = self.last_ns
        idle_s = (now_ns - last_ns) / _NS_PER_S if last_ns and now_ns > last_ns else 0.0
        fade = 2.0 ** -(1 / config.half_life_orders + idle_s / config.half_life_s)
        self.weight = self.weight * fade + 1.0
        self.total = self.total * fade + value
        self.count += 1
        if now_ns > last_ns:
            self.last_ns = now_ns


class OrderFigures(msgspec.Struct, frozen=True, kw_only=True):
    """One finished order as the means take it; None = this order says nothing of it. Costs are positive."""

    was_rejected: bool
    touch_slippage_bps: float | None = None  # of what it took, beyond the touch at its arrival
    mid_slippage_bps: float | None = None  # against the mid at the decision
    fill_ratio: float | None = None  # of entries
    time_to_fill_ms: float | None = None
    adverse_bps: float | None = None  # loss to mid 5 s after a maker entry
    markouts_bps: dict[int, float] = {}  # horizon in s -> move in our favour since the fill


class QualityFigures(msgspec.Struct, kw_only=True):
    """The means of one symbol."""

    rejects: DecayedMean = msgspec.field(default_factory=DecayedMean)
    touch_slippage: DecayedMean = msgspec.field(default_factory=DecayedMean)
    mid_slippage: DecayedMean = msgspec.field(default_factory=DecayedMean)
    fill_ratio: DecayedMean = msgspec.field(default_factory=DecayedMean)
    time_to_fill_ms: DecayedMean = msgspec.field(default_factory=DecayedMean)
    adverse: DecayedMean = msgspec.field(default_factory=DecayedMean)
    markouts: dict[int, DecayedMean] = {}

    def add(self, order: OrderFigures, now_ns: int, config: QualityConfig) -> None:
        """Take one finished order."""
        pairs = (
            (self.rejects, float(order.was_rejected)),
            (self.touch_slippage, order.touch_slippage_bps),
            (self.mid_slippage, order.mid_slippage_bps),
            (self.fill_ratio, order.fill_ratio),
            (self.time_to_fill_ms, order.time_to_fill_ms),
            (self.adverse, order.adverse_bps),
        )
        for mean, value in pairs:
            if value is not None and math.isfinite(value):
                mean.add(value, now_ns, config)
        for horizon_s, value in order.markouts_bps.items():
            if horizon_s not in self.markouts:
                self.markouts[horizon_s] = DecayedMean()
            self.markouts[horizon_s].add(value, now_ns, config)

    def markout(self, horizon_s: int) -> float | None:
        mean = self.markouts.get(horizon_s)
        return mean.value if mean else None

    def adverse_bps(self, min_orders: int, now_ns: int, config: QualityConfig) -> float:
        """The cost to expect of our own maker entries, bps >= 0; 0 until `min_orders` were measured.

        It is part of what an entry must pay for, so a bad one keeps away the entries that could better it:
        without new ones it halves with each `half_life_s`, in steps of ten minutes.
        """
        cost_bps = _counted(self.adverse, min_orders) or 0.0
        if cost_bps <= 0.0:
            return 0.0
        idle_steps = max(now_ns - self.adverse.last_ns, 0) // _FADE_STEP_NS
        return cost_bps * 2.0 ** -(idle_steps * _FADE_STEP_NS / _NS_PER_S / config.half_life_s)

    def next_fade_ns(self, now_ns: int) -> int | None:
        """When `adverse_bps` next changes by itself; None while there is nothing to fade."""
        if (self.adverse.value or 0.0) <= 0:
            return None
        steps = max(now_ns - self.adverse.last_ns, 0) // _FADE_STEP_NS
        return self.adverse.last_ns + (steps + 1) * _FADE_STEP_NS


def _counted(mean: DecayedMean, min_orders: int) -> float | None:
    return mean.total / mean.weight if mean.count >= min_orders and mean.weight > 0 else None


def penalties(
    figures: QualityFigures, config: QualityConfig, min_orders: int, now_ns: int
) -> dict[str, float]:
    """Part of the score each figure takes, in [0, 1]; a figure with too few orders takes nothing."""
    fill_ratio = _counted(figures.fill_ratio, min_orders)
    floor = config.fill_ratio_floor_pct / 100
    missing = 0.0 if fill_ratio is None or not floor else 1 - fill_ratio / floor
    slippage_bps = _counted(figures.touch_slippage, min_orders) or 0.0
    adverse_bps = figures.adverse_bps(min_orders, now_ns, config)
    rejects = _counted(figures.rejects, min_orders) or 0.0
    return {
        "slippage": _part(slippage_bps / config.slippage_worst_bps),
        "adverseMarkout": _part(adverse_bps / config.markout_worst_bps),
        "rejects": _part(rejects * 100 / config.reject_worst_pct),
        "fillRatio": _part(max(missing, 0.0) * config.fill_ratio_weight),
    }


def _part(share: float) -> float:
    return 0.0 if share <= 0.0 else min(share, 1.0)


def score(parts: dict[str, float]) -> float:
    """0 (worst) to 100."""
    left = 1.0
    for part in parts.values():
        left *= 1 - part
    return 100.0 * left


def in_words(figures: QualityFigures, parts: dict[str, float]) -> str:
    """The figures that cost most, worst first, for a reason a trader reads."""
    said = {
        "slippage": f"slippage {figures.touch_slippage.value or 0.0:.1f} bps beyond the touch",
        "adverseMarkout": f"{figures.adverse.value or 0.0:.1f} bps lost 5 s after maker entries",
        "rejects": f"{100 * (figures.rejects.value or 0.0):.0f} % of orders rejected",
        "fillRatio": f"{100 * (figures.fill_ratio.value or 0.0):.0f} % of entries filled",
    }
    worst = sorted((part, name) for name, part in parts.items() if part > 0.05)
    return ", ".join(said[name] for _, name in reversed(worst))
