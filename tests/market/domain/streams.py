"""Random event streams, and the comparison of kernel frames with reference frames."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Any

import numpy as np
from hypothesis import strategies as st

from market.domain.config import MarketConfig
from market.domain.events import ChunkBuilder, EventChunk, EventKind
from market.domain.frames import FEATURE_NAMES, BookState, FrameReason, Frames
from market.domain.instruments import Instrument
from market.domain.kernel import MarketKernel
from tests.market.domain.reference import Reference
from tests.market.domain.reference_parts import FrameDict, messages_of

START_NS = 1_760_000_000_012_345_678
KINDS = tuple(EventKind)
Step = tuple[int, EventKind, float, int, list[tuple[int, int, int]]]


def an_instrument(symbol: str, tick_size: str = "0.1", qty_step: str = "0.001") -> Instrument:
    return Instrument(
        symbol=symbol, tick_size=Decimal(tick_size), qty_step=Decimal(qty_step),
        min_qty=Decimal(qty_step), max_qty=Decimal(10_000_000), max_market_qty=Decimal(10_000_000),
        min_notional=Decimal(5), min_price=Decimal(tick_size), max_price=Decimal(10_000_000),
        min_leverage=Decimal(1), max_leverage=Decimal(100), leverage_step=Decimal("0.01"),
        price_scale=4, funding_interval_min=480, base_coin=symbol.removesuffix("USDT"),
    )  # fmt: skip


INSTRUMENTS = (
    an_instrument("BTCUSDT"),
    an_instrument("DOGEUSDT", "0.00001", "1"),
    an_instrument("OXUSDT", "0.05", "0.1"),
)

_entries = st.lists(
    st.tuples(st.integers(0, 1), st.integers(-3, 24), st.integers(0, 4)), max_size=6
)
_kinds = st.sampled_from(
    [EventKind.BOOK_DELTA] * 8 + [EventKind.TRADE] * 5 + [EventKind.BBO] * 3 + [*EventKind]
)
_steps = st.tuples(
    st.integers(0, len(INSTRUMENTS) - 1),
    _kinds,
    st.sampled_from([0, 0, 0.01, 0.1, 0.1, 0.4, 1, 3, 12, 70]),  # boundaries until the event
    st.sampled_from([0, 0, 0, 0, 0, 1, 2, 3]),
    _entries,
)
streams = st.lists(_steps, min_size=1, max_size=60)
configs = st.builds(
    MarketConfig,
    evaluation_interval_ms=st.sampled_from([10, 100, 100, 370, 1000, 10_000]),
    trigger_ticks=st.integers(1, 6),
    sweep_levels=st.integers(2, 4),
    stale_book_ms=st.sampled_from([500, 6000]),
    crossed_ms=st.sampled_from([0, 50, 250]),
    warmup_s=st.integers(1, 60),
)


def chunk_of(steps: list[Step], config: MarketConfig) -> EventChunk:
    """Turn drawn steps into events: prices near 1,000 ticks that drift, each symbol opened by a snapshot."""
    builder = ChunkBuilder()
    now, drift, opened = START_NS, 0, set()
    for seq, (symbol, drawn_kind, gap, flags, entries) in enumerate(steps, start=1):
        kind, drawn = drawn_kind, entries
        now += int(gap * config.evaluation_interval_ms * 1_000_000)
        drift += sum(lot for _, _, lot in drawn) % 5 - 2
        opening = kind in (EventKind.BOOK_DELTA, EventKind.BBO) and symbol not in opened
        if opening and seq % 4:
            kind = EventKind.BOOK_SNAPSHOT
        if kind == EventKind.BOOK_SNAPSHOT:
            opened.add(symbol)
            drawn = [*entries, *((s, at, at % 5 + 1) for s in (0, 1) for at in range(1, 26))]
        builder.add(
            kind,
            symbol=symbol,
            seq=seq,
            core_ts_ns=now,
            exchange_ts_ns=now - now % 300_000_000,
            flags=flags if kind == EventKind.TRADE else 0,
            levels=_levels(kind, drawn, 1_000 + drift, now),
        )
    return builder.take()


def _levels(
    kind: EventKind, drawn: list[tuple[int, int, int]], mid: int, now: int
) -> list[tuple[int, int, int]]:
    if kind in (EventKind.FEED_GAP, EventKind.LIVENESS):
        return []
    if kind == EventKind.TICKER:
        return [(0, code % 6 + 1, _ticker_value(code % 6 + 1, lot, now)) for _, code, lot in drawn]
    if kind == EventKind.TRADE:
        return [
            (side, mid + (distance if side == 0 else -distance), 1 + 37 * lot * lot)
            for side, distance, lot in drawn[:1]
        ]
    unique = {}
    for side, distance, lot in drawn:
        tick = mid + (distance if side else -distance)
        unique.setdefault((side, tick), 10 * lot + (1 if lot else 0))
    return [(side, tick, lot) for (side, tick), lot in unique.items()][
        : 2 if kind == EventKind.BBO else None
    ]


def _ticker_value(code: int, lot: int, now: int) -> int:
    if code == 5:
        return now // 1_000_000 + 7_000 * lot
    return (100 + lot) * 1_000_000_000 if code <= 3 else (lot - 1) * 1_000


def market_chunk(seed: int, messages: int, config: MarketConfig) -> EventChunk:
    """A market that behaves: touches that walk, trades at them, tickers; now and then a fault."""
    rng, builder, now = np.random.default_rng(seed), ChunkBuilder(), START_NS
    mids = [1_000, 20_000, 300]
    interval_ns = config.evaluation_interval_ms * 1_000_000
    for seq in range(1, messages + 1):
        symbol = int(rng.integers(0, len(mids)))
        share = rng.random()
        now += int(interval_ns * (rng.exponential(0.4) if share < 0.98 else rng.uniform(5, 60)))
        mids[symbol] += int(rng.choice([-2, -1, 1, 2, *[0] * 12]))
        kind = EventKind.BOOK_SNAPSHOT
        if seq > 3 * len(mids):
            kind = rng.choice([*EventKind], p=[0.3, 0.06, 0.4, 0.16, 0.07, 0.003, 0.007])
        builder.add(
            EventKind(kind),
            symbol=seq % len(mids) if kind == EventKind.BOOK_SNAPSHOT else symbol,
            seq=3 * seq,
            core_ts_ns=now,
            exchange_ts_ns=now - now % (2 * interval_ns),
            flags=int(rng.random() < 0.1) if kind == EventKind.TRADE else 0,
            levels=_market_levels(rng, EventKind(kind), mids, seq % len(mids), symbol, now),
        )
    return builder.take()


def _market_levels(
    rng: np.random.Generator,
    kind: EventKind,
    mids: list[int],
    next_symbol: int,
    symbol: int,
    now: int,
) -> list[tuple[int, int, int]]:
    if kind == EventKind.TICKER:
        values = {1: 10**11, 2: 10**11, 3: 10**11, 4: 10**5, 5: 0, 6: 10**6}
        codes = rng.permutation(6)[: rng.integers(1, 7)] + 1
        noise = {int(c): int(rng.integers(-(10**4), 10**4)) for c in codes}
        return [
            (0, c, now // 1_000_000 + abs(n) if c == 5 else values[c] + n) for c, n in noise.items()
        ]
    if kind == EventKind.BOOK_SNAPSHOT:
        depth = int(rng.integers(1, 60))
        mid = mids[next_symbol]
        return [
            (s, mid + (at if s else -at - 1), int(rng.integers(1, 99)))
            for s in (0, 1) for at in range(depth)
        ]  # fmt: skip
    mid = mids[symbol]
    if kind == EventKind.TRADE:
        side = int(rng.integers(0, 2))
        away = int(rng.exponential(1.5))
        return [(side, mid - away - 1 if side else mid + away, int(rng.lognormal(2, 2)) + 1)]
    if kind == EventKind.BBO:
        return [(0, mid - 1, int(rng.integers(1, 99))), (1, mid, int(rng.integers(1, 99)))]
    if kind != EventKind.BOOK_DELTA:
        return []
    side, away = rng.integers(0, 2, 6), rng.exponential(6.0, 6).astype(int)
    ticks = np.where(side == 1, mid + away, mid - away - 1)
    lots = np.where(rng.random(6) < 0.4, 0, rng.integers(1, 99, 6))
    rows = sorted(
        {(int(s), int(t)): int(q) for s, t, q in zip(side, ticks, lots, strict=True)}.items()
    )
    return [(s, t, q) for (s, t), q in rows][: int(rng.integers(1, 7))]


def kernel_frames(chunk: EventChunk, config: MarketConfig, end_ns: int = 0) -> Frames:
    kernel = MarketKernel(INSTRUMENTS, config)
    frames = kernel.process(chunk)
    return np.concatenate((frames, kernel.advance(end_ns))) if end_ns else frames


def reference_frames(
    chunk: EventChunk,
    config: MarketConfig,
    instruments: tuple[Instrument, ...] = INSTRUMENTS,
    end_ns: int = 0,
) -> list[FrameDict]:
    reference = Reference([(i.tick_size, i.qty_step) for i in instruments], config)
    frames = [frame for message in messages_of(chunk) for frame in reference.feed(message)]
    return frames + (reference.advance(end_ns) if end_ns else [])


_SIGNED_FLOWS = ("flow1s", "flow5s", "flow30s", "cvd")


def assert_same_frames(frames: Frames, expected: list[FrameDict]) -> None:
    """Every field of every frame: integers equal, floats to rounding."""
    assert len(frames) == len(expected)
    for number, (row, want) in enumerate(zip(frames, expected, strict=True)):
        got: dict[str, Any] = dict(zip(frames.dtype.names or (), row.item(), strict=True))
        got["reason"] = FrameReason(got["reason"]).name
        got["book_state"] = BookState(got["book_state"]).name
        traded = abs(want["notional_rate5s"]) * 1_000 + abs(want["cvd"])
        for name, value in want.items():
            slack = 1e-9 * (traded if name in _SIGNED_FLOWS and traded == traded else 1.0)
            assert _agree(name, got[name], value, slack), (
                f"frame {number} (symbol {got['symbol']}, {got['ts_ns']}): {name} is {got[name]!r}, "
                f"reference {value!r}"
            )
        assert set(want) >= set(FEATURE_NAMES)


def _agree(name: str, got: float | str, want: float | str, slack: float) -> bool:
    if not isinstance(want, float):
        return got == want
    assert isinstance(got, float)
    if math.isnan(want):
        return math.isnan(got)
    relative = 1e-6 if name == "kyle_lambda" else 1e-8
    return math.isclose(got, want, rel_tol=relative, abs_tol=slack)
