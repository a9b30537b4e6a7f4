"""What the numeric path says of a run of frames, row by row."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from market.domain.frames import Frames
from strategy.domain import numeric_layout as at
from strategy.domain.messages import Side
from strategy.domain.numeric_layout import (
    SCORE_FEATURES,
    WORDS_PER_FRAME,
    frame_words,
    words_reader,
)

# What a `FrameView` takes from its frame, and from what is said of it.
_viewed = words_reader(
    ("frame_seq", "q"), ("ts_ns", "q"), ("bid_tick", "q"), ("ask_tick", "q"), ("spread_bps", "d"),
    ("bid_depth_usd20", "d"), ("ask_depth_usd20", "d"), ("rv60s", "d"), ("funding_rate", "d"),
    ("seconds_to_funding", "d"),
)  # fmt: skip
_flags = struct.Struct(f"={at.OUT_I}i").unpack_from
_judged = struct.Struct(f"={8 * at.PRESSURE}x4d").unpack_from  # pressure, long, short, move
assert (at.LONG, at.SHORT, at.MOVE) == (at.PRESSURE + 1, at.PRESSURE + 2, at.PRESSURE + 3)

OwnParts = tuple[NDArray[np.int64], Mapping[str, NDArray[np.float64]]]


class FrameView(NamedTuple):
    """The figures of one frame that decisions use; NaN where unknown."""

    symbol: int
    ts_ns: int
    frame_seq: int
    generation: int
    is_boundary: bool
    warm: bool
    may_signal: bool
    scorer_ok: bool
    regime: int
    armed_frames: int
    armed_side: Side | None
    bid_ticks: int
    ask_ticks: int
    spread_bps: float
    bid_depth_usd: float
    ask_depth_usd: float
    rv60s: float
    funding_rate: float
    seconds_to_funding: float
    pressure: float
    score_long: float
    score_short: float
    expected_move_bps: float

    @property
    def side(self) -> Side:
        """The side the pressure points to."""
        return Side.LONG if self.pressure >= 0 else Side.SHORT

    def score(self, side: Side) -> float:
        return self.score_long if side is Side.LONG else self.score_short

    def near_depth_usd(self, side: Side) -> float:
        """Depth of the book side that a stop of this side would be filled from."""
        return self.bid_depth_usd if side is Side.LONG else self.ask_depth_usd


@dataclass(slots=True)
class Evaluations:
    """One row a frame, in the order of the frames; a row that is not `accepted` must not be used.

    `out_i`, `out_f`: columns by `numeric_layout`. `scorer_notes`: rows at which a scorer failed ("" when it
    answers again). `own_parts`: contributions that a pluggable scorer gave: rows, and columns by name;
    `own_moves`: expected moves it gave instead of the engine's (NaN: none).
    """

    frames: Frames
    out_i: NDArray[np.int32]
    out_f: NDArray[np.float64]
    words: NDArray[np.int64]  # the frames as 8-byte words
    floats: NDArray[np.float64]  # the same memory
    scorer_notes: dict[int, str] = field(default_factory=dict)
    own_parts: list[OwnParts] = field(default_factory=list)
    own_moves: list[tuple[NDArray[np.int64], NDArray[np.float64]]] = field(default_factory=list)
    _memory: tuple[memoryview, memoryview, memoryview] | None = None  # of `view`, where it is asked

    @classmethod
    def empty_for(cls, frames: Frames) -> Evaluations:
        """Room for what will be said of `frames`."""
        words, floats = frame_words(frames)
        count = len(words)
        return cls(
            frames,
            np.zeros((count, at.OUT_I), np.int32),
            np.zeros((count, at.OUT_F)),
            words,
            floats,
        )

    def __len__(self) -> int:
        return len(self.out_i)

    # -- columns ----------------------------------------------------------------------------------

    @property
    def accepted(self) -> NDArray[np.bool_]:
        return self.out_i[:, at.ACCEPTED] > 0

    @property
    def warm(self) -> NDArray[np.bool_]:
        """The frame's features and the scales rest on enough data."""
        return self.out_i[:, at.WARM] > 0

    @property
    def regime(self) -> NDArray[np.int32]:
        """Code of the regime in force (`strategy.domain.regime.REGIMES`)."""
        return self.out_i[:, at.IN_REGIME]

    @property
    def global_regime(self) -> NDArray[np.int32]:
        return self.out_i[:, at.IN_GLOBAL]

    @property
    def z(self) -> NDArray[np.float64]:
        """Shape (n, 8), by SCORE_FEATURES; 0 where a feature is not known."""
        return self.out_f[:, at.Z : at.Z + at.FEATURES]

    @property
    def pressure(self) -> NDArray[np.float64]:
        return self.out_f[:, at.PRESSURE]

    @property
    def score_long(self) -> NDArray[np.float64]:
        return self.out_f[:, at.LONG]

    @property
    def score_short(self) -> NDArray[np.float64]:
        return self.out_f[:, at.SHORT]

    @property
    def expected_move_bps(self) -> NDArray[np.float64]:
        return self.out_f[:, at.MOVE]

    # -- one row ----------------------------------------------------------------------------------

    def ts_ns(self, row: int) -> int:
        return int(self.frames["ts_ns"][row])

    def view(self, row: int) -> FrameView:
        """The row as decisions look at it."""
        if self._memory is None:
            self._memory = self.out_i.data, self.words.data, self.out_f.data
        said, words, judged = self._memory
        flags = _flags(said, 4 * at.OUT_I * row)
        frame_seq, ts_ns, bid, ask, *floats = _viewed(words, 8 * WORDS_PER_FRAME * row)
        armed_on = flags[at.ARMED_ON]
        return FrameView._make(
            (
                flags[at.SYMBOL],
                ts_ns,
                frame_seq,
                flags[at.OF_GENERATION],
                bool(flags[at.BOUNDARY]),
                bool(flags[at.WARM]),
                bool(flags[at.MAY_SIGNAL]),
                bool(flags[at.SCORER_OK]),
                flags[at.IN_REGIME],
                flags[at.ARMED],
                None if armed_on == 0 else Side.LONG if armed_on > 0 else Side.SHORT,
                bid,
                ask,
                *floats,
                *_judged(judged, 8 * at.OUT_F * row),
            )
        )

    def last_numbers(self, place: int, stop: int) -> tuple[int, int] | None:
        """(frame number, market generation) of a symbol's last accepted row before `stop`."""
        for row in range(stop - 1, -1, -1):
            flags = self.out_i[row]
            if flags[at.SYMBOL] == place and flags[at.ACCEPTED] > 0:
                return int(self.frames["frame_seq"][row]), int(flags[at.OF_GENERATION])
        return None

    def contributions(self, row: int, weights: Mapping[str, float]) -> dict[str, float]:
        """Parts of the row's pressure by name: weight * z, or what the pluggable scorer said."""
        for rows, columns in self.own_parts:
            place = int(np.searchsorted(rows, row))
            if place < len(rows) and rows[place] == row:
                return {name: float(column[place]) for name, column in columns.items()}
        values = self.z[row].tolist()
        return {
            name: weights[name] * value for name, value in zip(SCORE_FEATURES, values, strict=True)
        }
