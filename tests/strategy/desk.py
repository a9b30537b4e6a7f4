"""A core with its feed and all it has said: what stories of the core are told with."""

from __future__ import annotations

from typing import Any

from strategy.domain.core import StrategyCore
from strategy.domain.messages import (
    EventType,
    OrderRequest,
    RepriceHint,
    ScoreUpdate,
    StateEvent,
    StrategyOutput,
    SymbolState,
)
from tests.strategy.builders import (
    STRONG_LONG,
    Feed,
    a_config,
    a_snapshot,
    an_event,
    an_instrument,
    balanced,
)


class Desk:
    """A core with one symbol, its feed, and all it has said so far."""

    def __init__(self, symbols: tuple[str, ...] = ("BTCUSDT",), **options: Any) -> None:
        earlier = options.pop("earlier_requests_id", "")
        run_id, telemetry = options.pop("run_id", "s1"), options.pop("telemetry", True)
        self.feed = Feed(len(symbols))
        instruments = [an_instrument(name) for name in symbols]
        self.core = StrategyCore(
            instruments, a_config(**options), run_id, earlier, telemetry=telemetry
        )
        self.said: list[StrategyOutput] = []

    def frames(self, count: int = 1, **values: Any) -> list[StrategyOutput]:
        return self._note(self.core.on_frames(self.feed.frames(count, **values)))

    def settle(self, seconds: float = 5.0) -> list[StrategyOutput]:
        return self._note(self.core.on_frames(balanced(self.feed, seconds)))

    def snapshot(self, **changes: Any) -> list[StrategyOutput]:
        message = a_snapshot(self.feed.now_ns, **changes)
        return self._note(self.core.on_execution(message, self.feed.now_ns))

    def tell(self, event_type: EventType, **values: Any) -> list[StrategyOutput]:
        event = an_event(event_type, self.feed.now_ns, **values)
        return self._note(self.core.on_execution(event, self.feed.now_ns))

    def ready(self) -> Desk:
        """Warm, adopted, flat: the next strong frames may enter."""
        self.settle()
        self.snapshot()
        return self

    def entering(self) -> OrderRequest:
        """Ready, then a strong long signal: the OPEN request it leads to."""
        self.ready()
        (request,) = requests(self.frames(3, **STRONG_LONG))
        return request

    def holding(self) -> OrderRequest:
        """The entry of `entering` has filled."""
        request = self.entering()
        self.tell(
            EventType.EXECUTION_ORDER_FILLED,
            request_id=request.request_id, leg="ENTRY", position_lots=10,
        )  # fmt: skip
        return request

    @property
    def state(self) -> SymbolState:
        return self.core.states()["BTCUSDT"]

    def _note(self, outputs: list[StrategyOutput]) -> list[StrategyOutput]:
        self.said += outputs
        return outputs


def requests(outputs: list[StrategyOutput]) -> list[OrderRequest]:
    return [item for item in outputs if isinstance(item, OrderRequest)]


def hints(outputs: list[StrategyOutput]) -> list[bool]:
    return [item.signal_holds for item in outputs if isinstance(item, RepriceHint)]


def moves(outputs: list[StrategyOutput]) -> list[tuple[SymbolState, SymbolState]]:
    return [(e.from_state, e.to_state) for e in outputs if isinstance(e, StateEvent)]


def latest_score(outputs: list[StrategyOutput]) -> ScoreUpdate:
    return [item for item in outputs if isinstance(item, ScoreUpdate)][-1]
