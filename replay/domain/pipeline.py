"""The whole decision system in one process, in event time: kernel, strategy, execution, simulated venue.

One clock, core time, moves from event to event. At equal times venue news come first, then boundary
frames, then messages; a trigger frame belongs to its message. So the result is a function of the stream
alone: not of chunk sizes, machine speed or hash seeds.

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

import dataclasses
import heapq
from collections import deque
from collections.abc import Sequence
from typing import Protocol

import numpy as np

from execution.domain.config import ExecutionConfig
from execution.domain.core import ExecutionCore
from execution.domain.outputs import ExecutionOutput
from execution.domain.simulated_exchange import SimulatedExchange
from execution.domain.venue import AmendOrder, CancelOrder, PlaceOrder, VenueUpdate
from market.domain.events import EventChunk
from market.domain.frames import FrameReason, Frames
from market.domain.instruments import Instrument
from market.domain.kernel import MarketKernel
from strategy.domain.config import DecisionConfig
from strategy.domain.core import StrategyCore
from strategy.domain.messages import (
    ExecutionEvent,
    ExecutionSnapshot,
    OrderRequest,
    RepriceHint,
    StrategyOutput,
)

RUN_MODE = "REPLAY"
_QUIET_NS = 100_000_000  # FEED_QUIET_NS of the live simulated account
_BOUNDARY = int(FrameReason.BOUNDARY)
_COMMANDS = (PlaceOrder, AmendOrder, CancelOrder)
_REQUESTS = (OrderRequest, RepriceHint)


class PipelineObserver(Protocol):
    """Sees everything that is computed, in order. Must not change it."""

    def on_frames(self, frames: Frames) -> None: ...

    def on_strategy(self, outputs: Sequence[StrategyOutput], now_ns: int) -> None: ...

    def on_execution(self, outputs: Sequence[ExecutionOutput], now_ns: int) -> None: ...

    def on_venue(self, update: VenueUpdate, now_ns: int) -> None: ...


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
    ) -> None:
        self.kernel = MarketKernel(instruments, decision.market)
        self.strategy = StrategyCore(instruments, decision, run_id)
        self.execution = ExecutionCore(instruments, execution, RUN_MODE, run_id, decision.risk)
        self.venue = SimulatedExchange(instruments, execution)
        self.messages = 0
        self.first_ns = 0
        self.last_ns = 0  # core time of the last message
        self._observers = tuple(observers)
        self._exchange_ahead_ns = exchange_ahead_ns
        self._interval_ns = decision.market.evaluation_interval_ms * 1_000_000
        self._deliveries: list[tuple[int, int, VenueUpdate]] = []  # (due, number, update)
        self._deliveries_made = 0
        self._requests_made = 0
        self._chunk: EventChunk | None = None  # as the venue sees it
        self._reached = 0  # messages of the chunk that have happened
        self._shown = 0  # messages of the chunk that the venue has seen

    def feed(self, chunk: EventChunk) -> None:
        """Consume all messages of `chunk`; core times never go back, also between chunks."""
        if not len(chunk):
            return
        self._open(chunk)
        start, stop = 0, len(chunk)
        while start < stop:
            end, frames = self.kernel.process_until(chunk, start)
            if frames.size:
                self._happen(end - 1)
                is_boundary = frames["reason"] == _BOUNDARY
                self._judge(frames[is_boundary])
                self._happen(end)
                self._judge(frames[~is_boundary])
            else:
                self._happen(end)
            start = end
        self._show(stop)
        self._chunk = None

    def finish(self) -> None:
        """The session ends: make the boundary frame that covers its last messages."""
        self._judge(self.kernel.advance(self.last_ns + self._interval_ns))

    # -- the market ---------------------------------------------------------------------------------

    def _open(self, chunk: EventChunk) -> None:
        self.first_ns = self.first_ns or int(chunk.core_ts_ns[0])
        self.messages += len(chunk)
        self._chunk, self._reached, self._shown = chunk, 0, 0
        if self._exchange_ahead_ns:
            shifted = chunk.exchange_ts_ns - self._exchange_ahead_ns
            self._chunk = dataclasses.replace(chunk, exchange_ts_ns=shifted)

    def _happen(self, stop: int) -> None:
        """Let messages up to `stop` happen, and deliver venue news between them as they fall due."""
        chunk = self._chunk
        assert chunk is not None
        if stop <= self._reached:
            return
        while self._reached < stop:
            if self.venue.is_idle and not self._deliveries:
                self._reached = stop  # nobody is waiting: shown to the venue when it matters
                break
            self._happen_some(chunk, stop)
        self.last_ns = int(chunk.core_ts_ns[self._reached - 1])

    def _happen_some(self, chunk: EventChunk, stop: int) -> None:
        self._show(self._reached)
        if self._deliveries:
            due_ns = self._deliveries[0][0]
            waiting = chunk.core_ts_ns[self._reached : stop]
            stop = self._reached + int(np.searchsorted(waiting, due_ns))
            if stop == self._reached:
                self._deliver_next()
                return
        part = chunk.slice(self._reached, stop)
        used, updates = self.venue.process_until(part, 0)
        self._reached += used
        self._shown = self._reached
        self.last_ns = int(chunk.core_ts_ns[self._reached - 1])
        self._expect(updates, self.last_ns)

    def _show(self, stop: int) -> None:
        """Bring the venue up to message `stop`; it was idle over what it has not seen."""
        if self._chunk is not None and self._shown < stop:
            self._expect(self.venue.process(self._chunk.slice(self._shown, stop)), self.last_ns)
            self._shown = stop

    # -- the venue's news ---------------------------------------------------------------------------

    def _expect(self, updates: Sequence[VenueUpdate], now_ns: int) -> None:
        for update in updates:
            self._deliveries_made += 1
            due_ns = max(update.deliver_at_ns, now_ns)
            heapq.heappush(self._deliveries, (due_ns, self._deliveries_made, update))

    def _deliver_until(self, now_ns: int) -> None:
        while self._deliveries and self._deliveries[0][0] <= now_ns:
            self._deliver_next()

    def _deliver_next(self) -> None:
        now_ns, _, update = heapq.heappop(self._deliveries)
        for observer in self._observers:
            observer.on_venue(update, now_ns)
        self._carry_out(self.execution.on_venue(update, now_ns), now_ns)

    # -- frames ---------------------------------------------------------------------------------------

    def _judge(self, frames: Frames) -> None:
        """Frames in order of emission, all of one instant together."""
        start = 0
        while start < frames.size:
            now_ns = int(frames["ts_ns"][start])
            stop = start + int(np.searchsorted(frames["ts_ns"][start:], now_ns, side="right"))
            self._judge_instant(frames[start:stop], now_ns)
            start = stop

    def _judge_instant(self, frames: Frames, now_ns: int) -> None:
        self._deliver_until(now_ns)
        if now_ns - self.last_ns >= _QUIET_NS and not self.venue.is_idle:
            self._expect(self.venue.advance(now_ns - _QUIET_NS), now_ns)
            self._deliver_until(now_ns)
        for observer in self._observers:
            observer.on_frames(frames)
        self._carry_out(self.execution.on_quotes(frames), now_ns)
        if frames["reason"][0] == _BOUNDARY:
            self._carry_out(self.execution.on_timer(now_ns), now_ns)
        self._follow(self.strategy.on_frames(frames), now_ns)

    # -- between strategy, execution and venue ---------------------------------------------------------

    def _carry_out(self, outputs: Sequence[ExecutionOutput], now_ns: int) -> None:
        if outputs:
            self._exchange(deque(self._news_of(outputs, now_ns)), now_ns)

    def _follow(self, outputs: Sequence[StrategyOutput], now_ns: int) -> None:
        if outputs:
            self._exchange(deque(self._requests_of(outputs, now_ns)), now_ns)

    def _exchange(
        self,
        work: deque[OrderRequest | RepriceHint | ExecutionEvent | ExecutionSnapshot],
        now_ns: int,
    ) -> None:
        """Pass messages between strategy and execution, in order, until neither has an answer."""
        while work:
            message = work.popleft()
            if isinstance(message, _REQUESTS):
                work.extend(self._news_of(self._ask(message, now_ns), now_ns))
            else:
                told = self.strategy.on_execution(message, now_ns)
                work.extend(self._requests_of(told, now_ns))

    def _ask(self, request: OrderRequest | RepriceHint, now_ns: int) -> list[ExecutionOutput]:
        self._requests_made += 1
        stream_id = f"{self._requests_made}-0"
        if isinstance(request, OrderRequest):
            self.strategy.note_request_written(request.request_id, stream_id)
        return self.execution.on_request(request, now_ns, stream_id)

    def _news_of(
        self, outputs: Sequence[ExecutionOutput], now_ns: int
    ) -> list[ExecutionEvent | ExecutionSnapshot]:
        """Send the commands on their way; return what the strategy must hear."""
        for observer in self._observers:
            observer.on_execution(outputs, now_ns)
        news: list[ExecutionEvent | ExecutionSnapshot] = []
        for output in outputs:
            if isinstance(output, _COMMANDS):
                self._show(self._reached)
                self.venue.submit(output)
            elif isinstance(output, ExecutionEvent | ExecutionSnapshot):
                news.append(output)
        return news

    def _requests_of(
        self, outputs: Sequence[StrategyOutput], now_ns: int
    ) -> list[OrderRequest | RepriceHint]:
        for observer in self._observers:
            observer.on_strategy(outputs, now_ns)
        return [output for output in outputs if isinstance(output, _REQUESTS)]
