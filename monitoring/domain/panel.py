"""One panel of the dashboard as a small tree of JSON values that tells what changed in it.

A panel holds *sections* (a value each), *tables* (rows by key) and *series* (bounded lists that grow at
the end). Writers change it as often as they like; `drain` returns all changes since the last drain as one
increment, which is how a panel is coalesced. A client that holds a snapshot and applies every later
increment in order of `seq` holds exactly what a fresh snapshot would show (`apply_increment` is that client,
and `static/dashboard/panel.js` is the same in the browser).

An increment is `{"seq": n, "ops": [...]}` with ops
  ["s", [name] | [name, key], value]      set a section or a row
  ["d", [name, key]]                      a row is gone
  ["a", name, [items], limit]             append to a series, keep the last `limit`
"""

from __future__ import annotations

from collections import deque
from typing import Any

Increment = dict[str, Any]
Snapshot = dict[str, Any]


class Panel:
    """Current values plus the set of places changed since the last drain."""

    __slots__ = ("_added", "_dirty", "_limits", "_sections", "_series", "_tables", "seq")

    def __init__(
        self, *, tables: tuple[str, ...] = (), series: dict[str, int] | None = None
    ) -> None:
        """`series` maps the name of each series to how many items it keeps."""
        self.seq = 0
        self._sections: dict[str, Any] = {}
        self._tables: dict[str, dict[str, Any]] = {name: {} for name in tables}
        self._limits = dict(series or {})
        self._series: dict[str, deque[Any]] = {
            name: deque(maxlen=limit) for name, limit in self._limits.items()
        }
        self._added: dict[str, int] = {}
        self._dirty: dict[tuple[str, ...], None] = {}  # a set that keeps its order

    def section(self, name: str) -> Any:
        return self._sections.get(name)

    def set_section(self, name: str, value: Any) -> None:
        if self._sections.get(name, ...) != value:
            self._sections[name] = value
            self._dirty[(name,)] = None

    def rows(self, table: str) -> dict[str, Any]:
        return self._tables[table]

    def set_row(self, table: str, key: str, row: Any) -> None:
        if self._tables[table].get(key, ...) != row:
            self._tables[table][key] = row
            self._dirty[(table, key)] = None

    def remove_row(self, table: str, key: str) -> None:
        if self._tables[table].pop(key, None) is not None:
            self._dirty[(table, key)] = None

    def items(self, series: str) -> deque[Any]:
        return self._series[series]

    def append(self, series: str, item: Any) -> None:
        """Items must not be changed after they were appended."""
        self._series[series].append(item)
        self._added[series] = min(self._added.get(series, 0) + 1, self._limits[series])

    def has_changes(self) -> bool:
        return bool(self._dirty or self._added)

    def drain(self) -> Increment | None:
        """All changes since the last drain with the next sequence number, or None when nothing changed."""
        if not self.has_changes():
            return None
        ops: list[Any] = [self._operation(place) for place in self._dirty]
        for name, count in self._added.items():
            ops.append(["a", name, list(self._series[name])[-count:], self._limits[name]])
        self._dirty, self._added = {}, {}
        self.seq += 1
        return {"seq": self.seq, "ops": ops}

    def snapshot(self) -> Snapshot:
        """Everything as of the last drain. Drain first: undrained appends would reach a client twice."""
        if self.has_changes():
            raise RuntimeError("drain the panel before taking its snapshot")
        return {"seq": self.seq, "state": self.state()}

    def state(self) -> dict[str, Any]:
        """Everything as it stands now, for readers who follow no increments."""
        state: dict[str, Any] = dict(self._sections)
        state |= {name: dict(rows) for name, rows in self._tables.items()}
        state |= {name: list(items) for name, items in self._series.items()}
        return state

    def _operation(self, place: tuple[str, ...]) -> list[Any]:
        if len(place) == 1:
            return ["s", list(place), self._sections[place[0]]]
        table, key = place
        if key in self._tables[table]:
            return ["s", [table, key], self._tables[table][key]]
        return ["d", [table, key]]


class SequenceGap(ValueError):
    """The client missed an increment and must ask for a fresh snapshot."""


def apply_increment(snapshot: Snapshot, increment: Increment) -> Snapshot:
    """Return the snapshot after `increment`. Raises SequenceGap when one in between is missing."""
    if increment["seq"] != snapshot["seq"] + 1:
        raise SequenceGap(f"have {snapshot['seq']}, got {increment['seq']}")
    state = dict(snapshot["state"])
    for operation in increment["ops"]:
        _apply(state, operation)
    return {"seq": increment["seq"], "state": state}


def _apply(state: dict[str, Any], operation: list[Any]) -> None:
    match operation:
        case ["s", [name], value]:
            state[name] = value
        case ["s", [name, key], value]:
            state[name] = {**state.get(name, {}), key: value}
        case ["d", [name, key]]:
            state[name] = {k: v for k, v in state[name].items() if k != key}
        case ["a", name, items, limit]:
            state[name] = [*state.get(name, []), *items][-limit:]
