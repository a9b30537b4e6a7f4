"""Ids taken lately, as a state keeps them: a list, oldest first. Asked for in constant time."""

from __future__ import annotations


class RecentIds:
    """Looks after a list of a state that may be replaced, as by a restart; keeps the last `kept` + 1."""

    def __init__(self, kept: int) -> None:
        self._kept = kept
        self._ids: list[str] = []
        self._known: set[str] = set()

    def has(self, ids: list[str], identity: str) -> bool:
        """Whether `identity` is one of `ids`."""
        if ids is not self._ids:
            self._ids, self._known = ids, set(ids)
        return identity in self._known

    def add(self, ids: list[str], identity: str) -> None:
        """Append an id that `ids` does not have; the oldest make room."""
        assert not self.has(ids, identity)
        ids.append(identity)
        self._known.add(identity)
        while len(ids) > self._kept + 1:
            self._known.discard(ids.pop(0))
