"""What the numeric path remembers of each symbol and of the market, as arrays and as bytes.

A checkpoint holds all of it: scales, baselines with their history, regimes and their calm, arming, the
state of the scorers. It is named by a digest, so that a log can say which state a run went on from.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import msgspec
import numpy as np
from numpy.typing import NDArray

from strategy.domain import numeric_layout as at
from strategy.domain.numeric_kernel import NEVER, PANIC

_LAYOUT = f"1/{at.STATE_I}/{at.STATE_F}/{at.RING_SERIES}/{at.RING_SECONDS}/" + ",".join(
    at.SCORE_FEATURES
)
_MAY_BE_UNKNOWN = [at.CURRENT_RV, at.LAST_BID, at.LAST_ASK]  # NaN where they are
_NEVER_BEFORE = (at.LAST_TS, at.LAST_SEQ, at.LAST_STEADY_TS, at.LAST_BOUNDARY_TS)


class SymbolNumbers(msgspec.Struct, frozen=True, kw_only=True):
    """One symbol's rows as they lie in memory, little-endian."""

    whole: bytes
    floats: bytes
    rings: bytes


class NumericCheckpoint(msgspec.Struct, frozen=True, kw_only=True):
    """The numeric state at core time `ts_ns`, in a layout that only the same build understands."""

    layout: str
    ts_ns: int
    symbols: dict[str, SymbolNumbers]
    market_whole: bytes
    market_floats: bytes


def checkpoint_digest(data: bytes) -> str:
    """Twelve hex digits that name a checkpoint."""
    return hashlib.blake2b(data, digest_size=6).hexdigest()


def checkpoint_ts_ns(data: bytes) -> int | None:
    """Core time of a checkpoint's last frame; None when it is torn or of another build."""
    try:
        return msgspec.msgpack.decode(data, type=NumericCheckpoint).ts_ns
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None


@dataclass(slots=True)
class NumericState:
    """Arrays by symbol (index = `symbol` column of frames), and those of the whole market."""

    symbols: tuple[str, ...]
    ints: NDArray[np.int64]
    floats: NDArray[np.float64]
    rings: NDArray[np.float64]
    market_ints: NDArray[np.int64]
    market_floats: NDArray[np.float64]

    @classmethod
    def fresh(cls, symbols: tuple[str, ...]) -> NumericState:
        count = len(symbols)
        state = cls(
            symbols,
            np.zeros((count, at.STATE_I), np.int64),
            np.zeros((count, at.STATE_F)),
            np.full((count, at.RING_SERIES, at.RING_SECONDS), np.nan),
            np.zeros(at.WHOLE_I, np.int64),
            np.zeros(at.WHOLE_F),
        )
        state.ints[:, _NEVER_BEFORE] = NEVER
        state.ints[:, at.LAST_BAD_TS :] = NEVER
        state.ints[:, at.LAST_SECOND] = -1
        state.floats[:, (at.CURRENT_RV, at.LAST_BID, at.LAST_ASK)] = np.nan
        state.market_ints[[at.OFF_TS, at.PANIC_TS]] = NEVER
        return state

    def checkpoint(self) -> NumericCheckpoint:
        last = self.ints[:, at.LAST_TS].max(initial=NEVER)
        return NumericCheckpoint(
            layout=_LAYOUT,
            ts_ns=max(int(last), 0),
            symbols={
                name: SymbolNumbers(
                    whole=self.ints[index].tobytes(),
                    floats=self.floats[index].tobytes(),
                    rings=self.rings[index].tobytes(),
                )
                for index, name in enumerate(self.symbols)
            },
            market_whole=self.market_ints.tobytes(),
            market_floats=self.market_floats.tobytes(),
        )

    def restore(self, held: NumericCheckpoint) -> bool:
        """Take over what `held` knows of our symbols; False (nothing changed) when it is of another build,
        or has figures that no run can have: regimes that there are not, what is not a number.
        """
        if held.layout != _LAYOUT or not _is_sound_market(held):
            return False
        if not all(_is_whole(numbers) and _is_sound(numbers) for numbers in held.symbols.values()):
            return False
        self.take(held)
        return True

    def take(self, held: NumericCheckpoint) -> None:
        """Take over what `held` knows of our symbols, unproved: it is of a run of this build."""
        for index, name in enumerate(self.symbols):
            numbers = held.symbols.get(name)
            if numbers is not None:
                self.ints[index] = np.frombuffer(numbers.whole, np.int64)
                self.floats[index] = np.frombuffer(numbers.floats)
                self.rings[index] = np.frombuffer(numbers.rings).reshape(self.rings[index].shape)
        self.market_ints[:] = np.frombuffer(held.market_whole, np.int64)
        self.market_floats[:] = np.frombuffer(held.market_floats)
        self._count_again()

    def remapped(self, symbols: tuple[str, ...]) -> NumericState:
        """The same state for another table of symbols; those that stay keep what they have."""
        other = NumericState.fresh(symbols)
        other.take(self.checkpoint())
        return other

    def _count_again(self) -> None:
        """Of our symbols only: a checkpoint may have been of more."""
        self.market_ints[at.DUMPS] = self.ints[:, at.DUMP_ACTIVE].sum()
        self.market_ints[at.SEEN_SYMBOLS] = self.ints[:, at.SEEN].sum()


def _is_whole(numbers: SymbolNumbers) -> bool:
    return (
        len(numbers.whole) == 8 * at.STATE_I
        and len(numbers.floats) == 8 * at.STATE_F
        and len(numbers.rings) == 8 * at.RING_SERIES * at.RING_SECONDS
    )


def _is_sound(numbers: SymbolNumbers) -> bool:
    whole, floats = np.frombuffer(numbers.whole, np.int64), np.frombuffer(numbers.floats)
    seconds = np.frombuffer(numbers.rings)  # NaN where nothing was seen
    known = np.delete(floats, _MAY_BE_UNKNOWN)
    return bool(
        0 <= whole[at.REGIME] < at.REGIMES
        and np.isfinite(known).all()
        and not np.isinf(floats).any()
        and not np.isinf(seconds).any()
    )


def _is_sound_market(held: NumericCheckpoint) -> bool:
    if len(held.market_whole) != 8 * at.WHOLE_I or len(held.market_floats) != 8 * at.WHOLE_F:
        return False
    code = np.frombuffer(held.market_whole, np.int64)[at.GLOBAL]
    return bool(0 <= code <= PANIC and np.isfinite(np.frombuffer(held.market_floats)).all())
