"""Carries out the rows of the state table: moves a symbol, asks for orders, says what happened."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import msgspec

from strategy.domain.config import DecisionConfig
from strategy.domain.messages import (
    EventType,
    OrderRequest,
    Side,
    StateEvent,
    StrategyOutput,
    SymbolState,
    TradePlan,
)
from strategy.domain.risk import Exposure
from strategy.domain.state_machine import EVENT_TYPES, Action, Trigger, next_row
from strategy.domain.tracks import PendingEntry, SymbolTrack

_NS_PER_MS = 1_000_000
Figures = dict[str, float | int | str | bool | None]


class TransitionsState(msgspec.Struct, frozen=True):
    """What is remembered between two inputs; `ignored` are (state, trigger, times) in order of seeing."""

    ignored: list[tuple[SymbolState, Trigger, int]]
    global_regime: str


class Transitions:
    """Fires triggers on tracks and collects what leaves the core, in order."""

    def __init__(self, config: DecisionConfig, run_id: str) -> None:
        self._config = config
        self._run_id = run_id
        self._out: list[StrategyOutput] = []
        self.ignored: Counter[tuple[SymbolState, Trigger]] = Counter()
        self._deadlines_ns: dict[str, int] = {}  # of the symbols whose state waits for a time
        self.next_deadline_ns: int | None = None  # the first of them
        self.global_regime = "GLOBAL_NORMAL"  # of the market, told with each request

    def configure(self, config: DecisionConfig) -> None:
        """Go on by another version; deadlines already set stay."""
        self._config = config

    def state(self) -> TransitionsState:
        ignored = [(*which, count) for which, count in self.ignored.items()]
        return TransitionsState(ignored, self.global_regime)

    def restore(self, state: TransitionsState, untold: list[StrategyOutput]) -> None:
        """Take over what `state` gave; deadlines follow from the tracks, see `follow_deadlines`."""
        self.ignored = Counter({(was, trigger): count for was, trigger, count in state.ignored})
        self.global_regime = state.global_regime
        self._out = list(untold)

    @property
    def untold(self) -> list[StrategyOutput]:
        """Outputs that leave with those of the next input."""
        return list(self._out)

    def emit(self, output: StrategyOutput) -> None:
        self._out.append(output)

    def take_outputs(self) -> list[StrategyOutput]:
        out, self._out = self._out, []
        return out

    def request_id(self, track: SymbolTrack) -> str:
        """`<run>-<symbol>-<frame number>`; frame numbers begin anew when market restarts, ids must not."""
        generation = f"g{track.market_generation}" if track.market_generation else ""
        return f"{self._run_id}{generation}-{track.symbol}-{track.frame_seq}"

    def moves(self, track: SymbolTrack, trigger: Trigger) -> bool:
        """Whether `fire` would do anything; counted, as by `fire`, where it would not."""
        if next_row(track.state, trigger) is not None:
            return True
        self._ignore(track, trigger)
        return False

    def _ignore(self, track: SymbolTrack, trigger: Trigger) -> None:
        self.ignored[track.state, trigger] += 1

    def fire(
        self,
        track: SymbolTrack,
        trigger: Trigger,
        ts_ns: int,
        reason: str,
        figures: Figures | None = None,
        proposal: tuple[TradePlan, Exposure] | None = None,
    ) -> bool:
        """Move `track` by `trigger`; False (and counted) where the table has no row for it."""
        row = next_row(track.state, trigger)
        if row is None:
            self._ignore(track, trigger)
            return False
        before, track.state = track.state, row.state
        for action in row.actions:
            self._perform(action, track, ts_ns, reason, proposal)
        if track.state is not SymbolState.EXIT_PENDING:
            track.reverse_to = None  # a reversal lives no longer than its close
        self.tell(track.symbol, (before, track.state), EVENT_TYPES[trigger], ts_ns, reason, figures)
        self.note_deadline(track)
        return True

    def tell(
        self,
        symbol: str,
        states: tuple[SymbolState, SymbolState],
        event_type: EventType,
        ts_ns: int,
        reason: str,
        figures: Figures | None = None,
    ) -> None:
        """A StateEvent, also of something that moved no state."""
        self._out.append(
            StateEvent(
                ts_ns=ts_ns,
                symbol=symbol,
                from_state=states[0],
                to_state=states[1],
                event_type=event_type,
                reason=reason,
                extra=figures or {},
                config_version=self._config.version,
            )
        )

    def note_deadline(self, track: SymbolTrack) -> None:
        """Follow a track that may wait for another time now, or for none."""
        due_ns, deadlines_ns = track.deadline_ns(), self._deadlines_ns
        if due_ns == deadlines_ns.get(track.symbol):
            return
        if due_ns is not None:
            deadlines_ns[track.symbol] = due_ns
        else:
            del deadlines_ns[track.symbol]
        self.next_deadline_ns = min(deadlines_ns.values(), default=None)

    def follow_deadlines(self, tracks: Iterable[SymbolTrack]) -> None:
        """Forget all deadlines but those of `tracks`."""
        known = ((track.symbol, track.deadline_ns()) for track in tracks)
        self._deadlines_ns = {symbol: due_ns for symbol, due_ns in known if due_ns is not None}
        self.next_deadline_ns = min(self._deadlines_ns.values(), default=None)

    def _perform(
        self,
        action: Action,
        track: SymbolTrack,
        ts_ns: int,
        reason: str,
        proposal: tuple[TradePlan, Exposure] | None,
    ) -> None:
        config = self._config.strategy_for(track.symbol)
        match action:
            case Action.REQUEST_OPEN:
                assert proposal is not None, "an entry signal comes with its plan"
                self._request_open(track, ts_ns, reason, *proposal)
            case Action.REQUEST_CANCEL:
                self._request(track, "CANCEL_ENTRY", ts_ns, reason)
            case Action.REQUEST_CLOSE:
                self._request(track, "CLOSE", ts_ns, reason)
            case Action.TURN_ROUND:
                track.signal_side = track.reverse_to
            case Action.START_COOLDOWN:
                track.cooldown_until_ns = ts_ns + round(config.cooldown_s * 1000) * _NS_PER_MS
            case Action.START_RETRY_COOLDOWN:
                track.cooldown_until_ns = ts_ns + round(config.retry_cooldown_s * 1000) * _NS_PER_MS
            case Action.START_ENTRY_TIMER:
                track.entry_deadline_ns = ts_ns + config.entry_timeout_ms * _NS_PER_MS
            case Action.START_EXIT_TIMER:
                track.exit_deadline_ns = ts_ns + config.exit_timeout_ms * _NS_PER_MS

    def _request_open(
        self, track: SymbolTrack, ts_ns: int, reason: str, plan: TradePlan, exposure: Exposure
    ) -> None:
        request = OrderRequest(
            request_id=plan.plan_id,
            symbol=track.symbol,
            action="OPEN",
            side=plan.side,
            decision_ts_ns=ts_ns,
            valid_until_ns=ts_ns + self._ttl_ns(track),
            reason=reason,
            plan=plan,
            frame_seq=track.frame_seq,
            config_version=self._config.version,
            regime=track.regime.regime.value,
            global_regime=self.global_regime,
        )
        track.side, track.exposure = plan.side, exposure
        track.hint_ts_ns, track.hint_holds = ts_ns, True
        track.pending = PendingEntry(
            request_id=request.request_id,
            side=plan.side,
            exposure=exposure,
            valid_until_ns=request.valid_until_ns,
        )
        self._out.append(request)

    def _request(self, track: SymbolTrack, action: str, ts_ns: int, reason: str) -> None:
        """CANCEL_ENTRY or CLOSE: repeated at the same frame it is the same request."""
        self._out.append(
            OrderRequest(
                request_id=f"{self.request_id(track)}-{action}",
                symbol=track.symbol,
                action=action,
                side=track.side or Side.LONG,  # both act on whatever the symbol holds
                decision_ts_ns=ts_ns,
                valid_until_ns=ts_ns + self._ttl_ns(track),
                reason=reason,
                frame_seq=track.frame_seq,
                config_version=self._config.version,
                regime=track.regime.regime.value,
                global_regime=self.global_regime,
            )
        )

    def _ttl_ns(self, track: SymbolTrack) -> int:
        return self._config.strategy_for(track.symbol).request_ttl_ms * _NS_PER_MS
