"""The core as a story: frames and news in, requests and state events out."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import numpy as np
import pytest

from market.domain.frames import BookState
from strategy.domain.config import SymbolDecision
from strategy.domain.core import GLOBAL_SYMBOL, StrategyCore
from strategy.domain.messages import (
    EventType,
    ExecutionEvent,
    OrderRequest,
    QualityView,
    RepriceHint,
    RiskSnapshot,
    ScoreUpdate,
    Side,
    StateEvent,
    StrategyOutput,
    SymbolState,
)
from tests.strategy.builders import (
    MS,
    STRONG_LONG,
    STRONG_SHORT,
    Feed,
    S,
    a_config,
    a_position,
    a_snapshot,
    an_event,
    an_instrument,
    balanced,
)


class Desk:
    """A core with one symbol, its feed, and all it has said so far."""

    def __init__(self, symbols: tuple[str, ...] = ("BTCUSDT",), **options: Any) -> None:
        earlier = options.pop("earlier_requests_id", "")
        run_id = options.pop("run_id", "s1")
        self.feed = Feed(len(symbols))
        instruments = [an_instrument(name) for name in symbols]
        self.core = StrategyCore(instruments, a_config(**options), run_id, earlier)
        self.said: list[StrategyOutput] = []

    def frames(self, count: int = 1, **values: Any) -> list[StrategyOutput]:
        return self._note(self.core.on_frames(self.feed.frames(count, **values)))

    def settle(self, seconds: float = 5.0) -> list[StrategyOutput]:
        return self._note(self.core.on_frames(balanced(self.feed, seconds)))

    def snapshot(self, **changes: Any) -> list[StrategyOutput]:
        message = a_snapshot(self.feed.now_ns, **changes)
        return self._note(self.core.on_execution(message, self.feed.now_ns))

    def tell(self, event_type: EventType, **values: Any) -> list[StrategyOutput]:
        event = an_event(event_type, self.feed.now_ns, **values)
        return self._note(self.core.on_execution(event, self.feed.now_ns))

    def ready(self) -> Desk:
        """Warm, adopted, flat: the next strong frames may enter."""
        self.settle()
        self.snapshot()
        return self

    def entering(self) -> OrderRequest:
        """Ready, then a strong long signal: the OPEN request it leads to."""
        self.ready()
        (request,) = requests(self.frames(3, **STRONG_LONG))
        return request

    def holding(self) -> OrderRequest:
        """The entry of `entering` has filled."""
        request = self.entering()
        self.tell(
            EventType.EXECUTION_ORDER_FILLED,
            request_id=request.request_id, leg="ENTRY", position_lots=10,
        )  # fmt: skip
        return request

    @property
    def state(self) -> SymbolState:
        return self.core.states()["BTCUSDT"]

    def _note(self, outputs: list[StrategyOutput]) -> list[StrategyOutput]:
        self.said += outputs
        return outputs


def requests(outputs: list[StrategyOutput]) -> list[OrderRequest]:
    return [item for item in outputs if isinstance(item, OrderRequest)]


def hints(outputs: list[StrategyOutput]) -> list[bool]:
    return [item.signal_holds for item in outputs if isinstance(item, RepriceHint)]


def moves(outputs: list[StrategyOutput]) -> list[tuple[SymbolState, SymbolState]]:
    return [(e.from_state, e.to_state) for e in outputs if isinstance(e, StateEvent)]


def latest_score(outputs: list[StrategyOutput]) -> ScoreUpdate:
    return [item for item in outputs if isinstance(item, ScoreUpdate)][-1]


# -- the way in ---------------------------------------------------------------------------------------


def test_three_strong_boundary_frames_arm_and_ask_for_an_entry() -> None:
    desk = Desk().ready()

    two = desk.frames(2, **STRONG_LONG)
    third = desk.frames(1, **STRONG_LONG)

    assert requests(two) == []
    (request,) = requests(third)
    assert request.action == "OPEN"
    assert request.side is Side.LONG
    assert request.request_id == f"s1-BTCUSDT-{request.frame_seq}"
    assert request.decision_ts_ns == desk.feed.now_ns
    assert request.valid_until_ns == desk.feed.now_ns + 2000 * MS
    assert request.config_version == "test:1"
    assert request.regime == "NORMAL"
    assert request.plan is not None
    assert request.plan.plan_id == request.request_id
    assert moves(two) == [(SymbolState.FLAT, SymbolState.WATCH)]
    assert moves(third) == [
        (SymbolState.WATCH, SymbolState.ARM),
        (SymbolState.ARM, SymbolState.ENTRY_PENDING),
    ]


def test_a_strong_short_enters_short() -> None:
    desk = Desk().ready()

    (request,) = requests(desk.frames(3, **STRONG_SHORT))

    assert request.side is Side.SHORT
    assert request.plan is not None
    assert request.plan.stop.price_ticks > request.plan.entry.price_ticks  # type: ignore[operator]


def test_strength_must_come_in_a_row_and_on_one_side() -> None:
    desk = Desk().ready()

    for values in (STRONG_LONG, STRONG_LONG, {}, STRONG_LONG, STRONG_LONG, STRONG_SHORT):
        assert requests(desk.frames(1, **values)) == []


def test_nothing_signals_before_the_warm_up() -> None:
    desk = Desk()
    desk.snapshot()

    outputs = desk.frames(9, **STRONG_LONG)

    assert desk.state is SymbolState.FLAT
    assert "warming up: not enough data yet" in latest_score(outputs).blocked_reasons


def test_a_frame_that_is_not_warm_itself_does_not_signal() -> None:
    desk = Desk().ready()

    desk.frames(5, warm=0, **STRONG_LONG)

    assert desk.state is SymbolState.FLAT


def test_a_move_that_does_not_pay_its_cost_arms_but_does_not_enter() -> None:
    desk = Desk(strategy={"edge_coef": 0.001}).ready()

    outputs = desk.frames(10, **STRONG_LONG)

    assert desk.state is SymbolState.ARM
    assert requests(outputs) == []
    assert any("does not pay" in text for text in latest_score(outputs).blocked_reasons)
    assert not latest_score(outputs).signal_long


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"book_state": BookState.STALE}, "regime STALE"),
        ({"spread_bps": 16.0}, "regime ILLIQUID"),
        ({"bid_depth_usd20": 1_000.0}, "regime ILLIQUID"),
    ],
)
def test_a_bad_book_disarms_and_stays_out_until_it_was_calm(
    values: dict[str, Any], words: str
) -> None:
    desk = Desk(strategy={"edge_coef": 0.001}).ready()
    desk.frames(5, **STRONG_LONG)
    assert desk.state is SymbolState.ARM

    outputs = desk.frames(6, **(STRONG_LONG | values))

    assert desk.state is SymbolState.FLAT
    assert any(words in text for text in latest_score(outputs).blocked_reasons)
    desk.frames(190, **STRONG_LONG)  # 19 s of calm
    assert desk.state is SymbolState.FLAT
    desk.frames(20, **STRONG_LONG)
    assert desk.state is SymbolState.ARM


def test_a_gap_in_the_feed_disarms() -> None:
    desk = Desk().ready()
    desk.frames(2, **STRONG_LONG)
    desk.feed.now_ns += 4 * S
    desk.snapshot()

    assert requests(desk.frames(2, **STRONG_LONG)) == []
    assert len(requests(desk.frames(1, **STRONG_LONG))) == 1


def test_scores_that_tremble_at_the_threshold_do_not_flap() -> None:
    desk = Desk(strategy={"edge_coef": 0.001, "score_hysteresis": 10.0}).ready()
    desk.frames(5, **STRONG_LONG)
    seen = len(moves(desk.said))
    at_66 = dict.fromkeys(STRONG_LONG, 0.07)

    score = latest_score(desk.frames(10, **at_66))

    assert 60 < score.final_score_long < 70
    assert len(moves(desk.said)) == seen
    assert desk.state is SymbolState.ARM


# -- what must be known first ---------------------------------------------------------------------------


def test_no_entry_before_execution_has_said_what_it_holds() -> None:
    desk = Desk()
    desk.settle()

    outputs = desk.frames(20, **STRONG_LONG)

    assert requests(outputs) == []
    assert desk.state is SymbolState.ARM
    assert "waiting for execution to say what it holds" in latest_score(outputs).blocked_reasons
    desk.snapshot()
    assert len(requests(desk.frames(1, **STRONG_LONG))) == 1


def test_requests_of_an_earlier_run_must_be_read_or_dead_before_anything_is_asked_for() -> None:
    unread = Desk(earlier_requests_id="100-5")
    unread.settle(2.0)

    unread.snapshot(requests_stream_id="100-4")
    assert not unread.core.adopted
    unread.snapshot(requests_stream_id="100-5")
    assert unread.core.adopted

    dead = Desk(earlier_requests_id="100-5")
    dead.settle(2.0)
    dead.snapshot()
    assert not dead.core.adopted
    dead.frames(20)
    dead.snapshot()
    assert dead.core.adopted


def test_missed_news_stops_entries_until_the_next_snapshot() -> None:
    desk = Desk().ready()
    desk.core.on_execution_gap()

    assert requests(desk.frames(5, **STRONG_LONG)) == []
    desk.snapshot()
    assert len(requests(desk.frames(1, **STRONG_LONG))) == 1


def test_a_silent_execution_stops_entries() -> None:
    desk = Desk().ready()
    desk.frames(55)

    outputs = desk.frames(10, **STRONG_LONG)

    assert requests(outputs) == []
    assert any("execution silent" in text for text in latest_score(outputs).blocked_reasons)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"safe_mode_reasons": ("OPERATOR",)}, "safe mode: OPERATOR"),
        ({"trading_enabled": False}, "trading is switched off"),
        ({"losses_in_row": 4}, "4 losses in a row"),
        ({"realized_pnl_today": -300.0, "equity": 9_700.0}, "day's loss"),
        ({"trades_this_hour": 60}, "60 entries this hour"),
    ],
)
def test_what_the_account_forbids_keeps_the_signal_visible_but_asks_for_nothing(
    changes: dict[str, Any], words: str
) -> None:
    desk = Desk()
    desk.settle()
    desk.snapshot(**changes)

    outputs = desk.frames(10, **STRONG_LONG)

    assert requests(outputs) == []
    assert desk.state is SymbolState.ARM
    assert latest_score(outputs).signal_long
    assert any(words in text for text in latest_score(outputs).blocked_reasons)


def test_a_loss_streak_pauses_for_its_time_and_no_longer() -> None:
    desk = Desk(loss_streak_pause_s=10)
    desk.settle()
    desk.snapshot(losses_in_row=4)
    for _ in range(9):
        assert requests(desk.frames(10, **STRONG_LONG)) == []
        desk.snapshot(losses_in_row=4)

    assert len(requests(desk.frames(20, **STRONG_LONG))) == 1


def test_pending_entries_of_other_symbols_count_as_positions() -> None:
    desk = Desk(("BTCUSDT", "ETHUSDT"), max_positions=1).ready()

    outputs = desk.frames(3, **STRONG_LONG)

    assert [request.symbol for request in requests(outputs)] == ["BTCUSDT"]
    refused = [o for o in outputs if isinstance(o, ScoreUpdate) and o.symbol == "ETHUSDT"][-1]
    assert refused.symbol == "ETHUSDT"
    assert desk.core.states()["ETHUSDT"] is SymbolState.ARM


# -- a pending entry --------------------------------------------------------------------------------------


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


# -- a position and its end -------------------------------------------------------------------------------


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


# -- restarts ------------------------------------------------------------------------------------------------


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


# -- what is told ------------------------------------------------------------------------------------------


def test_scores_are_published_at_most_twice_a_second_and_on_a_change_of_signal() -> None:
    desk = Desk().ready()
    desk.frames(1)

    quiet = [o for o in desk.frames(50) if isinstance(o, ScoreUpdate)]
    signal = [o for o in desk.frames(1, **STRONG_LONG) if isinstance(o, ScoreUpdate)]

    assert len(quiet) == 10
    assert [update.signal_long for update in signal] == [True]
    assert sum(signal[0].contributions.values()) > 0


def test_risk_is_published_each_second_once_the_account_is_known() -> None:
    desk = Desk()
    assert not [o for o in desk.settle(3.0) if isinstance(o, RiskSnapshot)]
    desk.snapshot()

    risks = [o for o in desk.frames(50) if isinstance(o, RiskSnapshot)]

    assert len(risks) in (5, 6)
    assert risks[0].equity == 10_000.0


def test_frames_of_unknown_symbols_are_dropped_and_counted() -> None:
    desk = Desk()
    frames = desk.feed.frames(3)
    frames["symbol"] = 7

    assert desk.core.on_frames(frames) == []
    assert desk.core.dropped_frames == 3


def test_decisions_do_not_depend_on_how_frames_are_batched() -> None:
    feed, rng = Feed(2), np.random.default_rng(3)
    frames = np.concatenate(
        [balanced(feed, 5)]
        + [
            feed.frames(int(rng.integers(1, 9)), **side)
            for side in (STRONG_LONG, STRONG_SHORT) * 20
        ]
    )
    patient = {"edge_coef": 5.0, "execution_silence_ms": 1_000_000}
    results = []
    for size in (1, 7, len(frames)):
        table = [an_instrument("BTCUSDT"), an_instrument("ETHUSDT")]
        core = StrategyCore(table, a_config(strategy=patient), "s1")
        outputs = core.on_execution(a_snapshot(int(frames["ts_ns"][0])), 0)
        for start in range(0, len(frames), size):
            outputs += core.on_frames(frames[start : start + size])
        results.append(outputs)

    assert {request.symbol for request in requests(results[0])} == {"BTCUSDT", "ETHUSDT"}
    assert len(moves(results[0])) > 10
    assert results[0] == results[1] == results[2]


def test_an_event_for_nobody_changes_nothing() -> None:
    desk = Desk().ready()

    outputs = desk.core.on_execution(
        ExecutionEvent(type=EventType.EXECUTION_ERROR, symbol="NOPEUSDT", ts_ns=1), 1
    )

    assert outputs == []
    assert desk.core.stale_events == 1


# -- the market, quality, config ---------------------------------------------------------------------------


def market_changes(outputs: list[StrategyOutput]) -> list[tuple[str, str]]:
    return [
        (str(output.extra["globalRegime"]), output.reason)
        for output in outputs
        if isinstance(output, StateEvent) and output.symbol == GLOBAL_SYMBOL
    ]


def test_safe_mode_is_risk_off_for_the_market() -> None:
    desk = Desk().ready()

    on = desk.snapshot(safe_mode_reasons=("OPERATOR",))
    off = desk.snapshot()

    assert market_changes(on) == [("GLOBAL_RISK_OFF", "safe mode: OPERATOR")]
    assert market_changes(off) == [("GLOBAL_NORMAL", "calm")]


def test_no_entry_leaves_while_the_leader_frightens_the_market_but_states_move() -> None:
    desk = Desk().ready()

    outputs = desk.frames(5, ret300s=-130.0, **STRONG_LONG)

    assert market_changes(outputs)[0][0] == "GLOBAL_RISK_OFF"
    assert requests(outputs) == []
    assert desk.state is SymbolState.ARM
    update = [output for output in desk.said if isinstance(output, ScoreUpdate)][-1]
    assert any("GLOBAL_RISK_OFF: BTCUSDT moved -130 bps" in r for r in update.blocked_reasons)
    assert update.global_regime == "GLOBAL_RISK_OFF"


def test_a_frightened_market_takes_a_pending_entry_back() -> None:
    desk = Desk()
    desk.entering()

    outputs = desk.frames(1, ret300s=-130.0, **STRONG_LONG)

    (cancel,) = requests(outputs)
    assert cancel.action == "CANCEL_ENTRY"
    assert cancel.global_regime == "GLOBAL_RISK_OFF"


@pytest.mark.parametrize("closes", [True, False])
def test_panic_closes_positions_where_that_is_configured(closes: bool) -> None:
    desk = Desk(strategy={"panic_closes": closes})
    desk.holding()

    outputs = desk.frames(3, ret300s=-260.0)

    assert [r.action for r in requests(outputs)] == (["CLOSE"] if closes else [])
    state = SymbolState.EXIT_PENDING if closes else SymbolState.IN_POSITION
    assert desk.state is state


def test_a_position_that_comes_to_light_in_a_panic_is_closed_too() -> None:
    desk = Desk(strategy={"panic_closes": True}).ready()
    desk.frames(1, ret300s=-260.0)
    desk.snapshot(positions=(a_position(),))
    assert desk.state is SymbolState.IN_POSITION

    assert [r.action for r in requests(desk.frames(1))] == ["CLOSE"]


def test_a_symbol_whose_orders_were_carried_out_badly_may_not_enter() -> None:
    desk = Desk().ready()
    bad = QualityView(blocked=True, score=31.0, reason="adverse markout 4.1 bps")
    desk.snapshot(quality={"BTCUSDT": bad})

    assert requests(desk.frames(5, **STRONG_LONG)) == []
    update = [output for output in desk.said if isinstance(output, ScoreUpdate)][-1]
    assert "execution quality: adverse markout 4.1 bps" in update.blocked_reasons

    desk.snapshot()
    assert len(requests(desk.frames(1, **STRONG_LONG))) == 1


def test_a_measured_adverse_markout_can_close_the_gate() -> None:
    desk = Desk().ready()
    costly = QualityView(adverse_markout_bps=1_000.0)
    desk.snapshot(quality={"BTCUSDT": costly})

    assert requests(desk.frames(5, **STRONG_LONG)) == []
    update = [output for output in desk.said if isinstance(output, ScoreUpdate)][-1]
    assert update.cost_parts["adverseMarkout"] == 1_000.0
    assert update.cost_bps == pytest.approx(sum(update.cost_parts.values()))
    assert any("does not pay" in reason for reason in update.blocked_reasons)


def test_a_new_config_holds_from_the_next_frame_on_and_is_named_by_each_decision() -> None:
    desk = Desk().ready()
    stricter = msgspec.structs.replace(a_config(strategy={"entry_score": 99.0}), version="test:2")

    assert desk.core.on_config(stricter) == []
    outputs = desk.frames(5, **STRONG_LONG)
    assert requests(outputs) == []
    assert {o.config_version for o in outputs if isinstance(o, StateEvent)} == {"test:2"}

    desk.core.on_config(msgspec.structs.replace(a_config(), version="test:3"))
    (request,) = requests(desk.frames(3, **STRONG_LONG))
    assert request.config_version == "test:3"


def test_one_symbol_may_have_thresholds_of_its_own() -> None:
    desk = Desk(symbols=("BTCUSDT", "ETHUSDT")).ready()
    base = a_config()
    strict = a_config(strategy={"entry_score": 99.0}).strategy
    own = {"BTCUSDT": SymbolDecision(strategy=strict, risk=base.risk)}

    desk.core.on_config(msgspec.structs.replace(base, symbols=own))

    assert {r.symbol for r in requests(desk.frames(3, **STRONG_LONG))} == {"ETHUSDT"}


def test_a_score_says_all_that_it_is_made_of() -> None:
    desk = Desk().ready()

    outputs = desk.frames(3, **STRONG_LONG)

    update = [output for output in outputs if isinstance(output, ScoreUpdate)][-1]
    pull = sum(update.contributions_long.values()) - sum(update.penalties.values())
    assert update.final_score_long == pytest.approx(100 / (1 + math.exp(-pull)))
    push = sum(update.contributions_short.values()) - sum(update.penalties.values())
    assert update.final_score_short == pytest.approx(100 / (1 + math.exp(-push)))
    assert set(update.penalties) == {"toxicity", "spread", "regimeProximity"}
    assert update.needed_move_bps == pytest.approx(1.5 * update.cost_bps)
    assert update.regime == "NORMAL"
    assert update.config_version == "test:1"
