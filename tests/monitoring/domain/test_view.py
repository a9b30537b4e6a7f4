"""The dashboard's fold: what a client holds is what a fresh snapshot shows, and it says the right things."""

from __future__ import annotations

import itertools
from decimal import Decimal
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from market.domain.events import ASK, BID, ChunkBuilder, EventKind
from market.domain.frames import FRAME_DTYPE
from market.domain.instruments import Instrument
from monitoring.domain.panel import SequenceGap, apply_increment
from monitoring.domain.times import iso_of_ms
from monitoring.domain.trading import BadRecord
from monitoring.domain.view import (
    OVERVIEW,
    BeatsSeen,
    ChunkSeen,
    DashboardView,
    FeedGapSeen,
    FramesSeen,
    InstrumentsSeen,
    RecordSeen,
    SafeModeSince,
)
from strategy.domain.messages import (
    EventType,
    ExecutionEvent,
    ExecutionSnapshot,
    PositionView,
    RiskFlags,
    RiskSnapshot,
    ScoreUpdate,
    Side,
    StateEvent,
    SymbolState,
)

T0_MS = 1_760_000_000_000
SYMBOLS = ("BTCUSDT", "ETHUSDT")


def an_instrument(symbol: str = "BTCUSDT", tick: str = "0.1", scale: int = 1) -> Instrument:
    return Instrument(
        symbol=symbol,
        tick_size=Decimal(tick),
        qty_step=Decimal("0.001"),
        min_qty=Decimal("0.001"),
        max_qty=Decimal(100),
        max_market_qty=Decimal(50),
        min_notional=Decimal(5),
        min_price=Decimal(tick),
        max_price=Decimal(1999999),
        min_leverage=Decimal(1),
        max_leverage=Decimal(100),
        leverage_step=Decimal("0.01"),
        price_scale=scale,
        funding_interval_min=480,
        base_coin=symbol.removesuffix("USDT"),
    )


INSTRUMENTS = InstrumentsSeen((an_instrument(), an_instrument("ETHUSDT", "0.01", 2)))


def frames(*rows: dict[str, Any]) -> FramesSeen:
    array = np.zeros(len(rows), FRAME_DTYPE)
    for name in FRAME_DTYPE.names or ():
        if FRAME_DTYPE[name].kind == "f":
            array[name] = np.nan
    for i, row in enumerate(rows):
        for name, value in row.items():
            array[i][name] = value
    return FramesSeen(array)


def a_frame(mid: float, at_ms: int = 0, symbol: int = 0, **fields: Any) -> FramesSeen:
    return frames({"symbol": symbol, "ts_ns": (T0_MS + at_ms) * 10**6, "mid": mid, **fields})


def an_order(
    client_id: str = "AISCLP-1", status: str = "NEW", at_ms: int = 0, **fields: Any
) -> RecordSeen:
    row = {
        "record": "ORDER", "timestamp": iso_of_ms(T0_MS + at_ms), "clientOrderId": client_id,
        "symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT", "timeInForce": "PostOnly",
        "price": 50_000.0, "qty": 0.01, "reduceOnly": False, "status": status, "filledQty": 0.0,
        "avgFillPrice": None, "notionalUsd": 500.0, "source": "STATE_MACHINE", "lastError": None,
        "leg": "ENTRY", "planId": "p-1",
    }  # fmt: skip
    return RecordSeen(row | fields)


def a_position(qty: float = 0.01, at_ms: int = 0, **fields: Any) -> RecordSeen:
    row = {
        "record": "POSITION", "timestamp": iso_of_ms(T0_MS + at_ms), "symbol": "BTCUSDT",
        "side": "LONG", "qty": qty, "avgEntry": 50_000.0, "planId": "p-1", "stopPrice": 49_900.0,
        "tps": [{"level": 1, "price": 50_100.0, "qty": 0.004, "state": "NEW"}],
    }  # fmt: skip
    return RecordSeen(row | fields)


def an_execution_snapshot(at_ms: int = 0, **fields: Any) -> ExecutionSnapshot:
    values: dict[str, Any] = {
        "ts_ns": (T0_MS + at_ms) * 10**6,
        "execution_run": "x1",
        "requests_stream_id": "0-0",
        "equity": 1000.0,
        "available": 900.0,
        "realized_pnl_today": 1.5,
        "equity_peak": 1001.0,
        "positions": (),
        "pending_entries": {},
        "safe_mode_reasons": (),
        "trading_enabled": True,
    }
    return ExecutionSnapshot(**(values | fields))


def a_held_position(**fields: Any) -> PositionView:
    values: dict[str, Any] = {
        "symbol": "BTCUSDT",
        "side": Side.LONG,
        "qty_lots": 10,
        "avg_entry_ticks": 500_000.0,
        "plan_id": "p-1",
        "request_id": "r-1",
        "stop_ticks": 499_000,
        "open_risk": 1.2,
        "unrealized_pnl": 0.0,
        "opened_ts_ns": T0_MS * 10**6,
    }
    return PositionView(**(values | fields))


def a_view() -> DashboardView:
    view = DashboardView(mode="SIM", bybit_env="LOCAL")
    view.apply(INSTRUMENTS)
    for panel in view.panels():
        view.drain(panel)
    return view


def shown(view: DashboardView, panel: str = OVERVIEW) -> dict[str, Any]:
    view.drain(panel)
    state: dict[str, Any] = view.snapshot(panel)["state"]
    return state


# --- the invariant -----------------------------------------------------------------------------------

times = st.integers(0, 5_000)
prices = st.integers(499_000, 501_000).map(lambda ticks: ticks / 10)
statuses = st.sampled_from(["NEW", "PARTIALLY_FILLED", "FILLED", "CANCELED", "REJECTED"])
books = st.lists(
    st.tuples(st.sampled_from([BID, ASK]), st.integers(1, 9), st.integers(0, 3)), max_size=6
)


SEQS = itertools.count(1)


def a_chunk(kind: EventKind, levels: list[tuple[int, int, int]], symbol: int = 0) -> ChunkSeen:
    builder = ChunkBuilder()
    builder.add(kind, symbol=symbol, seq=next(SEQS), core_ts_ns=1, exchange_ts_ns=1, levels=levels)
    return ChunkSeen(builder.take())


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
    ),
    st.builds(
        a_chunk,
        st.sampled_from([EventKind.BOOK_SNAPSHOT, EventKind.BOOK_DELTA, EventKind.FEED_GAP]),
        books,
        st.integers(0, 2),
    ),
    st.builds(FeedGapSeen),
    st.builds(
        BeatsSeen,
        st.integers(T0_MS, T0_MS + 9_000),
        st.just({"market": {"ts": iso_of_ms(T0_MS), "phase": "RUNNING"}}),
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


# --- what it says ------------------------------------------------------------------------------------


def test_a_position_is_marked_by_every_new_mid() -> None:
    view = a_view()
    view.apply(a_position())

    view.apply(a_frame(50_050.0))
    row = shown(view)["positions"]["BTCUSDT"]

    assert row["pnl"] == 0.5
    assert row["pnlBps"] == 10.0
    assert row["stopDistanceBps"] == pytest.approx(29.97, abs=0.01)
    assert shown(view, "BTCUSDT")["position"] == row


def test_a_short_position_loses_when_the_price_rises() -> None:
    view = a_view()
    view.apply(a_frame(50_050.0))

    view.apply(a_position(side="SHORT", stopPrice=50_100.0))
    row = shown(view)["positions"]["BTCUSDT"]

    assert row["pnl"] == -0.5
    assert row["stopDistanceBps"] > 0


def test_an_older_snapshot_does_not_take_back_a_younger_record() -> None:
    view = a_view()
    view.apply(a_position(at_ms=500))

    view.apply(an_execution_snapshot(at_ms=400))
    assert "BTCUSDT" in shown(view)["positions"]

    view.apply(an_execution_snapshot(at_ms=1_400))
    assert shown(view)["positions"] == {}


def test_the_snapshot_keeps_the_take_profits_told_by_the_record() -> None:
    view = a_view()
    view.apply(a_position())

    view.apply(an_execution_snapshot(at_ms=900, positions=(a_held_position(),)))
    row = shown(view)["positions"]["BTCUSDT"]

    assert row["tps"][0]["price"] == 50_100.0
    assert row["stopPrice"] == 49_900.0
    assert row["openRisk"] == 1.2


def test_an_order_is_shown_while_it_lives_on_both_panels() -> None:
    view = a_view()
    view.apply(an_order("a"))
    view.apply(an_order("b", symbol="ETHUSDT"))
    assert set(shown(view)["orders"]) == {"a", "b"}
    assert set(shown(view, "ETHUSDT")["orders"]) == {"b"}

    view.apply(an_order("a", "FILLED"))

    assert set(shown(view)["orders"]) == {"b"}


def test_safe_mode_keeps_its_start_while_it_lasts_and_counts_as_alert() -> None:
    view = a_view()
    quiet = shown(view)["alerts"]["count"]

    view.apply(an_execution_snapshot(at_ms=1_000, safe_mode_reasons=("PANIC",)))
    view.apply(an_execution_snapshot(at_ms=2_000, safe_mode_reasons=("PANIC", "BUS_DOWN")))
    state = shown(view)

    assert state["safety"]["since"] == T0_MS + 1_000
    assert state["safety"]["reasons"] == ["PANIC", "BUS_DOWN"]
    assert state["alerts"]["count"] == quiet + 2

    view.apply(an_execution_snapshot(at_ms=3_000))
    assert shown(view)["safety"]["since"] is None


def test_the_equity_curve_has_one_point_a_second() -> None:
    view = a_view()

    for ms in range(0, 3_000, 250):
        view.apply(an_execution_snapshot(at_ms=ms, equity=1000 + ms / 1000))

    assert shown(view)["equity"] == [
        [T0_MS, 1000.0],
        [T0_MS + 1000, 1001.0],
        [T0_MS + 2000, 1002.0],
    ]


def test_the_score_says_why_and_why_not() -> None:
    view = a_view()
    view.apply(
        ScoreUpdate(
            ts_ns=T0_MS * 10**6,
            symbol="BTCUSDT",
            state=SymbolState.WATCH,
            final_score_long=61.26,
            final_score_short=31.0,
            signal_long=False,
            signal_short=False,
            expected_move_bps=3.456,
            cost_bps=4.0,
            contributions={"imb5": 0.12345},
            blocked_reasons=("EDGE_BELOW_COST",),
            regime="ILLIQUID",
            regime_reason="ask depth 16,576 USD below 20,000 USD",
        )
    )

    score = shown(view, "BTCUSDT")["score"]

    assert (score["long"], score["contributions"]) == (61.3, {"imb5": 0.123})
    assert score["blockedReasons"] == ["EDGE_BELOW_COST"]
    assert score["regime"] == "ILLIQUID"
    assert score["regimeReason"].startswith("ask depth")
    assert shown(view)["symbols"]["BTCUSDT"]["scoreLong"] == 61.3


def test_risk_and_execution_news_reach_the_overview() -> None:
    view = a_view()
    view.apply(
        RiskSnapshot(
            ts_ns=T0_MS * 10**6, equity=1000.0, available=900.0, daily_pnl=-3.2, drawdown_pct=0.4,
            heat_pct=1.25, open_positions=1, flags=RiskFlags(risk_allow_new_positions=False),
            reasons=("DAILY_LOSS",),
        )
    )  # fmt: skip
    view.apply(
        ExecutionEvent(type=EventType.PANIC_CLOSE_TRIGGERED, symbol="", ts_ns=T0_MS * 10**6, reason="drill")
    )  # fmt: skip

    state = shown(view)

    assert state["risk"]["heatPct"] == 1.25
    assert state["risk"]["allowNew"] is False
    assert state["activity"][-1]["text"] == "panic close triggered · drill"


def test_an_unknown_feature_is_null_never_zero() -> None:
    view = a_view()

    view.apply(a_frame(50_000.0))

    assert shown(view, "BTCUSDT")["features"]["imb5"] is None


def test_the_ladder_shows_nothing_without_a_snapshot_and_after_a_gap() -> None:
    view = a_view()
    view.apply(a_chunk(EventKind.BOOK_DELTA, [(BID, 5, 1)]))
    assert shown(view, "BTCUSDT")["book"]["known"] is False

    view.apply(
        a_chunk(EventKind.BOOK_SNAPSHOT, [(BID, 500_000, 7), (BID, 499_999, 2), (ASK, 500_001, 3)])
    )
    view.apply(a_chunk(EventKind.BOOK_DELTA, [(BID, 499_999, 0)]))
    assert shown(view, "BTCUSDT")["book"] == {
        "known": True,
        "bids": [[50_000.0, 0.007]],
        "asks": [[50_000.1, 0.003]],
    }

    view.apply(FeedGapSeen())
    assert shown(view, "BTCUSDT")["book"]["known"] is False


def test_a_change_that_the_book_already_holds_is_not_taken_twice() -> None:
    view = a_view()
    late = a_chunk(EventKind.BOOK_DELTA, [(BID, 10, 9)])
    view.apply(a_chunk(EventKind.BOOK_SNAPSHOT, [(BID, 10, 1), (ASK, 11, 1)]))

    view.apply(late)

    assert shown(view, "BTCUSDT")["book"]["bids"] == [[1.0, 0.001]]


def test_an_order_told_before_the_symbol_table_is_on_its_symbols_page() -> None:
    view = DashboardView(mode="SIM", bybit_env="LOCAL")
    view.apply(an_order("old", "NEW", 0))
    assert view.instruments() == ()

    view.apply(INSTRUMENTS)

    assert set(shown(view, "BTCUSDT")["orders"]) == {"old"}


def test_what_the_strategy_decides_with_is_on_every_page_and_outlives_its_silence() -> None:
    view = a_view()
    beat = {
        "ts": iso_of_ms(T0_MS), "phase": "RUNNING", "details": {"configVersion": "demo:7b6a"},
    }  # fmt: skip
    view.apply(BeatsSeen(T0_MS, {"strategy": beat}))
    view.apply(BeatsSeen(T0_MS + 9_000, {}))

    for panel in view.panels():
        assert shown(view, panel)["config"] == {"version": "demo:7b6a"}


def test_safe_mode_has_lasted_since_the_audit_trail_says() -> None:
    view = a_view()
    view.apply(SafeModeSince(T0_MS - 60_000))
    view.apply(an_execution_snapshot(0, safe_mode_reasons=("PANIC",)))
    assert shown(view)["safety"]["since"] == T0_MS - 60_000

    view.apply(an_execution_snapshot(1_000))
    view.apply(an_execution_snapshot(2_000, safe_mode_reasons=("OPERATOR",)))
    assert shown(view)["safety"]["since"] == T0_MS + 2_000


def test_a_touch_update_takes_away_what_was_better() -> None:
    view = a_view()
    view.apply(
        a_chunk(EventKind.BOOK_SNAPSHOT, [(BID, 10, 1), (BID, 9, 1), (ASK, 11, 1), (ASK, 12, 1)])
    )

    view.apply(a_chunk(EventKind.BBO, [(BID, 9, 4), (ASK, 12, 5)]))

    book = shown(view, "BTCUSDT")["book"]
    assert book["bids"] == [[0.9, 0.004]]
    assert book["asks"] == [[1.2, 0.005]]


def test_a_row_that_breaks_the_contract_is_named_and_changes_nothing() -> None:
    view = a_view()
    before = shown(view)

    for row in ({"record": "ORDER", "symbol": 3}, {"record": "FILL", "timestamp": "soon"}):
        with pytest.raises(BadRecord, match=row["record"]):
            view.apply(RecordSeen(row))

    assert shown(view) == before


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
