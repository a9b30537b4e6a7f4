"""The overview: safety, money, limits and latency as the services say them."""

from __future__ import annotations

from monitoring.domain.view import (
    BeatsSeen,
    LimitsSeen,
    SafeModeSince,
)
from strategy.domain.messages import (
    EventType,
    ExecutionEvent,
    QualityView,
    RiskFlags,
    RiskSnapshot,
)
from tests.monitoring.domain.builders import (
    SPAN,
    SPANS,
    T0_MS,
    a_beat,
    a_view,
    an_execution_snapshot,
    shown,
)


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


def test_what_the_strategy_decides_with_is_on_every_page_and_outlives_its_silence() -> None:
    view = a_view()
    view.apply(BeatsSeen(T0_MS, {"strategy": a_beat(configVersion="demo:7b6a", configNumber=4)}))
    view.apply(BeatsSeen(T0_MS + 9_000, {}))

    for panel in view.panels():
        config = shown(view, panel)["config"]
        assert (config["version"], config["number"], config["problem"]) == ("demo:7b6a", 4, "")


def test_safe_mode_has_lasted_since_the_audit_trail_says() -> None:
    view = a_view()
    view.apply(SafeModeSince(T0_MS - 60_000))
    view.apply(an_execution_snapshot(0, safe_mode_reasons=("PANIC",)))
    assert shown(view)["safety"]["since"] == T0_MS - 60_000

    view.apply(an_execution_snapshot(1_000))
    view.apply(an_execution_snapshot(2_000, safe_mode_reasons=("OPERATOR",)))
    assert shown(view)["safety"]["since"] == T0_MS + 2_000


def test_a_config_that_cannot_be_used_is_an_alert_until_it_is_mended() -> None:
    view = a_view()
    problem = "CONFIG_INVALID: version 4 cannot be used"

    view.apply(BeatsSeen(T0_MS, {"strategy": a_beat(configVersion="d", configProblem=problem)}))
    assert {"level": "CRIT", "text": problem} in shown(view)["alerts"]["items"]

    view.apply(BeatsSeen(T0_MS, {"strategy": a_beat(configVersion="d")}))
    assert problem not in str(shown(view)["alerts"]["items"])


def test_the_stages_of_all_services_stand_in_the_order_of_the_way() -> None:
    view = a_view()

    view.apply(
        BeatsSeen(
            T0_MS,
            {
                "execution": a_beat(latency={"sentToAck": SPANS}),
                "market": a_beat(latency={"receiveToFrame": SPANS, "somethingElse": SPANS}),
                "strategy": a_beat(latency="nonsense"),
            },
        )
    )

    latency = shown(view)["latency"]
    assert list(latency) == ["receiveToFrame", "sentToAck"]
    assert latency["sentToAck"] == {"minute": SPAN, "hour": SPAN}


def test_a_symbol_with_thresholds_of_its_own_is_measured_against_these() -> None:
    view = a_view()

    view.apply(LimitsSeen({"entryScore": 70.0}, {"BTCUSDT": {"entryScore": 80.0}}))

    assert shown(view)["limits"] == {"entryScore": 70.0}
    assert shown(view, "BTCUSDT")["limits"] == {"entryScore": 80.0}
    assert shown(view, "ETHUSDT")["limits"] == {"entryScore": 70.0}


def test_the_watch_list_shows_quality_and_block() -> None:
    view = a_view()
    quality = {"BTCUSDT": QualityView(score=23.4, blocked=True, reason="quality 23 is below 40")}

    view.apply(an_execution_snapshot(quality=quality))

    rows = shown(view)["symbols"]
    assert (rows["BTCUSDT"]["quality"], rows["BTCUSDT"]["qualityBlocked"]) == (23, True)
    assert (rows["ETHUSDT"]["quality"], rows["ETHUSDT"]["qualityBlocked"]) == (None, False)
