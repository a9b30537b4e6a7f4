"""The core as a story: a pending entry, a position, and their ends."""

from __future__ import annotations

from strategy.domain.messages import (
    EventType,
    Side,
    SymbolState,
)
from tests.strategy.builders import (
    STRONG_LONG,
    STRONG_SHORT,
    a_position,
)
from tests.strategy.desk import Desk, hints, requests


def test_execution_hears_that_the_signal_holds_and_at_once_that_it_faded() -> None:
    desk = Desk()
    desk.entering()

    holding = desk.frames(11, **STRONG_LONG)
    faded = desk.frames(1, **STRONG_SHORT)

    assert hints(holding) == [True, True]
    assert hints(faded) == [False]


def test_an_entry_not_filled_in_time_is_cancelled_and_asked_again_until_it_ends() -> None:
    desk = Desk()
    request = desk.entering()

    before = desk.frames(29, **STRONG_LONG)
    due = desk.frames(1, **STRONG_LONG)
    again = desk.frames(30, **STRONG_LONG)

    assert requests(before) == []
    (cancel,) = requests(due)
    assert cancel.action == "CANCEL_ENTRY"
    assert cancel.request_id != request.request_id
    assert [item.action for item in requests(again)] == ["CANCEL_ENTRY"]
    desk.tell(EventType.EXECUTION_ORDER_CANCELED, request_id=request.request_id, leg="ENTRY")
    assert desk.state is SymbolState.COOLDOWN


def test_a_refused_entry_cools_down_and_then_may_be_tried_again() -> None:
    desk = Desk(strategy={"edge_coef": 5.0, "cooldown_s": 2.0})
    request = desk.entering()

    desk.tell(
        EventType.EXECUTION_ORDER_REJECTED,
        request_id=request.request_id, leg="ENTRY", reason="NO",
    )  # fmt: skip

    assert desk.state is SymbolState.COOLDOWN
    assert requests(desk.frames(19, **STRONG_LONG)) == []
    assert len(requests(desk.frames(1, **STRONG_LONG))) == 1


def test_a_partial_fill_goes_on_as_a_smaller_position() -> None:
    desk = Desk()
    request = desk.entering()

    desk.tell(
        EventType.EXECUTION_ORDER_CANCELED,
        request_id=request.request_id, leg="ENTRY", filled_lots=3, position_lots=3,
    )  # fmt: skip

    assert desk.state is SymbolState.IN_POSITION


def test_news_of_an_older_request_moves_nothing() -> None:
    desk = Desk()
    desk.entering()

    desk.tell(EventType.EXECUTION_ORDER_REJECTED, request_id="s0-BTCUSDT-9", leg="ENTRY")
    desk.tell(EventType.EXECUTION_POSITION_CLOSED, plan_id="s0-BTCUSDT-9")

    assert desk.state is SymbolState.ENTRY_PENDING
    assert desk.core.stale_events == 2


def test_safe_mode_takes_a_pending_entry_back() -> None:
    desk = Desk()
    desk.entering()

    outputs = desk.tell(EventType.SAFE_MODE_ON, symbol="", reason="OPERATOR")

    assert [item.action for item in requests(outputs)] == ["CANCEL_ENTRY"]
    assert hints(desk.frames(1, **STRONG_LONG)) == [False]


def test_a_lost_day_takes_a_pending_entry_back() -> None:
    desk = Desk()
    request = desk.entering()
    outputs = desk.snapshot(
        pending_entries={"BTCUSDT": request.request_id}, realized_pnl_today=-250.0, equity=9_750.0
    )

    assert [item.action for item in requests(outputs)] == ["CANCEL_ENTRY"]
    assert requests(desk.frames(10, **STRONG_LONG)) == []


def test_a_day_lost_further_waits_for_the_forced_close_and_insists_on_it() -> None:
    desk = Desk()
    lost = {"realized_pnl_today": -400.0, "equity": 9_600.0, "positions": (a_position(),)}
    desk.settle()
    desk.snapshot(**lost)
    assert desk.state is SymbolState.EXIT_PENDING
    for _ in range(5):
        desk.snapshot(**lost)
        outputs = desk.frames(10)

    assert [item.action for item in requests(outputs)] == ["CLOSE"]


def test_a_position_lives_until_it_is_closed_then_cools_down() -> None:
    desk = Desk()
    request = desk.holding()
    assert desk.state is SymbolState.IN_POSITION
    assert requests(desk.frames(50, **STRONG_LONG)) == []

    desk.tell(EventType.EXECUTION_POSITION_CLOSED, plan_id=request.request_id, leg="STOP")

    assert desk.state is SymbolState.COOLDOWN
    desk.frames(270)
    desk.snapshot()
    assert requests(desk.frames(29, **STRONG_LONG)) == []
    assert len(requests(desk.frames(3, **STRONG_LONG))) == 1


def test_fills_of_stop_and_take_profits_are_executions_own_business() -> None:
    desk = Desk()
    desk.holding()

    for leg in ("STOP", "TP1", "TP2", "DCA1"):
        desk.tell(EventType.EXECUTION_ORDER_FILLED, request_id="s1-BTCUSDT-53", leg=leg)

    assert desk.state is SymbolState.IN_POSITION
    assert desk.core.stale_events == 0


def test_an_armed_opposite_score_closes_only_where_configured() -> None:
    keeps = Desk()
    keeps.holding()
    closes = Desk(strategy={"edge_coef": 5.0, "close_on_opposite": True})
    closes.holding()

    assert requests(keeps.frames(5, **STRONG_SHORT)) == []
    (close,) = requests(closes.frames(5, **STRONG_SHORT))
    assert close.action == "CLOSE"
    assert close.side is Side.LONG


REVERSING = {"edge_coef": 5.0, "close_on_opposite": True, "reverse_on_opposite": True}


def test_a_reversal_closes_waits_to_be_flat_and_then_opens_the_other_side() -> None:
    desk = Desk(strategy=REVERSING)
    desk.holding()

    (close,) = requests(desk.frames(5, **STRONG_SHORT))
    assert close.action == "CLOSE"
    assert requests(desk.frames(5, **STRONG_SHORT)) == []
    desk.tell(EventType.EXECUTION_POSITION_CLOSED, leg="CLOSE")
    assert desk.state is SymbolState.ARM
    (opening,) = requests(desk.frames(1, **STRONG_SHORT))

    assert (opening.action, opening.side) == ("OPEN", Side.SHORT)
    assert opening.request_id != close.request_id


def test_a_reversal_whose_signal_faded_meanwhile_opens_nothing() -> None:
    desk = Desk(strategy=REVERSING)
    desk.holding()
    desk.frames(5, **STRONG_SHORT)
    desk.tell(EventType.EXECUTION_POSITION_CLOSED, leg="CLOSE")

    assert requests(desk.frames(20)) == []
    assert desk.state is SymbolState.FLAT


def test_a_reversal_is_dropped_in_safe_mode() -> None:
    desk = Desk(strategy=REVERSING)
    desk.holding()
    desk.frames(5, **STRONG_SHORT)
    desk.tell(EventType.SAFE_MODE_ON, symbol="", reason="OPERATOR")
    desk.tell(EventType.EXECUTION_POSITION_CLOSED, leg="CLOSE")

    assert desk.state is SymbolState.COOLDOWN


def test_panic_makes_everything_wait_for_its_end() -> None:
    desk = Desk()
    desk.holding()

    desk.tell(EventType.PANIC_CLOSE_TRIGGERED, symbol="", reason="OPERATOR")
    assert desk.state is SymbolState.EXIT_PENDING
    outputs = desk.frames(51)

    assert [item.action for item in requests(outputs)] == ["CLOSE"]
    desk.snapshot()
    assert desk.state is SymbolState.COOLDOWN


def test_an_execution_error_is_left_by_recovery_not_by_time_or_snapshots() -> None:
    desk = Desk()
    desk.holding()
    desk.tell(EventType.EXECUTION_ERROR, reason="no margin")
    desk.frames(400, **STRONG_LONG)
    desk.snapshot()
    assert desk.state is SymbolState.ERROR

    desk.tell(EventType.POSITION_RESYNC, position_lots=10)

    assert desk.state is SymbolState.IN_POSITION


def test_a_refused_request_is_a_rejection_and_not_an_error_that_stops_the_symbol() -> None:
    desk = Desk()
    request = desk.entering()
    for kind in (EventType.EXECUTION_ORDER_REJECTED, EventType.EXECUTION_ERROR):
        desk.tell(
            kind, request_id=request.request_id, plan_id=request.request_id, leg="ENTRY",
            status="REJECTED", reason="SPREAD_TOO_WIDE",
        )  # fmt: skip

    assert desk.state is SymbolState.COOLDOWN


def test_a_restarted_execution_ends_an_error() -> None:
    desk = Desk()
    desk.holding()
    desk.tell(EventType.EXECUTION_ERROR, reason="?")

    desk.snapshot(execution_run="x2")

    assert desk.state is SymbolState.COOLDOWN
