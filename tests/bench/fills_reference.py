"""A slow, obvious exchange with its assumptions as switches: what explains two engines' differences.

With every switch off it fills as our simulated venue with the conservative queue does, with every switch on
as hftbacktest's partial-fill exchange with the risk-averse queue. It shares no code with either.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields

BID = 0
LIMIT, POST_ONLY, IOC, MARKET, CANCEL = 0, 1, 2, 3, 4
TRADE = 1
PEER_MARKET_TICKS = 100


@dataclass(frozen=True, slots=True)
class Rules:
    """Each True is the peer's way."""

    whole_fill: bool = False  # a print or book through our price fills the whole order
    shown_bounds_queue: bool = False  # no more than the shown size can be ahead
    takes_leave_no_trace: bool = False  # orders of ours do not compete for the same lots
    unseen_is_front: bool = False  # a price outside the window has nobody ahead
    rest_of_taker_fills: bool = False  # the rest of a crossing limit is filled at its price
    taker_side_counts: bool = False  # a print through our price counts only from the other side
    short_walk: bool = False  # a market order walks 100 ticks, not 5 %


PEER = Rules(*[True] * len(fields(Rules)))


@dataclass(slots=True)
class Wanted:
    identity: int
    side: int
    kind: int
    price: int
    lots: int
    arrival: int = 0
    ahead: int | None = None
    filled: int = 0
    last: tuple[int, int, int] = (0, 0, 0)  # price, maker, time

    @property
    def sign(self) -> int:
        return 1 if self.side == BID else -1

    @property
    def leaves(self) -> int:
        return self.lots - self.filled

    @property
    def result(self) -> tuple[int, int, int, int]:
        return (self.filled, *self.last)


@dataclass(slots=True)
class Reference:
    rules: Rules
    shown: list[dict[int, int]] = field(default_factory=lambda: [{}, {}])
    taken: list[dict[int, int]] = field(default_factory=lambda: [{}, {}])
    resting: dict[int, Wanted] = field(default_factory=dict)
    last_price: int = 0
    arrivals: int = 0

    # -- orders -------------------------------------------------------------------------------------

    def arrive(self, order: Wanted, now: int) -> None:
        limit = self._limit(order)
        offers = self._offers(order, limit)
        if order.kind == POST_ONLY and offers:
            return
        crosses = bool(offers) and order.kind != MARKET
        for tick, lots in offers:
            filled = min(lots, order.leaves)
            if filled > 0:
                self._take(1 - order.side, tick, filled)
                self._fill(order, tick, filled, 0, now)
        if order.kind in (IOC, MARKET) or not order.leaves:
            return
        if crosses and self.rules.rest_of_taker_fills:
            self._fill(order, order.price, order.leaves, 0, now)
            return
        self.arrivals += 1
        order.arrival, order.ahead = self.arrivals, self._queue(order)
        self.resting[order.identity] = order

    def cancel(self, identity: int) -> None:
        self.resting.pop(identity, None)

    def _limit(self, order: Wanted) -> int:
        if order.kind != MARKET:
            return order.price
        if self.rules.short_walk:
            other = self.shown[1 - order.side]
            best = min(other, key=lambda t: t * order.sign)
            # Upwards its range ends one tick earlier than downwards.
            return best + (PEER_MARKET_TICKS - 1 if order.sign > 0 else -PEER_MARKET_TICKS)
        return self.last_price + int(self.last_price * 0.05) * order.sign

    def _offers(self, order: Wanted, limit: int) -> list[tuple[int, int]]:
        other = 1 - order.side
        ticks = sorted(self.shown[other], key=lambda t: t * order.sign)
        left = ((t, self._left(other, t)) for t in ticks if (limit - t) * order.sign >= 0)
        return [(tick, lots) for tick, lots in left if lots > 0]

    def _left(self, side: int, tick: int) -> int:
        return self.shown[side][tick] - self.taken[side].get(tick, 0)

    def _take(self, side: int, tick: int, lots: int) -> None:
        if not self.rules.takes_leave_no_trace:
            self.taken[side][tick] = self.taken[side].get(tick, 0) + lots

    def _queue(self, order: Wanted) -> int | None:
        side = self.shown[order.side]
        if not self.rules.unseen_is_front:
            worst = min(side) if order.side == BID else max(side)
            if (order.price - worst) * order.sign < 0:
                return None
        ahead = side.get(order.price, 0)
        if not self.rules.shown_bounds_queue:
            mine = [
                o for o in self.resting.values() if (o.side, o.price) == (order.side, order.price)
            ]
            ahead = max([ahead, *(o.ahead or 0 for o in mine)])
        return ahead

    def _fill(self, order: Wanted, price: int, lots: int, maker: int, now: int) -> None:
        order.filled += lots
        order.last = (price, maker, now)
        if not order.leaves:
            self.resting.pop(order.identity, None)

    # -- the market ---------------------------------------------------------------------------------

    def on_message(self, kind: int, levels: list[tuple[int, int, int]], now: int) -> None:
        if kind == TRADE:
            self._on_trade(*levels[0], now)
            return
        for side, tick, lots in levels:
            if self.shown[side].get(tick, 0) != lots:
                self.taken[side].pop(tick, None)
                self.shown[side][tick] = lots
            if lots == 0:
                self.shown[side].pop(tick, None)
            if self.rules.shown_bounds_queue:
                for order in self.resting.values():
                    if (order.side, order.price) == (side, tick):
                        order.ahead = min(order.ahead or 0, lots)
        self._on_book(now)

    def _in_priority(self) -> list[Wanted]:
        return sorted(self.resting.values(), key=lambda o: (-o.sign * o.price, o.arrival))

    def _on_trade(self, taker: int, tick: int, lots: int, now: int) -> None:
        self.last_price = tick
        left = lots
        for order in self._in_priority():
            through = (order.price - tick) * order.sign
            hits = taker != order.side
            if through < 0 or (through > 0 and not hits and self.rules.taker_side_counts):
                continue
            if through > 0 and self.rules.whole_fill:
                self._fill(order, order.price, order.leaves, 1, now)
                continue
            reach = lots if self.rules.takes_leave_no_trace else left
            if through == 0:
                if not hits or order.ahead is None:
                    continue
                reach, order.ahead = max(reach - order.ahead, 0), max(order.ahead - reach, 0)
            filled = min(reach, order.leaves)
            if filled > 0:
                left -= filled
                self._fill(order, order.price, filled, 1, now)

    def _on_book(self, now: int) -> None:
        bids, asks = self.shown
        best = (max(bids, default=0), min(asks, default=1 << 60)) if self.resting else (0, 0)
        for order in self._in_priority():
            if order.ahead is None:
                order.ahead = self._queue(order)
            if (best[1 - order.side] - order.price) * order.sign > 0:
                continue  # the other side is nowhere near
            for tick, lots in self._offers(order, order.price):
                filled = order.leaves if self.rules.whole_fill else min(lots, order.leaves)
                if filled > 0:
                    self._take(1 - order.side, tick, filled)
                    self._fill(order, order.price, filled, 1, now)
