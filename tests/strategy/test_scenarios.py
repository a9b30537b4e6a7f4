"""Golden: what the regimes make of the scenario streams, through the market's kernel."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import pytest

from execution.domain.synthetic_scenarios import Scenario, scenario, scenario_window
from market.domain.config import MarketConfig
from market.domain.kernel import MarketKernel
from strategy.domain.config import DecisionConfig
from strategy.domain.core import GLOBAL_SYMBOL, StrategyCore
from strategy.domain.messages import EventType, StateEvent
from strategy.domain.regime import GlobalRegime, Regime
from tests.strategy.builders import S

CONFIG = DecisionConfig(market=MarketConfig(warmup_s=60))
SUBJECT = "SYN01USDT"


class Change(NamedTuple):
    """A change of regime, in seconds since the event began."""

    after_s: float
    symbol: str
    regime: str
    reason: str


@cache
def changes(name: Scenario) -> tuple[Change, ...]:
    instruments, chunks = scenario(name, seed=1)
    kernel = MarketKernel(instruments, CONFIG.market)
    core = StrategyCore(instruments, CONFIG, "s1", telemetry=False)
    start_ns = scenario_window(name, seed=1).start_ns
    told = (output for chunk in chunks for output in core.on_frames(kernel.process(chunk)))
    return tuple(
        Change(
            (event.ts_ns - start_ns) / S,
            event.symbol,
            str(event.extra.get("regime", event.extra.get("globalRegime"))),
            event.reason,
        )
        for event in told
        if isinstance(event, StateEvent) and event.event_type is EventType.REGIME_UPDATE
    )


def of(symbol: str, name: Scenario) -> list[Change]:
    return [change for change in changes(name) if change.symbol == symbol]


@pytest.mark.parametrize(
    ("name", "regime", "words"),
    [
        (Scenario.STEP, Regime.PUMP, "bps in 60 s (limit"),
        (Scenario.RAMP, Regime.DUMP, "bps in 60 s (limit"),
        (Scenario.BURST, Regime.NEWS, "10 s volatility"),
        (Scenario.GRIND, Regime.PUMP, "bps in 60 s (limit"),
        (Scenario.PUMP, Regime.PUMP, "USD/s of trades (limit"),
        (Scenario.DUMP, Regime.DUMP, "USD/s of trades (limit"),
        (Scenario.SPOOFING, Regime.MANIPULATED, "flicker"),
        (Scenario.NEWS_BURST, Regime.NEWS, "seen less than 20 s ago"),
        (Scenario.DRY_BOOK, Regime.ILLIQUID, "above 15 bps"),
        (Scenario.STALE_FEED, Regime.STALE, "order book is stale"),
    ],
)
def test_each_event_brings_its_regime_with_a_reason_and_lets_it_go(
    name: Scenario, regime: Regime, words: str
) -> None:
    seen = of(SUBJECT, name)

    assert all(change.after_s >= 0.0 for change in seen), "calm before the event"
    fired = [change for change in seen if change.regime == regime]
    assert fired, seen
    assert words in fired[0].reason
    assert seen[-1].regime == Regime.NORMAL
    assert seen[-1].reason == "calm for 20 s"


@pytest.mark.parametrize("name", [Scenario.SPOOFING, Scenario.STALE_FEED, Scenario.DRY_BOOK])
def test_an_event_is_taken_for_nothing_else(name: Scenario) -> None:
    assert len(of(SUBJECT, name)) == 2


def test_one_symbol_s_stale_feed_leaves_the_others_alone() -> None:
    assert {change.symbol for change in changes(Scenario.STALE_FEED)} == {SUBJECT}


def test_a_falling_market_is_risk_off_then_panic() -> None:
    seen = of(GLOBAL_SYMBOL, Scenario.MARKET_PANIC)

    assert [change.regime for change in seen[:2]] == [
        GlobalRegime.GLOBAL_RISK_OFF,
        GlobalRegime.GLOBAL_PANIC,
    ]
    assert "symbols in DUMP (limit 60% of at least 5)" in seen[1].reason


def test_when_the_fall_is_over_the_market_comes_back() -> None:
    assert of(GLOBAL_SYMBOL, Scenario.MARKET_PANIC)[-1].regime == GlobalRegime.GLOBAL_NORMAL
    for symbol in {change.symbol for change in changes(Scenario.MARKET_PANIC)} - {GLOBAL_SYMBOL}:
        assert of(symbol, Scenario.MARKET_PANIC)[-1].regime == Regime.NORMAL
