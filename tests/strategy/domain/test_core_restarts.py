"""The core as a story: restarts of strategy, execution and market."""

from __future__ import annotations

from strategy.domain.messages import (
    EventType,
    ScoreUpdate,
    SymbolState,
)
from tests.strategy.builders import (
    STRONG_LONG,
    a_position,
    an_instrument,
)
from tests.strategy.desk import Desk, hints, requests


def test_a_restarted_strategy_adopts_positions_and_entries() -> None:
    desk = Desk(("BTCUSDT", "ETHUSDT", "XRPUSDT"), run_id="s2")
    desk.settle()

    desk.snapshot(positions=(a_position("BTCUSDT"),), pending_entries={"ETHUSDT": "s1-ETHUSDT-4"})

    assert desk.core.states() == {
        "BTCUSDT": SymbolState.IN_POSITION,
        "ETHUSDT": SymbolState.ENTRY_PENDING,
        "XRPUSDT": SymbolState.FLAT,
    }
    # why that entry was made is not known here, so nothing may be said in its favour
    assert hints(desk.frames(1, **STRONG_LONG)) == [False]


def test_an_unread_request_is_not_given_up_because_a_snapshot_does_not_show_it() -> None:
    desk = Desk()
    request = desk.entering()
    desk.core.note_request_written(request.request_id, "200-0")

    desk.snapshot(requests_stream_id="199-9")

    assert desk.state is SymbolState.ENTRY_PENDING


def test_a_read_request_that_a_snapshot_does_not_show_is_over() -> None:
    desk = Desk()
    request = desk.entering()
    desk.core.note_request_written(request.request_id, "200-0")

    desk.snapshot(requests_stream_id="200-0")

    assert desk.state is SymbolState.COOLDOWN


def test_a_request_whose_place_is_unknown_is_over_once_it_has_expired() -> None:
    desk = Desk()
    desk.entering()

    desk.frames(29, **STRONG_LONG)
    desk.snapshot()
    assert desk.state is SymbolState.ENTRY_PENDING
    desk.frames(2, **STRONG_LONG)
    desk.snapshot()

    assert desk.state is SymbolState.COOLDOWN


def test_a_position_that_vanished_while_news_was_missed_ends_in_cooldown() -> None:
    desk = Desk()
    desk.holding()
    desk.core.on_execution_gap()

    desk.snapshot(execution_run="x2", requests_stream_id="999-0")

    assert desk.state is SymbolState.COOLDOWN


def test_request_ids_stay_unique_when_market_restarts_and_numbers_frames_anew() -> None:
    desk = Desk()
    first = desk.entering()
    desk.tell(EventType.EXECUTION_ORDER_CANCELED, request_id=first.request_id, leg="ENTRY")
    desk.feed.restart()
    desk.settle(first.frame_seq / 10 - 0.3)
    desk.frames(20)
    desk.snapshot()
    desk.feed.restart()
    desk.frames(first.frame_seq - 3)
    desk.snapshot()

    (second,) = requests(desk.frames(3, **STRONG_LONG))

    assert second.frame_seq == first.frame_seq
    assert second.request_id != first.request_id


def test_scales_carried_over_spare_the_second_warm_up() -> None:
    old = Desk()
    old.settle()
    new = Desk(run_id="s2")
    new.feed = old.feed

    assert new.core.restore(old.core.state())
    new.snapshot()

    assert len(requests(new.frames(4, **STRONG_LONG))) == 1
    assert not new.core.restore(b"\x81torn")


def test_a_new_symbol_table_keeps_what_is_known_of_each_symbol() -> None:
    desk = Desk()
    desk.holding()

    desk.core.on_instruments([an_instrument("ETHUSDT"), an_instrument("BTCUSDT")])

    assert desk.core.states()["BTCUSDT"] is SymbolState.IN_POSITION
    frame = desk.feed.frame(symbol=0)
    frame["symbol"] = 1
    updates = [o for o in desk.core.on_frames(frame) if isinstance(o, ScoreUpdate)]
    assert {update.symbol for update in updates} <= {"BTCUSDT"}
