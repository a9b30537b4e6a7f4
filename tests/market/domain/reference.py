"""The slow, obvious market kernel: docs/features.md in plain Python, sharing nothing with the kernel.

Books are dicts, averages of impulses are sums over all impulses ever seen. Only the shared vocabulary of
events is imported. `Reference.feed` takes one message, `Reference.advance` a time; both return frames
as dicts by frame field name.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from market.domain.events import BID, BUY, FLAG_BLOCK, FLAG_RPI, EventKind, TickerField
from tests.market.domain.reference_parts import (
    NAN,
    SECOND,
    Credit,
    FrameDict,
    Impulses,
    Message,
    Sampled,
    d,
)


@dataclass
class Symbol:
    index: int
    tick_size: Decimal
    qty_step: Decimal
    config: Any
    first_ts: int | None = None
    frame_seq: int = 0
    has_snapshot: bool = False
    is_degraded: bool = False
    is_stale: bool = False
    book_ts: int | None = None
    crossed_since: int | None = None
    sides: tuple[dict[int, int], dict[int, int]] = field(default_factory=lambda: ({}, {}))
    credits: tuple[Credit, Credit] = field(default_factory=lambda: (Credit(), Credit()))
    framed_mid2: int | None = None
    first_trade: int | None = None
    last_trade: int | None = None
    cvd: float = 0.0
    burst: tuple[int, int, list[int]] | None = None
    sweep: int = 0
    bucket: list[int] | None = None
    buckets: list[tuple[int, int]] = field(default_factory=list)
    lots_traded: Impulses = field(default_factory=Impulses)
    order_flow: Impulses = field(default_factory=Impulses)
    cancelled: Impulses = field(default_factory=Impulses)
    signed: Impulses = field(default_factory=Impulses)
    notional: Impulses = field(default_factory=Impulses)
    trades: Impulses = field(default_factory=Impulses)
    mids: dict[int, float] = field(default_factory=dict)
    interests: dict[int, float] = field(default_factory=dict)
    boundary_mid: float = NAN
    boundary_flow: float = 0.0
    ticker: dict[str, float] = field(default_factory=dict)
    next_funding: int | None = None

    def __post_init__(self) -> None:
        self.interval = self.config.evaluation_interval_ms * 1_000_000
        self.depth = Sampled(60, self.interval)
        self.rv = {h: Sampled(h, self.interval) for h in (10, 60, 300)}
        self.kyle = {name: Sampled(300, self.interval) for name in ("r", "f", "rf", "ff")}

    # book

    def best_first(self, side: int) -> list[tuple[int, int]]:
        return sorted(self.sides[side].items(), reverse=side == BID)

    def both(self) -> bool:
        return bool(self.sides[0] and self.sides[1])

    def touch(self) -> tuple[int, int, int, int] | None:
        if not self.both():
            return None
        bid, ask = max(self.sides[0]), min(self.sides[1])
        return bid, self.sides[0][bid], ask, self.sides[1][ask]

    def mid2(self) -> int | None:
        touch = self.touch()
        return touch[0] + touch[2] if touch else None

    def state(self, now: int) -> str:
        if not self.has_snapshot:
            return "EMPTY"
        crossed_long = (
            self.crossed_since is not None
            and now - self.crossed_since > self.config.crossed_ms * 1_000_000
        )
        if self.is_degraded or crossed_long:
            return "DEGRADED"
        assert self.book_ts is not None
        if self.is_stale or now - self.book_ts > self.config.stale_book_ms * 1_000_000:
            return "STALE"
        return "OK" if self.both() else "EMPTY"

    def note_crossing(self, now: int) -> None:
        touch = self.touch()
        if touch is None or touch[0] < touch[2]:
            self.crossed_since = None
        elif self.crossed_since is None:
            self.crossed_since = now

    def trim(self, side: int) -> None:
        for tick, _ in self.best_first(side)[1152:]:
            del self.sides[side][tick]

    def is_better(self, side: int, tick: int, than: int) -> bool:
        return tick > than if side == BID else tick < than

    def snapshot(self, now: int, entries: list[tuple[int, int, int]]) -> None:
        for book in self.sides:
            book.clear()
        for side, tick, lot in reversed(entries):
            if is_level(side, tick, lot):
                if lot:
                    self.sides[side][tick] = lot
                else:
                    self.sides[side].pop(tick, None)
                self.trim(side)
        self.has_snapshot, self.is_degraded, self.is_stale = True, False, False
        self.book_ts, self.crossed_since = now, None
        self.note_crossing(now)

    def hear(self, now: int) -> None:
        if self.has_snapshot:
            self.is_degraded |= self.state(now) == "DEGRADED"
            assert self.book_ts is not None
            self.is_stale |= now - self.book_ts > self.config.stale_book_ms * 1_000_000
        self.book_ts = now

    def unexplained(self, now: int, side: int, tick: int, gone: int) -> int:
        credit = self.credits[side]
        is_alive = now - credit.at <= SECOND
        if not is_alive or self.is_better(side, credit.worst, tick):
            return gone
        used = min(gone, credit.lots)
        credit.lots -= used
        return gone - used

    def update(self, now: int, is_bbo: bool, entries: list[tuple[int, int, int]]) -> None:
        before = self.touch()
        cancelled, inserted = 0, [0, 0]
        for side, tick, lot in entries:
            if not is_level(side, tick, lot):
                continue
            book = self.sides[side]
            if is_bbo:
                for better, lots in self.best_first(side):
                    if self.is_better(side, better, tick):
                        del book[better]
                        cancelled += self.unexplained(now, side, better, lots)
            held = book.get(tick)
            if held is None:
                if lot:
                    book[tick] = lot
                    inserted[side] += 1
                    self.trim(side)
                continue
            better_count = sum(self.is_better(side, other, tick) for other in book)
            worse_count = len(book) - 1 - better_count
            if lot:
                book[tick] = lot
            else:
                del book[tick]
            is_pushed_out = lot == 0 and worse_count < inserted[side]
            if lot < held and better_count < 20 and not is_pushed_out:
                cancelled += self.unexplained(now, side, tick, held - lot)
        self.note_crossing(now)
        after = self.touch()
        if self.is_degraded or self.is_stale:
            return
        self.cancelled.add(now, cancelled)
        if before and after:
            self.order_flow.add(now, order_flow(before, after))

    # trades

    def trade(self, now: int, exchange_ts: int, side: int, tick: int, lot: int) -> bool:
        x = float(self.tick_size * tick * self.qty_step * lot)
        signed = x if side == BUY else -x
        self.first_trade = now if self.first_trade is None else self.first_trade
        self.last_trade = now
        self.signed.add(now, signed)
        self.notional.add(now, x)
        self.trades.add(now, 1.0)
        self.lots_traded.add(now, lot)
        self.cvd += signed
        self.boundary_flow += signed
        self.ticker["last_price"] = float(self.tick_size * tick)
        self.pour(now, side, lot)
        resting = self.credits[1 - side]
        if resting.lots == 0 or now - resting.at > SECOND:
            resting.lots, resting.worst = 0, tick
        resting.lots = min(resting.lots + lot, 1 << 48)
        resting.worst = max(resting.worst, tick) if side == BUY else min(resting.worst, tick)
        resting.at = now
        return self.note_burst(exchange_ts, side, tick)

    def note_burst(self, exchange_ts: int, side: int, tick: int) -> bool:
        if self.burst is None or self.burst[:2] != (side, exchange_ts):
            self.burst = (side, exchange_ts, [])
        path = self.burst[2]
        is_deeper = not path or (tick > max(path) if side == BUY else tick < min(path))
        if is_deeper:
            path.append(tick)
        if len(path) >= abs(self.sweep):
            self.sweep = len(path) if side == BUY else -len(path)
        return is_deeper and len(path) == self.config.sweep_levels

    def pour(self, now: int, side: int, lot: int) -> None:
        assert self.first_trade is not None
        rate = self.lots_traded.rate(now, 86_400)
        span = max(now - self.first_trade, 60 * SECOND)
        size = int(min(rate / (1 - d(span, 86_400)) * 86_400 / 200, float(1 << 48)))
        while lot:
            if self.bucket is None:
                self.bucket = [max(1, size), 0, 0]
                if lot // self.bucket[0] > 50:
                    lot -= (lot // self.bucket[0] - 50) * self.bucket[0]
            poured = min(lot, self.bucket[0] - self.bucket[1])
            lot -= poured
            self.bucket[1] += poured
            self.bucket[2] += poured if side == BUY else -poured
            if self.bucket[1] == self.bucket[0]:
                self.buckets = [*self.buckets, (abs(self.bucket[2]), self.bucket[0])][-50:]
                self.bucket = None

    def ticks(self, entries: list[tuple[int, int, int]]) -> None:
        for _, code, value in entries:
            if code == TickerField.NEXT_FUNDING_TIME:
                is_known = value > 0 and value * 1_000_000 < (1 << 62) - 1_000_000
                self.next_funding = value * 1_000_000 if is_known else None
            elif code == TickerField.OPEN_INTEREST:
                self.ticker["open_interest"] = value / 1e3 if value else NAN
            elif code == TickerField.INDEX_PRICE:
                self.ticker["index_price"] = value / 1e9 if value else NAN
            elif code in (1, 2, 4):
                name = {1: "last_price", 2: "mark_price", 4: "funding_rate"}[code]
                self.ticker[name] = value / 1e9

    # boundaries and frames

    def sample(self, boundary: int) -> None:
        is_ok = self.state(boundary) == "OK"
        touch, mid2 = self.touch(), self.mid2()
        mid = float(mid2) if is_ok and mid2 is not None else NAN
        r = (mid - self.boundary_mid) / self.boundary_mid * 1e4
        self.mids[boundary] = mid
        self.interests[boundary] = self.ticker.get("open_interest", NAN)
        self.depth.boundary((touch[1] + touch[3]) / 2 if is_ok and touch else None)
        is_known = not math.isnan(r)
        for average in self.rv.values():
            average.boundary(r * r / (self.interval / SECOND) if is_known else None)
        f = self.boundary_flow
        samples = {"r": r, "f": f, "rf": r * f, "ff": f * f}
        for name, average in self.kyle.items():
            average.boundary(samples[name] if is_known else None)
        self.boundary_mid, self.boundary_flow = mid, 0.0

    def frame(self, now: int, last_seq: int, reason: str) -> FrameDict:
        assert self.first_ts is not None
        self.frame_seq += 1
        state = self.state(now)
        frame: FrameDict = {
            "frame_seq": self.frame_seq, "ts_ns": now, "last_seq": last_seq, "symbol": self.index,
            "reason": reason, "book_state": state,
            "warm": now - self.first_ts >= self.config.warmup_s * SECOND,
        }  # fmt: skip
        self.add_book(frame, now)
        self.add_trades(frame, now)
        self.add_returns(frame, now, state)
        self.add_context(frame, now)
        self.framed_mid2 = self.mid2()
        self.sweep = 0
        return frame

    def add_book(self, frame: FrameDict, now: int) -> None:
        bids, asks = self.best_first(0), self.best_first(1)
        for name, levels in (("bid", bids), ("ask", asks)):
            frame[f"{name}_tick"] = levels[0][0] if levels else 0
            frame[name] = float(levels[0][0] * self.tick_size) if levels else NAN
            frame[f"{name}_size"] = float(levels[0][1] * self.qty_step) if levels else NAN
            usd = sum(tick * lot for tick, lot in levels[:20]) * self.tick_size * self.qty_step
            frame[f"{name}_depth_usd20"] = float(usd) if levels else NAN
        for name in ("mid", "microprice", "spread_bps", "imb1", "imb5", "imb20",
                     "depth_span_bps", "flicker"):  # fmt: skip
            frame[name] = NAN
        rates = {h: self.order_flow.rate(now, h) for h in (1, 5)}
        for h, rate in rates.items():
            frame[f"ofi{h}s"] = rate / self.depth.value
        if not self.both():
            return
        mid2 = bids[0][0] + asks[0][0]
        frame["mid"] = float(mid2 * self.tick_size / 2)
        frame["spread_bps"] = (frame["ask"] - frame["bid"]) / frame["mid"] * 1e4
        frame["microprice"] = (
            frame["bid"] * frame["ask_size"] + frame["ask"] * frame["bid_size"]
        ) / (frame["bid_size"] + frame["ask_size"])
        for n in (1, 5, 20):
            b, a = (sum(lot for _, lot in levels[:n]) for levels in (bids, asks))
            frame[f"imb{n}"] = (b - a) / (b + a)
        frame["depth_span_bps"] = (asks[:20][-1][0] - bids[:20][-1][0]) / mid2 * 1e4
        frame["flicker"] = self.cancelled.rate(now, 1) / (b + a)

    def add_trades(self, frame: FrameDict, now: int) -> None:
        names = ("flow1s", "flow5s", "flow30s", "flow_ratio5s", "trade_rate5s",
                 "notional_rate5s", "cvd", "trade_age_ms", "sweep", "vpin")  # fmt: skip
        frame.update(dict.fromkeys(names, NAN))
        if self.last_trade is None:
            return
        for h in (1, 5, 30):
            frame[f"flow{h}s"] = self.signed.rate(now, h)
        frame["notional_rate5s"] = rate = self.notional.rate(now, 5)
        frame["trade_rate5s"] = self.trades.rate(now, 5)
        frame["flow_ratio5s"] = frame["flow5s"] / rate if rate > 1e-9 else 0.0
        frame["cvd"] = self.cvd
        frame["trade_age_ms"] = (now - self.last_trade) / 1e6
        frame["sweep"] = self.sweep
        if self.buckets:
            frame["vpin"] = sum(b[0] for b in self.buckets) / sum(b[1] for b in self.buckets)

    def add_returns(self, frame: FrameDict, now: int, state: str) -> None:
        mid2 = self.mid2()
        mid = float(mid2) if state == "OK" and mid2 is not None else NAN
        last = now - now % self.interval
        for seconds in (1, 5, 30, 60, 300):
            steps = max(1, math.floor(seconds * SECOND / self.interval + 0.5))
            before = self.mids.get(last - steps * self.interval, NAN)
            frame[f"ret{seconds}s"] = (mid / before - 1) * 1e4
        for h, average in self.rv.items():
            frame[f"rv{h}s"] = math.sqrt(average.value)
        mean = {name: average.value for name, average in self.kyle.items()}
        variance = mean["ff"] - mean["f"] ** 2
        frame["kyle_lambda"] = NAN
        if variance > 1e-6 * mean["ff"]:
            frame["kyle_lambda"] = (mean["rf"] - mean["r"] * mean["f"]) / variance

    def add_context(self, frame: FrameDict, now: int) -> None:
        for name in ("last_price", "mark_price", "index_price", "funding_rate"):
            frame[name] = self.ticker.get(name, NAN)
        index = frame["index_price"]
        frame["basis_bps"] = (frame["mark_price"] - index) / index * 1e4
        frame["seconds_to_funding"] = NAN
        if self.next_funding is not None:
            frame["seconds_to_funding"] = max(0, self.next_funding - now) / SECOND
        steps = max(1, math.floor(300 * SECOND / self.interval + 0.5))
        before = self.interests.get(now - now % self.interval - steps * self.interval, NAN)
        frame["oi_change5m"] = self.ticker.get("open_interest", NAN) / before - 1
        frame["book_age_ms"] = NAN if self.book_ts is None else (now - self.book_ts) / 1e6


def is_level(side: int, tick: int, lot: int) -> bool:
    return side in (0, 1) and 0 < tick < 1 << 40 and 0 <= lot < 1 << 48


def order_flow(before: tuple[int, int, int, int], after: tuple[int, int, int, int]) -> float:
    bid, bid_lots, ask, ask_lots = before
    new_bid, new_bid_lots, new_ask, new_ask_lots = after
    e = 0
    e += new_bid_lots if new_bid >= bid else 0
    e -= bid_lots if new_bid <= bid else 0
    e -= new_ask_lots if new_ask <= ask else 0
    e += ask_lots if new_ask >= ask else 0
    return e


class Reference:
    """All symbols of a run; `units` gives (tick size, quantity step) of each."""

    def __init__(self, units: list[tuple[Decimal, Decimal]], config: Any) -> None:
        self.config = config
        self.interval = config.evaluation_interval_ms * 1_000_000
        self.symbols = [Symbol(i, tick, step, config) for i, (tick, step) in enumerate(units)]
        self.now = 0
        self.last_event: int | None = None
        self.last_seq = 0
        self.next_boundary: int | None = None

    def advance(self, now: int) -> list[FrameDict]:
        frames = []
        while self.next_boundary is not None and self.next_boundary <= now:
            boundary = self.next_boundary
            assert self.last_event is not None
            if boundary > self.last_event + 3_600 * SECOND:
                self.next_boundary = None
                for symbol in self.symbols:
                    symbol.mids.clear()
                    symbol.interests.clear()
                    symbol.boundary_mid = NAN
                break
            for symbol in self.symbols:
                if symbol.first_ts is not None:
                    symbol.sample(boundary)
                    frames.append(symbol.frame(boundary, self.last_seq, "BOUNDARY"))
            self.now = boundary
            self.next_boundary += self.interval
        return frames

    def feed(self, message: Message) -> list[FrameDict]:
        now = message.core_ts if 0 < message.core_ts < 1 << 62 else self.now
        now = max(now, self.now)
        frames = self.advance(now)
        if now == 0:
            return frames
        self.now = self.last_event = now
        self.last_seq = message.seq
        if self.next_boundary is None:
            self.next_boundary = (now // self.interval + 1) * self.interval
        if message.symbol < len(self.symbols):
            symbol = self.symbols[message.symbol]
            symbol.first_ts = now if symbol.first_ts is None else symbol.first_ts
            if self.apply(symbol, message, now):
                frames.append(symbol.frame(now, message.seq, "TRIGGER"))
        return frames

    def apply(self, symbol: Symbol, message: Message, now: int) -> bool:
        entries = message.entries
        if message.kind == EventKind.TRADE:
            if len(entries) != 1 or not is_level(*entries[0]) or entries[0][2] == 0:
                return False
            if message.flags & (FLAG_RPI | FLAG_BLOCK):
                return False
            return symbol.trade(now, message.exchange_ts, *entries[0])
        if message.kind == EventKind.TICKER:
            symbol.ticks(entries)
        elif message.kind == EventKind.FEED_GAP:
            symbol.is_degraded = True
        elif message.kind == EventKind.LIVENESS:
            symbol.hear(now)
        elif message.kind == EventKind.BOOK_SNAPSHOT:
            symbol.snapshot(now, entries)
            return self.has_moved(symbol)
        elif message.kind in (EventKind.BOOK_DELTA, EventKind.BBO):
            symbol.hear(now)
            if symbol.has_snapshot:
                symbol.update(now, message.kind == EventKind.BBO, entries)
                return self.has_moved(symbol)
        return False

    def has_moved(self, symbol: Symbol) -> bool:
        mid2, framed = symbol.mid2(), symbol.framed_mid2
        if mid2 is None or framed is None or symbol.is_degraded or symbol.is_stale:
            return False
        return abs(mid2 - framed) >= 2 * self.config.trigger_ticks
