"""Each scenario holds the event it is named after, inside its window and nowhere else.

The conditions are those of the specification (§2), written out plainly here, so that they do not lean on
the regimes they are there to test.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from functools import cache
from itertools import islice

import numpy as np
import pytest
from numpy.typing import NDArray

from execution.domain.synthetic_scenarios import (
    WARMUP_S,
    Scenario,
    scenario,
    scenario_window,
)
from market.domain.config import MarketConfig
from market.domain.events import EventChunk, pack_chunk
from market.domain.frames import BookState, FrameReason, Frames
from market.domain.kernel import MarketKernel

SEED = 4
FRAMES_PER_S = 10
# Averages keep a trace of the event for so long; the stream must go on for longer.
TRACE_S = 90.0

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


@cache
def played(name: Scenario) -> tuple[Frames, list[EventChunk], MarketKernel]:
    instruments, chunks = scenario(name, SEED)
    kernel = MarketKernel(instruments, MarketConfig(warmup_s=60))
    kept = list(chunks)
    frames = np.concatenate([kernel.process(chunk) for chunk in kept])
    return frames[frames["reason"] == FrameReason.BOUNDARY], kept, kernel


def frames_of(name: Scenario, symbol: int = 0) -> Frames:
    frames = played(name)[0]
    return frames[frames["symbol"] == symbol]


def earlier(values: Floats, lag_s: int) -> Floats:
    return np.concatenate([np.full(lag_s * FRAMES_PER_S, np.nan), values[: -lag_s * FRAMES_PER_S]])


def average(values: Floats, half_life_s: float) -> Floats:
    """Bias-corrected exponential average."""
    keep = 0.5 ** (1.0 / FRAMES_PER_S / half_life_s)
    out, total, weight = np.empty(values.size), 0.0, 0.0
    for i, value in enumerate(values):
        total, weight = total * keep + value, weight * keep + 1.0
        out[i] = total / weight
    return out


def crowded(frames: Frames) -> Flags:
    rate = np.nan_to_num(frames["notional_rate5s"])
    return rate > 4.0 * earlier(average(rate, 3600.0), 60)


def usual_move(frames: Frames) -> Floats:
    return earlier(frames["rv300s"], 60) * np.sqrt(60.0)


def pumped(frames: Frames) -> Flags:
    return (frames["ret60s"] > 4.0 * usual_move(frames)) & crowded(frames)


def dumped(frames: Frames) -> Flags:
    return (frames["ret60s"] < -4.0 * usual_move(frames)) & crowded(frames)


def shaken(frames: Frames) -> Flags:
    usual_spread = earlier(average(np.nan_to_num(frames["spread_bps"]), 600.0), 30)
    rough = frames["rv10s"] > 4.0 * earlier(frames["rv300s"], 30)
    return rough & (frames["spread_bps"] > 3.0 * usual_spread)


def flickering(frames: Frames) -> Flags:
    for_5s = np.convolve(frames["flicker"] > 3.0, np.ones(5 * FRAMES_PER_S))[: len(frames)]
    return for_5s >= 5 * FRAMES_PER_S


def dry(frames: Frames) -> Flags:
    depth = np.minimum(frames["bid_depth_usd20"], frames["ask_depth_usd20"])
    return (depth < 20_000.0) | (frames["spread_bps"] > 15.0)


def silent(frames: Frames) -> Flags:
    return np.asarray(frames["book_state"] == BookState.STALE)


EVENTS: dict[Scenario, Callable[[Frames], Flags]] = {
    Scenario.STEP: pumped,
    Scenario.RAMP: dumped,
    Scenario.BURST: shaken,
    Scenario.GRIND: pumped,
    Scenario.PUMP: pumped,
    Scenario.DUMP: dumped,
    Scenario.SPOOFING: flickering,
    Scenario.NEWS_BURST: shaken,
    Scenario.DRY_BOOK: dry,
    Scenario.STALE_FEED: silent,
    Scenario.MARKET_PANIC: dumped,
}


@pytest.mark.parametrize("name", Scenario)
def test_the_event_happens_in_its_window_and_is_over_before_the_stream_ends(
    name: Scenario,
) -> None:
    window = scenario_window(name, SEED)
    frames = frames_of(name)
    happening = EVENTS[name](frames)
    inside = (frames["ts_ns"] >= window.start_ns) & (frames["ts_ns"] <= window.end_ns)
    calm_start = (frames["ts_ns"] < window.start_ns) & (
        frames["ts_ns"] > window.start_ns - 120 * 10**9
    )
    over = frames["ts_ns"] > window.end_ns + TRACE_S * 1e9

    assert np.count_nonzero(happening & inside) >= 5 * FRAMES_PER_S
    assert not happening[calm_start].any()
    assert np.count_nonzero(over) > 20 * FRAMES_PER_S
    assert not happening[over].any()
    assert calm_start.any()


@pytest.mark.parametrize("name", Scenario)
def test_books_trades_and_tickers_are_rightly_formed(name: Scenario) -> None:
    """The kernel counts whatever it cannot use, so that nothing malformed passes unseen."""
    frames, chunks, kernel = played(name)
    seq = np.concatenate([chunk.seq for chunk in chunks])
    core = np.concatenate([chunk.core_ts_ns for chunk in chunks])
    known = frames[frames["bid_tick"] > 0]

    assert not any(kernel.counters().values())
    assert np.array_equal(seq, np.arange(1, seq.size + 1))
    assert (np.diff(core) >= 0).all()
    assert (core[-1] - core[0]) / 1e9 <= 30 * 60
    assert (known["ask_tick"] > known["bid_tick"]).all()
    assert len(known) > 0.99 * len(frames)


def test_the_price_paths_are_what_they_are_called() -> None:
    """A step is over in a second, a ramp and a grind are straight, a burst goes nowhere."""

    def moved_bps(name: Scenario, from_s: float, to_s: float) -> float:
        frames, start = frames_of(name), scenario_window(name, SEED).start_ns
        places = np.searchsorted(frames["ts_ns"], [start + from_s * 1e9, start + to_s * 1e9])
        first, last = frames["mid"][places]
        return float(last / first - 1.0) * 1e4

    assert 140 < moved_bps(Scenario.STEP, 0, 1.5) < 220
    assert moved_bps(Scenario.RAMP, 0, 25) < -60
    assert moved_bps(Scenario.RAMP, 25, 50) < -60
    assert all(moved_bps(Scenario.GRIND, t, t + 40) > 40 for t in (0, 40, 80))
    assert abs(moved_bps(Scenario.BURST, 0, 12)) < 60
    assert moved_bps(Scenario.PUMP, 0, 45) > 180
    assert moved_bps(Scenario.DUMP, 0, 40) < -180


def test_a_panic_takes_most_of_five_symbols_and_the_leader() -> None:
    instruments, _ = scenario(Scenario.MARKET_PANIC, SEED)
    window = scenario_window(Scenario.MARKET_PANIC, SEED)
    dumps = np.array([dumped(frames_of(Scenario.MARKET_PANIC, s)) for s in range(len(instruments))])
    leader = frames_of(Scenario.MARKET_PANIC, 0)
    within = (leader["ts_ns"] >= window.start_ns) & (leader["ts_ns"] <= window.end_ns)

    assert instruments[0].symbol == "BTCUSDT"
    assert len(instruments) == 5
    assert (dumps[:, within].sum(axis=0) >= 3).any()
    assert np.nanmin(leader["ret300s"][within]) < -250
    assert np.nanmax(np.abs(leader["ret300s"][leader["ts_ns"] < window.start_ns])) < 125


def test_a_silent_feed_leaves_the_other_symbols_alone() -> None:
    assert not silent(frames_of(Scenario.STALE_FEED, 1)).any()
    assert frames_of(Scenario.STALE_FEED)["book_state"][-1] == BookState.OK


def test_the_same_seed_plays_the_same_stream_and_another_seed_another() -> None:
    def digest(chunks: Iterable[EventChunk]) -> str:
        return hashlib.sha256(b"".join(map(pack_chunk, chunks))).hexdigest()

    again = list(scenario(Scenario.SPOOFING, SEED)[1])
    other = islice(scenario(Scenario.SPOOFING, SEED + 1)[1], 3)

    assert digest(again) == digest(played(Scenario.SPOOFING)[1])
    assert digest(other) != digest(again[:3])
    starts = {scenario_window(Scenario.STEP, seed).start_ns for seed in range(9)}
    assert len(starts) > 3
    assert WARMUP_S >= 300
