"""What a client holds is what a fresh snapshot shows, whatever happened in between."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from market.domain.events import ASK, BID, EventKind
from monitoring.domain.panel import SequenceGap, apply_increment
from monitoring.domain.times import iso_of_ms
from monitoring.domain.view import (
    OVERVIEW,
    BeatsSeen,
    DashboardView,
    FeedGapSeen,
    InstrumentsSeen,
    LimitsSeen,
)
from strategy.domain.messages import (
    EventType,
    QualityView,
    StateEvent,
    SymbolState,
)
from tests.monitoring.domain.builders import (
    INSTRUMENTS,
    SPANS,
    SYMBOLS,
    T0_MS,
    a_beat,
    a_chunk,
    a_frame,
    a_held_position,
    a_position,
    a_risk,
    a_score,
    a_view,
    an_execution_snapshot,
    an_instrument,
    an_order,
    shown,
)

times = st.integers(0, 5_000)
prices = st.integers(499_000, 501_000).map(lambda ticks: ticks / 10)
statuses = st.sampled_from(["NEW", "PARTIALLY_FILLED", "FILLED", "CANCELED", "REJECTED"])
books = st.lists(
    st.tuples(st.sampled_from([BID, ASK]), st.integers(1, 9), st.integers(0, 3)), max_size=6
)

messages = st.one_of(
    st.builds(a_frame, prices, times, st.integers(0, 3), imb5=st.floats(-1, 1)),
    st.builds(
        an_order, st.sampled_from(["a", "b", "c"]), statuses, times, symbol=st.sampled_from(SYMBOLS)
    ),
    st.builds(a_position, st.sampled_from([0.0, 0.01, 0.02]), times, symbol=st.sampled_from(SYMBOLS)),
    st.builds(
        an_execution_snapshot,
        times,
        equity=st.floats(900, 1100),
        positions=st.sampled_from([(), (a_held_position(),)]),
        safe_mode_reasons=st.sampled_from([(), ("PANIC",)]),
        quality=st.dictionaries(
            st.sampled_from(SYMBOLS),
            st.builds(
                QualityView, score=st.floats(0, 100), blocked=st.booleans(), reason=st.text(max_size=3)
            ),
        ),
    ),
    st.builds(
        a_chunk,
        st.sampled_from([EventKind.BOOK_SNAPSHOT, EventKind.BOOK_DELTA, EventKind.FEED_GAP]),
        books,
        st.integers(0, 2),
    ),
    st.builds(FeedGapSeen),
    st.builds(
        a_score,
        symbol=st.sampled_from(SYMBOLS),
        final_score_long=st.floats(0, 100),
        contributions_long=st.dictionaries(st.sampled_from(["imb5", "ofi1s"]), st.floats(-3, 3)),
        needed_move_bps=st.floats(0, 9),
        blocked_reasons=st.sampled_from([(), ("regime PUMP",)]),
    ),
    st.builds(a_risk, times, heat_pct=st.floats(0, 3), reasons=st.sampled_from([(), ("heat",)])),
    st.builds(
        LimitsSeen,
        st.sampled_from([None, {"entryScore": 70.0, "maxHeatPct": 2.0}]),
        st.sampled_from([{}, {"BTCUSDT": {"entryScore": 80.0}}]),
    ),
    st.builds(
        BeatsSeen,
        st.integers(T0_MS, T0_MS + 9_000),
        st.sampled_from(
            [
                {"market": {"ts": iso_of_ms(T0_MS), "phase": "RUNNING"}},
                {"strategy": a_beat(configVersion="v7", configProblem="CONFIG_INVALID: no")},
                {"strategy": a_beat(configVersion="v8", latency={"frameToDecision": SPANS})},
            ]
        ),
    ),
    st.sampled_from([INSTRUMENTS, InstrumentsSeen((an_instrument(),))]),
    st.builds(
        StateEvent,
        ts_ns=times.map(lambda ms: (T0_MS + ms) * 10**6),
        symbol=st.sampled_from(SYMBOLS),
        from_state=st.sampled_from(SymbolState),
        to_state=st.sampled_from(SymbolState),
        event_type=st.sampled_from(EventType),
        reason=st.text(max_size=5),
    ),
)  # fmt: skip


class Client:
    """What a browser does: hold the snapshot, apply each increment; a panel that is gone is dropped."""

    def __init__(self) -> None:
        self.held: dict[str, dict[str, Any]] = {}

    def follow(self, view: DashboardView) -> None:
        for panel in list(self.held):
            if not view.has_panel(panel):
                del self.held[panel]
        for panel in view.panels():
            increment = view.drain(panel)
            if panel not in self.held:
                self.held[panel] = through_json(view.snapshot(panel))
            elif increment:
                self._apply(view, panel, through_json(increment))

    def _apply(self, view: DashboardView, panel: str, increment: dict[str, Any]) -> None:
        try:
            self.held[panel] = apply_increment(self.held[panel], increment)
        except SequenceGap:  # the symbol left and came back unseen: it is another panel now
            self.held[panel] = through_json(view.snapshot(panel))


def through_json(value: Any) -> Any:
    return msgspec.json.decode(msgspec.json.encode(value))


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(messages, st.booleans()), max_size=60))
def test_a_snapshot_and_all_increments_after_it_are_a_fresh_snapshot(
    story: list[tuple[Any, bool]],
) -> None:
    view, client = a_view(), Client()
    client.follow(view)

    for message, then_drain in story:
        view.apply(message)
        if then_drain:
            client.follow(view)
    client.follow(view)

    assert client.held == {panel: through_json(view.snapshot(panel)) for panel in view.panels()}


def test_series_longer_than_their_limit_keep_the_invariant() -> None:
    view, client = a_view(), Client()
    client.follow(view)

    for second in range(2_100):
        view.apply(a_frame(50_000 + second % 7, second * 1000))
        if second % 700 == 0:
            client.follow(view)
    client.follow(view)

    held = client.held["BTCUSDT"]
    assert held == through_json(view.snapshot("BTCUSDT"))
    assert len(held["state"]["candles"]) == 1800


def test_many_changes_between_two_drains_are_one_increment() -> None:
    view = a_view()

    for i in range(50):
        view.apply(a_frame(50_000 + i, i))
    increment = view.drain(OVERVIEW)

    assert increment is not None
    assert len(increment["ops"]) == 1
    assert view.drain(OVERVIEW) is None


def test_a_missed_increment_is_noticed() -> None:
    view = a_view()
    snapshot = view.snapshot(OVERVIEW)
    view.apply(a_frame(50_000))
    view.drain(OVERVIEW)
    view.apply(a_frame(50_001))
    increment = view.drain(OVERVIEW)

    assert increment is not None
    with pytest.raises(SequenceGap):
        apply_increment(snapshot, increment)


def test_a_snapshot_is_refused_while_changes_wait() -> None:
    view = a_view()

    view.apply(a_frame(50_000))

    with pytest.raises(RuntimeError, match="drain"):
        view.snapshot(OVERVIEW)


def test_a_symbol_that_left_the_table_takes_its_panel_and_row_along() -> None:
    view = a_view()

    view.apply(InstrumentsSeen((an_instrument(),)))

    assert view.panels() == (OVERVIEW, "BTCUSDT")
    assert set(shown(view)["symbols"]) == {"BTCUSDT"}


def test_a_symbol_that_comes_back_is_told_from_the_one_that_left() -> None:
    view = a_view()
    view.apply(an_order("e", symbol="ETHUSDT"))
    view.drain("ETHUSDT")
    held = view.snapshot("ETHUSDT")

    view.apply(InstrumentsSeen((an_instrument(),)))
    view.apply(INSTRUMENTS)
    increment = view.drain("ETHUSDT")

    assert increment is not None
    with pytest.raises(SequenceGap):
        apply_increment(held, increment)
