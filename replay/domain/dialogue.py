"""What strategy and execution say to each other in one process, and who listens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from execution.domain.core import ExecutionCore
from execution.domain.outputs import ExecutionOutput
from execution.domain.venue import (
    AmendOrder,
    CancelOrder,
    PlaceOrder,
    SetLeverage,
    VenueUpdate,
    WalletUpdated,
)
from market.domain.frames import Frames
from replay.domain.venue_feed import VenueFeed
from strategy.domain.core import StrategyCore
from strategy.domain.messages import (
    ExecutionEvent,
    ExecutionSnapshot,
    OrderRequest,
    RepriceHint,
    StrategyOutput,
)

_REQUESTS = (OrderRequest, RepriceHint)
# By exact type: none of them is derived from, and it is asked of each word that is said.
_COMMANDS = frozenset({SetLeverage, PlaceOrder, AmendOrder, CancelOrder})
_NEWS = frozenset({ExecutionEvent, ExecutionSnapshot})

_Said = OrderRequest | RepriceHint | ExecutionEvent | ExecutionSnapshot
_STRATEGY, _EXECUTION, _VENUE = range(3)
_Told = tuple[int, Any, int]  # who spoke, what, at which core time


class PipelineObserver(Protocol):
    """Sees everything that is computed. Must not change it.

    Decisions come one by one, in order, with their core time. Frames come in stretches, each before
    anything that was decided at one of its frames: the numeric path runs ahead of the decisions. What was
    decided at the frames of a stretch is told when it has all happened: one after the other it costs a
    fraction of what it would in between.
    """

    def on_frames(self, frames: Frames) -> None: ...

    def on_strategy(self, outputs: Sequence[StrategyOutput], now_ns: int) -> None: ...

    def on_execution(self, outputs: Sequence[ExecutionOutput], now_ns: int) -> None: ...

    def on_venue(self, update: VenueUpdate, now_ns: int) -> None: ...


class Dialogue:
    """Passes messages on until neither side has an answer.

    `execution_heard`: it was told something since the flag was last cleared, so what it wanted to look at
    next may have changed.
    """

    def __init__(
        self,
        strategy: StrategyCore,
        execution: ExecutionCore,
        venue: VenueFeed,
        observers: Sequence[PipelineObserver],
    ) -> None:
        self.execution_heard = True
        self._strategy = strategy
        self._execution = execution
        self._venue = venue
        self._observers = tuple(observers)
        self._untold: list[_Told] = []
        self._requests_made = 0

    def show(self, frames: Frames) -> None:
        for observer in self._observers:
            observer.on_frames(frames)

    def tell(self) -> None:
        """Tell the observers what was said since the last time."""
        untold, self._untold = self._untold, []
        for observer in self._observers:
            listeners = observer.on_strategy, observer.on_execution, observer.on_venue
            for speaker, said, now_ns in untold:
                listeners[speaker](said, now_ns)

    def hear(self, now_ns: int, update: VenueUpdate) -> None:
        """The venue's news reach execution."""
        self._untold.append((_VENUE, update, now_ns))
        if type(update) is WalletUpdated:
            return  # it repeats what fills and funding have said: execution keeps its own
        self.execution_heard = True
        if outputs := self._execution.on_venue(update, now_ns):
            self.carry_out(outputs, now_ns)

    def carry_out(self, outputs: Sequence[ExecutionOutput], now_ns: int) -> None:
        """Execution has spoken."""
        if outputs:
            self._exchange(self._news_of(outputs, now_ns), now_ns)

    def follow(self, outputs: Sequence[StrategyOutput], now_ns: int) -> None:
        """The strategy has spoken."""
        if outputs:
            self._exchange(self._requests_of(outputs, now_ns), now_ns)

    def _exchange(self, work: list[_Said], now_ns: int) -> None:
        """`work`: requests of the strategy and news of execution; it grows by what they answer."""
        for message in work:
            if isinstance(message, _REQUESTS):
                if outputs := self._ask(message, now_ns):
                    work += self._news_of(outputs, now_ns)
            elif told := self._strategy.on_execution(message, now_ns):
                work += self._requests_of(told, now_ns)

    def _ask(self, request: OrderRequest | RepriceHint, now_ns: int) -> list[ExecutionOutput]:
        self._requests_made += 1
        stream_id = f"{self._requests_made}-0"
        if isinstance(request, OrderRequest):
            self._strategy.note_request_written(request.request_id, stream_id)
        self.execution_heard = True
        return self._execution.on_request(request, now_ns, stream_id)

    def _news_of(self, outputs: Sequence[ExecutionOutput], now_ns: int) -> list[_Said]:
        """Send the commands on their way; return what the strategy must hear."""
        self._untold.append((_EXECUTION, outputs, now_ns))
        news: list[_Said] = []
        for output in outputs:
            if type(output) in _NEWS:
                news.append(output)  # type: ignore[arg-type]
            elif type(output) in _COMMANDS:
                self._venue.submit(output)  # type: ignore[arg-type]
        return news

    def _requests_of(self, outputs: Sequence[StrategyOutput], now_ns: int) -> list[_Said]:
        """What execution must hear."""
        self._untold.append((_STRATEGY, outputs, now_ns))
        return [output for output in outputs if isinstance(output, _REQUESTS)]
