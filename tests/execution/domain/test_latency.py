"""Latency that lasts stops entries, and calm that lasts lets them go on."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from execution.domain.latency import JUDGED_STAGES, STAGES, LatencyJudge
from execution.domain.quality_config import LatencyConfig

CONFIG = LatencyConfig(latency_max_ms=100.0, latency_windows=3)


def judged(*windows: dict[str, float | None]) -> LatencyJudge:
    judge = LatencyJudge()
    for window in windows:
        judge.on_window(window, CONFIG)
    return judge


def test_one_slow_window_is_no_reason_three_in_a_row_are() -> None:
    slow: dict[str, float | None] = {"sentToAck": 180.0, "receiveToFrame": 120.0}

    assert judged(slow, slow).text == ""
    assert judged(slow, {}, slow, slow).text == ""
    assert judged(slow, slow, slow).text == (
        "sentToAck took 180 ms (p90), above 100 ms for 3 windows of 10 s"
    )


def test_it_ends_after_as_many_calm_windows() -> None:
    slow: dict[str, float | None] = {"frameToDecision": 500.0}

    assert judged(slow, slow, slow, {}, {}).text != ""
    assert judged(slow, slow, slow, {}, slow, {}, {}).text != ""
    assert judged(slow, slow, slow, {}, {}, {}).text == ""


def test_a_resting_order_and_a_slow_browser_are_not_judged() -> None:
    waiting: dict[str, float | None] = {"ackToFill": 60_000.0, "eventToBrowser": 60_000.0}

    assert judged(waiting, waiting, waiting).text == ""


def test_a_stage_nobody_measured_says_nothing_against_it() -> None:
    assert judged({"sentToAck": None}, {}, {"sentToAck": None}).text == ""


windows = st.lists(
    st.dictionaries(st.sampled_from(STAGES), st.none() | st.floats(0, 1000)), max_size=40
)


@given(windows)
def test_the_reason_stands_exactly_from_three_slow_to_three_calm_windows(
    story: list[dict[str, float | None]],
) -> None:
    judge, slow_in_row, calm_in_row, expected = LatencyJudge(), 0, 0, False
    for window in story:
        judge.on_window(window, CONFIG)
        is_slow = any((window.get(stage) or 0) > 100 for stage in JUDGED_STAGES)
        slow_in_row, calm_in_row = (slow_in_row + 1, 0) if is_slow else (0, calm_in_row + 1)
        if slow_in_row >= 3:
            expected = True
        elif calm_in_row >= 3:
            expected = False
        assert bool(judge.text) is expected
