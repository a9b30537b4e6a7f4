"""What happens in the market, as the simulated venue comes to see it, and the news that come back.

While the venue is idle nobody waits for its answers: messages are counted as having happened and are
shown to it in one go once that matters. Otherwise it stops at each message that has consequences, and
news fall due between messages at their own time.
"""

from __future__ import annotations

import dataclasses
import heapq
from collections.abc import Sequence

from execution.domain.simulated_exchange import SimulatedExchange
from execution.domain.venue import VenueCommand, VenueUpdate
from market.domain.events import EventChunk

NEVER_NS = 1 << 62


class VenueFeed:
    """`last_ns` is the core time of the last message that happened, `due_ns` when the next news are heard."""

    def __init__(self, venue: SimulatedExchange, exchange_ahead_ns: int) -> None:
        self.last_ns = 0
        self.due_ns = NEVER_NS  # none are on their way
        self._venue = venue
        self._exchange_ahead_ns = exchange_ahead_ns
        self._news: list[tuple[int, int, VenueUpdate]] = []  # heap of (due, number, update)
        self._news_made = 0
        self._chunk: EventChunk | None = None  # as the venue sees it
        self._reached = 0  # messages of the chunk that have happened
        self._shown = 0  # messages of the chunk that the venue has seen

    # -- the market ---------------------------------------------------------------------------------

    def open(self, chunk: EventChunk) -> None:
        """Its messages happen next, as far as `run` says."""
        self._reached = self._shown = 0
        shift_ns = self._exchange_ahead_ns
        self._chunk = (
            dataclasses.replace(chunk, exchange_ts_ns=chunk.exchange_ts_ns - shift_ns)
            if shift_ns
            else chunk
        )

    def close(self) -> None:
        """All its messages have happened."""
        self._show()
        self._chunk = None

    def run(self, stop: int) -> bool:
        """Let messages up to `stop` happen; True when it halted before one because news are due first."""
        chunk, venue = self._chunk, self._venue
        if chunk is None or stop <= self._reached:
            return False
        core_ts_ns = chunk.core_ts_ns
        while (reached := self._reached) < stop:
            if self.due_ns == NEVER_NS and venue.is_idle:
                self._reached, self.last_ns = stop, core_ts_ns.item(stop - 1)
                return False
            if self._shown < reached:
                self._show()
            end = stop
            if self.due_ns <= core_ts_ns.item(stop - 1):
                end = reached + int(core_ts_ns[reached:stop].searchsorted(self.due_ns))
                if end == reached:
                    return True
            reached, updates = venue.process_until(chunk, reached, end)
            self._reached = self._shown = reached
            self.last_ns = core_ts_ns.item(reached - 1)
            if updates:
                self.expect(updates, self.last_ns)
            if reached == end:
                return end < stop  # more news only fall due earlier
        return False

    def _show(self) -> None:
        """Bring the venue up to what has happened; it was idle over what it has not seen."""
        while self._chunk is not None and self._shown < self._reached:
            self._shown, updates = self._venue.process_until(
                self._chunk, self._shown, self._reached
            )
            self.expect(updates, self.last_ns)

    # -- the venue ------------------------------------------------------------------------------------

    @property
    def is_idle(self) -> bool:
        """The venue holds nothing of ours: neither the market nor time can make it act."""
        return self._venue.is_idle

    @property
    def has_commands(self) -> bool:
        """Commands are on their way to the venue: it will answer soon."""
        return self._venue.has_commands

    def submit(self, command: VenueCommand) -> None:
        """Send a command on its way, at the time of what has happened so far."""
        self._show()
        self._venue.submit(command)

    def let_time_pass(self, venue_ns: int, now_ns: int) -> None:
        """The market is silent, yet commands take effect."""
        self.expect(self._venue.advance(venue_ns), now_ns)

    # -- news -------------------------------------------------------------------------------------------

    def expect(self, updates: Sequence[VenueUpdate], now_ns: int) -> None:
        """`updates` will be heard when they are due, never before `now_ns`."""
        if not updates:
            return
        news = self._news
        for number, update in enumerate(updates, start=self._news_made + 1):
            heapq.heappush(news, (max(update.deliver_at_ns, now_ns), number, update))
        self._news_made += len(updates)
        self.due_ns = news[0][0]

    def take_news(self) -> tuple[int, VenueUpdate]:
        """(when it is heard, the update) of the first that is on its way."""
        due_ns, _, update = heapq.heappop(self._news)
        self.due_ns = self._news[0][0] if self._news else NEVER_NS
        return due_ns, update
