"""The whole decision system in one process, in event time: kernel, strategy, execution, simulated venue.

One clock, core time, moves from event to event. At equal times venue news come first, then boundary
frames, then messages; a trigger frame belongs to its message. So the result is a function of the stream
alone: not of chunk sizes, machine speed or hash seeds.

- Frames and scores depend on no decision: they are computed ahead, over a whole piece of the stream.
  Then only those frames are visited at which a core says that it could do something; the venue walks
  the messages between them, and only while it holds something. The result is that of visiting all.
- A boundary frame at B is judged when everything before B has happened, B included in no message.
- A command leaves with the time of the frame or news that caused it and takes effect at the venue when
  the venue's own (exchange) time has passed that plus latency; what the venue does is heard at
  `deliver_at_ns`, at the earliest with the message that brought it about.
- The recorded exchange clock may be off from the receive clock (`exchange_ahead_ns`): the venue sees
  exchange time shifted by it, the market kernel sees it as recorded.
- Once the market has been silent for 100 ms, boundary frames move the venue's time, 100 ms behind
  them, as the live service's timer does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from execution.domain.config import ExecutionConfig
from execution.domain.core import ExecutionCore
from execution.domain.simulated_exchange import SimulatedExchange
from market.domain.events import EventChunk
from market.domain.frames import FrameReason, Frames
from market.domain.instruments import Instrument
from market.domain.kernel import MarketKernel
from replay.domain.dialogue import Dialogue, PipelineObserver
from replay.domain.frame_places import frame_places, pieces_of
from replay.domain.venue_feed import NEVER_NS, VenueFeed
from strategy.domain.config import DecisionConfig
from strategy.domain.core import StrategyCore
from strategy.domain.evaluations import Evaluations

__all__ = ["RUN_MODE", "Pipeline", "PipelineObserver"]

RUN_MODE = "REPLAY"
_SECOND_NS = 1_000_000_000
_QUIET_NS = 100_000_000  # FEED_QUIET_NS of the live simulated account
_BOUNDARY = int(FrameReason.BOUNDARY)


class Pipeline:
    """Feed chunks in order, then `finish` once. `kernel`, `strategy`, `execution`, `venue` may be read."""

    def __init__(
        self,
        instruments: Sequence[Instrument],
        decision: DecisionConfig,
        execution: ExecutionConfig,
        observers: Sequence[PipelineObserver] = (),
        *,
        run_id: str = "replay",
        exchange_ahead_ns: int = 0,
        execution_by_symbol: Mapping[str, ExecutionConfig] | None = None,
        records: bool = True,
        telemetry: bool = False,
    ) -> None:
        """Without `records` observers see no order log lines and, but for fills and trades, no rows."""
        self.kernel = MarketKernel(instruments, decision.market)
        self.strategy = StrategyCore(instruments, decision, run_id, telemetry=telemetry)
        self.execution = ExecutionCore(
            instruments, execution, RUN_MODE, run_id, decision.risk, execution_by_symbol,
            decision.version, records=records,
            symbol_limits={symbol: own.risk for symbol, own in decision.symbols.items()},
        )  # fmt: skip
        self.venue = SimulatedExchange(instruments, execution, symbols=execution_by_symbol)
        self.messages = 0
        self.first_ns = 0
        self._market = VenueFeed(self.venue, exchange_ahead_ns)
        self._talk = Dialogue(self.strategy, self.execution, self._market, observers)
        self._interval_ns = decision.market.evaluation_interval_ms * 1_000_000
        self._last_seq: int | None = None
        self._next_snapshot_ns = 0  # execution has something to repeat from then on

    @property
    def last_ns(self) -> int:
        """Core time of the last message."""
        return self._market.last_ns

    def feed(self, chunk: EventChunk) -> None:
        """Consume all messages of `chunk`; core times never go back, also between chunks."""
        if not len(chunk):
            return
        self.first_ns = self.first_ns or int(chunk.core_ts_ns[0])
        self.messages += len(chunk)
        for piece in pieces_of(chunk, self._last_seq):
            self._feed_piece(piece)
            self._last_seq = int(piece.seq[-1])

    def finish(self) -> None:
        """The session ends: make the boundary frame that covers its last messages."""
        frames = self.kernel.advance(self.last_ns + self._interval_ns)
        self._judge(_Stretch(frames, np.zeros(len(frames), np.int64), None, self.last_ns))

    def _feed_piece(self, piece: EventChunk) -> None:
        frames = self.kernel.process(piece)
        places = frame_places(piece, frames)
        self._market.open(piece)
        self._judge(_Stretch(frames, places, piece, self.last_ns))
        self._market.close()

    # -- a stretch of frames --------------------------------------------------------------------------

    def _judge(self, stretch: _Stretch) -> None:
        """Let the whole stretch happen, its messages and what is decided at its frames."""
        count = len(stretch.frames)
        if count:
            self._talk.show(stretch.frames)
            stretch.evaluations = self.strategy.evaluate(stretch.frames)
            self._talk.execution_heard = True
        row = 0
        while row < count:
            if self._talk.execution_heard and self._hear_before(stretch, row):
                continue
            row = self._reach(stretch, row, self._next_goal(stretch, row))
        self._note_quotes(stretch, count)
        while self._market.run(stretch.messages):
            self._talk.hear(*self._market.take_news())
        self._talk.tell()

    def _hear_before(self, stretch: _Stretch, row: int) -> bool:
        """Let everything before frame `row` happen; True when something was heard of it.

        The venue answers soon, and each word changes what the cores wait for: they are asked once its
        answers are in.
        """
        ts_ns = stretch.ts_ns.item(row)
        if not self._market.has_commands and self._market.due_ns > ts_ns:
            return False
        self._market.run(stretch.place(row))
        if self._market.due_ns > ts_ns:
            return False
        self._hear_until(stretch, row, self._market.due_ns)
        return True

    def _next_goal(self, stretch: _Stretch, row: int) -> int:
        """The next frame from `row` on at which anything could be done; the number of frames if none."""
        goal = min(self._strategy_row(stretch, row), self._execution_row(stretch, row))
        if not self._market.is_idle:
            goal = min(goal, stretch.next_quiet(row))
        return goal

    def _strategy_row(self, stretch: _Stretch, row: int) -> int:
        version = self.strategy.attention_version
        if stretch.strategy_version != version or stretch.strategy_row < row:
            assert stretch.evaluations is not None
            stretch.strategy_row = self.strategy.next_attention(stretch.evaluations, row)
            stretch.strategy_version = version
        return stretch.strategy_row

    def _execution_row(self, stretch: _Stretch, row: int) -> int:
        if self._talk.execution_heard or stretch.execution_row < row:
            stretch.execution_row = self.execution.next_attention(stretch.frames, row)
            self._talk.execution_heard = False
        return stretch.execution_row

    def _reach(self, stretch: _Stretch, row: int, goal: int) -> int:
        """Let everything before frame `goal` happen, then judge it; returns the frame to go on from.

        News of the venue on the way change what matters: then it stops right after all of that instant.
        """
        is_halted = self._market.run(stretch.place(goal))
        due_ns = self._market.due_ns
        if due_ns != NEVER_NS:
            first_after = stretch.first_at(due_ns, row, goal)
            if is_halted or first_after < goal:
                self._hear_until(stretch, first_after, due_ns)
                return first_after
        return self._judge_instant(stretch, goal) if goal < len(stretch.frames) else goal

    def _judge_instant(self, stretch: _Stretch, first: int) -> int:
        """All frames of one instant together; returns the first frame after them."""
        first, end = stretch.instant(first)
        now_ns = stretch.ts_ns.item(first)
        self._hear_until(stretch, first, now_ns)
        if now_ns - self.last_ns >= _QUIET_NS and not self._market.is_idle:
            self._market.let_time_pass(now_ns - _QUIET_NS, now_ns)
            self._hear_until(stretch, first, now_ns)
        if self._execution_row(stretch, first) < end:
            self._manage(stretch, first, end, now_ns)
        elif now_ns >= self._next_snapshot_ns:
            self._note_quotes(stretch, end)
        self._decide(stretch, first, end, now_ns)
        return end

    def _manage(self, stretch: _Stretch, first: int, end: int, now_ns: int) -> None:
        if not self.execution.needs_look(stretch.frames, first, end):  # only something to tell
            self._note_quotes(stretch, end)
            self._talk.execution_heard = True
            return
        self._note_quotes(stretch, first)
        stretch.noted = end
        self._talk.carry_out(self.execution.on_quotes(stretch.frames, first, end), now_ns)
        if stretch.is_boundary[first]:
            self._talk.carry_out(self.execution.on_timer(now_ns), now_ns)
        self._talk.execution_heard = True

    def _decide(self, stretch: _Stretch, first: int, end: int, now_ns: int) -> None:
        row, evaluations = self._strategy_row(stretch, first), stretch.evaluations
        assert evaluations is not None
        if row >= end:
            return
        outputs = []
        while row < end:
            outputs += self.strategy.decide(evaluations, row)
            row = self.strategy.next_attention(evaluations, row + 1)
        stretch.strategy_row, stretch.strategy_version = row, self.strategy.attention_version
        if outputs:
            self._note_quotes(stretch, end)
            self._talk.follow(outputs, now_ns)

    # -- news and quotes --------------------------------------------------------------------------------

    def _hear_until(self, stretch: _Stretch, row: int, now_ns: int) -> None:
        """News that are heard before frame `row`."""
        if self._market.due_ns > now_ns:
            return
        self._note_quotes(stretch, row)
        while self._market.due_ns <= now_ns:
            self._talk.hear(*self._market.take_news())

    def _note_quotes(self, stretch: _Stretch, end: int) -> None:
        """Execution passes over the frames up to `end`; in a new second it repeats what it holds."""
        start = stretch.noted
        if start < end:
            stretch.noted, now_ns = end, stretch.ts_ns.item(end - 1)
            self._next_snapshot_ns = (now_ns // _SECOND_NS + 1) * _SECOND_NS
            if passed := self.execution.note_quotes(stretch.frames, start, end):
                self._talk.carry_out(passed, now_ns)


class _Stretch:
    """Frames made from one piece, and how far each core has come with them."""

    def __init__(
        self, frames: Frames, places: NDArray[np.int64], piece: EventChunk | None, last_ns: int
    ) -> None:
        self.frames = frames
        self.evaluations: Evaluations | None = None
        self.ts_ns = np.ascontiguousarray(frames["ts_ns"])
        self.is_boundary = frames["reason"] == _BOUNDARY
        self.messages = len(piece) if piece is not None else 0
        self.strategy_row = self.execution_row = self.strategy_version = -1
        self.noted = 0  # frames whose quotes execution has
        self._places = places
        self._piece, self._before_ns = piece, last_ns
        self._quiet_rows: NDArray[np.int64] | None = None  # nobody asks while the venue is idle

    def _find_quiet(self) -> NDArray[np.int64]:
        return np.flatnonzero(self.ts_ns - self._last_ns() >= _QUIET_NS)

    def _last_ns(self) -> NDArray[np.int64] | int:
        """Core time of the last message before each frame."""
        if self._piece is None:
            return self._before_ns
        before = self._piece.core_ts_ns[np.maximum(self._places - 1, 0)]
        return np.where(self._places > 0, before, self._before_ns)

    def place(self, row: int) -> int:
        """Messages of the piece that come before frame `row`; all of them at the end."""
        return self._places.item(row) if row < self.ts_ns.size else self.messages

    def next_quiet(self, row: int) -> int:
        """The first frame from `row` on before which the market was silent for long."""
        if self._quiet_rows is None:
            self._quiet_rows = self._find_quiet()
        place = int(self._quiet_rows.searchsorted(row))
        return self._quiet_rows.item(place) if place < self._quiet_rows.size else self.ts_ns.size

    def first_at(self, instant_ns: int, start: int, stop: int) -> int:
        """The first frame in start..stop at or after an instant; `stop` when there is none."""
        return start + int(self.ts_ns[start:stop].searchsorted(instant_ns))

    def instant(self, row: int) -> tuple[int, int]:
        """(first, place after the last) of the frames that are judged together with `row`.

        Boundary frames of one time belong together; a trigger frame stands for its message alone.
        """
        first, end, ts_ns = row, row + 1, self.ts_ns
        if not self.is_boundary[row]:
            return first, end
        while first > 0 and ts_ns[first - 1] == ts_ns[row] and self.is_boundary[first - 1]:
            first -= 1
        while end < ts_ns.size and ts_ns[end] == ts_ns[row] and self.is_boundary[end]:
            end += 1
        return first, end
