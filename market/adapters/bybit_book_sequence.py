"""The rules of a Bybit book topic: a snapshot first, then deltas whose `u` rises by one."""

from __future__ import annotations

from enum import Enum, auto


class Verdict(Enum):
    APPLY = auto()
    EARLY = auto()  # a delta before the first snapshot: nothing to apply it to
    REPEATED = auto()  # seen already; its sizes are absolute, so leaving it out loses nothing
    GAP = auto()  # something is missing: the book is unknown until the next snapshot


class BookSequence:
    """Follows `u` of one topic. A snapshot (also the `u` = 1 of a restarted service) always replaces."""

    __slots__ = ("_last_u",)

    def __init__(self) -> None:
        self._last_u: int | None = None

    @property
    def is_known(self) -> bool:
        return self._last_u is not None

    def reset(self) -> None:
        """Forget the book: wait for the next snapshot."""
        self._last_u = None

    def check(self, *, is_snapshot: bool, u: int) -> Verdict:
        """What to do with the next message of the topic; after GAP only a snapshot is applied."""
        if is_snapshot or (self._last_u is not None and u == self._last_u + 1):
            self._last_u = u
            return Verdict.APPLY
        if self._last_u is None:
            return Verdict.EARLY
        if u == self._last_u:
            return Verdict.REPEATED
        self._last_u = None
        return Verdict.GAP
