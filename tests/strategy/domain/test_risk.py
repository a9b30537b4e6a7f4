"""Limits and sizing."""

from __future__ import annotations

import math
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strategy.domain.config import RiskConfig
from strategy.domain.config_risk import CorrelationGroup
from strategy.domain.messages import Side
from strategy.domain.risk import (
    AccountRisk,
    EntryRisk,
    Exposure,
    account_stops,
    assess,
    entry_refusals,
    entry_stops,
    funding_refusals,
)
from strategy.domain.sizing import SizingInput, size_entry
from tests.strategy.builders import START_NS, S, an_instrument


def an_exposure(risk_usdt: float = 20.0, symbol: str = "ETHUSDT") -> Exposure:
    return Exposure(symbol=symbol, side=Side.LONG, notional_usdt=1000.0, risk_usdt=risk_usdt)


def an_account(**changes: object) -> AccountRisk:
    values = {
        "ts_ns": START_NS,
        "equity": 10_000.0,
        "available": 10_000.0,
        "equity_peak": 10_000.0,
        "realized_pnl_today": 0.0,
        "unrealized_pnl": 0.0,
        "exposures": (),
    }
    return AccountRisk(**(values | changes))  # type: ignore[arg-type]


def a_sizing(**changes: object) -> SizingInput:
    values = {
        "instrument": an_instrument(),
        "entry_ticks": 1_000_000,
        "stop_ticks": 998_000,  # 20 bps
        "near_depth_usd": 1e9,
    }
    return SizingInput(**(values | changes))  # type: ignore[arg-type]


def test_a_sound_account_may_open_anything() -> None:
    snapshot = assess(an_account(), RiskConfig())

    assert snapshot.flags.risk_allow_new_positions
    assert not snapshot.flags.risk_force_close_all
    assert snapshot.reasons == ()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"realized_pnl_today": -204.0, "equity": 9_796.0}, "day's loss"),
        ({"unrealized_pnl": -204.0, "equity": 9_796.0}, "day's loss"),
        ({"equity_peak": 12_000.0}, "below its peak"),
        ({"paused_until_ns": START_NS + 5 * S, "losses_in_row": 4}, "4 losses in a row"),
        ({"exposures": (an_exposure(1.0, "A"), an_exposure(1.0, "B"), an_exposure(1.0, "C"))}, "3"),
        ({"trades_this_hour": 60}, "60 entries this hour"),
        ({"exposures": (an_exposure(200.0),)}, "heat 2.00 %"),
        ({"equity": 0.0}, "no equity"),
    ],
)
def test_each_limit_stops_entries_and_says_why(change: dict[str, object], words: str) -> None:
    snapshot = assess(an_account(**change), RiskConfig())

    assert not snapshot.flags.risk_allow_new_positions
    assert not snapshot.flags.risk_allow_new_long
    assert not snapshot.flags.risk_allow_new_short
    assert any(words in reason for reason in snapshot.reasons)


def test_a_greater_loss_forces_everything_closed() -> None:
    lost = an_account(realized_pnl_today=-310.0, equity=9_690.0)

    assert assess(lost, RiskConfig()).flags.risk_force_close_all


def test_a_full_account_stops_entries_but_takes_none_back() -> None:
    """A pending entry is itself what fills the account: it must not cancel itself."""
    full = an_account(exposures=tuple(an_exposure(1.0, name) for name in "ABC"))

    assert assess(full, RiskConfig()).reasons
    assert account_stops(full, RiskConfig()) == []


def test_a_stop_in_profit_does_not_pay_for_another_trades_risk() -> None:
    account = an_account(exposures=(an_exposure(-500.0, "A"), an_exposure(100.0, "B")))

    assert account.heat_pct == pytest.approx(1.0)


def test_size_risks_what_was_asked_when_the_stop_is_hit() -> None:
    """0.25 % of 10,000 over 20 bps stop + 5.5 bps fee + 2 bps slippage = 9,090.9 USDT."""
    sizing = size_entry(a_sizing(), an_account(), RiskConfig())

    assert sizing.capped_by == "risk per trade"
    assert sizing.qty_lots == 90
    assert sizing.notional_usdt == pytest.approx(9_000.0)
    assert sizing.risk_usdt == pytest.approx(9_000 * 27.5e-4)


@pytest.mark.parametrize(
    ("order", "account", "config", "cap", "notional"),
    [
        ({}, {}, {"max_notional_usd": 1_010.2}, "maximum notional", 1_000.0),  # 1 % stays unused
        ({}, {"available": 101.1}, {}, "leverage", 500.4),  # 1 % of it stays unused
        ({"near_depth_usd": 20_000.0}, {}, {}, "book depth", 2_000.0),
        ({}, {"exposures": (an_exposure(190.0),)}, {}, "remaining heat", 3_600.0),
    ],
)
def test_the_tightest_cap_binds(
    order: dict[str, object],
    account: dict[str, object],
    config: dict[str, float],
    cap: str,
    notional: float,
) -> None:
    sizing = size_entry(a_sizing(**order), an_account(**account), RiskConfig(**config))

    assert sizing.capped_by == cap
    assert notional - 100.0 < sizing.notional_usdt <= notional


def test_unknown_depth_allows_nothing() -> None:
    sizing = size_entry(a_sizing(near_depth_usd=math.nan), an_account(), RiskConfig())

    assert sizing.qty_lots == 0
    assert sizing.refusals


def test_a_size_below_the_venues_minimum_is_no_trade_with_a_reason() -> None:
    big_lot = an_instrument(qty_step=Decimal(1), min_qty=Decimal(1))

    sizing = size_entry(a_sizing(instrument=big_lot), an_account(), RiskConfig())

    assert sizing.qty_lots == 0
    assert "too small for the venue" in sizing.refusals[0]
    assert any("below minimum" in reason for reason in sizing.refusals)


@given(
    equity=st.floats(10, 1e7),
    available=st.floats(0, 1e7),
    depth=st.floats(0, 1e8),
    stop_away=st.integers(1, 100_000),
    held=st.floats(0, 300),
    step=st.sampled_from(["0.001", "0.1", "1", "10"]),
)
def test_no_size_ever_exceeds_any_of_its_caps(
    equity: float, available: float, depth: float, stop_away: int, held: float, step: str
) -> None:
    config = RiskConfig()
    instrument = an_instrument(qty_step=Decimal(step), min_qty=Decimal(step))
    account = an_account(equity=equity, available=available, exposures=(an_exposure(held),))
    order = a_sizing(instrument=instrument, stop_ticks=1_000_000 - stop_away, near_depth_usd=depth)

    sizing = size_entry(order, account, config)

    slack = 1 + 1e-9
    assert sizing.notional_usdt <= config.max_notional_usd * slack
    assert sizing.notional_usdt <= available * config.leverage * slack
    assert sizing.notional_usdt <= depth * config.max_depth_share_pct / 100 * slack
    assert sizing.risk_usdt <= equity * config.risk_per_trade_pct / 100 * slack
    assert max(0.0, held) + sizing.risk_usdt <= max(held, equity * 0.02) * slack
    assert (sizing.qty_lots == 0) == bool(sizing.refusals)


def test_no_entry_just_before_it_would_pay_funding() -> None:
    config = RiskConfig()

    assert funding_refusals(Side.LONG, 0.0001, 59.0, config)
    assert not funding_refusals(Side.LONG, 0.0001, 60.0, config)
    assert not funding_refusals(Side.SHORT, 0.0001, 59.0, config)
    assert funding_refusals(Side.SHORT, -0.0001, 59.0, config)
    assert not funding_refusals(Side.LONG, math.nan, 59.0, config)


# -- limits an entry would break ----------------------------------------------------------------------------

GROUP = CorrelationGroup(name="majors", symbols=("BTCUSDT", "ETHUSDT"), max_positions=1)


def an_entry(leverage: float = 5.0, **changes: object) -> EntryRisk:
    values = {"symbol": "BTCUSDT", "side": Side.LONG, "notional_usdt": 1000.0, "risk_usdt": 20.0}
    return EntryRisk(Exposure(**(values | changes)), leverage)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("entry", "account", "config", "code"),
    [
        ({}, {"exposures": (an_exposure(1.0),)}, {"groups": (GROUP,)}, "RISK_GROUP"),
        ({"risk_usdt": 30.0}, {"exposures": (an_exposure(171.0),)}, {}, "RISK_HEAT"),
        ({"notional_usdt": 10_001.0}, {}, {}, "RISK_NOTIONAL"),
        ({"leverage": 26.0}, {}, {}, "RISK_LEVERAGE"),
        ({}, {"available": 199.0}, {}, "RISK_MARGIN"),
    ],
)
def test_each_limit_an_entry_would_break_is_named(
    entry: dict[str, object], account: dict[str, object], config: dict[str, object], code: str
) -> None:
    refusals = entry_refusals(
        an_entry(**entry),
        an_account(**account),
        RiskConfig(**config),  # type: ignore[arg-type]
    )

    assert [found for found, _ in refusals] == [code]
    assert not entry_refusals(an_entry(), an_account(), RiskConfig())


def test_a_full_group_stops_its_symbols_and_no_others() -> None:
    account = an_account(exposures=(an_exposure(1.0, "ETHUSDT"),))
    config = RiskConfig(groups=(GROUP,))

    assert entry_stops("BTCUSDT", account, config) == [
        "1 positions and pending entries in group majors (limit 1)"
    ]
    assert entry_stops("SOLUSDT", account, config) == []


def test_what_was_gained_or_lost_before_midnight_is_not_of_today() -> None:
    account = an_account(equity=9_900.0, day_open_equity=10_000.0, unrealized_pnl=-900.0)

    assert account.daily_pnl == -100.0
    assert account.daily_pnl_pct == pytest.approx(-1.0)


def test_contradicting_limits_are_refused_together() -> None:
    with pytest.raises(ValueError, match=r"dailyLossClosePct.*riskPerTradePct.*maxLeverage"):
        RiskConfig(
            daily_loss_close_pct=1.0, risk_per_trade_pct=3.0, max_heat_pct=2.0, leverage=50.0
        )
