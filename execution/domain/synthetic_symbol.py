"""One symbol of the synthetic market: its book, its flow and its outbox, advanced in simulated time."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from execution.domain.synthetic_book import empty_book
from execution.domain.synthetic_conditions import ConditionScript
from execution.domain.synthetic_flow import (
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
        script = ConditionScript(profile, named_generator(seed, f"{instrument.symbol} weather"))
        self.conditions = Seconds(script.next_second)
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

    def advance(self, first_step: int, stop_step: int, common: CommonFactor) -> int:
        """Run steps first..stop into `out`; return the next step: less than `stop_step` when it is full."""
        seconds = (first_step // STEPS_PER_S, (stop_step - 1) // STEPS_PER_S)
        if seconds != self._prepared[0]:
            whole = range(seconds[0], seconds[1] + 1)
            conditions = np.stack([self.conditions.row(second) for second in whole])
            jumps = np.concatenate([common.row(second) for second in whole])
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
