"""One symbol of the synthetic market: its book, its flow and its outbox, advanced in simulated time."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from execution.domain.synthetic_book import (
    ASK,
    BID,
    LIVE,
    LIVE_ORDERS,
    LOTS,
    NO_ASK,
    NO_BID,
    PLACE,
    SIDE,
    TICK,
    add_order,
    empty_book,
    remove_order,
)
from execution.domain.synthetic_conditions import ConditionScript
from execution.domain.synthetic_flow import (
    CHANGED_AT,
    FAIR,
    FUNDING,
    OPEN_INTEREST,
    PURGED_AT,
    STATE_SIZE,
    STEPS_PER_S,
    empty_tape,
    fill_book,
)
from execution.domain.synthetic_instruments import synthetic_profile
from execution.domain.synthetic_outbox import (
    Outbox,
    empty_memory,
    empty_outbox,
    run_steps,
)
from execution.domain.synthetic_rules import COMMON_RATE, COMMON_VOLATILITY_BPS, flow_rules
from execution.domain.synthetic_window import empty_windows
from market.domain.instruments import Instrument

_TAPE_CAPACITY = 4096
_OUTBOX_ROWS, _OUTBOX_ENTRIES = 16_384, 131_072
_START_FUNDING = 1e-4


def named_generator(seed: int, name: str) -> np.random.Generator:
    """A generator of its own for each name, so that adding a symbol does not change the others."""
    digest = hashlib.blake2b(name.encode(), digest_size=8).digest()
    return np.random.default_rng([seed, int.from_bytes(digest, "big")])


class Seconds:
    """Rows drawn one for each second, in order, and kept until `forget_before`."""

    def __init__(self, draw: Callable[[], NDArray[np.float64]]) -> None:
        self._draw = draw
        self._first = 0
        self._rows: deque[NDArray[np.float64]] = deque()

    def __len__(self) -> int:
        return len(self._rows)

    def row(self, second: int) -> NDArray[np.float64]:
        """Raises: IndexError for a second already forgotten."""
        if second < self._first:
            raise IndexError(f"second {second} was forgotten: the market runs forward only")
        while self._first + len(self._rows) <= second:
            self._rows.append(self._draw())
        return self._rows[second - self._first]

    def forget_before(self, second: int) -> None:
        while self._rows and self._first < second:
            self._rows.popleft()
            self._first += 1


class CommonFactor(Seconds):
    """Jumps in bps every symbol shares (times its beta): f8[STEPS_PER_S] a second."""

    def __init__(self, seed: int) -> None:
        self._rng = named_generator(seed, "common factor")
        super().__init__(self._jumps)

    def _jumps(self) -> NDArray[np.float64]:
        count = self._rng.poisson(COMMON_RATE)
        jumps = np.zeros(STEPS_PER_S, np.float64)
        scale = COMMON_VOLATILITY_BPS / np.sqrt(2.0 * COMMON_RATE)
        np.add.at(
            jumps, self._rng.integers(STEPS_PER_S, size=count), self._rng.laplace(0, scale, count)
        )
        return jumps


class SymbolScript(NamedTuple):
    """What a symbol goes through instead of its own weather, each called once a second, in order:

    conditions gives f8[CONDITION_SIZE] (`synthetic_flow`); moves gives f8[STEPS_PER_S], how far the fair
    price is pushed in each step, bps.
    """

    conditions: Callable[[], NDArray[np.float64]]
    moves: Callable[[], NDArray[np.float64]]


class OutsideOrder(NamedTuple):
    """A resting order somebody from outside put into the book."""

    slot: int
    side: int
    tick: int
    lots: int


class SyntheticSymbol:
    """Book and flow of one symbol. `advance` runs it; `out` holds what it sent since `clear`."""

    def __init__(
        self,
        instrument: Instrument,
        *,
        seed: int,
        predictability: float,
        rate_multiplier: float,
        start_ns: int,
        script: SymbolScript | None = None,
    ) -> None:
        profile = synthetic_profile(instrument.symbol)
        self.instrument = instrument
        self.start_ns = start_ns
        self.out: Outbox = empty_outbox(_OUTBOX_ROWS, _OUTBOX_ENTRIES)
        self.windows = empty_windows()
        self.enabled = np.array([0, 1, 0, 0], np.uint8)
        self.book = empty_book(ring=profile.ring, capacity=profile.capacity)
        self._rules = np.array(
            flow_rules(
                profile, instrument, predictability=predictability, rate_multiplier=rate_multiplier
            )
        )
        self._rng = named_generator(seed, instrument.symbol)
        weather = ConditionScript(profile, named_generator(seed, f"{instrument.symbol} weather"))
        self.conditions = Seconds(script.conditions if script else weather.next_second)
        self._moves = Seconds(script.moves) if script else None
        self._beta = profile.beta
        # Conditions and common jumps of the seconds run last; live, a second is run in many pieces.
        self._prepared = ((-1, -1), np.zeros((0, 0)), np.zeros(0))
        self._tape = empty_tape(_TAPE_CAPACITY)
        self._funding_interval_ms = instrument.funding_interval_min * 60_000
        start_tick = round(profile.start_price / float(instrument.tick_size))
        self.memory = empty_memory(start_tick, start_ns)
        self.state = np.zeros(STATE_SIZE, np.float64)
        self.state[FAIR] = self.state[PURGED_AT] = start_tick + 0.5
        self.state[FUNDING] = _START_FUNDING
        self.state[OPEN_INTEREST] = profile.open_interest_usd / (
            profile.start_price * float(instrument.qty_step)
        )
        fill_book(self.book, self.state, self._rules, self.conditions.row(0), self._rng, self._tape)

    def clear(self) -> None:
        """Forget what was sent."""
        self.out.counts[:] = 0

    def forget_before(self, second: int) -> None:
        """Let go of the script of the seconds that have passed."""
        self.conditions.forget_before(second)
        if self._moves is not None:
            self._moves.forget_before(second)

    def rest_outside(self, side: int, tick: int, lots: int, now_ns: int) -> OutsideOrder | None:
        """Queue an order of somebody from outside; None where it would cross or finds no room."""
        best_bid, best_ask = (int(v) for v in self.book.best)
        if best_bid == NO_BID or best_ask == NO_ASK or not 0 < tick < 2 * best_bid:
            return None
        if (side == BID and tick >= best_ask) or (side == ASK and tick <= best_bid):
            return None
        if abs(tick - best_bid) >= self.book.levels.shape[1] // 4:
            return None
        slot = int(add_order(self.book, side, tick, lots))
        self._tape.counts[CHANGED_AT] = now_ns
        return OutsideOrder(slot, side, tick, lots) if slot >= 0 else None

    def pull_outside(self, order: OutsideOrder, now_ns: int) -> bool:
        """Cancel it; False when it is no longer there as it was put (traded or cleared away)."""
        held = self.book.orders[order.slot]
        place = int(held[PLACE])
        is_live = place < self.book.counts[LIVE_ORDERS] and (
            self.book.orders[place, LIVE] == order.slot
        )
        if not is_live or (held[SIDE], held[TICK], held[LOTS]) != order[1:]:
            return False
        remove_order(self.book, order.slot)
        self._tape.counts[CHANGED_AT] = now_ns
        return True

    def advance(self, first_step: int, stop_step: int, common: CommonFactor) -> int:
        """Run steps first..stop into `out`; return the next step: less than `stop_step` when it is full."""
        seconds = (first_step // STEPS_PER_S, (stop_step - 1) // STEPS_PER_S)
        if seconds != self._prepared[0]:
            whole = range(seconds[0], seconds[1] + 1)
            conditions = np.stack([self.conditions.row(second) for second in whole])
            jumps = np.concatenate([common.row(second) for second in whole])
            if self._moves is not None:
                pushes = np.concatenate([self._moves.row(second) for second in whole])
                jumps = jumps + pushes / self._beta  # the kernel takes them times beta
            self._prepared = (seconds, conditions, jumps)
        _, conditions, jumps = self._prepared
        return int(
            run_steps(
                self.book,
                self.state,
                self._rules,
                conditions,
                jumps,
                self._rng,
                self._tape,
                self.windows,
                self.enabled,
                self.memory,
                self._funding_interval_ms,
                self.start_ns,
                first_step,
                stop_step,
                self.out,
            )
        )
