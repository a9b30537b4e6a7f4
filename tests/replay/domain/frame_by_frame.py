"""The pipeline as slowly and obviously as it can be: every frame is shown to every core, at its time.

The reference for `replay.domain.pipeline`, which visits only the frames that can change something.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Sequence
from typing import Any

import numpy as np

from execution.domain.config import ExecutionConfig
from execution.domain.core import ExecutionCore
from execution.domain.simulated_exchange import SimulatedExchange
from execution.domain.venue import AmendOrder, CancelOrder, PlaceOrder, SetLeverage, VenueUpdate
from market.domain.events import EventChunk
from market.domain.frames import FrameReason, Frames
from market.domain.instruments import Instrument
from market.domain.kernel import MarketKernel
from replay.domain.dialogue import PipelineObserver
from strategy.domain.config import DecisionConfig
from strategy.domain.core import StrategyCore
from strategy.domain.messages import ExecutionEvent, ExecutionSnapshot, OrderRequest, RepriceHint

QUIET_NS = 100_000_000


class FrameByFrame:
    """`feed` and `finish` as `Pipeline` has them."""

    def __init__(
        self,
        instruments: Sequence[Instrument],
        decision: DecisionConfig,
        execution: ExecutionConfig,
        observers: Sequence[PipelineObserver] = (),
    ) -> None:
        self.kernel = MarketKernel(instruments, decision.market)
        self.strategy = StrategyCore(instruments, decision, "replay", telemetry=False)
        self.execution = ExecutionCore(
            instruments, execution, "REPLAY", "replay", decision.risk, None, decision.version
        )
        self.venue = SimulatedExchange(instruments, execution)
        self.observers = observers
        self.interval_ns = decision.market.evaluation_interval_ms * 1_000_000
        self.last_ns = 0
        self.news: list[tuple[int, int, VenueUpdate]] = []
        self.news_made = self.requests_made = 0

    def feed(self, chunk: EventChunk) -> None:
        start = 0
        while start < len(chunk):
            end, frames = self.kernel.process_until(chunk, start)
            is_boundary = frames["reason"] == FrameReason.BOUNDARY
            self.happen(chunk, start, end - 1 if frames.size else end)
            self.judge(frames[is_boundary])
            if frames.size:
                self.happen(chunk, end - 1, end)
            self.judge(frames[~is_boundary])
            start = end

    def finish(self) -> None:
        self.judge(self.kernel.advance(self.last_ns + self.interval_ns))

    def happen(self, chunk: EventChunk, start: int, stop: int) -> None:
        """Message by message: first the news that are due, then the message, then what it did."""
        for i in range(start, stop):
            now_ns = int(chunk.core_ts_ns[i])
            if self.last_ns < now_ns:
                self.hear_until(now_ns)
            self.last_ns = now_ns
            self.expect(self.venue.process(chunk.slice(i, i + 1)), now_ns)

    def judge(self, frames: Frames) -> None:
        start = 0
        while start < frames.size:
            now_ns = int(frames["ts_ns"][start])
            stop = start + int(np.searchsorted(frames["ts_ns"][start:], now_ns, side="right"))
            self.judge_instant(frames[start:stop], now_ns)
            start = stop

    def judge_instant(self, frames: Frames, now_ns: int) -> None:
        self.hear_until(now_ns)
        if now_ns - self.last_ns >= QUIET_NS and not self.venue.is_idle:
            self.expect(self.venue.advance(now_ns - QUIET_NS), now_ns)
            self.hear_until(now_ns)
        for observer in self.observers:
            observer.on_frames(frames)
        self.said(self.execution.on_quotes(frames), now_ns)
        if frames["reason"][0] == FrameReason.BOUNDARY:
            self.said(self.execution.on_timer(now_ns), now_ns)
        self.exchange(self.requests_of(self.strategy.on_frames(frames), now_ns), now_ns)

    def expect(self, updates: Sequence[VenueUpdate], now_ns: int) -> None:
        for update in updates:
            self.news_made += 1
            due_ns = max(update.deliver_at_ns, now_ns)
            heapq.heappush(self.news, (due_ns, self.news_made, update))

    def hear_until(self, now_ns: int) -> None:
        while self.news and self.news[0][0] <= now_ns:
            due_ns, _, update = heapq.heappop(self.news)
            for observer in self.observers:
                observer.on_venue(update, due_ns)
            self.said(self.execution.on_venue(update, due_ns), due_ns)

    def said(self, outputs: Sequence[Any], now_ns: int) -> None:
        self.exchange(self.news_of(outputs, now_ns), now_ns)

    def exchange(self, messages: Sequence[Any], now_ns: int) -> None:
        work = deque(messages)
        while work:
            message = work.popleft()
            if isinstance(message, OrderRequest | RepriceHint):
                self.requests_made += 1
                stream_id = f"{self.requests_made}-0"
                if isinstance(message, OrderRequest):
                    self.strategy.note_request_written(message.request_id, stream_id)
                work += self.news_of(self.execution.on_request(message, now_ns, stream_id), now_ns)
            else:
                work += self.requests_of(self.strategy.on_execution(message, now_ns), now_ns)

    def news_of(self, outputs: Sequence[Any], now_ns: int) -> list[Any]:
        for observer in self.observers:
            observer.on_execution(outputs, now_ns)
        for output in outputs:
            if isinstance(output, SetLeverage | PlaceOrder | AmendOrder | CancelOrder):
                self.venue.submit(output)
        return [o for o in outputs if isinstance(o, ExecutionEvent | ExecutionSnapshot)]

    def requests_of(self, outputs: Sequence[Any], now_ns: int) -> list[Any]:
        for observer in self.observers:
            observer.on_strategy(outputs, now_ns)
        return [o for o in outputs if isinstance(o, OrderRequest | RepriceHint)]
