"""What single frames and short paths of frames say of a symbol's and the market's regime."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from market.domain.config import MarketConfig
from market.domain.frames import BookState, FrameReason, Frames
from strategy.domain import numeric_layout as at
from strategy.domain.config import DecisionConfig, StrategyConfig
from strategy.domain.evaluations import Evaluations
from strategy.domain.numeric_path import NumericPath
from strategy.domain.regime import GLOBAL_REGIMES, REGIMES, GlobalRegime, Regime, regime_at
from tests.strategy.builders import Feed, S

CONFIG = StrategyConfig(baseline_s=5.0, pump_lag_s=10, news_lag_s=5, regime_exit_s=3.0)
# A market that trades 1,000 USD a second and moves 2 bps per root second.
USUAL = {"notional_rate5s": 1_000.0, "rv10s": 2.0, "rv300s": 2.0, "spread_bps": 1.0}
PUMP_BAR_BPS = 4 * 2.0 * 60**0.5
FAST = {"notional_rate5s": 4_001.0}


class Watcher:
    """A numeric path with its feed, warmed up on a usual market."""

    def __init__(self, symbols: int = 1, usual_s: float = 20.0, **changes: Any) -> None:
        names = ("BTCUSDT", "ETHUSDT", "SOLUSDT", "XRPUSDT", "ADAUSDT")[:symbols]
        values = {name: getattr(CONFIG, name) for name in CONFIG.__struct_fields__} | changes
        self.config = StrategyConfig(**values)
        decision = DecisionConfig(market=MarketConfig(warmup_s=1), strategy=self.config)
        self.path = NumericPath(names, decision)
        self.feed = Feed(symbols)
        self.last: Evaluations = self.path.evaluate(self.frames(usual_s))

    def frames(self, seconds: float, **values: Any) -> Frames:
        return self.feed.frames(round(seconds * 10), **(USUAL | values))

    def see(self, seconds: float = 0.1, **values: Any) -> Regime:
        """The regime after `seconds` of such frames."""
        self.last = self.path.evaluate(self.frames(seconds, **values))
        return self.regime

    @property
    def regime(self) -> Regime:
        return REGIMES[int(self.last.regime[-1])]

    @property
    def market(self) -> GlobalRegime:
        return GLOBAL_REGIMES[int(self.last.global_regime[-1])]

    @property
    def reason(self) -> str:
        return regime_at(self.last, len(self.last) - 1, self.config).reason


# -- single frames -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "regime", "words"),
    [
        ({}, Regime.NORMAL, ""),
        ({"ret60s": PUMP_BAR_BPS * 1.01, **FAST}, Regime.PUMP, r"\+62\.6 bps in 60 s \(limit 62"),
        ({"ret60s": -PUMP_BAR_BPS * 1.01, **FAST}, Regime.DUMP, r"-62\.6 bps in 60 s"),
        ({"ret60s": PUMP_BAR_BPS * 1.01}, Regime.NORMAL, ""),
        ({"ret60s": PUMP_BAR_BPS * 0.99, **FAST}, Regime.NORMAL, ""),
        ({"ret60s": np.nan, **FAST}, Regime.NORMAL, ""),
        ({"rv10s": 8.1, "spread_bps": 3.1}, Regime.NEWS, r"volatility 8\.10 bps \(limit 8\.00\)"),
        ({"rv10s": 8.1, "spread_bps": 2.9}, Regime.NORMAL, ""),
        ({"rv10s": 7.9, "spread_bps": 3.1}, Regime.NORMAL, ""),
        ({"spread_bps": 15.1}, Regime.ILLIQUID, "spread 15.10 bps above 15 bps"),
        ({"spread_bps": np.nan}, Regime.ILLIQUID, "no spread"),
        ({"bid_depth_usd20": 19_999.0}, Regime.ILLIQUID, "bid depth 19,999 USD below"),
        ({"ask_depth_usd20": 19_999.0}, Regime.ILLIQUID, "ask depth 19,999 USD below"),
        ({"ask_depth_usd20": np.nan}, Regime.ILLIQUID, "ask depth nan"),
        ({"book_state": BookState.STALE}, Regime.STALE, "order book is stale"),
        ({"book_state": BookState.DEGRADED}, Regime.STALE, "order book is degraded"),
        ({"book_state": BookState.EMPTY}, Regime.STALE, "order book is empty"),
        ({"book_age_ms": 6001.0}, Regime.STALE, r"no word of the book for 6\.0 s"),
        ({"trade_age_ms": 600_001.0}, Regime.STALE, "no trade for 600 s"),
        ({"trade_age_ms": np.nan}, Regime.STALE, "no trade yet"),
    ],
)
def test_a_frame_beyond_a_threshold_speaks_for_its_regime(
    values: dict[str, float], regime: Regime, words: str
) -> None:
    market = Watcher()

    assert market.see(**values) is regime
    if regime is not Regime.NORMAL:
        assert re.search(words, market.reason)


def test_what_makes_a_book_unfit_outweighs_what_the_price_does() -> None:
    pumping = {"ret60s": 100.0, **FAST}

    assert Watcher().see(**pumping, spread_bps=20.0) is Regime.ILLIQUID
    assert Watcher().see(**pumping, spread_bps=20.0, book_state=BookState.STALE) is Regime.STALE


# -- baselines ---------------------------------------------------------------------------------------------


def test_an_event_does_not_raise_the_bar_it_is_measured_against() -> None:
    """Volatility and flow of the last 10 s are those of the event: the bar is of before."""
    market = Watcher()
    wild = {"rv300s": 50.0, "notional_rate5s": 50_000.0}

    market.see(9.0, **wild)

    assert market.see(ret60s=PUMP_BAR_BPS * 1.01, **wild) is Regime.PUMP


def test_once_the_lag_has_passed_the_bar_has_risen() -> None:
    market = Watcher()
    market.see(13.0, rv300s=50.0)

    assert market.see(ret60s=PUMP_BAR_BPS * 1.01, **FAST) is Regime.NORMAL
    assert market.last.out_f[-1, at.PUMP_BAR] == pytest.approx(4 * 50.0 * 60**0.5)


def test_a_dead_market_is_measured_against_the_floors() -> None:
    dead = {"rv300s": 0.001, "notional_rate5s": 1.0, "spread_bps": 0.01}
    market = Watcher(usual_s=0.0)
    market.see(20.0, **dead)

    market.see(**dead)

    bars = market.last.out_f[-1, [at.PUMP_BAR, at.FLOW_BAR, at.VOL_BAR, at.SPREAD_BAR]]
    assert bars.tolist() == pytest.approx([4 * 0.2 * 60**0.5, 4 * 500.0, 4 * 0.2, 3 * 0.2])


def test_a_baseline_that_rests_on_too_little_is_no_baseline() -> None:
    market = Watcher(usual_s=14.0)  # 5 s for the baseline, then a lag of 10 s

    assert market.see(ret60s=1_000.0, notional_rate5s=1e6) is Regime.NORMAL
    market.see(2.0)
    assert market.see(ret60s=1_000.0, notional_rate5s=1e6) is Regime.PUMP


def test_a_gap_in_the_feed_leaves_the_baselines_as_they_stood() -> None:
    market = Watcher()
    market.feed.now_ns += 3600 * S

    market.see(ret60s=PUMP_BAR_BPS * 1.01, **FAST)

    assert market.regime is Regime.PUMP
    assert market.last.out_f[-1, at.PUMP_BAR] == pytest.approx(PUMP_BAR_BPS)


# -- hysteresis --------------------------------------------------------------------------------------------


def test_a_bad_regime_is_entered_at_once_and_left_after_calm() -> None:
    market = Watcher()

    assert market.see(spread_bps=20.0) is Regime.ILLIQUID
    assert market.see(2.9) is Regime.ILLIQUID
    assert market.see(spread_bps=20.0) is Regime.ILLIQUID  # calm begins anew
    assert market.see(2.9) is Regime.ILLIQUID
    assert market.see(0.1) is Regime.NORMAL


def test_a_regime_that_holds_from_before_says_so() -> None:
    market = Watcher()
    market.see(ret60s=100.0, **FAST)
    market.see(2.0, spread_bps=20.0, ret60s=100.0, **FAST)
    market.see(2.9, ret60s=100.0, **FAST)
    assert market.regime is Regime.ILLIQUID

    market.see(0.1)

    assert market.regime is Regime.PUMP
    assert market.reason == "seen less than 3 s ago"


def test_each_change_is_marked_once_with_what_was_before() -> None:
    market = Watcher()
    frames = np.concatenate([market.frames(1, spread_bps=20.0), market.frames(5)])

    seen = market.path.evaluate(frames)

    changed = np.flatnonzero(seen.out_i[:, at.CHANGES] & at.REGIME_CHANGED)
    assert changed.tolist() == [0, 39]
    before = seen.out_i[changed, at.REGIME_BEFORE]
    assert [REGIMES[code] for code in before] == [Regime.NORMAL, Regime.ILLIQUID]


# -- manipulation ------------------------------------------------------------------------------------------


def test_flicker_must_last_to_be_manipulation() -> None:
    market = Watcher()

    assert market.see(5.0, flicker=3.1) is Regime.NORMAL
    assert market.see(0.1, flicker=3.1) is Regime.MANIPULATED
    assert "flicker 3.10 per s for 5.0 s (limit 3 for 5 s)" in market.reason


def test_one_quiet_frame_begins_the_count_of_flicker_anew() -> None:
    market = Watcher()
    market.see(4.0, flicker=9.0)
    market.see(0.1, flicker=np.nan)

    assert market.see(4.0, flicker=9.0) is Regime.NORMAL


def test_a_fresh_trade_far_outside_the_book_is_manipulation() -> None:
    market = Watcher()
    outside = {"trade_age_ms": 50.0, "book_age_ms": 10.0}

    assert market.see(last_price=100_000.1 * 1.0019, **outside) is Regime.NORMAL
    assert market.see(last_price=100_000.1 * 1.0021, **outside) is Regime.MANIPULATED
    assert "bps outside the book (limit 20)" in market.reason


@pytest.mark.parametrize(
    "values",
    [
        {"trade_age_ms": 101.0, "book_age_ms": 10.0},  # of before the last frame
        {"trade_age_ms": 50.0, "book_age_ms": 60.0},  # the book has not spoken since
        {"trade_age_ms": 50.0, "book_age_ms": 10.0, "reason": FrameReason.TRIGGER},
    ],
)
def test_a_trade_that_may_have_been_inside_its_book_is_none(values: dict[str, Any]) -> None:
    assert Watcher().see(last_price=101_000.0, **values) is Regime.NORMAL


def test_a_market_that_jumps_trades_where_its_book_was() -> None:
    """The last trade is of the old level, the book already at the new one."""
    there = {"bid": 101_000.0, "ask": 101_000.1, "mid": 101_000.05}

    regime = Watcher().see(last_price=100_000.0, trade_age_ms=50.0, book_age_ms=10.0, **there)

    assert regime is Regime.NORMAL


# -- nearness ----------------------------------------------------------------------------------------------


def test_the_nearer_a_regime_the_higher_the_penalty() -> None:
    market = Watcher()
    seen = [market.see(spread_bps=bps) and market.last for bps in (1.0, 10.0, 14.0, 16.0)]

    nearness = [float(each.out_f[0, at.PROXIMITY]) for each in seen]
    assert nearness == pytest.approx([0.25, 10 / 15, 14 / 15, 1.0])
    penalties = [float(each.out_f[0, at.NEAR_PART]) for each in seen]
    assert penalties == sorted(penalties)
    assert penalties[-1] == market.config.regime_penalty


# -- the market --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ret_bps", "regime"),
    [
        (125.0, GlobalRegime.GLOBAL_NORMAL),
        (125.1, GlobalRegime.GLOBAL_RISK_OFF),
        (-250.0, GlobalRegime.GLOBAL_RISK_OFF),
        (-250.1, GlobalRegime.GLOBAL_PANIC),
        (250.1, GlobalRegime.GLOBAL_PANIC),
    ],
)
def test_the_leader_alone_can_frighten_the_market(ret_bps: float, regime: GlobalRegime) -> None:
    market = Watcher()

    market.see(ret300s=ret_bps)

    assert market.market is regime


def test_another_symbol_than_the_leader_frightens_nobody() -> None:
    market = Watcher(leader_symbol="ETHUSDT")

    market.see(ret300s=-1_000.0)

    assert market.market is GlobalRegime.GLOBAL_NORMAL


@pytest.mark.parametrize(
    ("symbols", "dumping", "regime"),
    [
        (5, 1, GlobalRegime.GLOBAL_NORMAL),
        (5, 2, GlobalRegime.GLOBAL_RISK_OFF),
        (5, 3, GlobalRegime.GLOBAL_PANIC),
        (4, 4, GlobalRegime.GLOBAL_NORMAL),  # too few to speak of a market
    ],
)
def test_the_share_of_symbols_in_dump_can_too(
    symbols: int, dumping: int, regime: GlobalRegime
) -> None:
    market = Watcher(symbols)
    frames = market.frames(0.1, **FAST)
    frames["ret60s"][:dumping] = -PUMP_BAR_BPS * 1.01

    market.last = market.path.evaluate(frames)

    assert market.market is regime


def test_panic_calms_down_by_way_of_risk_off() -> None:
    market = Watcher()
    market.see(ret300s=-300.0)
    market.see(2.0, ret300s=-200.0)
    assert market.market is GlobalRegime.GLOBAL_PANIC

    market.see(1.0, ret300s=-200.0)
    assert market.market is GlobalRegime.GLOBAL_RISK_OFF

    market.see(3.0)
    assert market.market is GlobalRegime.GLOBAL_NORMAL


# -- carried over ------------------------------------------------------------------------------------------


def test_a_restart_goes_on_in_the_middle_of_a_regime_with_its_baselines() -> None:
    kept, restarted = Watcher(), Watcher(usual_s=0.0)
    kept.see(ret60s=100.0, ret300s=-300.0, **FAST)

    assert restarted.path.restore(kept.path.state()) == kept.feed.now_ns
    rest = np.concatenate(
        [kept.frames(2.9, rv300s=9.0), kept.frames(0.2), kept.frames(0.1, ret60s=62.6, **FAST)]
    )
    want, got = kept.path.evaluate(rest), restarted.path.evaluate(rest)

    assert {REGIMES[code] for code in want.regime} == {Regime.PUMP, Regime.NORMAL}
    np.testing.assert_array_equal(got.out_i, want.out_i)
    np.testing.assert_array_equal(got.out_f, want.out_f)


def test_a_torn_or_foreign_checkpoint_changes_nothing() -> None:
    market = Watcher()
    before = market.path.state()

    assert market.path.restore(before[:-1]) is None
    assert market.path.restore(b"\x81torn") is None
    assert market.path.restore(before.replace(b"imb20", b"imb21")) is None
    assert market.path.state() == before
