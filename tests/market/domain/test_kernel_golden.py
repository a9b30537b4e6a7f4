"""The kernel against the slow reference, field by field (definitions: docs/features.md)."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings

from market.domain.config import MarketConfig
from tests.market.domain.streams import (
    Step,
    assert_same_frames,
    chunk_of,
    configs,
    kernel_frames,
    reference_frames,
    streams,
)

many = settings(
    max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True
)


@many
@given(steps=streams, config=configs)
def test_every_field_of_every_frame_equals_the_reference(
    steps: list[Step], config: MarketConfig
) -> None:
    chunk = chunk_of(steps, config)
    end_ns = int(chunk.core_ts_ns[-1]) + 3 * config.evaluation_interval_ms * 1_000_000

    frames = kernel_frames(chunk, config, end_ns)

    assert_same_frames(frames, reference_frames(chunk, config, end_ns=end_ns))
