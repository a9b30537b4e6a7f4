"""The symbol page: features, score, book and quality, and why an entry may or may not go."""

from __future__ import annotations

from market.domain.events import ASK, BID, EventKind
from monitoring.domain.view import (
    FeedGapSeen,
)
from strategy.domain.messages import (
    QualityView,
    ScoreUpdate,
    SymbolState,
)
from tests.monitoring.domain.builders import (
    T0_MS,
    a_chunk,
    a_frame,
    a_score,
    a_view,
    an_execution_snapshot,
    shown,
)


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


def test_a_touch_update_takes_away_what_was_better() -> None:
    view = a_view()
    view.apply(
        a_chunk(EventKind.BOOK_SNAPSHOT, [(BID, 10, 1), (BID, 9, 1), (ASK, 11, 1), (ASK, 12, 1)])
    )

    view.apply(a_chunk(EventKind.BBO, [(BID, 9, 4), (ASK, 12, 5)]))

    book = shown(view, "BTCUSDT")["book"]
    assert book["bids"] == [[0.9, 0.004]]
    assert book["asks"] == [[1.2, 0.005]]


def test_a_score_brings_both_sides_cost_and_regimes_to_the_page() -> None:
    view = a_view()

    view.apply(
        a_score(
            contributions_long={"imb5": 0.8},
            contributions_short={"imb5": -0.8},
            penalties={"toxicity": 0.21},
            cost_parts={"fees": 3.0, "adverseMarkout": 0.4},
            needed_move_bps=6.3,
            regime_figures={"ret60sBps": 41.23456},
            global_regime="GLOBAL_RISK_OFF",
            armed_frames=2,
            config_version="v7",
        )
    )

    score = shown(view, "BTCUSDT")["score"]
    assert score["contributionsShort"] == {"imb5": -0.8}
    assert score["penalties"] == {"toxicity": 0.21}
    assert score["costParts"] == {"fees": 3.0, "adverseMarkout": 0.4}
    assert (score["neededMoveBps"], score["armedFrames"]) == (6.3, 2)
    assert score["regimeFigures"] == {"ret60sBps": 41.235}
    assert (score["globalRegime"], score["configVersion"]) == ("GLOBAL_RISK_OFF", "v7")


def test_quality_and_its_block_are_on_the_symbols_page() -> None:
    view = a_view()
    quality = QualityView(
        score=12.345, blocked=True, reason="quality 12 is below 40", orders=9, reject_rate=0.25,
        markout_5s_bps=-1.23456, blocked_since_ns=T0_MS * 10**6, penalties={"slippage": 0.8765},
    )  # fmt: skip

    view.apply(an_execution_snapshot(quality={"BTCUSDT": quality}))

    state = shown(view, "BTCUSDT")
    assert state["quality"]["score"] == 12.3
    assert state["quality"]["markout5sBps"] == -1.235
    assert state["quality"]["markout1sBps"] is None
    assert state["quality"]["blockedSince"] == T0_MS
    assert state["checks"]["Quality of our orders"]["ok"] is False
    assert shown(view, "ETHUSDT")["quality"] is None


def test_only_checks_that_changed_are_sent() -> None:
    view = a_view()
    view.apply(a_score())
    view.drain("BTCUSDT")

    view.apply(a_score(expected_move_bps=9.0))
    increment = view.drain("BTCUSDT")

    assert increment is not None
    rows = [place for _, place, *_ in increment["ops"] if place[0] == "checks"]
    assert rows == [["checks", "Expected move pays its cost"]]


def test_a_moving_spread_alone_judges_nothing_anew() -> None:
    """Ten quotes a second must not make ten verdicts."""
    view = a_view()
    view.apply(a_score())
    view.apply(a_frame(50_000.0, 0, spread_bps=1.0))
    view.drain("BTCUSDT")

    view.apply(a_frame(50_000.0, 100, spread_bps=2.0))
    increment = view.drain("BTCUSDT")

    assert increment is not None
    assert not [op for op in increment["ops"] if op[1][0] in ("checks", "verdict")]
