"""The core: guards, requests, operators, and the test scenarios of phase 10 by their numbers."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest

from execution.domain.config import ExecutionConfig
from execution.domain.core import ExecutionCore
from execution.domain.guards import (
    GuardContext,
    GuardedOrder,
    validate_order_request,
)
from execution.domain.operator import OperatorAction
from execution.domain.outputs import LogLine
from execution.domain.trade import Quote
from execution.domain.venue import PlaceOrder
from market.domain.frames import FRAME_DTYPE, BookState
from strategy.domain.config import RiskConfig
from strategy.domain.messages import RiskFlags, Side

MS = 1_000_000


def last_error(world: Any) -> str:
    return str(world.rows("ORDER")[-1]["lastError"])


# -- phase 10, test scenarios -------------------------------------------------------------------------


def test_phase_10_test_1_sim_order_happy_path(world: Any) -> None:
    world.ask(plan=world.plan(type="MARKET", qty_lots=10, take_profits=()))
    world.wait(100)

    entry = [row for row in world.rows("ORDER") if row["leg"] == "ENTRY"][-1]
    assert entry["status"] == "FILLED"
    assert "EXECUTION_POSITION_OPENED" in world.event_types()
    assert world.core.snapshot(world.now_ns).positions[0].qty_lots == 10
    assert world.rows("POSITION")[-1]["qty"] == 0.01


def test_phase_10_test_2_spread_too_wide(world: Any) -> None:
    world.quote(spread_bps=15.1)
    world.ask()
    world.wait(100)

    row = world.rows("ORDER")[-1]
    assert (row["status"], row["lastError"]) == ("REJECTED", "SPREAD_TOO_WIDE")
    assert world.event_types() == ["EXECUTION_ORDER_REJECTED", "EXECUTION_ERROR"]
    assert {event.status for event in world.events()} == {"REJECTED"}
    assert world.core.trades == {}
    assert world.venue.open_orders() == ()


def test_phase_10_test_3_daily_loss_block(make_world: Any) -> None:
    world = make_world(limits=RiskConfig(daily_loss_limit_pct=0.001, daily_loss_close_pct=50.0))
    world.open_long()
    world.move_to(9_940)
    world.wait(200)
    assert world.core.book.realized_today_usdt < 0

    world.quote()
    world.ask()

    assert "RISK_ENGINE_BLOCK_GLOBAL" in last_error(world)


def test_phase_10_test_4_regime_pump_block(world: Any) -> None:
    world.ask(regime="PUMP")

    assert last_error(world) == "REGIME_BLOCK"


def test_phase_10_test_5_panic_close(world: Any) -> None:
    world.ask(plan=world.plan(type="MARKET"))
    world.ask(plan=world.plan(type="MARKET", symbol="ETHUSDT"))
    world.wait(150)
    assert len(world.core.snapshot(world.now_ns).positions) == 2

    result = world.operate(OperatorAction.PANIC_CLOSE_ALL)
    world.wait(200)

    closes = [x for x in world.lines("INTENT") if x["leg"] == "CLOSE"]
    assert {(x["type"], x["reduceOnly"]) for x in closes} == {("MARKET", True)}
    assert (result["ok"], result["closingPositions"]) == (True, 2)
    assert (world.position("BTCUSDT"), world.position("ETHUSDT")) == (0, 0)
    assert world.venue.open_orders() == ()
    assert world.core.snapshot(world.now_ns).safe_mode_reasons == ("PANIC",)
    assert "PANIC_CLOSE_TRIGGERED" in world.event_types()
    assert world.event_types().count("EXECUTION_POSITION_CLOSED") == 2


def test_phase_10_test_6_order_log_file(world: Any) -> None:
    world.open_long()
    world.move_to(9_940)
    world.wait(200)

    names = {
        "timestamp", "clientOrderId", "exchangeOrderId", "symbol", "side", "type", "timeInForce",
        "price", "triggerPrice", "qty", "reduceOnly", "status", "filledQty", "avgFillPrice",
        "notionalUsd", "mode", "source", "lastError", "kind", "requestId", "planId", "leg",
        "attempt", "epoch", "seq", "decisionTs",
    }  # fmt: skip
    orders = [line for line in world.lines() if "event" not in line]
    assert len(orders) > 10
    for line in orders:
        assert names <= set(line)
        assert msgspec.json.decode(msgspec.json.encode(line)) is not None
    assert [line["seq"] for line in world.lines()] == list(range(1, len(world.lines()) + 1))


def test_phase_10_test_7_execution_snapshot(world: Any) -> None:
    world.ask()
    row = world.core.execution_snapshot_row(world.now_ns)
    assert (row["mode"], row["pendingOrdersCount"], row["activeOrdersCount"]) == ("SIM", 1, 0)

    world.wait(100)

    row = world.core.execution_snapshot_row(world.now_ns)
    assert (row["pendingOrdersCount"], row["activeOrdersCount"]) == (0, 1)
    assert row["safeMode"] is False


# -- requests ------------------------------------------------------------------------------------------


def test_the_same_request_twice_is_one_order(world: Any) -> None:
    request = world.ask()
    before = len(world.outputs)
    world.outputs += world.desk.on_request(request, world.now_ns + MS)

    assert len(world.outputs) == before
    assert len(world.lines("INTENT")) == 1


def test_a_late_request_to_open_is_dead_and_a_late_close_is_not(world: Any) -> None:
    world.open_long()
    world.ask("CLOSE", valid_until_ns=0)
    world.wait(200)
    assert world.position() == 0

    world.quote()
    world.ask(valid_until_ns=world.now_ns - 1)

    assert last_error(world) == "REQUEST_EXPIRED"


def test_an_intent_comes_before_its_command_and_the_command_before_its_sent_line(
    world: Any,
) -> None:
    request_outputs: list[Any] = []
    world.desk.journal = lambda outputs: request_outputs.extend(outputs) or True
    world.ask()

    kinds = [
        o.record["kind"] if isinstance(o, LogLine) else type(o).__name__ for o in request_outputs
    ]
    assert kinds[:5] == ["RESULT", "INTENT", "SetLeverage", "PlaceOrder", "SENT"]
    assert isinstance(request_outputs[3], PlaceOrder)
    assert request_outputs[2].leverage == 5.0


def test_an_entry_whose_intent_cannot_be_written_stays_but_a_close_goes_out(world: Any) -> None:
    world.open_long()
    world.desk.journal = lambda _: False
    world.ask(plan=world.plan(symbol="ETHUSDT", type="MARKET"))
    world.ask("CLOSE")
    world.wait(200)

    assert world.position("BTCUSDT") == 0
    assert world.position("ETHUSDT") == 0
    refused = [r for r in world.rows("ORDER") if r["symbol"] == "ETHUSDT"][-1]
    assert (refused["status"], refused["lastError"]) == ("REJECTED", "ORDER_LOG_UNWRITABLE")


@pytest.mark.parametrize("action", ["OPEN", "CLOSE", "CANCEL_ENTRY", "NONSENSE"])
def test_a_request_for_an_unknown_symbol_is_answered_and_changes_nothing(
    world: Any, action: str
) -> None:
    world.ask(action, symbol="DOGEUSDT", plan=None if action != "OPEN" else world.plan())

    assert world.event_types() == ["EXECUTION_ORDER_REJECTED", "EXECUTION_ERROR"]
    assert {event.status for event in world.events()} == {"REJECTED"}
    assert world.core.trades == {}


# -- operators -------------------------------------------------------------------------------------------


def test_safe_mode_stops_entries_and_never_a_close(world: Any) -> None:
    world.open_long()
    world.operate(OperatorAction.SAFE_MODE_ON)
    world.ask(plan=world.plan(symbol="ETHUSDT"))
    assert last_error(world) == "SAFE_MODE"

    world.ask("CLOSE")
    world.wait(200)
    world.operate(OperatorAction.SAFE_MODE_OFF)
    world.quote("ETHUSDT")
    world.ask(plan=world.plan(symbol="ETHUSDT"))

    assert world.position() == 0
    assert "ETHUSDT" in world.core.trades


def test_trading_switched_off_refuses_entries_with_a_reason(world: Any) -> None:
    world.operate(OperatorAction.TRADING_OFF)
    world.ask()

    assert last_error(world) == "TRADING_DISABLED"


def test_cancel_orders_cancels_entries_and_leaves_protection_alone(world: Any) -> None:
    world.open_long()
    world.ask(plan=world.plan(symbol="ETHUSDT"))
    world.wait(100)

    result = world.operate(OperatorAction.CANCEL_ORDERS)
    world.wait(100)

    assert result["cancelledOrders"] == 1
    assert set(world.live()) == {"STOP", "TP1", "TP2"}


def test_a_command_without_a_reason_or_for_an_unknown_symbol_is_refused(world: Any) -> None:
    assert world.operate(OperatorAction.SAFE_MODE_ON, reason=" ")["ok"] is False
    assert world.operate(OperatorAction.PANIC_CLOSE_SYMBOL, symbol="DOGEUSDT")["ok"] is False
    assert world.core.book.safe_mode == {}


def test_a_days_loss_beyond_the_limit_closes_everything(make_world: Any) -> None:
    limits = RiskConfig(daily_loss_limit_pct=0.001, daily_loss_close_pct=0.002)
    world = make_world(limits=limits)
    world.open_long()
    world.move_to(9_960)  # above the stop, below what the day allows
    world.wait(1500)

    assert world.position() == 0
    assert world.rows("TRADE")[-1]["exitReason"] == "RISK_FORCE_CLOSE"


# -- guards ------------------------------------------------------------------------------------------------


def a_guarded(**changes: Any) -> GuardedOrder:
    fields = {
        "symbol": "BTCUSDT", "side": Side.LONG, "qty_lots": 100, "price_ticks": 10_000,
        "reduce_only": False,
    }  # fmt: skip
    return GuardedOrder(**{**fields, **changes})


def a_context(**changes: Any) -> GuardContext:
    quote = {
        "symbol": "BTCUSDT", "ts_ns": 0, "bid_ticks": 10_000, "ask_ticks": 10_001,
        "book_state": BookState.OK, "spread_bps": 1.0,
    }  # fmt: skip
    quote |= changes.pop("quote", {})
    return GuardContext(**{"now_ns": 0, "quote": Quote(**quote), **changes})


@pytest.mark.parametrize(
    ("order", "context", "reason"),
    [
        ({}, {"quote": {"spread_bps": 16.0}}, "SPREAD_TOO_WIDE"),
        ({}, {"quote": {"book_state": BookState.STALE}}, "BOOK_STALE"),
        ({}, {"now_ns": 7_000 * MS}, "BOOK_STALE"),
        ({}, {"quote": {"book_state": BookState.DEGRADED}}, "BOOK_DEGRADED"),
        ({}, {"quote": {"book_state": BookState.EMPTY}}, "NO_MARKET_DATA"),
        ({"price_ticks": 10_012}, {}, "SLIPPAGE_TOO_HIGH"),
        ({"price_ticks": 9_000}, {}, "PRICE_FAR_FROM_MID"),
        ({"qty_lots": 4}, {}, "NOTIONAL_TOO_SMALL"),
        ({"qty_lots": 0}, {}, "QTY_NOT_POSITIVE"),
        ({"valid_until_ns": -1}, {}, "REQUEST_EXPIRED"),
        ({"regime": "NEWS"}, {}, "REGIME_BLOCK"),
        ({"global_regime": "GLOBAL_PANIC"}, {}, "GLOBAL_PANIC_BLOCK"),
        ({}, {"flags": RiskFlags(risk_allow_new_positions=False)}, "RISK_ENGINE_BLOCK_GLOBAL"),
        ({}, {"flags": RiskFlags(risk_allow_new_long=False)}, "RISK_ENGINE_BLOCK_LONG"),
        (
            {"side": Side.SHORT},
            {"flags": RiskFlags(risk_allow_new_short=False)},
            "RISK_ENGINE_BLOCK_SHORT",
        ),
        ({}, {"safe_mode_reasons": ("PANIC",)}, "SAFE_MODE"),
        ({}, {"trading_enabled": False}, "TRADING_DISABLED"),
        ({}, {"open_orders": 40}, "MAX_OPEN_ORDERS"),
        ({}, {"is_duplicate": True}, "DUPLICATE_REQUEST"),
        ({}, {"symbol_is_busy": True}, "SYMBOL_BUSY"),
    ],
)
def test_each_guard_blocks_alone_with_its_own_reason(
    an_instrument: Any, order: dict[str, Any], context: dict[str, Any], reason: str
) -> None:
    result = validate_order_request(
        a_guarded(**order), a_context(**context), an_instrument("BTCUSDT"), ExecutionConfig()
    )

    assert not result.ok
    assert result.reasons == (reason,)


def test_an_entry_is_never_larger_than_one_market_order_can_close(an_instrument: Any) -> None:
    result = validate_order_request(
        a_guarded(qty_lots=60_000),  # 60 of at most 100 at rest, but 50 at market
        a_context(),
        an_instrument("BTCUSDT"),
        ExecutionConfig(max_notional_usdt=1e9),
    )

    assert (result.ok, result.qty_lots) == (True, 50_000)


def test_guards_say_every_reason_not_the_first(an_instrument: Any) -> None:
    context = a_context(trading_enabled=False, quote={"spread_bps": 99.0})

    result = validate_order_request(
        a_guarded(regime="DUMP"), context, an_instrument("BTCUSDT"), ExecutionConfig()
    )

    assert result.reasons == ("SPREAD_TOO_WIDE", "TRADING_DISABLED", "REGIME_BLOCK")


def test_a_closing_order_is_subject_to_sanity_alone(an_instrument: Any) -> None:
    context = a_context(
        trading_enabled=False,
        safe_mode_reasons=("PANIC",),
        flags=RiskFlags(risk_allow_new_positions=False),
        quote={"book_state": BookState.STALE, "spread_bps": 99.0},
    )

    result = validate_order_request(
        a_guarded(reduce_only=True, qty_lots=1, regime="DUMP"),
        context,
        an_instrument("BTCUSDT"),
        ExecutionConfig(),
    )

    assert result.ok


def test_too_large_an_order_is_cut_to_the_largest_notional_and_says_so(make_world: Any) -> None:
    world = make_world(ExecutionConfig(max_notional_usdt=30.0))
    world.ask(plan=world.plan(type="MARKET"))
    world.wait(150)

    entry = [row for row in world.rows("ORDER") if row["leg"] == "ENTRY"]
    assert world.position() == 29  # at the ask, 1,000.1 USDT a coin
    assert any(row["lastError"] == "NOTIONAL_CUT_TO_MAX" for row in entry)
    assert (world.live()["TP1"].qty_lots, world.live()["STOP"].qty_lots) == (11, 29)


# -- state -------------------------------------------------------------------------------------------------


def test_a_restored_core_goes_on_exactly_where_the_other_stood(world: Any) -> None:
    """A managed trade survives whole: plan, legs, targets done, break-even and trailing extreme."""
    world.open_long()
    world.trade("BUY", 10_031, 40)
    world.mark(10_030)
    world.wait(50)
    world.move_to(10_045)
    world.wait(1200)
    state = world.core.state()
    before = world.core.trades["BTCUSDT"]

    other = ExecutionCore(world.instruments, world.config, "SIM", "run-2")
    other.restore(state, new_epoch=False)

    after = other.trades["BTCUSDT"]
    assert msgspec.to_builtins(after) == msgspec.to_builtins(before)
    assert (after.break_even_moved, after.tp_filled_lots) == (True, {"TP1": 40})
    assert after.extreme_ticks == 10_045.0
    world.desk.core = other
    world.move_to(9_900)
    world.wait(300)
    assert world.position() == 0


def test_hearing_the_whole_venue_twice_changes_nothing(world: Any) -> None:
    heard: list[Any] = []
    listen = world.core.on_venue

    def twice(update: Any, now_ns: int) -> list[Any]:
        heard.append(update)
        return [*listen(update, now_ns), *(o for u in heard for o in listen(u, now_ns))]

    world.core.on_venue = twice
    world.open_long()
    world.move_to(9_940)
    world.wait(300)

    fills = [line["execId"] for line in world.lines("FILL")]
    assert len(fills) == len(set(fills))
    assert world.core.book.closed_trades == 1
    assert world.core.book.realized_usdt + 10_000 == world.venue.account().equity_usdt


# -- calm stretches and hot reload -------------------------------------------------------------------------


def frames_of(world: Any, seconds: int, symbols: int = 2, step_ms: int = 700) -> Any:
    """Boundary frames of every symbol, after the world's time; it does not move."""
    count = seconds * 1000 // step_ms
    frames = np.zeros(count * symbols, FRAME_DTYPE)
    frames["symbol"] = np.tile(np.arange(symbols), count)
    frames["ts_ns"] = world.now_ns + np.repeat(np.arange(1, count + 1), symbols) * step_ms * MS
    frames["book_state"] = BookState.OK
    frames["bid_tick"], frames["ask_tick"], frames["mark_price"] = 10_000, 10_001, np.nan
    return frames


def look_at_all(core: ExecutionCore, frames: Any) -> list[Any]:
    outputs = []
    for instant in np.unique(frames["ts_ns"]):
        outputs += core.on_quotes(frames[frames["ts_ns"] == instant])
        outputs += core.on_timer(int(instant))
    return outputs


def look_where_asked(core: ExecutionCore, frames: Any) -> tuple[list[Any], int]:
    """As replay does it; returns the outputs and the number of instants looked at."""
    outputs, start, looks = [], 0, 0
    while start < len(frames):
        needed = core.next_attention(frames, start)
        outputs += core.note_quotes(frames[start:needed])
        if needed == len(frames):
            break
        instant = frames["ts_ns"][needed]
        stop = int(np.searchsorted(frames["ts_ns"], instant, side="right"))
        outputs += core.on_quotes(frames[needed:stop])
        outputs += core.on_timer(int(instant))
        start, looks = stop, looks + 1
    return outputs, looks


def test_a_flat_account_needs_no_look_at_calm_frames_and_ends_the_same(world: Any) -> None:
    world.open_long()
    world.move_to(9_940)
    world.wait(1000)
    frames = frames_of(world, 4000)
    other = ExecutionCore(world.instruments, world.config, "SIM", "run-1")
    other.restore(world.core.state(), new_epoch=False)
    world.core.restore(world.core.state(), new_epoch=False)

    all_outputs = look_at_all(world.core, frames)
    some_outputs, looks = look_where_asked(other, frames)

    assert (
        looks <= 6
    )  # first snapshot, markouts, the ended trade forgotten, the entry out of its hour
    assert msgspec.msgpack.decode(other.state()) == msgspec.msgpack.decode(world.core.state())
    assert some_outputs[-1] == all_outputs[-1]


def test_another_config_holds_from_the_next_input_on_and_is_named_in_the_log(world: Any) -> None:
    world.open_long()
    outputs = world.core.on_config(
        ExecutionConfig(max_spread_bps=0.5),
        RiskConfig(max_positions=1),
        "v2",
        {"ETHUSDT": ExecutionConfig(max_spread_bps=0.1)},
    )
    world.quote("ETHUSDT", spread_bps=0.2)
    world.ask(plan=world.plan(symbol="ETHUSDT"))

    assert outputs[0].record["configVersion"] == "v2"
    assert "BTCUSDT" in world.core.trades
    assert last_error(world).startswith("SPREAD_TOO_WIDE,RISK_ENGINE_BLOCK_GLOBAL")
