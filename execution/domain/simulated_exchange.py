"""The simulated venue: market events and commands in, the venue's updates out (pipeline §10).

It matches on exchange time. A command takes effect at max(decision time + latency, the venue's current
time), before the first message at or after that instant; what the venue does is heard one latency
later (`deliver_at_ns`). Assumptions are listed in docs/simulation.md. Deterministic: what is random
comes from a seed in the config and the number of the command.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from execution.domain.config import ExecutionConfig
from execution.domain.sim_account_news import SimAccountNews
from execution.domain.sim_attached import SimAttached
from execution.domain.sim_book import SimBooks, writeable
from execution.domain.sim_commands import SimCommands
from execution.domain.sim_floor import SimFloor, SimSettings
from execution.domain.sim_funding import SimFunding
from execution.domain.sim_kernel import FAR, TRUSTED
from execution.domain.sim_latency import latency_ns
from execution.domain.sim_liquidation import SimLiquidation
from execution.domain.sim_margin import SimMargins
from execution.domain.sim_matching import SimMatching
from execution.domain.sim_memory import SimulatedAccount, StoredVenue
from execution.domain.sim_orders import PendingCommand, in_priority
from execution.domain.venue import PlaceOrder, VenueCommand, VenueUpdate
from market.domain.events import EventChunk, EventKind
from market.domain.instruments import Instrument

_FAR = int(FAR)
_BOOK_KINDS = frozenset({EventKind.BOOK_SNAPSHOT, EventKind.BOOK_DELTA, EventKind.BBO})


class SimulatedExchange:
    """One account on all symbols of the run; an instrument's place in the list is its column in chunks."""

    def __init__(
        self,
        instruments: Sequence[Instrument],
        config: ExecutionConfig,
        venue_id: str = "SIM",
        symbols: Mapping[str, ExecutionConfig] | None = None,
    ) -> None:
        """`symbols` are the full settings of those that have their own; account-wide ones are `config`'s."""
        self._floor = floor = SimFloor(instruments, SimSettings(config, symbols), venue_id)
        self._margins = SimMargins(floor)
        self._attached = SimAttached(floor)
        self._matching = SimMatching(floor, self._margins, self._attached)
        self._commands = SimCommands(floor, self._margins, self._matching, self._attached)
        self._funding = SimFunding(floor, self._margins)
        self._liquidation = SimLiquidation(floor, self._margins, self._matching)
        self._news = SimAccountNews(floor, self._margins, self._attached)
        self._unwatched: dict[str, None] = {}  # symbols whose orders or position have changed
        self._queues_are_newer = False  # in the kernel than in the orders
        self._queues_are_older = False
        self._due_ns: int | None = None  # of the next command or funding; None: look
        self._writeable: tuple[EventChunk, EventChunk] | None = (
            None  # last chunk, as given and as used
        )

    @property
    def books(self) -> SimBooks:
        """Displayed sizes of all symbols."""
        return self._floor.market.books

    def on_config(
        self, config: ExecutionConfig, symbols: Mapping[str, ExecutionConfig] | None = None
    ) -> None:
        """Go by other settings from now on; the deposit of a running account stays."""
        self._sync()
        self._floor.use(SimSettings(config, symbols))
        self._margins.forget_levels()
        self._liquidation.check()
        self._watch_all()

    # -- commands -----------------------------------------------------------------------------------

    def submit(self, command: VenueCommand) -> None:
        """Send a command on its way; it takes effect inside a later `process` or `advance`."""
        memory = self._floor.memory
        memory.numbers += 1
        way_ns = latency_ns(command, self._floor.settings.base, memory.numbers)
        at_ns = max(command.decision_ts_ns + way_ns, memory.now_ns)
        for p in memory.pending:  # of one order, commands keep their order
            if p.active_at_ns > at_ns and p.command.client_order_id == command.client_order_id:
                at_ns = p.active_at_ns
        is_last = not memory.pending or memory.pending[-1].active_at_ns <= at_ns
        memory.pending.append(
            PendingCommand(active_at_ns=at_ns, number=memory.numbers, command=command)
        )
        if not is_last:
            memory.pending.sort(key=lambda p: (p.active_at_ns, p.number))
        if self._due_ns is not None and at_ns < self._due_ns:
            self._due_ns = at_ns

    amend = submit
    cancel = submit

    # -- time ---------------------------------------------------------------------------------------

    @property
    def now_ns(self) -> int:
        """The venue's clock: the newest exchange time it has seen or was advanced to."""
        return self._floor.memory.now_ns

    @property
    def is_idle(self) -> bool:
        """No order, no command and no position: nothing the market does can matter."""
        memory = self._floor.memory
        return not (memory.orders or memory.pending or memory.waiting or self._floor.held)

    @property
    def has_commands(self) -> bool:
        """Commands are on their way, that take effect once their time has come."""
        return bool(self._floor.memory.pending)

    def process(self, chunk: EventChunk) -> list[VenueUpdate]:
        """Apply market messages in order, and commands where their time comes; return what happened."""
        updates: list[VenueUpdate] = []
        position, stop = 0, len(chunk)
        while position < stop:
            position, more = self.process_until(chunk, position, stop)
            updates += more
        return updates

    def process_until(
        self, chunk: EventChunk, start: int, stop: int | None = None
    ) -> tuple[int, list[VenueUpdate]]:
        """As `process` from message `start` to `stop`, but return after the first with consequences.

        Returns (index of the next message, updates): a driver in event time delivers them before it
        shows the venue anything later. At the end the index is `stop` (default: the chunk's length).
        """
        chunk, position, floor = self._usable(chunk), start, self._floor
        reports, end = floor.reports, len(chunk) if stop is None else stop
        while position < end:
            if self._queues_are_older:
                self._hand_over()
            due_ns, memory = self._due_ns, floor.memory
            if due_ns is None:
                due_ns = self._next_due_ns()
            position, memory.now_ns, matters = floor.market.books.run(
                chunk, position, memory.now_ns, due_ns, end
            )
            floor.moment += 1
            self._queues_are_newer = True
            if matters:
                self._on_message(chunk, position - 1)
            elif position < end:
                self._run_due(due_ns)
            if reports.waiting:
                if matters:
                    break
                # heard of when the message arrives that lets this time pass
                end = min(end, position + 1)
        return position, reports.take() if reports.waiting else []

    def _usable(self, chunk: EventChunk) -> EventChunk:
        """A chunk shown piece by piece is made usable once."""
        if self._writeable is None or self._writeable[0] is not chunk:
            self._writeable = (chunk, writeable(chunk))
        return self._writeable[1]

    def advance(self, now_ns: int) -> list[VenueUpdate]:
        """Let what is due by `now_ns` take effect although the market is silent."""
        while (due_ns := self._next_due_ns()) <= now_ns:
            self._run_due(due_ns)
        return self._floor.reports.take()

    def observe(self, chunk: EventChunk) -> None:
        """Bring the books forward over messages whose effect on our orders is already accounted for."""
        chunk, position, memory = self._usable(chunk), 0, self._floor.memory
        self._sync()
        self.books.set_rests(())  # the orders' queues are as they were after these messages
        self._queues_are_older = True
        while position < len(chunk):
            position, memory.now_ns, _ = self.books.run(chunk, position, memory.now_ns, _FAR)
        self._floor.moment += 1

    def forget_books(self) -> None:
        """Columns mean other symbols now: begin with empty books, keep orders and positions."""
        self._sync()
        self._floor.market.forget_books()
        self._watch_all()

    def distrust_books(self) -> None:
        """Messages were lost: nothing is matched on a symbol until its next snapshot."""
        self.books.facts[:, TRUSTED] = 0

    # -- what is due --------------------------------------------------------------------------------

    def _next_due_ns(self) -> int:
        if self._due_ns is None:
            pending, funding = self._floor.memory.pending, self._funding.next_due()
            due_ns = pending[0].active_at_ns if pending else _FAR
            self._due_ns = min(due_ns, funding[0]) if funding else due_ns
        return self._due_ns

    def _run_due(self, until_ns: int) -> None:
        """All that is due by `until_ns`: funding of an instant comes before the commands of it."""
        self._sync()
        memory = self._floor.memory
        memory.now_ns = max(memory.now_ns, until_ns)
        while (funding := self._funding.next_due()) and funding[0] <= until_ns:
            self._funding.settle(funding[1])
            self._end_event(funding[1])
        while memory.pending and memory.pending[0].active_at_ns <= until_ns:
            command = memory.pending.pop(0).command
            self._commands.carry_out(command)
            self._end_event(command.symbol)

    # -- market messages ----------------------------------------------------------------------------

    def _on_message(self, chunk: EventChunk, i: int) -> None:
        self._sync()
        index, kind = int(chunk.symbol[i]), int(chunk.kind[i])
        symbol = self._floor.names[index]
        # The price that took the margin away did so before anything else could be done at it.
        self._liquidation.check()
        if kind == EventKind.TRADE:
            entry = int(chunk.level_offset[i])
            taker, tick, lots = (int(c[entry]) for c in (chunk.side, chunk.tick, chunk.lot))
            self._matching.on_trade(symbol, taker, tick, lots)
        elif kind in _BOOK_KINDS and self.books.is_trusted(index):
            # What an old book and a new change look like together never stood anywhere.
            for command in self._floor.memory.waiting.pop(symbol, ()):
                self._commands.place(command)
            self._matching.on_book(symbol)
        self._matching.trigger_orders(symbol)
        self._end_event(symbol)

    def _end_event(self, symbol: str) -> None:
        """Look at the margin that is left, tell what became of account and positions, watch on."""
        if self._floor.changed:
            self._margins.forget_levels()
        floor, unwatched = self._floor, self._unwatched
        if floor.held:
            self._liquidation.check()
        if floor.liquidated:
            self._news.tell()
            self._watch_all()
            return
        if floor.changed:
            self._news.tell()
        unwatched[symbol] = None
        for held in floor.held:
            unwatched[held] = None
        self._due_ns, self._queues_are_older = None, True

    def _watch_all(self) -> None:
        self._margins.forget_levels()
        self._unwatched |= dict.fromkeys(self._floor.instruments)
        self._due_ns, self._queues_are_older = None, True

    def _hand_over(self) -> None:
        """Tell the kernel anew what matters and what rests, before it runs on."""
        floor = self._floor
        for symbol in self._unwatched:
            if symbol in floor.instruments:
                lots = floor.position(symbol).lots
                floor.market.watch(
                    symbol,
                    floor.orders_of(symbol),
                    is_waiting=symbol in floor.memory.waiting,
                    liquidation_1e9=self._margins.level_1e9(symbol) if lots else None,
                    position_sign=(lots > 0) - (lots < 0),
                    is_pro_rata=floor.settings.is_pro_rata(symbol),
                )
        self._unwatched.clear()
        resting, is_pro_rata = in_priority(floor.all_resting()), floor.settings.is_pro_rata
        floor.market.watch_queues(resting, [is_pro_rata(order.symbol) for order in resting])
        self._queues_are_older = False

    def _sync(self) -> None:
        """Before orders are looked at: take back what the kernel made of their queues."""
        if self._queues_are_newer:
            self._floor.market.read_queues()
            self._queues_are_newer = False

    # -- account and memory -------------------------------------------------------------------------

    def account(self) -> SimulatedAccount:
        """The account as the venue would show it."""
        return self._margins.account()

    def open_orders(self) -> tuple[str, ...]:
        """Ids of all orders that live at the venue or are on their way to it."""
        memory = self._floor.memory
        ways = (p.command for p in memory.pending if isinstance(p.command, PlaceOrder))
        waiting = (c for commands in memory.waiting.values() for c in commands)
        return (*memory.orders, *(c.client_order_id for c in (*ways, *waiting)))

    def state(self, *, with_books: bool = True) -> bytes:
        """Everything, or everything but the books (small, for a write per step)."""
        self._sync()
        books = self.books.state() if with_books else None
        return msgspec.msgpack.encode(StoredVenue(memory=self._floor.memory, books=books))

    def restore(self, state: bytes) -> None:
        """Inverse of `state`; a state without books leaves the books as they are."""
        stored = msgspec.msgpack.decode(state, type=StoredVenue)
        self._floor.memory, self._queues_are_newer = stored.memory, False
        self._floor.complete_memory()
        if stored.books is not None and self.books.fits(stored.books):
            self.books.restore(stored.books)
        self._watch_all()
