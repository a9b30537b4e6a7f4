"""Why a symbol may or may not be entered, told so that a trader sees the figure that decides."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from monitoring.domain.verdict import verdict

LIMITS = {
    "entryScore": 70.0, "armFrames": 3, "feeMultiple": 1.5, "maxSpreadBps": 15.0, "maxHeatPct": 2.0,
    "maxPositions": 3, "maxTradesPerHour": 60, "dailyLossLimitPct": 2.0, "lossStreak": 4,
    "maxDrawdownPct": 10.0, "qualityBlock": 40.0,
}  # fmt: skip
ALL_WELL: dict[str, Any] = {
    "quote": {"bookState": "OK", "warm": True, "spreadBps": 1.2},
    "score": {
        "long": 74.0, "short": 26.0, "signalLong": True, "signalShort": False, "blockedReasons": [],
        "expectedMoveBps": 9.0, "neededMoveBps": 6.3, "costBps": 4.2,
        "costParts": {"fees": 3.0, "spread": 0.7, "slippage": 0.5, "adverseMarkout": 0.0},
        "regime": "NORMAL", "regimeReason": "", "globalRegime": "GLOBAL_NORMAL",
        "globalRegimeReason": "", "armedFrames": 3,
    },
    "state": {"state": "WATCH", "reason": ""},
    "position": None,
    "quality": {"blocked": False, "score": 88.0, "reason": ""},
    "safety": {"known": True, "safeMode": False, "reasons": [], "tradingEnabled": True},
    "risk": {
        "allowNew": True, "reasons": [], "heatPct": 0.5, "openPositions": 1, "dailyPnl": -3.0,
        "drawdownPct": 0.4, "forceCloseAll": False,
    },
    "account": {"equity": 997.0, "lossesInRow": 1, "tradesThisHour": 7},
    "limits": LIMITS,
}  # fmt: skip


def judged(**changes: Any) -> dict[str, Any]:
    return verdict(**(ALL_WELL | changes))


def failed(said: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {check["name"]: check for check in said["checks"] if check["ok"] is False}


def changed(section: str, **values: Any) -> dict[str, Any]:
    return {section: {**ALL_WELL[section], **values}}


def test_with_all_well_every_check_passes_and_the_signal_is_said() -> None:
    said = judged()

    assert failed(said) == {}
    assert all(check["ok"] for check in said["checks"])
    assert said["headline"] == "Signal LONG: nothing speaks against an entry"


def test_nothing_known_is_unknown_never_passed() -> None:
    said = verdict(
        quote=None, score=None, state={}, position=None, quality=None, safety=None, risk=None,
        account=None, limits=None,
    )  # fmt: skip

    passed = [check["name"] for check in said["checks"] if check["ok"]]
    assert passed == ["Quality of our orders"]  # no order yet is no bad order
    assert said["headline"] == "No score yet: waiting for the strategy"


def test_a_blocked_entry_leads_with_its_reason_and_counts_the_others() -> None:
    reasons = ["regime PUMP: 60 s return 41 bps", "score 51.0 below entry score 70"]

    said = judged(**changed("score", blockedReasons=reasons, signalLong=False))

    assert said["headline"] == "No entry: regime PUMP: 60 s return 41 bps (and 1 more)"
    assert said["tone"] == "warn"


def test_an_edge_below_cost_shows_the_parts_of_the_cost() -> None:
    check = failed(judged(**changed("score", expectedMoveBps=2.0)))["Expected move pays its cost"]

    assert (check["figure"], check["needs"]) == ("2.00 bps", "≥ 6.30 bps")
    assert check["why"] == (
        "needs 1.5 \N{MULTIPLICATION SIGN} the round trip's 4.20 bps"
        " = fees 3.00 + spread 0.70 + slippage 0.50"
    )


def test_each_limit_fails_where_it_is_reached() -> None:
    cases = {
        "Spread": changed("quote", spreadBps=15.0),
        "Heat (risk to stops)": changed("risk", heatPct=2.0),
        "Positions and pending entries": changed("risk", openPositions=3),
        "Loss of the day": changed("risk", dailyPnl=-21.0),
        "Fall from the equity peak": changed("risk", drawdownPct=10.0),
        "Losses in a row": changed("account", lossesInRow=4),
        "Entries this hour": changed("account", tradesThisHour=60),
        "No forced close": changed("risk", forceCloseAll=True),
        "New positions allowed": changed("risk", allowNew=False, reasons=["heat 2.00 %"]),
        "Order book": changed("quote", bookState="STALE"),
        "Features warmed up": changed("quote", warm=False),
        "Regime of the symbol": changed("score", regime="NEWS", regimeReason="rv 9 > 4 x 2"),
        "Regime of the whole market": changed("score", globalRegime="GLOBAL_PANIC"),
        "Score": changed("score", long=69.9),
        "Frames in a row at that score": changed("score", armedFrames=2),
        "State machine": changed("state", state="COOLDOWN"),
        "Safe mode": changed("safety", safeMode=True, reasons=["LATENCY_TOO_HIGH"]),
        "Trading switch": changed("safety", tradingEnabled=False),
        "Quality of our orders": changed("quality", blocked=True, reason="quality 12 is below 40"),
    }

    for name, case in cases.items():
        assert set(failed(judged(**case))) == {name}, name


def test_an_armed_symbol_needs_no_more_frames() -> None:
    armed = judged(**changed("state", state="ARM"), **changed("score", armedFrames=0))

    assert failed(armed) == {}


def test_an_open_position_is_said_before_anything_else() -> None:
    said = judged(position={"side": "SHORT"}, **changed("state", state="IN_POSITION"))

    assert said["headline"] == "In a SHORT position: a position is open"


def test_an_error_says_who_must_act() -> None:
    said = judged(**changed("state", state="ERROR", reason="venue refused the stop"))

    assert said["tone"] == "bad"
    assert said["headline"].endswith("needs a recovery or an operator (venue refused the stop)")


sections = st.fixed_dictionaries(
    {
        name: st.none() | st.just(value) if name != "state" else st.sampled_from([{}, value])
        for name, value in ALL_WELL.items()
    }
)


@given(sections)
def test_whatever_is_missing_the_checks_stay_the_same_rows(story: dict[str, Any]) -> None:
    """Rows are keyed by name: a page must not gain or lose one as news come in."""
    names = [check["name"] for check in verdict(**story)["checks"]]

    assert names == [check["name"] for check in judged()["checks"]]
    assert len(set(names)) == len(names)
