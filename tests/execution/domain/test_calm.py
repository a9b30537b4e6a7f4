"""Looking only where asked gives what looking at every frame gives, also while a trade is under way."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from execution.domain.outputs import LogLine
from execution.domain.quality_block import BlockState
from market.domain.frames import FRAME_DTYPE, BookState, FrameReason
from strategy.domain.config import RiskConfig
from strategy.domain.messages import DcaLevel, Side, StopPlan, TakeProfitLevel

MS = 1_000_000
WORLD: Any = None


@pytest.fixture(autouse=True)
def _world_for_properties(make_world: Any) -> None:
    globals()["WORLD"] = make_world


def a_world(side: Side, profile: str, is_market: bool) -> Any:
    """A trade just asked for; the venue's own book and mark stand still from here on."""
    world = WORLD(limits=RiskConfig(max_heat_pct=50.0, max_notional_usd=1e6))
    sign, entry = side.sign, 10_000 if side is Side.LONG else 10_001
    changes: dict[str, Any] = {"side": side, "type": "MARKET" if is_market else "LIMIT"}
    if profile == "ladder":
        changes |= {
            "trailing": None,
            "stop": StopPlan(price_ticks=entry - sign * 100, distance_bps=100.0),
            "take_profits": (
                TakeProfitLevel(price_ticks=entry + sign * 30, qty_lots=100, distance_bps=30.0),
            ),
            "dca_levels": (DcaLevel(price_ticks=entry - sign * 5, qty_lots=100),),
        }
    world.ask(plan=world.plan(**changes, timeout_ms=2500, time_stop_s=6))
    return world


def frames_of(world: Any, path: list[int], spread: int) -> Any:
    """Boundary frames of two symbols, 100 ms apart, and a trigger frame where the price jumps."""
    rows, bid = [], 10_000
    for step, move in enumerate(path, start=1):
        bid += move
        instant = world.now_ns + step * 100 * MS
        rows += [(symbol, instant, FrameReason.BOUNDARY, bid) for symbol in (0, 1)]
        if abs(move) >= 5:
            rows.append((0, instant + 30 * MS, FrameReason.TRIGGER, bid + move))
    frames = np.zeros(len(rows), FRAME_DTYPE)
    columns = np.array(rows).T
    for name, column in zip(("symbol", "ts_ns", "reason", "bid_tick"), columns, strict=True):
        frames[name] = column
    frames["ask_tick"], frames["book_state"] = frames["bid_tick"] + spread, BookState.OK
    frames["mark_price"], frames["funding_rate"] = np.nan, np.nan
    return frames


def instants_of(frames: Any) -> list[tuple[int, int, int]]:
    """(time, first row, row behind the last) of each instant."""
    times, first = np.unique(frames["ts_ns"], return_index=True)
    ends = [*first[1:].tolist(), len(frames)]
    return list(zip(times.tolist(), first.tolist(), ends, strict=True))


def judge(world: Any, frames: Any, now: int) -> None:
    world.outputs += world.desk.on_quotes(frames)
    if frames["reason"][0] == FrameReason.BOUNDARY:
        world.outputs += world.desk._carry_out(world.core.on_timer(now))


def look_at_all(world: Any, frames: Any) -> None:
    for now, first, end in instants_of(frames):
        world.desk.deliveries.push(world.venue.advance(now))
        world.outputs += world.desk.deliver(now)
        judge(world, frames[first:end], now)


def look_where_asked(world: Any, frames: Any) -> int:
    """The venue goes on all the while; returns at how many instants the core was asked to look."""
    noted, looks, passed_ns = 0, 0, 0
    needed = world.core.next_attention(frames, 0)
    for now, first, end in instants_of(frames):
        world.desk.deliveries.push(world.venue.advance(now))
        due_ns = world.desk.deliveries.next_at_ns
        if due_ns is not None and due_ns <= now:
            world.outputs += world.core.note_quotes(frames[noted:first])
            # This venue answers late, after frames that carry the clock past its answer.
            world.core._work.tick_clock(passed_ns)
            world.outputs += world.desk.deliver(now)
            noted, needed = first, world.core.next_attention(frames, first)
        if first <= needed < end:
            world.outputs += world.core.note_quotes(frames[noted:first])
            judge(world, frames[first:end], now)
            noted, looks, needed = end, looks + 1, world.core.next_attention(frames, end)
        passed_ns = now
    world.outputs += world.core.note_quotes(frames[noted:])
    return looks


def written(world: Any) -> list[dict[str, Any]]:
    return [output.record for output in world.outputs if isinstance(output, LogLine)]


def state_of(world: Any) -> dict[str, Any]:
    """All but the clock, which every input brings along."""
    return msgspec.msgpack.decode(world.core.state()) | {"now_ns": 0}


paths = st.lists(
    st.one_of(st.just(0), st.integers(-3, 3), st.integers(-12, 12), st.integers(8, 20)),
    min_size=5,
    max_size=90,
)


@settings(max_examples=60, deadline=None)
@example([0, 0, 16, 0, 0, 0, 0, 0, 0, -5, 0, 0, 0], Side.LONG, "scalp", True, 1)
@given(
    path=paths,
    side=st.sampled_from(list(Side)),
    profile=st.sampled_from(["scalp", "ladder"]),
    is_market=st.booleans(),
    spread=st.integers(1, 3),
)
def test_looking_where_asked_decides_what_looking_at_every_frame_decides(
    path: list[int], side: Side, profile: str, is_market: bool, spread: int
) -> None:
    one, other = (a_world(side, profile, is_market) for _ in range(2))
    frames = frames_of(one, path, spread)

    look_at_all(one, frames)
    look_where_asked(other, frames)

    assert written(other) == written(one)
    assert state_of(other) == state_of(one)


def test_a_calm_position_is_looked_at_when_something_is_due_and_not_each_second() -> None:
    world = a_world(Side.LONG, "ladder", is_market=True)
    looks = look_where_asked(world, frames_of(world, [0] * 55, 1))

    assert world.core.trades["BTCUSDT"].position_lots == 100
    assert looks <= 5


@pytest.mark.parametrize("side", list(Side))
@pytest.mark.parametrize("drawdown_pct", [100.0, 0.002])
def test_what_limits_forbid_is_found_at_the_same_second(side: Side, drawdown_pct: float) -> None:
    """First in our favour, which moves the peak, then against us until the day's loss closes it."""
    limits = RiskConfig(
        max_heat_pct=50.0, max_notional_usd=1e6, max_drawdown_pct=drawdown_pct,
        daily_loss_limit_pct=0.001, daily_loss_close_pct=0.002,
    )  # fmt: skip
    one, other = (WORLD(limits=limits) for _ in range(2))
    entry = 10_000 if side is Side.LONG else 10_001
    stop = StopPlan(price_ticks=entry - side.sign * 200, distance_bps=200.0)
    for world in (one, other):
        world.ask(
            plan=world.plan(side=side, type="MARKET", trailing=None, stop=stop, take_profits=())
        )
    frames = frames_of(one, [side.sign] * 15 + [-side.sign] * 65, 1)

    look_at_all(one, frames)
    look_where_asked(other, frames)

    assert written(other) == written(one)
    assert state_of(other) == state_of(one)
    assert one.core.book.equity_peak_usdt > 10_000
    reasons = {line.get("trade", {}).get("exitReason") for line in written(one)}
    assert (
        "RISK_FORCE_CLOSE" in reasons
        or one.core.trades["BTCUSDT"].close_reason == "RISK_FORCE_CLOSE"
    )


@pytest.mark.parametrize("taken_up", ["memory", "state"])
def test_a_core_that_is_put_back_knows_when_a_block_ends(taken_up: str) -> None:
    """And not when that of the later life ends which is forgotten with it."""
    core = WORLD().core
    quality, now_ns = core._work.quality, 10**18
    symbol, until_ns = quality._symbol("BTCUSDT"), now_ns + 5_000 * MS
    symbol.state, symbol.until_ns = BlockState.BLOCKED, until_ns
    memory, state = core.memory(), core.state()
    assert quality.next_change_ns(until_ns) > until_ns

    if taken_up == "memory":
        core.recall(memory)
    else:
        core.restore(state)

    assert quality.next_change_ns(now_ns) == until_ns
