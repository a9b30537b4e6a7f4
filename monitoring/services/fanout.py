"""One view, many browsers: panels are drained on a fixed beat and sent to whoever watches them.

A watcher has room for a few messages. When it is full, what waits is thrown away and the watcher gets a
fresh snapshot as soon as it has read on: memory stays bounded, and a slow phone is behind, never wrong.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import defaultdict
from typing import Any

import msgspec

from execution.domain.latency import EVENT_TO_BROWSER
from failover.domain.latency import LatencyTable
from market.domain.instruments import Instrument
from monitoring.domain.view import OVERVIEW, DashboardView, FramesSeen, ViewMessage

ROOM_PER_WATCHER = 8
INTERVAL_S = 0.1  # at most ten updates a second and panel
STAMPS_REMEMBERED = 100  # ten seconds of beats
TICK_S = 1.0  # a quiet panel says that it is alive

_encode = msgspec.json.Encoder().encode


class Watcher:
    """One browser's place at a panel; `next_message` is what its socket sends."""

    def __init__(self, panel: str) -> None:
        self.panel = panel
        self.wants_snapshot = True
        self.dropped_to_snapshot = 0
        self._queue: asyncio.Queue[bytes] = asyncio.Queue(ROOM_PER_WATCHER)

    async def next_message(self) -> bytes:
        return await self._queue.get()

    def has_waiting(self) -> bool:
        return not self._queue.empty()

    def offer(self, message: bytes) -> None:
        """Queue a message; a watcher without room is dropped to a fresh snapshot."""
        try:
            self._queue.put_nowait(message)
        except asyncio.QueueFull:
            self.dropped_to_snapshot += 1
            self.ask_snapshot()

    def ask_snapshot(self) -> None:
        """Forget what waits; the next message is a snapshot."""
        while not self._queue.empty():
            self._queue.get_nowait()
        self.wants_snapshot = True


class Fanout:
    """Owns the view. Folding and draining happen in one event loop; API threads read under the lock."""

    def __init__(self, view: DashboardView) -> None:
        self._view = view
        self._lock = threading.Lock()
        self._watchers: defaultdict[str, set[Watcher]] = defaultdict(set)
        self._said_at_s: dict[str, float] = {}
        self.latency = LatencyTable((EVENT_TO_BROWSER,))
        self.measures_age = True  # a recorded market is old: its way to the browser says nothing
        self._newest_event_ns = 0
        self._event_ages_ns: dict[int, int] = {}  # stamp of a beat -> age of its newest event

    def apply(self, message: ViewMessage) -> None:
        with self._lock:
            self._view.apply(message)
        if self.measures_age and isinstance(message, FramesSeen) and message.frames.size:
            self._newest_event_ns = int(message.frames["ts_ns"][-1])

    def replace_view(self, view: DashboardView) -> None:
        """Show another market from here on: every watcher gets a snapshot of it."""
        with self._lock:
            self._view = view
        self._newest_event_ns = 0
        for watchers in self._watchers.values():
            for watcher in watchers:
                watcher.ask_snapshot()

    def state(self, panel: str) -> dict[str, Any] | None:
        """The panel as it stands, for the API; None when there is no such panel."""
        with self._lock:
            return self._view.state(panel) if self._view.has_panel(panel) else None

    def symbols(self) -> tuple[str, ...]:
        with self._lock:
            return tuple(name for name in self._view.panels() if name != OVERVIEW)

    def books_wanted(self) -> tuple[tuple[Instrument, ...], tuple[str, ...]]:
        """The symbol table, and those of its symbols whose book is not known."""
        with self._lock:
            return self._view.instruments(), self._view.symbols_without_book()

    def join(self, panel: str) -> Watcher:
        """Watch a panel; its snapshot follows with the next beat. An unknown panel stays silent but alive."""
        watcher = Watcher(panel)
        self._watchers[panel].add(watcher)
        return watcher

    def leave(self, watcher: Watcher) -> None:
        self._watchers[watcher.panel].discard(watcher)
        if not self._watchers[watcher.panel]:
            del self._watchers[watcher.panel]

    async def run(self) -> None:
        """Beat until cancelled."""
        while True:
            self.beat()
            await asyncio.sleep(INTERVAL_S)

    def beat(self) -> None:
        """Send every watched panel's changes since the last beat."""
        now_s = time.time()
        self._note_event_age(now_s)
        for panel, watchers in list(self._watchers.items()):
            self._serve(panel, watchers, now_s)

    def _note_event_age(self, now_s: float) -> None:
        """Of what is sent with this beat's stamp; nothing when no frame came since the last beat."""
        if not self._newest_event_ns:
            return
        self._event_ages_ns[int(now_s * 1000)] = int(now_s * 1e9) - self._newest_event_ns
        self._newest_event_ns = 0
        if len(self._event_ages_ns) > STAMPS_REMEMBERED:
            del self._event_ages_ns[next(iter(self._event_ages_ns))]

    def on_seen(self, stamp_ms: int, now_ns: int) -> None:
        """A browser has shown what was stamped so; the way back of its word is counted in.

        A stamp that was never given, or long ago, says nothing.
        """
        age_ns = self._event_ages_ns.get(stamp_ms)
        if age_ns is not None:
            self.latency.add(EVENT_TO_BROWSER, age_ns + now_ns - stamp_ms * 1_000_000, now_ns)

    def _serve(self, panel: str, watchers: set[Watcher], now_s: float) -> None:
        increment, snapshot = self._read(panel, any(w.wants_snapshot for w in watchers))
        stamp = {"t": int(now_s * 1000)}
        news: bytes | None = None
        if increment is not None:
            news = _encode({"type": "increment", **stamp, **increment})
        elif now_s - self._said_at_s.get(panel, 0.0) >= TICK_S:
            news = _encode({"type": "tick", **stamp})
        if news is not None:
            self._said_at_s[panel] = now_s
        whole = None if snapshot is None else _encode({"type": "snapshot", **stamp, **snapshot})
        for watcher in watchers:
            if watcher.wants_snapshot and whole is not None:
                watcher.wants_snapshot = False
                watcher.offer(whole)
            elif news is not None and (increment is None or not watcher.wants_snapshot):
                watcher.offer(news)

    def _read(
        self, panel: str, with_snapshot: bool
    ) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
        with self._lock:
            if not self._view.has_panel(panel):
                return None, None
            increment = self._view.drain(panel)
            return increment, self._view.snapshot(panel) if with_snapshot else None
