"""Random stories: whatever is late, lost or restarted, nothing doubles and nothing sticks."""

from __future__ import annotations

from collections import deque
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from strategy.domain.core import GLOBAL_SYMBOL, StrategyCore
from strategy.domain.messages import (
    EventType,
    ExecutionEvent,
    ExecutionSnapshot,
    OrderRequest,
    StateEvent,
    StrategyOutput,
    SymbolState,
)
from strategy.domain.state_machine import TABLE
from tests.strategy.builders import (
    STRONG_LONG,
    STRONG_SHORT,
    Feed,
    a_config,
    a_position,
    a_snapshot,
    an_event,
    an_instrument,
    balanced,
)

SYMBOLS = ("BTCUSDT", "ETHUSDT")
QUICK = {"edge_coef": 5.0, "cooldown_s": 2.0, "retry_cooldown_s": 1.0, "regime_exit_s": 1.0}
REVERSING = {"close_on_opposite": True, "reverse_on_opposite": True}
LEAVES_ERROR = (EventType.POSITION_RESYNC, EventType.SAFE_MODE_OFF)
MOODS: dict[str, dict[str, Any]] = {
    "long": STRONG_LONG,
    "short": STRONG_SHORT,
    "quiet": {},
    "thin": {"spread_bps": 50.0},
}


class World:
    """A strategy core, a model of execution, and the two streams between them."""

    def __init__(self, reverses: bool = False) -> None:
        self.feed = Feed(len(SYMBOLS))
        self.written: list[OrderRequest] = []  # the requests stream; entry i has the id (i + 1)-0
        self.read = 0  # requests execution has read
        self.news: deque[ExecutionEvent | ExecutionSnapshot] = deque()  # not yet read by strategy
        self.entries: dict[str, str] = {}  # live entries of the venue, by symbol
        self.positions: dict[str, str] = {}
        self.safe_mode = False
        self.execution_run = 1
        self.strategy_run = 0
        self.reverses = reverses
        self.doubled: list[str] = []
        self.told_safe = False
        self.restart_strategy()
        self.take(self.core.on_frames(balanced(self.feed, 2.0)))

    # -- strategy ------------------------------------------------------------------------------------

    def restart_strategy(self) -> None:
        self.strategy_run += 1
        self.news.clear()
        self.told_safe = False
        self.states = dict.fromkeys(SYMBOLS, SymbolState.FLAT)
        self.core = StrategyCore(
            [an_instrument(name) for name in SYMBOLS],
            a_config(strategy=QUICK | (REVERSING if self.reverses else {})),
            f"s{self.strategy_run}",
            f"{len(self.written)}-0" if self.written else "",
        )

    def take(self, outputs: list[StrategyOutput]) -> None:
        for output in outputs:
            if isinstance(output, OrderRequest):
                self.written.append(output)
                self.core.note_request_written(output.request_id, f"{len(self.written)}-0")
                if output.action == "OPEN":
                    assert not self.told_safe, "an OPEN left in safe mode"
                    assert self.core.adopted
            elif isinstance(output, StateEvent) and output.symbol != GLOBAL_SYMBOL:
                assert output.from_state == self.states[output.symbol], "events do not chain"
                if output.from_state is SymbolState.ERROR is not output.to_state:
                    assert output.event_type in LEAVES_ERROR, "ERROR left by itself"
                self.states[output.symbol] = output.to_state
        assert self.states == self.core.states()

    def frames(self, mood: str, count: int) -> None:
        self.take(self.core.on_frames(self.feed.frames(count, **MOODS[mood])))

    def deliver(self, count: int) -> None:
        for _ in range(min(count, len(self.news))):
            message = self.news.popleft()
            outputs = self.core.on_execution(message, self.feed.now_ns)
            if isinstance(message, ExecutionSnapshot):
                if self.core.adopted:
                    self.told_safe = bool(message.safe_mode_reasons)
            elif message.type is EventType.SAFE_MODE_ON:
                self.told_safe = True
            elif message.type is EventType.SAFE_MODE_OFF:
                self.told_safe = False
            self.take(outputs)

    def linger(self, crash: bool, count: int) -> None:
        """A request stays unread while snapshots say nothing of it, perhaps with a restart between."""
        self.frames("long", 6)
        if crash:
            self.restart_strategy()
        self.snapshot()
        self.deliver(100)
        self.frames("long", count)

    def lose_news(self) -> None:
        self.news.clear()
        self.core.on_execution_gap()

    # -- execution -------------------------------------------------------------------------------------

    def tell(self, event_type: EventType, symbol: str, request_id: str = "", **values: Any) -> None:
        held = 10 if symbol in self.positions else 0
        self.news.append(
            an_event(
                event_type, self.feed.now_ns, symbol=symbol, request_id=request_id,
                plan_id=request_id, position_lots=held, **values,
            )
        )  # fmt: skip

    def snapshot(self) -> None:
        self.news.append(
            a_snapshot(
                self.feed.now_ns,
                execution_run=f"x{self.execution_run}",
                requests_stream_id=f"{self.read}-0",
                positions=tuple(
                    a_position(symbol, plan_id=plan, request_id=plan)
                    for symbol, plan in self.positions.items()
                ),
                pending_entries={
                    symbol: plan
                    for symbol, plan in self.entries.items()
                    if symbol not in self.positions
                },
                safe_mode_reasons=("OPERATOR",) if self.safe_mode else (),
            )
        )

    def read_requests(self, count: int) -> None:
        for request in self.written[self.read : self.read + count]:
            self.read += 1
            symbol, plan = request.symbol, request.request_id
            if request.action == "OPEN":
                self._open(request)
            elif request.action == "CLOSE" and symbol in self.positions:
                self.close(symbol)
            elif request.action == "CANCEL_ENTRY" and symbol in self.entries:
                self.end_entry(symbol, "cancel")
            else:
                self.tell(EventType.EXECUTION_ORDER_REJECTED, symbol, plan, leg="CLOSE")

    def _open(self, request: OrderRequest) -> None:
        symbol, plan = request.symbol, request.request_id
        is_late = self.feed.now_ns > request.valid_until_ns
        is_busy = symbol in self.entries or symbol in self.positions
        if not is_late and is_busy:
            self.doubled.append(plan)
        if is_late or is_busy or self.safe_mode:
            self.tell(EventType.EXECUTION_ORDER_REJECTED, symbol, plan, leg="ENTRY")
            return
        self.entries[symbol] = plan
        self.tell(EventType.EXECUTION_ORDER_PLACED, symbol, plan, leg="ENTRY")

    def end_entry(self, symbol: str, how: str) -> None:
        plan = self.entries.get(symbol)
        if plan is None:
            return
        if how == "part":
            if symbol not in self.positions:
                self.positions[symbol] = plan
                part = EventType.EXECUTION_ORDER_PARTIALLY_FILLED
                self.tell(part, symbol, plan, leg="ENTRY", filled_lots=5)
                self.tell(EventType.EXECUTION_POSITION_OPENED, symbol, plan, leg="ENTRY")
            return
        del self.entries[symbol]
        if how == "fill":
            is_new = symbol not in self.positions
            self.positions[symbol] = plan
            self.tell(EventType.EXECUTION_ORDER_FILLED, symbol, plan, leg="ENTRY", filled_lots=10)
            if is_new:
                self.tell(EventType.EXECUTION_POSITION_OPENED, symbol, plan, leg="ENTRY")
        else:
            filled = 5 if symbol in self.positions else 0
            canceled = EventType.EXECUTION_ORDER_CANCELED
            self.tell(canceled, symbol, plan, leg="ENTRY", filled_lots=filled)

    def close(self, symbol: str) -> None:
        if symbol in self.positions:
            self.end_entry(symbol, "cancel")
            plan = self.positions.pop(symbol)
            self.tell(EventType.EXECUTION_POSITION_CLOSED, symbol, plan, leg="STOP")

    def fail(self, symbol: str) -> None:
        self.tell(EventType.EXECUTION_ERROR, symbol)

    def set_safe_mode(self, on: bool) -> None:
        if on != self.safe_mode:
            self.safe_mode = on
            self.tell(EventType.SAFE_MODE_ON if on else EventType.SAFE_MODE_OFF, "")

    def panic(self) -> None:
        self.set_safe_mode(True)
        self.tell(EventType.PANIC_CLOSE_TRIGGERED, "")
        for symbol in SYMBOLS:
            self.end_entry(symbol, "cancel")
            self.close(symbol)

    def restart_execution(self) -> None:
        self.execution_run += 1


symbols = st.sampled_from(SYMBOLS)
steps = st.one_of(
    st.tuples(st.just("frames"), st.sampled_from(sorted(MOODS)), st.integers(1, 35)),
    st.tuples(st.just("frames"), st.just("long"), st.integers(3, 6)),
    st.tuples(st.just("deliver"), st.integers(1, 8)),
    st.tuples(st.just("read_requests"), st.integers(1, 3)),
    st.tuples(st.just("snapshot")),
    st.tuples(st.just("end_entry"), symbols, st.sampled_from(["fill", "part", "cancel"])),
    st.tuples(st.just("close"), symbols),
    st.tuples(st.just("fail"), symbols),
    st.tuples(st.just("set_safe_mode"), st.booleans()),
    st.tuples(st.just("linger"), st.booleans(), st.integers(12, 18)),
    st.tuples(st.just("panic")),
    st.tuples(st.just("lose_news")),
    st.tuples(st.just("restart_execution")),
    st.tuples(st.just("restart_strategy")),
)


def tell_story(story: list[tuple[Any, ...]], reverses: bool = False) -> World:
    world = World(reverses)
    world.snapshot()
    world.deliver(1)
    for name, *arguments in story:
        getattr(world, name)(*arguments)
    return world


@settings(deadline=None, max_examples=80)
@given(st.lists(steps, min_size=5, max_size=40), st.booleans())
def test_no_story_doubles_an_entry_or_repeats_a_request_id(
    story: list[tuple[Any, ...]], reverses: bool
) -> None:
    world = tell_story(story, reverses)
    world.read_requests(len(world.written))

    assert world.doubled == []
    opened = [request.request_id for request in world.written if request.action == "OPEN"]
    assert len(opened) == len(set(opened))


@settings(deadline=None, max_examples=40)
@given(st.lists(steps, min_size=5, max_size=40))
def test_after_any_story_a_quiet_minute_brings_every_symbol_back_to_flat(
    story: list[tuple[Any, ...]],
) -> None:
    """Nothing sticks: once the venue is flat and execution (restarted) speaks, so is the strategy."""
    world = tell_story(story)
    world.set_safe_mode(False)
    world.restart_execution()
    for _ in range(20):
        world.read_requests(100)
        for symbol in SYMBOLS:
            world.end_entry(symbol, "cancel")
            world.close(symbol)
        world.snapshot()
        world.deliver(1_000)
        world.frames("quiet", 10)

    assert set(world.core.states().values()) == {SymbolState.FLAT}


@settings(deadline=None, max_examples=40)
@given(st.lists(steps, min_size=5, max_size=30), st.booleans())
def test_after_any_story_cooldown_ends_and_error_stays_though_nobody_speaks(
    story: list[tuple[Any, ...]], reverses: bool
) -> None:
    """Time alone ends every COOLDOWN and leaves no ERROR."""
    world = tell_story(story, reverses)
    before = world.core.states()
    world.frames("quiet", 40)

    for symbol, state in world.core.states().items():
        assert state is not SymbolState.COOLDOWN
        assert (state is SymbolState.ERROR) == (before[symbol] is SymbolState.ERROR)


def test_random_stories_reach_most_of_the_table() -> None:
    """Guards the two tests above against proving nothing: entries, positions and errors do happen."""
    story: list[tuple[Any, ...]] = []
    for ending in ("fill", "cancel", "part"):
        story += [("frames", "long", 6), ("read_requests", 2), ("end_entry", "BTCUSDT", ending)]
        story += [("snapshot",), ("deliver", 9), ("close", "BTCUSDT"), ("deliver", 9)]
        story += [("end_entry", "ETHUSDT", "cancel"), ("deliver", 9), ("frames", "quiet", 25)]
        story += [("snapshot",), ("deliver", 9)]
    world = tell_story(story)

    opened = [request for request in world.written if request.action == "OPEN"]
    assert len(opened) >= 4
    assert len({state for state, _ in TABLE}) == len(SymbolState)
