"""Execution quality: what an order's record says, and when a symbol is blocked and comes back."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from execution.domain.config import ExecutionConfig
from execution.domain.core import ExecutionCore
from execution.domain.quality_block import BlockState, SymbolQuality
from execution.domain.quality_config import QualityConfig
from execution.domain.quality_figures import (
    DecayedMean,
    OrderFigures,
    QualityFigures,
    penalties,
    score,
)
from execution.domain.units import UnitChange, in_new_units
from market.domain.frames import FRAME_DTYPE, BookState
from strategy.domain.config import RiskConfig
from strategy.domain.messages import Side

S = 1_000_000_000
BTC = "BTCUSDT"


def later(world: Any, seconds: float, bid: int | None = None, **quote: Any) -> None:
    """Jump in time and show one frame there; the venue hears nothing of it."""
    world.now_ns += int(seconds * S)
    if bid is not None:
        world.quotes[BTC] = (bid, bid + 1)
    world.quote(**quote)


def records(world: Any, leg: str) -> list[dict[str, Any]]:
    return [row for row in world.rows("QUALITY") if row["leg"] == leg]


# --- one order ---------------------------------------------------------------------------------------


def test_a_taken_entry_is_measured_against_mid_and_touch_and_marked_out(world: Any) -> None:
    world.open_long()  # buys at 1000.1 with a mid of 1000.05
    for seconds, bid in ((1, 10_010), (4, 9_990), (25, 10_030)):
        later(world, seconds, bid)

    (row,) = records(world, "ENTRY")

    assert row["decisionSlippageBps"] == pytest.approx(0.5 / 10_000.5 * 1e4, abs=1e-3)
    assert row["touchSlippageBps"] == 0.0
    assert row["fillRatio"] == 1.0
    assert row["timeToFillMs"] == 40.0  # way there and back of the simulated venue
    assert row["markout1sBps"] == pytest.approx((10_010.5 - 10_001) / 10_001 * 1e4, abs=1e-3)
    assert row["markout5sBps"] == pytest.approx((9_990.5 - 10_001) / 10_001 * 1e4, abs=1e-3)
    assert row["markout30sBps"] == pytest.approx((10_030.5 - 10_001) / 10_001 * 1e4, abs=1e-3)


def test_a_resting_entry_is_measured_against_the_touch_it_joined(world: Any) -> None:
    world.ask()
    world.wait(50)
    world.trade("SELL", 10_000, 1200)
    world.wait(50)
    for seconds in (1, 4, 26):
        later(world, seconds)

    (row,) = records(world, "ENTRY")

    assert row["touchSlippageBps"] == 0.0
    assert row["makerQty"] == row["filledQty"] > 0
    assert row["decisionSlippageBps"] < 0  # it earned half the spread


def test_a_sold_position_gains_when_the_price_falls_after_it(world: Any) -> None:
    world.ask(plan=world.plan(type="MARKET", side=Side.SHORT))
    world.wait(150)
    for seconds in (1, 4, 26):
        later(world, seconds, 9_990)

    (row,) = records(world, "ENTRY")

    assert row["markout5sBps"] > 0


def test_a_stop_is_measured_against_its_trigger(world: Any) -> None:
    world.open_long()
    world.move_to(9_940)
    world.wait(200)
    for seconds in (1, 4, 26):
        later(world, seconds)

    (row,) = records(world, "STOP")

    assert row["decisionPrice"] == 995.0
    assert row["decisionSlippageBps"] == pytest.approx((9_950 - 9_940) / 9_950 * 1e4, abs=1e-3)
    assert row["touchSlippageBps"] == 0.0
    assert row["timeToFillMs"] < 1000.0  # from its trigger, not from the minute it was placed


def test_a_take_profit_waits_for_its_price_and_is_no_decision_of_the_moment(world: Any) -> None:
    world.open_long()
    world.wait(5000)
    world.move_to(10_035)
    world.wait(200)
    for seconds in (1, 4, 26):
        later(world, seconds)

    (row,) = records(world, "TP1")

    assert row["filledQty"] > 0
    assert (row["decisionSlippageBps"], row["timeToFillMs"]) == (None, None)
    assert row["markout5sBps"] is not None


def test_an_unfilled_entry_is_recorded_at_once_with_nothing_filled(world: Any) -> None:
    world.ask(plan=world.plan(timeout_ms=500))
    world.wait(700)

    (row,) = records(world, "ENTRY")

    assert (row["outcome"], row["fillRatio"], row["markout5sBps"]) == ("CANCELED", 0.0, None)


def test_a_market_not_to_be_seen_at_the_horizon_leaves_the_markout_unknown(world: Any) -> None:
    world.open_long()
    later(world, 1)
    later(world, 4, state=BookState.STALE)
    later(world, 3, 10_050)  # usable again, but too late to stand for 5 s
    later(world, 23, 10_030)

    (row,) = records(world, "ENTRY")

    assert row["markout1sBps"] is not None
    assert row["markout5sBps"] is None
    assert row["markout30sBps"] is not None


def frames_after(world: Any, bids: list[int], step_ns: int) -> Any:
    rows = np.zeros(len(bids), FRAME_DTYPE)
    rows["ts_ns"] = world.now_ns + step_ns * np.arange(1, len(bids) + 1)
    rows["symbol"] = np.arange(len(bids)) % 2
    rows["bid_tick"], rows["mark_price"] = bids, np.nan
    rows["ask_tick"] = rows["bid_tick"] + 1
    rows["book_state"] = BookState.OK
    return rows


# The fixture is a class: every example makes its own world of it.
@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    bids=st.lists(st.integers(9_500, 10_500), min_size=80, max_size=80),
    cuts=st.lists(st.integers(1, 79), max_size=8, unique=True),
)
def test_markouts_do_not_depend_on_how_frames_are_grouped(
    make_world: Any, bids: list[int], cuts: list[int]
) -> None:
    """Flat again, so that frames arrive in bulk: only the markouts still want to see them."""
    world = make_world()
    world.open_long()
    world.move_to(9_940)
    world.wait(300)
    frames = frames_after(world, bids, S // 2)
    twin = ExecutionCore(world.instruments, world.config, "SIM", "run-1")
    twin.restore(world.core.state(), new_epoch=False)

    whole = world.core.on_quotes(frames)
    pieces = [
        out for part in np.split(frames, sorted(cuts)) if len(part) for out in twin.on_quotes(part)
    ]

    assert msgspec.to_builtins(whole) == msgspec.to_builtins(pieces)
    assert any(getattr(out, "row", {}).get("record") == "QUALITY" for out in whole)


def test_what_is_known_of_a_symbol_survives_a_restart(world: Any) -> None:
    world.open_long()
    later(world, 1, 10_010)
    twin = ExecutionCore(world.instruments, world.config, "SIM", "run-2")
    twin.restore(world.core.state(), new_epoch=False)
    frames = frames_after(world, [9_990] * 70, S)

    here, there = world.core.on_quotes(frames), twin.on_quotes(frames)

    rows = [out.row for out in there if getattr(out, "row", {}).get("record") == "QUALITY"]
    assert rows
    assert rows == [out.row for out in here if getattr(out, "row", {}).get("record") == "QUALITY"]
    assert twin.snapshot(world.now_ns).quality == world.core.snapshot(world.now_ns).quality


# --- means and score -----------------------------------------------------------------------------------

observations = st.lists(st.floats(-50, 50), min_size=1, max_size=40)


@given(observations)
def test_a_decayed_mean_stays_within_what_was_observed(values: list[float]) -> None:
    mean, config = DecayedMean(), QualityConfig()

    for i, value in enumerate(values):
        mean.add(value, (i + 1) * S, config)

    assert mean.value is not None
    assert min(values) - 1e-9 <= mean.value <= max(values) + 1e-9
    assert mean.count == len(values)


def test_an_old_order_counts_half_after_its_half_life() -> None:
    mean = DecayedMean()
    config = QualityConfig(half_life_orders=1e4, half_life_s=3600)

    mean.add(0.0, S, config)
    mean.add(3.0, S + 3600 * S, config)

    assert mean.value == pytest.approx(2.0, rel=1e-3)


figures = st.builds(
    OrderFigures,
    was_rejected=st.booleans(),
    touch_slippage_bps=st.none() | st.floats(-20, 200),
    fill_ratio=st.none() | st.floats(0, 1),
    adverse_bps=st.none() | st.floats(-200, 200),
)


@given(st.lists(figures, min_size=1, max_size=30))
def test_the_score_stays_between_0_and_100_and_worse_slippage_never_raises_it(
    orders: list[OrderFigures],
) -> None:
    config = QualityConfig(min_orders=1)
    said, worse = QualityFigures(), QualityFigures()

    for i, order in enumerate(orders):
        said.add(order, (i + 1) * S, config)
        slipped = order.touch_slippage_bps
        cost = None if slipped is None else slipped + 5
        changed = msgspec.structs.replace(order, touch_slippage_bps=cost)
        worse.add(changed, (i + 1) * S, config)

    points = score(penalties(said, config, 1, 31 * S))
    assert 0 <= points <= 100
    assert score(penalties(worse, config, 1, 31 * S)) <= points + 1e-9


def test_a_figure_with_too_few_orders_takes_nothing_from_the_score() -> None:
    config, few = QualityConfig(min_orders=8), QualityFigures()

    for i in range(7):
        few.add(OrderFigures(was_rejected=True), (i + 1) * S, config)
    before = score(penalties(few, config, 8, 9 * S))
    few.add(OrderFigures(was_rejected=True), 8 * S, config)

    assert before == 100
    assert score(penalties(few, config, 8, 9 * S)) == 0


def test_an_adverse_markout_that_keeps_entries_away_fades_with_time() -> None:
    """It is part of an entry's cost: without new fills nothing else would ever better it."""
    config, figures = QualityConfig(min_orders=1, half_life_s=3600), QualityFigures()
    figures.add(OrderFigures(was_rejected=False, adverse_bps=8.0), S, config)

    assert figures.adverse_bps(1, 300 * S, config) == 8.0
    assert figures.adverse_bps(1, S + 3600 * S, config) == pytest.approx(4.0)
    assert figures.next_fade_ns(S + 3600 * S) == S + 4200 * S
    assert figures.adverse_bps(2, S, config) == 0.0


# --- block and trial -----------------------------------------------------------------------------------

CONFIG = QualityConfig(min_orders=3, block_s=60, half_life_orders=5)
BAD, GOOD = (
    OrderFigures(was_rejected=False, touch_slippage_bps=40.0),
    OrderFigures(was_rejected=False, touch_slippage_bps=0.5),
)


def a_blocked_symbol() -> SymbolQuality:
    symbol = SymbolQuality()
    for i in range(3):
        symbol.on_order("p", BAD, True, (i + 1) * S, CONFIG)
    return symbol


def test_bad_slippage_blocks_with_a_reason_in_words() -> None:
    symbol = a_blocked_symbol()

    view = symbol.view(4 * S, CONFIG)

    assert view.blocked
    assert view.reason == "score 0 is below 40: slippage 40.0 bps beyond the touch"
    assert view.probation_at_ns == 63 * S


def test_after_the_block_one_smaller_entry_may_try_and_a_good_one_ends_it() -> None:
    symbol = a_blocked_symbol()
    assert not symbol.admits(62 * S)
    assert symbol.view(63 * S, CONFIG).probation

    symbol.on_entry("trial", 64 * S, CONFIG)
    assert not symbol.admits(65 * S)
    symbol.on_order("trial", GOOD, True, 66 * S, CONFIG)
    symbol.on_trade_over("trial")
    symbol.on_records_complete("trial", 66 * S, CONFIG)

    assert symbol.state is BlockState.OPEN
    assert symbol.view(66 * S, CONFIG).slippage_bps == 0.5  # the bad ones are forgiven


def test_a_bad_trial_blocks_again_for_the_same_time() -> None:
    symbol = a_blocked_symbol()

    symbol.on_entry("trial", 64 * S, CONFIG)
    symbol.on_order("trial", BAD, True, 66 * S, CONFIG)
    symbol.on_trade_over("trial")
    symbol.on_records_complete("trial", 66 * S, CONFIG)

    assert symbol.state is BlockState.BLOCKED
    assert symbol.until_ns == 126 * S
    assert symbol.view(70 * S, CONFIG).blocked_since_ns == 3 * S


def test_a_trial_that_filled_nothing_may_try_again() -> None:
    symbol = a_blocked_symbol()

    symbol.on_entry("trial", 64 * S, CONFIG)
    symbol.on_order(
        "trial", OrderFigures(was_rejected=False, fill_ratio=0.0), False, 66 * S, CONFIG
    )
    symbol.on_trade_over("trial")
    symbol.on_records_complete("trial", 66 * S, CONFIG)

    assert symbol.admits(67 * S)


steps = st.lists(
    st.tuples(
        st.sampled_from(["entry", "bad", "good", "unfilled", "over", "wait"]), st.integers(0, 90)
    ),
    max_size=60,
)


@settings(max_examples=150)
@given(steps)
def test_whatever_happens_a_block_ends_in_a_trial_and_a_trial_in_a_judgement(
    story: list[tuple[str, int]],
) -> None:
    """A symbol is never shut for good: once its trades are over, waiting brings an entry back."""
    symbol, now_ns, plans = SymbolQuality(), S, 0
    for what, wait_s in story:
        now_ns += wait_s * S
        plan = f"p{plans}"
        if what == "entry" and symbol.admits(now_ns):
            plans += 1
            symbol.on_entry(f"p{plans}", now_ns, CONFIG)
        elif what in ("bad", "good"):
            symbol.on_order(plan, BAD if what == "bad" else GOOD, True, now_ns, CONFIG)
        elif what == "unfilled":
            symbol.on_order(plan, OrderFigures(was_rejected=False), False, now_ns, CONFIG)
        elif what == "over":
            symbol.on_trade_over(plan)
            symbol.on_records_complete(plan, now_ns, CONFIG)
        view = symbol.view(now_ns, CONFIG)
        assert view.blocked is not symbol.admits(now_ns)
        assert (view.reason != "") is (symbol.state is not BlockState.OPEN)

    for number in range(plans + 1):
        symbol.on_trade_over(f"p{number}")
        symbol.on_records_complete(f"p{number}", now_ns, CONFIG)

    assert symbol.admits(now_ns + CONFIG.block_s * S)


@given(
    st.lists(st.tuples(st.floats(-20, 20), st.integers(0, 1200)), min_size=1, max_size=12),
    st.integers(0, 40_000),
)
def test_between_its_own_changes_a_view_stays_the_same(
    story: list[tuple[float, int]], look_s: int
) -> None:
    """Replay looks at no snapshot in between: what they would have said must be what it knows."""
    symbol, now_ns = SymbolQuality(), S
    for adverse, wait_s in story:
        now_ns += wait_s * S
        order = OrderFigures(was_rejected=False, adverse_bps=adverse)
        symbol.on_order("p", order, True, now_ns, CONFIG)
    look_ns = now_ns + look_s * S

    change_ns = symbol.next_change_ns(look_ns)

    last_same_ns = look_ns + 10**6 * S if change_ns is None else change_ns - 1
    assert change_ns is None or change_ns > look_ns
    assert symbol.view(last_same_ns, CONFIG) == symbol.view(look_ns, CONFIG)


# --- in the core -----------------------------------------------------------------------------------------


def block(world: Any, symbol: str = BTC) -> None:
    """As if the last orders had been carried out badly."""
    known = world.core._work.quality._symbol(symbol)
    config = world.config.quality
    for _ in range(config.min_orders):
        known.on_order("earlier", BAD, True, world.now_ns, config)


def test_a_blocked_symbol_refuses_an_entry_and_others_do_not(world: Any) -> None:
    block(world)

    world.ask()
    world.ask(plan=world.plan(symbol="ETHUSDT"))

    refused, taken = world.rows("ORDER")[0], world.rows("ORDER")[-1]
    assert (refused["symbol"], refused["status"]) == (BTC, "REJECTED")
    assert "QUALITY_BLOCK" in refused["lastError"]
    assert (taken["symbol"], taken["status"]) == ("ETHUSDT", "NEW")
    assert world.core.snapshot(world.now_ns).quality[BTC].blocked


def test_a_block_does_not_keep_an_open_position_from_being_closed(world: Any) -> None:
    world.open_long()
    block(world)

    world.ask("CLOSE")
    world.wait(200)

    assert world.position() == 0


def test_the_trial_entry_is_smaller_and_says_so(world: Any) -> None:
    block(world)
    world.now_ns += world.config.quality.block_s * S
    world.mark(10_000)
    world.quote()

    world.ask(plan=world.plan(qty_lots=100))

    row = world.rows("ORDER")[-1]
    assert row["qty"] == pytest.approx(0.05)
    assert row["lastError"] == "QUALITY_TRIAL_SIZE"
    assert world.core.snapshot(world.now_ns).quality[BTC].blocked  # until the trial is judged


def test_a_good_trial_trade_ends_the_block_by_itself(world: Any) -> None:
    block(world)
    world.now_ns += world.config.quality.block_s * S
    world.mark(10_000)
    world.quote()
    world.open_long()
    world.ask("CLOSE")
    world.wait(200)
    assert world.core.snapshot(world.now_ns).quality[BTC].blocked

    for seconds in (1, 4, 26):
        later(world, seconds)

    view = world.core.snapshot(world.now_ns).quality[BTC]
    assert (view.blocked, view.probation, view.reason) == (False, False, "")
    assert view.orders < world.config.quality.min_orders  # a new record


def test_contradicting_thresholds_are_refused_by_name() -> None:
    with pytest.raises(ValueError, match="qualityRecover is below qualityBlock"):
        QualityConfig(quality_block=50, quality_recover=40)


def test_the_config_has_its_own_place_in_the_execution_section() -> None:
    text = b'{"quality": {"qualityBlock": 30}, "latency": {"latencyMaxMs": 250}}'

    config = msgspec.json.decode(text, type=ExecutionConfig)

    assert (config.quality.quality_block, config.latency.latency_max_ms) == (30.0, 250.0)


def test_other_thresholds_judge_what_is_known_at_once(world: Any) -> None:
    world.ask(plan=world.plan(timeout_ms=500))
    world.wait(700)
    strict = QualityConfig(min_orders=1, fill_ratio_weight=1.0)
    config = msgspec.structs.replace(world.config, quality=strict)

    world.core.on_config(config, RiskConfig(), "v2")

    view = world.core.snapshot(world.now_ns).quality[BTC]
    assert (view.blocked, view.score) == (True, 0.0)
    assert view.reason.endswith("0 % of entries filled")


def test_a_change_of_units_leaves_what_was_measured_as_it_is(world: Any) -> None:
    """The venue may make ticks and lots finer while a fill still waits for its later markouts."""
    world.open_long()
    later(world, 1, 10_010)
    known = world.core._work.state.quality
    (before,) = [order for order in known.orders.values() if order.leg == "ENTRY"]

    changes = {BTC: UnitChange(Fraction(10), Fraction(2))}
    (after,) = [o for o in in_new_units(known, changes).orders.values() if o.leg == "ENTRY"]

    assert after.markouts_bps == before.markouts_bps
    assert after.figures() == before.figures()
    assert (after.filled_lots, after.touch_ticks) == (200, before.touch_ticks * 10)
