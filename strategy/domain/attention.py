"""Which evaluated frame could change a decision: one compiled scan over rows, by what each symbol waits for.

What a symbol waits for is a row of `Watch`, written anew whenever its state may have changed. Visiting a
row that changes nothing does no harm; passing over one that does would change results, so every rule here
errs on the side of looking.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from market.domain.kernel_jit import kernel_jit
from strategy.domain import numeric_layout as at
from strategy.domain.evaluations import Evaluations
from strategy.domain.gate import CostModel
from strategy.domain.messages import Side
from strategy.domain.numeric_compile import numeric_entry
from strategy.domain.numeric_layout import frame_word

NEVER_DUE = (1 << 62) - 1
_NS_PER_S = 1_000_000_000
_TS, _SPREAD = frame_word("ts_ns"), frame_word("spread_bps")

# columns of Watch.ints and Watch.floats
_MODE, _SIDE, _ARM_FRAMES, _HINT_DUE, _HINT_HOLDS, _HINT_MAY, _SCORE_DUE, _SIGNALS = range(8)
_COST_FIXED, _COST_PER_SPREAD, _MULTIPLE, _WATCH_SCORE, _ENTRY_SCORE, _SLACK = range(6)
# `clock`: what any row may be due for
_DUE, _RISK_SECOND, _IS_FIRST = range(3)


class Mode(IntEnum):
    """What could move a symbol: nothing but time and regime, its score, its pending entry, anything."""

    QUIET = 0
    FLAT = 1
    WATCH = 2
    ARM = 3
    PENDING = 4
    OPPOSITE = 5
    ALWAYS = 6


_FLAT, _WATCH, _ARM, _PENDING = (
    Mode.FLAT.value,
    Mode.WATCH.value,
    Mode.ARM.value,
    Mode.PENDING.value,
)
_OPPOSITE, _ALWAYS = Mode.OPPOSITE.value, Mode.ALWAYS.value


class Watch:
    """What each symbol of the table waits for, and what the whole core is due for."""

    def __init__(self, symbols: int) -> None:
        self._ints = np.zeros((symbols, 8), np.int64)
        self._floats = np.zeros((symbols, 6))
        self._clock = np.array([NEVER_DUE, -1, 1], np.int64)
        # The same memory, written many times faster a cell at a time.
        self._cells, self._clock_cells = self._ints.data, self._clock.data

    def set_clock(self, *, due_ns: int | None, risk_second: int, is_first: bool) -> None:
        """`due_ns`: earliest time-out; `risk_second`: second already told; `is_first`: no frame seen yet."""
        cells = self._clock_cells
        cells[_DUE] = NEVER_DUE if due_ns is None else due_ns
        cells[_RISK_SECOND], cells[_IS_FIRST] = risk_second, is_first

    def set_gate(
        self,
        place: int,
        cost: CostModel,
        *,
        multiple: float,
        watch_score: float,
        entry_score: float,
        slack: float,
        arm_frames: int,
    ) -> None:
        self._floats[place] = (
            cost.fixed_bps, cost.spread_share, multiple, watch_score, entry_score, slack,
        )  # fmt: skip
        self._ints[place, _ARM_FRAMES] = arm_frames

    def set_mode(self, place: int, mode: Mode, side: Side | None) -> None:
        self._cells[place, _MODE] = mode
        self._cells[place, _SIDE] = 0 if side is None else side.sign

    def set_hint(self, place: int, *, due_ns: int, holds: bool, may_hold: bool) -> None:
        cells = self._cells
        cells[place, _HINT_DUE] = due_ns
        cells[place, _HINT_HOLDS], cells[place, _HINT_MAY] = holds, may_hold

    def set_score(self, place: int, *, due_ns: int, signals: tuple[bool, bool]) -> None:
        self._ints[place, _SCORE_DUE:] = (due_ns, signals[0] | signals[1] << 1)

    def first(self, evaluations: Evaluations, start: int, *, telemetry: bool) -> int:
        """First row from `start` on that matters; the number of rows when there is none."""
        return self._scan(evaluations, start, len(evaluations.out_i), telemetry)

    def matters(self, evaluations: Evaluations, row: int) -> bool:
        """Whether a row could change a decision, telemetry apart."""
        return self._scan(evaluations, row, row + 1, False) == row

    def _scan(self, evaluations: Evaluations, start: int, stop: int, telemetry: bool) -> int:
        found: int = first_row(
            evaluations.words, evaluations.floats, evaluations.out_i, evaluations.out_f,
            self._ints, self._floats, self._clock, start, stop, telemetry,
        )  # fmt: skip
        return found


@numeric_entry
def first_row(
    words: NDArray[np.int64],
    frames: NDArray[np.float64],
    out_i: NDArray[np.int32],
    out_f: NDArray[np.float64],
    watch_i: NDArray[np.int64],
    watch_f: NDArray[np.float64],
    clock: NDArray[np.int64],
    start: int,
    stop: int,
    telemetry: bool,
) -> int:
    """First accepted row of start..stop that is due or that its symbol waits for; `stop` when none is."""
    for row in range(start, stop):
        flags = out_i[row]
        if flags[at.ACCEPTED] == 0:
            continue
        ts = words[row, _TS]
        if ts >= clock[_DUE] or clock[_IS_FIRST] == 1 or flags[at.CHANGES] != 0:
            return row
        if telemetry and ts // _NS_PER_S != clock[_RISK_SECOND]:
            return row
        own, gate = watch_i[flags[at.SYMBOL]], watch_f[flags[at.SYMBOL]]
        spread = frames[row, _SPREAD]
        if _moves(ts, spread, flags, out_f[row], own, gate):
            return row
        if telemetry and _is_told(ts, spread, flags, out_f[row], own, gate):
            return row
    return stop


@kernel_jit
def _moves(
    ts: int,
    spread: float,
    flags: NDArray[np.int32],
    figures: NDArray[np.float64],
    own: NDArray[np.int64],
    gate: NDArray[np.float64],
) -> Any:
    mode = own[_MODE]
    if _FLAT <= mode <= _ARM:
        return _signal_moves(mode, spread, flags, figures, own, gate)
    if mode == _PENDING:
        score = figures[at.LONG] if own[_SIDE] > 0 else figures[at.SHORT]
        strong = own[_SIDE] != 0 and score >= gate[_WATCH_SCORE]
        holds = strong and flags[at.MAY_SIGNAL] == 1 and own[_HINT_MAY] == 1
        return holds != (own[_HINT_HOLDS] == 1) or ts >= own[_HINT_DUE]
    if mode == _OPPOSITE:
        return flags[at.ARMED] >= own[_ARM_FRAMES] and flags[at.ARMED_ON] == -own[_SIDE]
    return mode == _ALWAYS


@kernel_jit
def _signal_moves(
    mode: int,
    spread: float,
    flags: NDArray[np.int32],
    figures: NDArray[np.float64],
    own: NDArray[np.int64],
    gate: NDArray[np.float64],
) -> Any:
    """Whether the score moves a symbol that holds nothing, or an armed one may enter."""
    side = 1 if figures[at.PRESSURE] >= 0.0 else -1
    score = figures[at.LONG] if side == 1 else figures[at.SHORT]
    may = flags[at.MAY_SIGNAL] == 1
    if mode == _FLAT:
        return may and score >= gate[_WATCH_SCORE]
    if not may or score < gate[_WATCH_SCORE] - gate[_SLACK]:
        return True
    if mode == _WATCH:
        is_armed = flags[at.ARMED] >= own[_ARM_FRAMES] and flags[at.ARMED_ON] == side
        return is_armed and score >= gate[_ENTRY_SCORE]
    if side != own[_SIDE] or score < gate[_ENTRY_SCORE] - gate[_SLACK]:
        return True
    return _pays(score, spread, figures, gate)


@kernel_jit
def _pays(
    score: float, spread: float, figures: NDArray[np.float64], gate: NDArray[np.float64]
) -> Any:
    needed = gate[_MULTIPLE] * (gate[_COST_FIXED] + gate[_COST_PER_SPREAD] * spread)
    return score >= gate[_ENTRY_SCORE] and figures[at.MOVE] >= needed


@kernel_jit
def _is_told(
    ts: int,
    spread: float,
    flags: NDArray[np.int32],
    figures: NDArray[np.float64],
    own: NDArray[np.int64],
    gate: NDArray[np.float64],
) -> Any:
    """Whether a ScoreUpdate is due: by pace, or because a signal came or went."""
    signals = 0
    if flags[at.MAY_SIGNAL] == 1:
        if _pays(figures[at.LONG], spread, figures, gate):
            signals |= 1
        if _pays(figures[at.SHORT], spread, figures, gate):
            signals |= 2
    return ts >= own[_SCORE_DUE] or signals != own[_SIGNALS]
