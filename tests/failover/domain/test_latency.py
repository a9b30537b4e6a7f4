"""Histograms never understate a latency, add up, forget what is old, and know another clock's lead."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from failover.domain.latency import (
    ClockOffset,
    ClockSample,
    LatencyTable,
    LogHistogram,
    RollingLatency,
    latency_of,
)

S = 1_000_000_000
latencies = st.lists(st.integers(0, 20 * 60 * S), min_size=1, max_size=200)


def a_histogram(values: list[int]) -> LogHistogram:
    histogram = LogHistogram()
    histogram.add(np.array(values, np.int64))
    return histogram


@given(latencies, st.sampled_from([0.01, 0.5, 0.9, 0.99, 1.0]))
def test_a_percentile_is_never_too_low_and_hardly_too_high(values: list[int], share: float) -> None:
    histogram = a_histogram(values)

    exact = sorted(values)[max(int(np.ceil(share * len(values))), 1) - 1]
    found = histogram.percentile_ns(share)

    assert found is not None
    assert found >= exact or found == histogram.max_ns
    if 1000 <= exact < 2**30 * 1000:
        assert found <= exact * 2 ** (1 / 8) * (1 + 1e-9)
    assert histogram.max_ns == max(values)


@given(latencies, latencies)
def test_merged_histograms_are_the_histogram_of_all(some: list[int], others: list[int]) -> None:
    merged = a_histogram(some)

    merged.merge(a_histogram(others))

    assert merged.summary() == a_histogram(some + others).summary()


def test_nothing_measured_is_said_as_unknown_not_as_zero() -> None:
    assert LogHistogram().summary() == {
        "n": 0, "p50Ms": None, "p90Ms": None, "p99Ms": None, "maxMs": None,
    }  # fmt: skip


def test_a_latency_below_zero_counts_as_none_at_all() -> None:
    """Two clocks agree to half a round trip only."""
    histogram = a_histogram([-5_000_000])

    assert histogram.percentile_ns(0.5) == 0
    assert histogram.count == 1


def test_the_minute_forgets_what_the_hour_still_knows() -> None:
    rolling, begin_ns = RollingLatency(), 1_760_000_000 * S

    rolling.add(5_000_000, begin_ns)
    summary = rolling.summary(begin_ns + 61 * S)

    assert summary["minute"]["n"] == 0
    assert summary["hour"]["n"] == 1
    assert rolling.summary(begin_ns + 3700 * S)["hour"]["n"] == 0


def test_a_window_is_judged_once_it_is_whole() -> None:
    rolling, begin_ns = RollingLatency(), 1_760_000_000 * S  # a multiple of ten seconds

    rolling.add(7_000_000, begin_ns + 9 * S)

    assert rolling.summary(begin_ns + 9 * S)["window"]["n"] == 0
    assert rolling.summary(begin_ns + 10 * S)["window"]["maxMs"] == 7.0
    assert rolling.summary(begin_ns + 20 * S)["window"]["n"] == 0


def test_memory_does_not_grow_with_what_is_measured() -> None:
    rolling = RollingLatency()

    for second in range(0, 20_000, 7):
        rolling.add(second * 1000, second * S)

    assert len(rolling._minute._slots) == 6
    assert len(rolling._hour._slots) == 60


@given(
    lead_ns=st.integers(-5 * S, 5 * S),
    ways=st.lists(st.tuples(st.integers(0, S), st.integers(0, S)), min_size=1, max_size=12),
)
def test_the_offset_is_right_to_half_the_fastest_round_trip(
    lead_ns: int, ways: list[tuple[int, int]]
) -> None:
    offset = ClockOffset()

    for i, (there_ns, back_ns) in enumerate(ways):
        sent_ns = (i + 10) * 10 * S
        server_ns = sent_ns + there_ns + lead_ns
        offset.add(ClockSample(sent_ns, server_ns, sent_ns + there_ns + back_ns))

    assert offset.best is not None
    error_ns = abs(offset.best.offset_ns - lead_ns)
    assert error_ns <= min(there + back for there, back in ways) / 2 + 1


def test_a_clock_set_back_while_asking_is_passed_over() -> None:
    offset = ClockOffset()

    offset.add(ClockSample(10 * S, 10 * S, 9 * S))

    assert offset.best is None


def test_a_table_speaks_through_a_heartbeat() -> None:
    table = LatencyTable(("sentToAck",))
    table.add("sentToAck", 40_000_000, 100 * S)

    details = {"latency": table.summary(100 * S)}

    assert latency_of(details)["sentToAck"]["minute"]["p50Ms"] == 40.0
    assert latency_of({"latency": "nonsense"}) == {}


def test_an_unknown_stage_is_a_mistake_of_the_program() -> None:
    with pytest.raises(KeyError):
        LatencyTable(("sentToAck",)).add("sentToack", 1, S)
