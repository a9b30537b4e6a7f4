"""The core as a story: what it tells, the market, quality and new configs."""

from __future__ import annotations

import math

import msgspec
import numpy as np
import pytest

from strategy.domain.config import SymbolDecision
from strategy.domain.core import GLOBAL_SYMBOL, StrategyCore
from strategy.domain.messages import (
    EventType,
    ExecutionEvent,
    QualityView,
    RiskSnapshot,
    ScoreUpdate,
    StateEvent,
    StrategyOutput,
    SymbolState,
)
from tests.strategy.builders import (
    STRONG_LONG,
    STRONG_SHORT,
    Feed,
    a_config,
    a_position,
    a_snapshot,
    an_instrument,
    balanced,
)
from tests.strategy.desk import Desk, moves, requests


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


def test_safe_mode_is_judged_anew_by_a_core_that_is_put_back() -> None:
    desk = Desk().ready()
    calm = desk.core.full_state()
    desk.snapshot(safe_mode_reasons=("OPERATOR",))
    desk.core.restore_full(calm)

    on = desk.snapshot(safe_mode_reasons=("OPERATOR",))

    assert market_changes(on) == [("GLOBAL_RISK_OFF", "safe mode: OPERATOR")]


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
