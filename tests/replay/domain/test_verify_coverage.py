"""Time of which no journal speaks."""

from __future__ import annotations

from replay.domain.verify_coverage import Span, asked_spans, clipped, stretches_without


def test_only_what_is_longer_than_a_restart_counts() -> None:
    there = [Span(100, 130), Span(10, 50), Span(55, 60)]

    assert stretches_without([Span(0, 200)], there, 9) == [
        Span(0, 10),
        Span(60, 100),
        Span(130, 200),
    ]
    assert stretches_without([Span(0, 200)], there, 40) == [Span(130, 200)]


def test_what_overlaps_counts_once_and_nothing_at_all_is_one_stretch() -> None:
    assert stretches_without([Span(0, 100)], [Span(0, 90), Span(20, 40)], 9) == [Span(90, 100)]
    assert stretches_without([Span(0, 100)], [], 9) == [Span(0, 100)]


def test_an_open_window_asks_for_what_is_there() -> None:
    there = [Span(10, 20), Span(30, 40)]

    assert asked_spans(None, None, there) == []
    assert asked_spans(5, None, there) == [Span(5, 10)]
    assert asked_spans(None, 50, there) == [Span(40, 50)]
    assert asked_spans(5, 50, there) == [Span(5, 50)]


def test_spans_end_where_the_window_ends() -> None:
    assert clipped([Span(0, 10), Span(20, 40)], 5, 30) == [Span(5, 10), Span(20, 30)]
    assert clipped([Span(0, 10)], 10, None) == []
