"""The core as a story: what it takes to ask for an entry."""

from __future__ import annotations

from typing import Any

import pytest

from market.domain.frames import BookState
from strategy.domain.messages import (
    ScoreUpdate,
    Side,
    SymbolState,
)
from tests.strategy.builders import (
    MS,
    STRONG_LONG,
    STRONG_SHORT,
    S,
)
from tests.strategy.desk import Desk, latest_score, moves, requests


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
