"""How long a command is on its way to the simulated venue."""

from __future__ import annotations

from execution.domain.config import ExecutionConfig
from execution.domain.venue import AmendOrder, CancelOrder, VenueCommand

_MASK = (1 << 64) - 1


def latency_ns(command: VenueCommand, config: ExecutionConfig, number: int) -> int:
    """Latency of the kind of command, and the jitter of the command with this number."""
    way_ms = float(config.sim_latency_ms)
    if isinstance(command, AmendOrder) and config.sim.amend_latency_ms >= 0:
        way_ms = config.sim.amend_latency_ms
    elif isinstance(command, CancelOrder) and config.sim.cancel_latency_ms >= 0:
        way_ms = config.sim.cancel_latency_ms
    most_ms = config.sim.latency_jitter_ms
    jitter_ms = most_ms * even_draw(config.sim.seed, number) if most_ms else 0.0
    return round((way_ms + jitter_ms) * 1e6)


def even_draw(seed: int, number: int) -> float:
    """A number in [0, 1) that depends on seed and number alone, so a restart draws no other.

    Source: SplitMix64 (Steele, Lea, Flood 2014).
    """
    x = (seed * 0x9E3779B97F4A7C15 + number * 0xD1B54A32D192ED03) & _MASK
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        x = ((x ^ (x >> shift)) * factor) & _MASK
    return float((x ^ (x >> 31)) >> 11) / float(1 << 53)
