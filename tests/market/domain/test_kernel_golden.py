"""The kernel against the slow reference, field by field (definitions: docs/features.md)."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from market.domain.config import MarketConfig
from market.domain.kernel import MarketKernel
from market.recordings import open_market_data
from tests.market.domain.reference import Reference
from tests.market.domain.reference_parts import messages_of
from tests.market.domain.streams import (
    Step,
    assert_same_frames,
    chunk_of,
    configs,
    kernel_frames,
    market_chunk,
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


@settings(many, max_examples=25)
@given(seed=st.integers(0, 2**32), config=configs)
def test_a_busy_market_equals_the_reference(seed: int, config: MarketConfig) -> None:
    chunk = market_chunk(seed, 300, config)
    end_ns = int(chunk.core_ts_ns[-1]) + 3 * config.evaluation_interval_ms * 1_000_000

    frames = kernel_frames(chunk, config, end_ns)

    assert_same_frames(frames, reference_frames(chunk, config, end_ns=end_ns))


RECORDINGS = {
    "Bybit v5 capture": ("bybit_v5_raw/bybit_v5_public_20260809T2126.jsonl.gz", 100_000),
    "Bybit archive ob500": ("bybit_archive_ob500/xrpusdt-ob500.data.zip", 100_000),
    "Binance USD-M 2024": ("l2/binance_usdm_20240808/btcusdt_20240808.gz", 2_500),
    "Binance USD-M 2023": ("l2/binance_usdm_20230404/btcusdt_20230404.dat.gz", 2_500),
}


@pytest.mark.shared_data
@pytest.mark.parametrize("name", RECORDINGS)
def test_a_real_recording_equals_the_reference(name: str, shared: Path) -> None:
    """The whole of the short Bybit files; of the long ones as much as the reference can walk."""
    path, messages = RECORDINGS[name]
    data = open_market_data([shared / "data" / path])
    config, instruments = MarketConfig(warmup_s=5), tuple(data.instruments)
    kernel = MarketKernel(instruments, config)
    reference = Reference([(i.tick_size, i.qty_step) for i in instruments], config)
    left, compared = messages, 0

    for chunk in data.chunks:
        part = chunk.slice(0, min(len(chunk), left))
        left -= len(part)
        frames = kernel.process(part)
        assert_same_frames(
            frames, [frame for message in messages_of(part) for frame in reference.feed(message)]
        )
        compared += len(frames)
        if not left:
            break

    assert compared > 30
    ignored = {name for name, count in kernel.counters().items() if count}
    assert ignored <= {
        "capacity_evictions"
    }  # Binance diffs reach beyond the 1,000 levels it opens with
