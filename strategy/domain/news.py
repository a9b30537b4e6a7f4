"""What execution tells the strategy: events move one symbol, snapshots repair what drifted apart.

Either side may restart alone, and requests may be on their way while a snapshot is. So a request of ours
that a snapshot does not show is over only if execution had read it by then (`requests_stream_id`), or if
it had expired by then: a late OPEN is answered with a rejection, never with an order.
"""

from __future__ import annotations

import msgspec

from strategy.domain.account import AccountTracker
from strategy.domain.config import StrategyConfig
from strategy.domain.messages import (
    EventType,
    ExecutionEvent,
    ExecutionSnapshot,
    PositionView,
    Side,
    SymbolState,
)
from strategy.domain.state_machine import Trigger
from strategy.domain.tracks import PendingEntry, StreamId, SymbolTrack, parse_stream_id
from strategy.domain.transitions import Figures, Transitions

# Clocks of two hosts differ and an expired request needs a moment to be refused.
EXPIRY_GRACE_NS = 1_000_000_000
_NS_PER_MS = 1_000_000
_HOLDS_NOTHING = (
    SymbolState.FLAT,
    SymbolState.WATCH,
    SymbolState.ARM,
    SymbolState.COOLDOWN,
)
_OPEN_ENDED = (SymbolState.ENTRY_PENDING, SymbolState.IN_POSITION, SymbolState.EXIT_PENDING)

_EVERY_SYMBOL: dict[EventType, Trigger] = {
    EventType.SAFE_MODE_ON: Trigger.SAFE_MODE_ON,
    EventType.SAFE_MODE_OFF: Trigger.SAFE_MODE_OFF,
    EventType.PANIC_CLOSE_TRIGGERED: Trigger.PANIC,
}
_ENTRY_LEG: dict[EventType, Trigger] = {
    EventType.EXECUTION_ORDER_PLACED: Trigger.ENTRY_PLACED,
    EventType.EXECUTION_ORDER_PARTIALLY_FILLED: Trigger.ENTRY_PART_FILLED,
    EventType.EXECUTION_ORDER_FILLED: Trigger.ENTRY_FILLED,
    EventType.EXECUTION_ORDER_REJECTED: Trigger.ENTRY_REJECTED,
    EventType.EXECUTION_ORDER_CANCELED: Trigger.ENTRY_CANCELED,
}
_CLOSE_LEG: dict[EventType, Trigger] = {
    EventType.EXECUTION_ORDER_PLACED: Trigger.CLOSE_PLACED,
    EventType.EXECUTION_ORDER_REJECTED: Trigger.CLOSE_REJECTED,
}
_POSITION: dict[EventType, Trigger] = {
    EventType.EXECUTION_POSITION_OPENED: Trigger.POSITION_OPENED,
    EventType.EXECUTION_POSITION_CLOSED: Trigger.POSITION_CLOSED,
    EventType.POSITION_CLOSED_BY_EXCHANGE: Trigger.CLOSED_BY_EXCHANGE,
    EventType.EXECUTION_ERROR: Trigger.EXECUTION_FAILED,
}
_ENTRY_ENDS = frozenset(
    {
        Trigger.ENTRY_FILLED,
        Trigger.ENTRY_REJECTED,
        Trigger.ENTRY_CANCELED,
        Trigger.ENTRY_CANCELED_PART_FILLED,
    }
)
# A refused request, whose rejection has moved the symbol already, and an alert.
_FOR_WATCHERS = ("REJECTED", "ALERT")
_MANAGED_LEGS = ("STOP", "TP", "DCA")
_POSITION_ENDS = frozenset(
    {Trigger.POSITION_CLOSED, Trigger.CLOSED_BY_EXCHANGE, Trigger.CLOSED_TO_REVERSE}
)
_ENDS = _ENTRY_ENDS | _POSITION_ENDS


class NewsState(msgspec.Struct, frozen=True):
    """What is remembered of execution."""

    earlier: StreamId | None
    execution_run: str
    started_ts_ns: int | None
    adopted: bool
    stale_events: int


class ExecutionNews:
    """Turns execution's messages into triggers. `adopted` says that entries have ground to stand on."""

    def __init__(
        self,
        transitions: Transitions,
        account: AccountTracker,
        config: StrategyConfig,
        earlier_requests_id: str,
    ) -> None:
        self._transitions = transitions
        self._account = account
        self._config = config
        self._earlier = parse_stream_id(earlier_requests_id)
        self._execution_run = ""
        self.started_ts_ns: int | None = None  # core time of this run's first frame
        self.adopted = False
        self.stale_events = 0

    def configure(self, config: StrategyConfig) -> None:
        """Go on by another version."""
        self._config = config

    def state(self) -> NewsState:
        return NewsState(
            self._earlier, self._execution_run, self.started_ts_ns, self.adopted, self.stale_events
        )

    def restore(self, state: NewsState) -> None:
        self._earlier, self._execution_run = state.earlier, state.execution_run
        self.started_ts_ns, self.adopted = state.started_ts_ns, state.adopted
        self.stale_events = state.stale_events

    # -- events ---------------------------------------------------------------------------------

    def on_event(self, event: ExecutionEvent, now_ns: int, tracks: dict[str, SymbolTrack]) -> bool:
        """Move the symbol (or every symbol) the event speaks of; False when all is as it was."""
        if event.type in _EVERY_SYMBOL:
            self._on_alarm(event, now_ns, tracks)
            return True
        if not self._execution_run:
            return False  # before the first snapshot there is nothing it could be compared with
        if event.type is EventType.EXECUTION_ERROR and event.status in _FOR_WATCHERS:
            return False
        if event.leg.startswith(_MANAGED_LEGS) and event.type not in _POSITION:
            return False  # execution's own business: stop and take-profits that it manages
        return self._on_own_event(event, now_ns, tracks)

    def _on_alarm(self, event: ExecutionEvent, now_ns: int, tracks: dict[str, SymbolTrack]) -> None:
        self._note_safe_mode(event)
        if not self._execution_run:
            return
        if not event.symbol:
            for each in tracks.values():
                self._fire(each, _EVERY_SYMBOL[event.type], event, now_ns)
        elif not event.leg.startswith(_MANAGED_LEGS):
            self._on_own_event(event, now_ns, tracks)

    def _note_safe_mode(self, event: ExecutionEvent) -> None:
        if event.type is EventType.SAFE_MODE_ON:
            self._account.safe_mode_reasons = (event.reason or "switched on",)
        elif event.type is EventType.SAFE_MODE_OFF:
            self._account.safe_mode_reasons = ()

    def _on_own_event(
        self, event: ExecutionEvent, now_ns: int, tracks: dict[str, SymbolTrack]
    ) -> bool:
        track = tracks.get(event.symbol)
        trigger = None if track is None else _trigger(event, track)
        if track is None or trigger is None:
            self.stale_events += 1
            return False
        trigger = self._turned(trigger, track)
        is_noted = self._note_holdings(track, trigger, event)
        if self._fire(track, trigger, event, now_ns):
            return True
        if is_noted:
            self._transitions.note_deadline(track)
        return is_noted

    def _turned(self, trigger: Trigger, track: SymbolTrack) -> Trigger:
        """A close that was asked for in order to turn round does so, unless safe mode came between."""
        is_turning = track.state is SymbolState.EXIT_PENDING and track.reverse_to is not None
        if trigger is Trigger.POSITION_CLOSED and is_turning:
            return trigger if self._account.safe_mode_reasons else Trigger.CLOSED_TO_REVERSE
        return trigger

    def _note_holdings(self, track: SymbolTrack, trigger: Trigger, event: ExecutionEvent) -> bool:
        """What is held by now, or asked for; False when nothing of it may have changed."""
        if trigger in _ENTRY_ENDS:
            track.pending = None
        elif trigger in _POSITION_ENDS:
            # What is left of the entry goes with the position; a snapshot would show it if not.
            track.pending, track.side, track.exposure = None, None, None
        if event.position_lots and trigger not in _POSITION_ENDS:
            track.side = Side.LONG if event.position_lots > 0 else Side.SHORT
            return True
        return trigger in _ENDS

    def _fire(
        self, track: SymbolTrack, trigger: Trigger, event: ExecutionEvent, now_ns: int
    ) -> bool:
        if not self._transitions.moves(track, trigger):
            return False
        reason = event.reason or f"{event.type.value} {event.leg}".strip()
        return self._transitions.fire(track, trigger, now_ns, reason, _figures(event))

    # -- snapshots ------------------------------------------------------------------------------

    def on_snapshot(
        self, snapshot: ExecutionSnapshot, now_ns: int, tracks: dict[str, SymbolTrack]
    ) -> bool:
        """Adopt the account, then repair every symbol that believes something else.

        Returns False when all but the account's figures is as it was.
        """
        if not self.adopted and not self._covers_earlier_requests(snapshot):
            return False
        restarted = self._execution_run not in ("", snapshot.execution_run)
        self.adopted, self._earlier = True, None
        self._execution_run = snapshot.execution_run
        self._account.take(snapshot)
        is_news = self._follow_safe_mode(snapshot, now_ns, tracks)
        positions = {position.symbol: position for position in snapshot.positions}
        entries = snapshot.pending_entries
        for symbol, track in tracks.items():
            is_held = track.pending is not None or track.state not in _HOLDS_NOTHING
            if is_held or symbol in positions or symbol in entries:
                before = track.state, track.pending, track.side
                self._repair(track, positions.get(symbol), snapshot, now_ns, restarted)
                is_news |= before != (track.state, track.pending, track.side)
        return is_news

    def _covers_earlier_requests(self, snapshot: ExecutionSnapshot) -> bool:
        """An earlier run of ours may have requests on their way: wait until they are read or dead."""
        if self._earlier is None:
            return True
        read = parse_stream_id(snapshot.requests_stream_id)
        if read is not None and read >= self._earlier:
            return True
        dead_after_ns = self._config.request_ttl_ms * _NS_PER_MS + EXPIRY_GRACE_NS
        started = self.started_ts_ns
        return started is not None and snapshot.ts_ns > started + dead_after_ns

    def _follow_safe_mode(
        self, snapshot: ExecutionSnapshot, now_ns: int, tracks: dict[str, SymbolTrack]
    ) -> bool:
        was_on = bool(self._account.safe_mode_reasons)
        self._account.safe_mode_reasons = snapshot.safe_mode_reasons
        if was_on == bool(snapshot.safe_mode_reasons):
            return False
        trigger = Trigger.SAFE_MODE_OFF if was_on else Trigger.SAFE_MODE_ON
        reason = ", ".join(snapshot.safe_mode_reasons) or "safe mode ended"
        for track in tracks.values():
            self._transitions.fire(track, trigger, now_ns, reason)
        return True

    def _repair(
        self,
        track: SymbolTrack,
        position: PositionView | None,
        snapshot: ExecutionSnapshot,
        now_ns: int,
        restarted: bool,
    ) -> None:
        live_entry = snapshot.pending_entries.get(track.symbol, "")
        _settle_pending(track, live_entry, snapshot)
        if track.pending is None:
            self._transitions.note_deadline(track)
        fire = self._transitions.fire
        if track.state is SymbolState.ERROR:
            if not restarted:
                return
            trigger = Trigger.RECOVERED_POSITION if position else Trigger.RECOVERED_NOTHING
            fire(track, trigger, now_ns, "execution restarted and resynced")
        if position is not None:
            track.side = position.side
            if track.state not in (SymbolState.IN_POSITION, SymbolState.EXIT_PENDING):
                fire(track, Trigger.DRIFT_POSITION, now_ns, "execution holds a position")
        elif live_entry:
            if track.state not in (SymbolState.ENTRY_PENDING, SymbolState.EXIT_PENDING):
                fire(track, Trigger.DRIFT_ENTRY, now_ns, "execution holds a live entry")
        elif track.state in _OPEN_ENDED and not _is_on_its_way(track):
            track.side, track.exposure = None, None
            fire(track, Trigger.DRIFT_NOTHING, now_ns, "execution holds neither order nor position")


def _is_on_its_way(track: SymbolTrack) -> bool:
    """Our entry may still be unread; a position that is gone is gone whatever is on its way."""
    return track.pending is not None and track.state is not SymbolState.IN_POSITION


def _settle_pending(track: SymbolTrack, live_entry: str, snapshot: ExecutionSnapshot) -> None:
    """Drop a pending entry that is over; take over a live one that we did not know of."""
    ours = track.pending
    if live_entry:
        if ours is None or ours.request_id != live_entry:
            track.pending = PendingEntry(
                request_id=live_entry, side=None, exposure=None, valid_until_ns=0
            )
    elif ours is not None and _is_over(
        ours, parse_stream_id(snapshot.requests_stream_id), snapshot
    ):
        track.pending = None


def _is_over(ours: PendingEntry, read: StreamId | None, snapshot: ExecutionSnapshot) -> bool:
    if ours.stream_id is not None and read is not None and ours.stream_id <= read:
        return True
    return snapshot.ts_ns > ours.valid_until_ns + EXPIRY_GRACE_NS


def _trigger(event: ExecutionEvent, track: SymbolTrack) -> Trigger | None:
    """The trigger an event means for this symbol; None when it speaks of something long over."""
    ours = track.pending.request_id if track.pending is not None else None
    if event.type in _EVERY_SYMBOL:
        return _EVERY_SYMBOL[event.type]
    if event.type is EventType.POSITION_RESYNC:
        return Trigger.RECOVERED_POSITION if event.position_lots else Trigger.RECOVERED_NOTHING
    if event.type in _POSITION:
        is_older = ours is not None and event.plan_id not in ("", ours)
        ends = event.type is not EventType.EXECUTION_ERROR and not event.position_lots
        if track.state is SymbolState.ENTRY_PENDING and is_older and ends:
            return None
        return _POSITION[event.type]
    if event.leg == "CLOSE":
        return _CLOSE_LEG.get(event.type)
    if event.request_id != ours or event.type not in _ENTRY_LEG:
        return None
    trigger = _ENTRY_LEG[event.type]
    if trigger is Trigger.ENTRY_CANCELED and (event.position_lots or event.filled_lots):
        return Trigger.ENTRY_CANCELED_PART_FILLED
    return trigger


def _figures(event: ExecutionEvent) -> Figures:
    figures: Figures = {
        "requestId": event.request_id,
        "clientOrderId": event.client_order_id,
        "leg": event.leg,
        "qtyLots": event.qty_lots,
        "filledLots": event.filled_lots,
        "avgFillPriceTicks": event.avg_fill_price_ticks,
        "positionLots": event.position_lots,
        "realizedPnl": event.realized_pnl,
    }
    return {name: value for name, value in figures.items() if value not in ("", None)}
