"""What is open is valued at a price somebody named: an empty or one-sided book makes and loses no money."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import pytest

from execution.domain.core import ExecutionCore
from execution.domain.workspace import CoreState
from market.domain.frames import BookState
from strategy.domain.config import RiskConfig
from strategy.domain.messages import Side

LIMITS = RiskConfig(max_notional_usd=1e6, max_heat_pct=90.0, max_drawdown_pct=90.0)
DAY_NS = 86_400 * 10**9


@pytest.fixture
def held(make_world: Any) -> Any:
    """A long of 100 lots without anything that would end it."""
    world = make_world(limits=LIMITS)
    world.open_long(stop_ticks=5000, trailing=None, take_profits=(), time_stop_s=None)
    return world


def lose_sight(world: Any, bid: int, ask: int) -> None:
    world.quotes["BTCUSDT"] = (bid, ask)
    world.quote(state=BookState.EMPTY, spread_bps=math.nan)


@pytest.mark.parametrize(("bid", "ask"), [(0, 0), (10_000, 0), (0, 10_001)])
def test_a_loss_stays_a_loss_while_no_price_is_told(held: Any, bid: int, ask: int) -> None:
    held.quotes["BTCUSDT"] = (9000, 9001)
    held.quote()
    before = held.core.risk(held.now_ns)

    lose_sight(held, bid, ask)
    after = held.core.risk(held.now_ns)

    assert before.daily_pnl < -9
    assert after.equity == before.equity


def test_a_one_sided_book_neither_trails_a_short_nor_raises_the_peak(world: Any) -> None:
    world.ask(plan=world.plan(side=Side.SHORT, type="MARKET", stop_ticks=10_050))
    world.wait(150)
    stop = world.core.trades["BTCUSDT"].stop_ticks

    lose_sight(world, 10_000, 0)
    world.wait(1100)

    assert world.core.trades["BTCUSDT"].stop_ticks == stop
    assert world.core.book.equity_peak_usdt <= float(world.core.book.deposit_usdt)
    assert world.position() < 0


def test_a_degraded_book_does_not_trail_the_stop(world: Any) -> None:
    world.open_long(take_profits=(), stop_ticks=9900)
    trade = world.core.trades["BTCUSDT"]
    best = trade.best_ticks

    world.quotes["BTCUSDT"] = (10_100, 10_101)
    world.quote(state=BookState.DEGRADED)

    assert (trade.stop_ticks, trade.best_ticks) == (9900, best)


def test_a_restart_values_at_the_last_price_known(held: Any) -> None:
    held.quotes["BTCUSDT"] = (9000, 9001)
    held.quote()
    before = held.core.risk(held.now_ns)

    core = ExecutionCore(held.instruments, held.config, "SIM", "run-2", LIMITS)
    core.restore(held.core.state())

    assert core.risk(held.now_ns).equity == before.equity


def test_without_any_price_entries_stop_and_nothing_is_concluded(held: Any) -> None:
    state = msgspec.msgpack.decode(held.core.state(), type=CoreState)
    state.trades["BTCUSDT"].valued_ticks = 0.0  # as written before this was noted
    peak, day = state.book.equity_peak_usdt, state.book.day
    core = ExecutionCore(held.instruments, held.config, "SIM", "run-2", LIMITS)
    core.restore(msgspec.msgpack.encode(state))

    risk = core.risk(held.now_ns + DAY_NS)

    assert risk.reasons[0] == "no price is known of BTCUSDT"
    assert not risk.flags.risk_allow_new_positions
    assert not risk.flags.risk_force_close_all
    assert (core.book.equity_peak_usdt, core.book.day) == (peak, day)


@pytest.mark.parametrize("state", [BookState.OK, BookState.DEGRADED, BookState.STALE])
@pytest.mark.parametrize(("bid", "ask"), [(10_000, 0), (0, 10_001)])
def test_no_entry_on_half_a_touch(world: Any, state: BookState, bid: int, ask: int) -> None:
    world.quotes["BTCUSDT"] = (bid, ask)
    world.quote(state=state, spread_bps=math.nan)
    world.ask()

    assert not world.live()
    assert "NO_MARKET_DATA" in world.events()[0].reason


def test_a_spread_that_is_no_number_is_too_wide(world: Any) -> None:
    world.quote(spread_bps=math.nan)
    world.ask()

    assert not world.live()
    assert "SPREAD_TOO_WIDE" in world.events()[0].reason
