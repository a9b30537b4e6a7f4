"""When an event is due: tied to the clock at one point, so that nothing adds up."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from replay.domain.pacing import NEVER_NS, Lateness, PaceClock

SECOND_NS = 1_000_000_000


def begun(speed: float | None) -> PaceClock:
    clock = PaceClock(speed)
    clock.begin(1_000 * SECOND_NS, 50 * SECOND_NS)
    return clock


@given(speed=st.floats(0.1, 1000), after_ns=st.integers(0, 3600 * SECOND_NS))
def test_an_event_is_due_at_its_distance_from_the_first_and_no_rounding_adds_up(
    speed: float, after_ns: int
) -> None:
    due_ns = begun(speed).due_ns(1_000 * SECOND_NS + after_ns)

    assert due_ns - 50 * SECOND_NS == pytest.approx(after_ns / speed, abs=1)


def test_another_speed_holds_from_the_market_time_reached() -> None:
    clock = begun(2.0)

    clock.set_speed(10.0, 53 * SECOND_NS, market_ns=1_005 * SECOND_NS)

    assert clock.reached_ns(53 * SECOND_NS) == 1_006 * SECOND_NS
    assert clock.due_ns(1_016 * SECOND_NS) == 54 * SECOND_NS


def test_a_pause_costs_the_market_no_time() -> None:
    clock = begun(1.0)
    clock.pause(52 * SECOND_NS, market_ns=1_001 * SECOND_NS)

    assert clock.due_ns(1_003 * SECOND_NS) == NEVER_NS
    clock.resume(90 * SECOND_NS)
    assert clock.due_ns(1_003 * SECOND_NS) == 91 * SECOND_NS


def test_out_of_max_the_pace_begins_where_the_market_is() -> None:
    """At "max" the clock knows no market time: only what was handed out does."""
    clock = begun(None)
    assert clock.reached_ns(51 * SECOND_NS) == NEVER_NS

    clock.set_speed(1.0, 51 * SECOND_NS, market_ns=4_000 * SECOND_NS)

    assert clock.due_ns(4_002 * SECOND_NS) == 53 * SECOND_NS


def test_a_pause_before_the_first_event_keeps_it_back() -> None:
    clock = PaceClock(1.0)
    clock.pause(10, market_ns=0)
    clock.begin(5 * SECOND_NS, 20)

    assert clock.due_ns(5 * SECOND_NS) == NEVER_NS
    clock.resume(30)
    assert clock.due_ns(5 * SECOND_NS) == 30


def test_lateness_tells_the_percentile_within_a_fifth_and_never_beyond_the_worst() -> None:
    late = Lateness()
    late.note(np.full(990, 1_000_000))
    late.note(np.full(10, 40_000_000))

    assert late.percentile_ms(50) == pytest.approx(1.0, rel=0.2)
    assert late.percentile_ms(99.5) == pytest.approx(40.0, rel=0.2)
    assert late.percentile_ms(100) <= late.worst_ms == 40.0
    assert late.messages == 1000
