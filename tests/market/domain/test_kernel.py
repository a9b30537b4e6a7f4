"""What the kernel promises beyond its figures: chunking, hashing, state, and hostile input."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from market.domain.config import MarketConfig
from market.domain.events import ASK, BID, BUY, ChunkBuilder, EventChunk, EventKind
from market.domain.frames import FRAME_DTYPE, BookState, FrameReason, Frames
from market.domain.kernel import MarketKernel
from tests.market.domain.streams import (
    INSTRUMENTS,
    START_NS,
    Step,
    assert_same_frames,
    chunk_of,
    configs,
    reference_frames,
    streams,
)

MS = 1_000_000
some = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True
)
CONFIG = MarketConfig(warmup_s=1)


def a_kernel(config: MarketConfig = CONFIG) -> MarketKernel:
    return MarketKernel(INSTRUMENTS, config)


def in_pieces(kernel: MarketKernel, chunk: EventChunk, size: int) -> Frames:
    pieces = [
        kernel.process(chunk.slice(at, min(at + size, len(chunk))))
        for at in range(0, len(chunk), size)
    ]
    return np.concatenate([np.zeros(0, FRAME_DTYPE), *pieces])


def a_book(
    builder: ChunkBuilder, *, at_ms: int = 0, symbol: int = 0, levels: int = 25, seq: int = 1
) -> None:
    builder.add(
        EventKind.BOOK_SNAPSHOT,
        symbol=symbol,
        seq=seq,
        core_ts_ns=START_NS + at_ms * MS,
        exchange_ts_ns=START_NS,
        levels=[(s, 1_000 + (i if s else -i - 1), 10) for s in (BID, ASK) for i in range(levels)],
    )


def an_event(
    builder: ChunkBuilder,
    kind: EventKind,
    *levels: tuple[int, int, int],
    at_ms: int,
    seq: int = 2,
    exchange_ms: int = 0,
) -> None:
    builder.add(
        kind,
        symbol=0,
        seq=seq,
        core_ts_ns=START_NS + at_ms * MS,
        exchange_ts_ns=START_NS + exchange_ms * MS,
        levels=levels,
    )


@some
@given(steps=streams, config=configs, size=st.sampled_from([1, 7, 4096]))
def test_frames_are_the_same_however_the_events_are_cut(
    steps: list[Step], config: MarketConfig, size: int
) -> None:
    chunk = chunk_of(steps, config)

    assert in_pieces(a_kernel(config), chunk, size).tobytes() == (
        a_kernel(config).process(chunk).tobytes()
    )


@some
@given(steps=streams, config=configs, parts=st.integers(1, 9))
def test_frames_are_the_same_whether_a_timer_or_the_next_event_makes_them(
    steps: list[Step], config: MarketConfig, parts: int
) -> None:
    """The timer fires at some instants between the events, never past the next event."""
    chunk = chunk_of(steps, config)
    timed, frames = a_kernel(config), []
    for i in range(len(chunk)):
        frames.append(timed.process(chunk.slice(i, i + 1)))
        before, after = (int(chunk.core_ts_ns[min(j, len(chunk) - 1)]) for j in (i, i + 1))
        frames += [timed.advance(before + (after - before) * p // parts) for p in range(parts)]

    assert np.concatenate(frames).tobytes() == a_kernel(config).process(chunk).tobytes()


@some
@given(steps=streams, config=configs)
def test_process_until_stops_behind_the_first_message_that_made_frames(
    steps: list[Step], config: MarketConfig
) -> None:
    chunk = chunk_of(steps, config)
    stepped, at, frames = a_kernel(config), 0, []
    while at < len(chunk):
        reached, made = stepped.process_until(chunk, at)
        assert at < reached <= len(chunk)
        assert len(made) or reached == len(chunk)
        single = a_kernel(config)
        single.process(chunk.slice(0, at))
        assert not len(single.process(chunk.slice(at, max(at, reached - 1))))
        frames.append(made)
        at = reached

    assert np.concatenate(frames).tobytes() == a_kernel(config).process(chunk).tobytes()


@some
@given(steps=streams, config=configs, cut=st.floats(0, 1))
def test_a_restored_kernel_goes_on_bit_for_bit(
    steps: list[Step], config: MarketConfig, cut: float
) -> None:
    chunk = chunk_of(steps, config)
    at = int(cut * len(chunk))
    first, second = a_kernel(config), a_kernel(config)
    first.process(chunk.slice(0, at))

    second.restore(first.state())

    rest = chunk.slice(at, len(chunk))
    assert second.process(rest).tobytes() == first.process(rest).tobytes()
    assert second.state() == first.state()


@pytest.mark.parametrize("torn", [b"", b"\xc1", b"\x90"])
def test_a_torn_state_is_refused(torn: bytes) -> None:
    kernel = a_kernel()

    with pytest.raises(ValueError, match="kernel state"):
        kernel.restore(torn)


def test_a_state_of_another_config_is_refused() -> None:
    state = a_kernel(MarketConfig(trigger_ticks=7)).state()

    with pytest.raises(ValueError, match="other instrument rules or config"):
        a_kernel().restore(state)


_CHANGES = ("kind", "flags", "seq", "core_ts_ns", "exchange_ts_ns", "side", "tick", "lot")


@some
@given(
    steps=streams,
    column=st.sampled_from(_CHANGES),
    where=st.floats(0, 0.999),
    bit=st.integers(0, 7),
)
def test_one_changed_value_changes_every_later_frame_of_its_symbol(
    steps: list[Step], column: str, where: float, bit: int
) -> None:
    chunk = chunk_of(steps, CONFIG)
    values = getattr(chunk, column).copy()
    if values.size == 0:
        return
    place = int(where * values.size)
    values[place] ^= 1 << bit
    message = place
    if column in ("side", "tick", "lot"):
        message = int(np.searchsorted(chunk.level_offset, place, side="right")) - 1
    changed = dataclasses.replace(chunk, **{column: values})
    end_ns = int(chunk.core_ts_ns.max()) + 10**9
    kernels = a_kernel(), a_kernel()
    for kernel, events in zip(kernels, (chunk, changed), strict=True):
        kernel.process(events.slice(0, message + 1))

    left, right = (
        np.concatenate(
            (kernel.process(events.slice(message + 1, len(chunk))), kernel.advance(end_ns))
        )
        for kernel, events in zip(kernels, (chunk, changed), strict=True)
    )

    mine = chunk.symbol[message]
    hashes = [set(f["input_hash"][f["symbol"] == mine].tolist()) for f in (left, right)]
    assert hashes[0]
    assert hashes[0].isdisjoint(hashes[1])


@settings(max_examples=150, deadline=None, derandomize=True)
@given(data=st.data())
def test_hostile_chunks_are_survived_and_counted(data: st.DataObject) -> None:
    """Any bytes in any column: no crash, no endless loop, sane books afterwards."""
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    n, m = data.draw(st.integers(1, 60)), data.draw(st.integers(0, 80))
    extremes = np.array([0, 1, -1, 999, 1_000, 1_001, 2**40, 2**48, 2**62, 2**63 - 1, -(2**63)])
    is_wild = data.draw(st.booleans())
    offset = rng.integers(-5 if is_wild else 0, m + 5 if is_wild else m + 1, n + 1)
    chunk = EventChunk(
        kind=rng.integers(0, 10, n).astype(np.uint8),
        flags=rng.integers(0, 256, n).astype(np.uint8),
        symbol=rng.integers(0, 5, n).astype(np.uint16),
        seq=rng.choice(extremes, n),
        core_ts_ns=START_NS + rng.integers(-(10**9), 10**10, n) if rng.random() < 0.8
        else rng.choice(extremes[extremes < 2**62], n),
        exchange_ts_ns=rng.choice(extremes, n),
        level_offset=offset if is_wild else np.sort(offset),
        side=rng.integers(0, 4, m).astype(np.uint8),
        tick=np.where(rng.random(m) < 0.7, rng.integers(995, 1005, m), rng.choice(extremes, m)),
        lot=np.where(rng.random(m) < 0.7, rng.integers(-1, 9, m), rng.choice(extremes, m)),
    )  # fmt: skip
    kernel = a_kernel()

    frames = kernel.process(chunk)

    assert frames.dtype == FRAME_DTYPE
    for symbol in range(len(INSTRUMENTS)):
        bids, asks = kernel.book_levels(symbol, 2_000)
        assert (np.diff(bids[:, 0]) < 0).all()
        assert (np.diff(asks[:, 0]) > 0).all()
        assert (bids[:, 1] > 0).all()
        assert (asks[:, 1] > 0).all()
    assert all(count >= 0 for count in kernel.counters().values())


def test_what_was_ignored_is_counted_by_why() -> None:
    builder = ChunkBuilder()
    an_event(builder, EventKind.BOOK_DELTA, (BID, 999, 1), at_ms=0)
    a_book(builder, at_ms=1)
    an_event(builder, EventKind.BOOK_DELTA, (BID, -1, 1), (7, 999, 1), (ASK, 1_001, -4), at_ms=2)
    an_event(builder, EventKind.TRADE, (BUY, 1_000, 0), at_ms=3)
    an_event(builder, EventKind.TICKER, (0, 99, 1), at_ms=4)
    an_event(builder, EventKind.LIVENESS, at_ms=1)
    chunk = builder.take()
    chunk.kind[-1], chunk.kind[0] = 200, EventKind.BOOK_DELTA
    kernel = a_kernel()

    kernel.process(chunk)

    counted = {name: count for name, count in kernel.counters().items() if count}
    assert counted == {
        "before_snapshot": 1, "bad_level": 3, "bad_trade": 1, "unknown_ticker_field": 1,
        "late": 1, "unknown_kind": 1,
    }  # fmt: skip


def test_a_book_of_1100_levels_a_side_is_kept_whole() -> None:
    builder = ChunkBuilder()
    builder.add(
        EventKind.BOOK_SNAPSHOT, symbol=0, seq=1, core_ts_ns=START_NS, exchange_ts_ns=START_NS,
        levels=[(s, 10_000 + (i if s else -i - 1), i + 1) for s in (0, 1) for i in range(1_100)],
    )  # fmt: skip
    kernel = a_kernel()

    kernel.process(builder.take())

    bids, asks = kernel.book_levels(0, 5_000)
    assert bids.tolist() == [[9_999 - i, i + 1] for i in range(1_100)]
    assert asks.tolist() == [[10_000 + i, i + 1] for i in range(1_100)]


@settings(max_examples=16, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 2**32),
    spread=st.sampled_from([40, 900, 4_000]),
    drift=st.sampled_from([1, 0, -3]),
)
def test_a_long_walk_of_levels_equals_a_dict(seed: int, spread: int, drift: int) -> None:
    """Thousands of levels come and go while the price drifts and leaps: through capacity and re-laying."""
    rng = np.random.default_rng(seed)
    builder, held = ChunkBuilder(), ({}, {})
    a_book(builder, levels=0)
    for step in range(4_000):
        side = int(rng.integers(0, 2))
        away = int(rng.exponential(spread / 4)) % spread
        mid = 100_000 + drift * step + 7_000 * (step // 700 % 3)
        tick = mid + (away + 1 if side else -away)
        lot = int(rng.integers(0, 3))
        an_event(builder, EventKind.BOOK_DELTA, (side, tick, lot), at_ms=1)
        held[side][tick] = lot
        if not lot:
            del held[side][tick]
        if len(held[side]) > 1_152:
            del held[side][max(held[side]) if side else min(held[side])]
    kernel = a_kernel()

    kernel.process(builder.take())

    for side, levels in enumerate(kernel.book_levels(0, 5_000)):
        assert levels.tolist() == sorted(map(list, held[side].items()), reverse=side == BID)


@pytest.mark.parametrize("is_snapshot", [True, False])
@pytest.mark.parametrize("leap", [-50_000, -1_600, 1_600, 50_000])
def test_a_book_begins_anew_far_from_where_it_ended(leap: int, is_snapshot: bool) -> None:
    """By a snapshot after an outage, or by the last level of each side going away first."""
    builder = ChunkBuilder()
    steps = [(100_000, 1), (100_000 + leap, 2), (100_000 + leap // 2, 3)]
    kind = EventKind.BOOK_SNAPSHOT if is_snapshot else EventKind.BOOK_DELTA
    before: list[tuple[int, int, int]] = []
    for mid, seq in steps:
        levels = [(s, mid + (2 * s - 1) * (i + 1), 7) for s in (BID, ASK) for i in range(3)]
        gone = [] if is_snapshot else [(s, tick, 0) for s, tick, _ in before]
        builder.add(
            EventKind.BOOK_SNAPSHOT if seq == 1 else kind, symbol=0, seq=seq,
            core_ts_ns=START_NS + seq * 150 * MS, exchange_ts_ns=START_NS, levels=[*gone, *levels],
        )  # fmt: skip
        before = levels
    chunk, kernel = builder.take(), a_kernel()

    frames = kernel.process(chunk)

    assert kernel.book_levels(0, 9)[BID].tolist() == [[mid - i - 1, 7] for i in range(3)]
    assert kernel.book_levels(0, 9)[ASK].tolist() == [[mid + i + 1, 7] for i in range(3)]
    assert_same_frames(frames, reference_frames(chunk, CONFIG))


@pytest.mark.parametrize("gap", [64, 300, 1_900])
def test_a_sparse_book_gives_the_frames_of_the_reference(gap: int) -> None:
    """Levels so far apart that some of the best twenty stand outside the ladder."""
    rng = np.random.default_rng(gap)
    builder = ChunkBuilder()
    mid = 500_000
    levels = [(s, mid + (2 * s - 1) * (1 + gap * i), 5) for s in (0, 1) for i in range(30)]
    builder.add(
        EventKind.BOOK_SNAPSHOT, symbol=0, seq=1, core_ts_ns=START_NS, exchange_ts_ns=START_NS,
        levels=levels,
    )  # fmt: skip
    for step in range(1, 400):
        side, rank, lot = int(rng.integers(2)), int(rng.integers(30)), int(rng.integers(4))
        level = (side, mid + (2 * side - 1) * (1 + gap * rank), lot)
        an_event(builder, EventKind.BOOK_DELTA, level, at_ms=25 * step, seq=1 + step)
    chunk = builder.take()

    frames = a_kernel().process(chunk)

    assert len(frames) > 90
    assert_same_frames(frames, reference_frames(chunk, CONFIG))


def test_a_sweep_makes_a_trigger_frame_at_once_and_once() -> None:
    builder = ChunkBuilder()
    a_book(builder)
    for i in range(7):
        an_event(builder, EventKind.TRADE, (BUY, 1_000 + i, 1), at_ms=1 + i, seq=2 + i)

    frames = a_kernel(MarketConfig(sweep_levels=5)).process(builder.take())

    assert frames["reason"].tolist() == [FrameReason.TRIGGER]
    assert (frames["last_seq"][0], frames["sweep"][0]) == (6, 5.0)


def test_a_gap_degrades_the_book_until_a_snapshot() -> None:
    builder = ChunkBuilder()
    a_book(builder)
    an_event(builder, EventKind.FEED_GAP, at_ms=150)
    an_event(builder, EventKind.BOOK_DELTA, (BID, 999, 3), at_ms=250)
    a_book(builder, at_ms=350)
    kernel = a_kernel()

    states = kernel.process(builder.take())["book_state"].tolist()
    states += kernel.advance(START_NS + 400 * MS)["book_state"].tolist()

    assert states == [BookState.OK, BookState.DEGRADED, BookState.DEGRADED, BookState.OK]


def test_an_hour_without_events_lets_the_grid_sleep() -> None:
    config = MarketConfig(evaluation_interval_ms=10_000)
    kernel, builder = a_kernel(config), ChunkBuilder()
    a_book(builder)
    a_book(builder, at_ms=48 * 3_600_000)

    frames = kernel.process(builder.take())

    assert len(frames) == 360
    assert len(kernel.advance(START_NS + 48 * 3_600_000 * MS + 20_000 * MS)) == 2
