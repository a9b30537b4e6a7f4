"""The account as the strategy knows it: execution's word, and the worst case of what is still under way."""

from __future__ import annotations

from typing import Any

import pytest

from strategy.domain.account import AccountTracker, has_same_money
from strategy.domain.config import RiskConfig, StrategyConfig
from strategy.domain.messages import ExposureView, Side, SymbolState
from strategy.domain.risk import AccountRisk, Exposure
from strategy.domain.tracks import PendingEntry, SymbolTrack
from tests.strategy.builders import START_NS, a_position, a_snapshot, an_instrument


def a_pending_track(symbol: str, notional_usdt: float) -> SymbolTrack:
    exposure = Exposure(symbol=symbol, side=Side.LONG, notional_usdt=notional_usdt, risk_usdt=5.0)
    track = SymbolTrack(an_instrument(symbol), state=SymbolState.ENTRY_PENDING)
    track.pending = PendingEntry(
        request_id="r", side=Side.LONG, exposure=exposure, valid_until_ns=START_NS
    )
    return track


def view(*tracks: SymbolTrack, **snapshot: object) -> AccountRisk:
    account = AccountTracker(StrategyConfig(), RiskConfig())
    account.take(a_snapshot(START_NS, **snapshot))
    seen = account.view(START_NS, tracks)
    assert seen is not None
    return seen


def test_an_entry_execution_has_not_read_yet_counts_and_locks_its_margin() -> None:
    seen = view(a_pending_track("ETHUSDT", 5_000.0))

    assert [exposure.symbol for exposure in seen.exposures] == ["ETHUSDT"]
    assert seen.available == pytest.approx(9_000.0)
    assert seen.trades_this_hour == 1


def test_what_execution_says_of_an_exposure_wins_over_what_is_reckoned() -> None:
    """It knows averaging orders at rest, and entries of other shards."""
    told = (
        ExposureView(symbol="BTCUSDT", side=Side.LONG, notional=4_000.0, risk=80.0, margin=160.0),
        ExposureView(symbol="SOLUSDT", side=Side.SHORT, notional=100.0, risk=1.0, margin=20.0),
    )
    seen = view(positions=(a_position(),), exposures=told, available=9_820.0)

    assert {each.symbol: each.risk_usdt for each in seen.exposures} == {
        "BTCUSDT": 80.0,
        "SOLUSDT": 1.0,
    }
    assert seen.available == 9_820.0


def test_the_day_and_the_pause_are_execution_s() -> None:
    seen = view(day_open_equity=10_100.0, paused_until_ns=START_NS + 7)

    assert seen.daily_pnl == -100.0
    assert seen.paused_until_ns == START_NS + 7


@pytest.mark.parametrize(
    "change",
    [
        {"equity": 9_999.0},
        {"equity_peak": 10_500.0},
        {"realized_pnl_today": -1.0},
        {"day_open_equity": 9_000.0},
        {"losses_in_row": 1},
        {"paused_until_ns": START_NS + 1},
        {"positions": (a_position("BTCUSDT"),)},
    ],
)
def test_every_figure_that_limits_go_by_is_news(change: dict[str, Any]) -> None:
    assert not has_same_money(a_snapshot(START_NS), a_snapshot(START_NS, **change))


def test_a_later_word_of_the_same_account_is_no_news() -> None:
    """Limits that end by time are looked at when they end."""
    assert has_same_money(a_snapshot(START_NS), a_snapshot(START_NS + 1))
    assert not has_same_money(None, a_snapshot(START_NS))
