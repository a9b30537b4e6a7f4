"""The strategy core: frames and execution's news in, decisions out (docs/contracts.md).

Pure and deterministic: outputs depend on the inputs and their order alone, not on how frames are batched.
All time-outs happen at frames. No entry leaves before execution has said what it holds.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from market.domain.frames import Frames
from market.domain.instruments import Instrument
from strategy.domain.account import AccountTracker
from strategy.domain.config import DecisionConfig
from strategy.domain.gate import Candidate, blocking_reasons, has_signal, planned_cost
from strategy.domain.messages import (
    ExecutionSnapshot,
    RepriceHint,
    RiskSnapshot,
    ScoreUpdate,
    Side,
    StrategyInput,
    StrategyOutput,
    SymbolState,
)
from strategy.domain.news import ExecutionNews
from strategy.domain.plan import PlanInput
from strategy.domain.plans import make_plan
from strategy.domain.regime import Regime, judge
from strategy.domain.risk import (
    Exposure,
    account_stops,
    assess,
    entry_stops,
    funding_refusals,
)
from strategy.domain.score import SCORE_FEATURES, ScalesState, Scorer
from strategy.domain.state_machine import Trigger
from strategy.domain.tracks import FrameView, SymbolTrack, frame_views, parse_stream_id
from strategy.domain.transitions import Figures, Transitions

_NS_PER_MS = 1_000_000
_NS_PER_S = 1_000_000_000
_SIGNALLING = (SymbolState.FLAT, SymbolState.WATCH, SymbolState.ARM)
_TIMEOUTS = {
    SymbolState.COOLDOWN: (Trigger.COOLDOWN_OVER, "cooldown is over"),
    SymbolState.ENTRY_PENDING: (Trigger.ENTRY_TIMEOUT, "entry not filled in time"),
    SymbolState.IN_POSITION: (Trigger.ENTRY_TIMEOUT, "rest of the entry not filled in time"),
    SymbolState.EXIT_PENDING: (Trigger.EXIT_TIMEOUT, "close not confirmed in time"),
}


class Evaluations:
    """What the numeric path says of a run of frames, one row a frame (None: the frame is dropped)."""

    def __init__(self, rows: list[FrameView | None]) -> None:
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)


class StrategyCore:
    """One decision maker for the symbols of `instruments` (index = `symbol` column of frames).

    `run_id` begins every request id and must be new at each start. `earlier_requests_id` is the last entry
    of `strategy.requests` before this run ("" when there is none): execution must have read that far, or
    those requests must have expired, before anything is asked for. Without `telemetry` no ScoreUpdate and
    no RiskSnapshot is made; decisions are the same.
    """

    def __init__(
        self,
        instruments: Sequence[Instrument],
        config: DecisionConfig,
        run_id: str,
        earlier_requests_id: str = "",
        *,
        telemetry: bool = True,
    ) -> None:
        self._telemetry = telemetry
        self._config = config
        self._cost = planned_cost(config.strategy, config.risk)
        symbols = tuple(instrument.symbol for instrument in instruments)
        self._scorer = Scorer(symbols, config.strategy, config.market.warmup_s)
        self._by_symbol = {item.symbol: SymbolTrack(item) for item in instruments}
        self._table = [self._by_symbol[symbol] for symbol in symbols]
        self._transitions = Transitions(config, run_id)
        self._account = AccountTracker(config.strategy, config.risk)
        self._news = ExecutionNews(
            self._transitions, self._account, config.strategy, earlier_requests_id
        )
        self._now_ns = 0
        self._risk_second = -1
        self._stopped = False  # account limits stopped entries at the last look
        self.dropped_frames = 0

    # -- what comes in --------------------------------------------------------------------------

    def on_frames(self, frames: Frames) -> list[StrategyOutput]:
        """Judge frames in order of emission; a frame seen before, or of no known symbol, is dropped."""
        evaluations = self.evaluate(frames)
        outputs: list[StrategyOutput] = []
        row = self.next_attention(evaluations, 0)
        while row < len(evaluations):
            outputs += self.decide(evaluations, row)
            row = self.next_attention(evaluations, row + 1)
        return outputs

    def evaluate(self, frames: Frames) -> Evaluations:
        """The numeric path of `frames`: one row each. It moves the scales and no decision."""
        known = frames["symbol"] < len(self._table)
        rows: list[FrameView | None] = [None] * len(frames)
        usable = frames[known]
        scores = self._scorer.score(usable)
        places = known.nonzero()[0].tolist()
        for place, view in zip(places, frame_views(usable, scores, self._cost), strict=True):
            rows[place] = view if view.accepted else None
        self.dropped_frames += sum(view is None for view in rows)
        return Evaluations(rows)

    def next_attention(self, evaluations: Evaluations, start: int) -> int:
        """First row from `start` on that could change anything; the number of rows when there is none."""
        for row in range(start, len(evaluations)):
            if evaluations.rows[row] is not None:
                return row
        return len(evaluations)

    def decide(self, evaluations: Evaluations, row: int) -> list[StrategyOutput]:
        """Judge one row; rows between those that `next_attention` names need no call."""
        view = evaluations.rows[row]
        if view is not None:
            self._on_frame(view, self._table[view.symbol])
        return self._transitions.take_outputs()

    def on_config(self, config: DecisionConfig) -> list[StrategyOutput]:
        """Take a new version between two inputs; running scales and states stay."""
        self._config = config
        self._cost = planned_cost(config.strategy, config.risk)
        self._scorer.configure(config.strategy, config.market.warmup_s)
        self._transitions.configure(config)
        self._account.configure(config.strategy, config.risk)
        self._news.configure(config.strategy)
        return self._transitions.take_outputs()

    def on_execution(self, message: StrategyInput, now_ns: int) -> list[StrategyOutput]:
        """Take one event or snapshot of execution, consumed at core time `now_ns`."""
        self._now_ns = max(self._now_ns, now_ns)
        if isinstance(message, ExecutionSnapshot):
            self._news.on_snapshot(message, self._now_ns, self._by_symbol)
        else:
            self._news.on_event(message, self._now_ns, self._by_symbol)
        return self._transitions.take_outputs()

    def on_execution_gap(self) -> None:
        """Events of execution were missed: no entries until its next snapshot has been adopted."""
        self._news.adopted = False

    def note_request_written(self, request_id: str, stream_id: str) -> None:
        """Tell where on the bus a request went, so that a snapshot can say whether it was read."""
        for track in self._by_symbol.values():
            if track.pending is not None and track.pending.request_id == request_id:
                track.pending.stream_id = parse_stream_id(stream_id)

    def on_instruments(self, instruments: Sequence[Instrument]) -> None:
        """Follow a new symbol table (market restarted); symbols that stay keep state and scales."""
        for instrument in instruments:
            track = self._by_symbol.setdefault(instrument.symbol, SymbolTrack(instrument))
            track.instrument = instrument
        self._table = [self._by_symbol[instrument.symbol] for instrument in instruments]
        self._scorer.remap(tuple(instrument.symbol for instrument in instruments))

    # -- carried over a restart -------------------------------------------------------------------

    def state(self) -> bytes:
        """The running scales, for a checkpoint. Orders and positions come back by snapshot instead."""
        return msgspec.msgpack.encode(self._scorer.state())

    def restore(self, data: bytes) -> bool:
        """Take over scales written by `state`; False when they are of another build or torn."""
        try:
            held = msgspec.msgpack.decode(data, type=ScalesState)
        except msgspec.MsgspecError:
            return False
        return self._scorer.restore(held)

    # -- what can be looked at --------------------------------------------------------------------

    @property
    def adopted(self) -> bool:
        """Whether execution's account has been taken over, so that entries have ground to stand on."""
        return self._news.adopted

    @property
    def stale_events(self) -> int:
        """Execution events that spoke of something long over."""
        return self._news.stale_events

    def states(self) -> dict[str, SymbolState]:
        return {symbol: track.state for symbol, track in self._by_symbol.items()}

    def ignored_triggers(self) -> dict[str, int]:
        """Counted no-ops, by `STATE/TRIGGER`."""
        return {
            f"{state}/{trigger}": count
            for (state, trigger), count in self._transitions.ignored.items()
        }

    def risk(self) -> RiskSnapshot | None:
        """The account against its limits now; None before the first snapshot."""
        account = self._account.view(self._now_ns, self._by_symbol.values())
        return None if account is None else assess(account, self._config.risk)

    # -- one frame --------------------------------------------------------------------------------

    def _on_frame(self, view: FrameView, track: SymbolTrack) -> None:
        self._now_ns = max(self._now_ns, view.ts_ns)
        if self._news.started_ts_ns is None:
            self._news.started_ts_ns = view.ts_ns
        track.note_frame(view, self._config.strategy.feed_silence_ms)
        self._fire_timeouts(view.ts_ns)
        self._watch_risk(view.ts_ns)
        self._step_regime(track, view)
        may_signal = view.warm and track.regime.regime is Regime.NORMAL
        self._count_strength(track, view, may_signal)
        if track.state in _SIGNALLING:
            self._follow_score(track, view, may_signal)
        elif track.pending is not None:
            self._hint(track, view, may_signal)
        elif track.state is SymbolState.IN_POSITION and self._config.strategy.close_on_opposite:
            self._close_on_opposite(track, view)
        if self._telemetry:
            self._publish_score(track, view, may_signal)

    def _fire_timeouts(self, ts_ns: int) -> None:
        due = self._transitions.next_deadline_ns
        if due is None or ts_ns < due:
            return
        self._transitions.next_deadline_ns = None
        for track in self._by_symbol.values():
            deadline = track.deadline_ns()
            if deadline is not None and ts_ns >= deadline:
                trigger, reason = _TIMEOUTS[track.state]
                self._transitions.fire(track, trigger, ts_ns, reason)
        pending = [
            d for track in self._by_symbol.values() if (d := track.deadline_ns()) is not None
        ]
        self._transitions.next_deadline_ns = min(pending, default=None)

    def _watch_risk(self, ts_ns: int) -> None:
        """Once a second of core time: publish the account's risk and act on what it forbids."""
        second = ts_ns // _NS_PER_S
        if second == self._risk_second:
            return
        account = self._account.view(ts_ns, self._by_symbol.values())
        if account is None:
            return
        self._risk_second = second
        snapshot = assess(account, self._config.risk)
        if self._telemetry:
            self._transitions.emit(snapshot)
        stops = account_stops(account, self._config.risk)
        if bool(stops) != self._stopped:
            self._stopped = bool(stops)
            trigger = Trigger.RISK_BLOCKED if stops else Trigger.RISK_CLEARED
            for track in self._by_symbol.values():
                self._transitions.fire(track, trigger, ts_ns, "; ".join(stops))
        if snapshot.flags.risk_force_close_all:
            for track in self._by_symbol.values():
                self._transitions.fire(track, Trigger.FORCE_CLOSE, ts_ns, "; ".join(stops))

    def _step_regime(self, track: SymbolTrack, view: FrameView) -> None:
        config = self._config.strategy
        verdict = judge(view.book_reading(), config)
        was_normal = track.regime.regime is Regime.NORMAL
        if not track.regime.step(view.ts_ns, verdict, config.regime_exit_s):
            return
        if was_normal:
            reason = f"{track.regime.regime}: {track.regime.reason}"
            self._transitions.fire(track, Trigger.REGIME_BLOCKED, view.ts_ns, reason)
        elif track.regime.regime is Regime.NORMAL:
            self._transitions.fire(track, Trigger.REGIME_CLEARED, view.ts_ns, track.regime.reason)

    def _count_strength(self, track: SymbolTrack, view: FrameView, may_signal: bool) -> None:
        if view.is_boundary:
            strong = view.score(view.side) >= self._config.strategy.entry_score
            track.note_strength(view.side, may_signal and strong)

    # -- signals ----------------------------------------------------------------------------------

    def _follow_score(self, track: SymbolTrack, view: FrameView, may_signal: bool) -> None:
        trigger = self._score_trigger(track, view, may_signal)
        score = view.score(view.side)
        self._transitions.fire(
            track, trigger, view.ts_ns, f"{view.side} score {score:.1f}", self._figures(view)
        )
        track.refusals = ()
        if trigger is Trigger.SCORE_ARMED:
            track.signal_side = view.side
        if track.state is SymbolState.ARM:
            self._try_enter(track, view)

    def _score_trigger(self, track: SymbolTrack, view: FrameView, may_signal: bool) -> Trigger:
        """What the score says to this state; a threshold once reached is left only by the hysteresis."""
        config = self._config.strategy
        score = view.score(view.side)
        slack = 0.0 if track.state is SymbolState.FLAT else config.score_hysteresis
        if not may_signal or score < config.watch_score - slack:
            return Trigger.SCORE_LOW
        if track.state is SymbolState.ARM:
            stays = view.side is track.signal_side and score >= config.entry_score - slack
            return Trigger.SCORE_ARMED if stays else Trigger.SCORE_WATCH
        is_armed = track.armed_frames >= config.arm_frames and view.side is track.armed_side
        is_armed = is_armed and score >= config.entry_score
        return Trigger.SCORE_ARMED if is_armed else Trigger.SCORE_WATCH

    def _try_enter(self, track: SymbolTrack, view: FrameView) -> None:
        """Ask for an entry when gate, account and plan all allow it; say why when they do not."""
        side = view.side
        if blocking_reasons(self._candidate(track, view, side), self._config.strategy):
            return
        account = self._account.view(view.ts_ns, self._by_symbol.values())
        refusals = self._entry_stops(track, view.ts_ns)
        refusals += funding_refusals(
            side, view.funding_rate, view.seconds_to_funding, self._config.risk
        )
        if refusals or account is None:
            track.refusals = tuple(refusals)
            return
        order = PlanInput(
            instrument=track.instrument,
            side=side,
            bid_ticks=view.bid_ticks,
            ask_ticks=view.ask_ticks,
            rv60s=view.rv60s,
            cost_bps=view.cost_bps,
            near_depth_usd=view.near_depth_usd(side),
            plan_id=self._transitions.request_id(track),
        )
        planned = make_plan(order, account, self._config)
        track.refusals = planned.refusals
        if planned.plan is None or planned.sizing is None:
            return
        exposure = Exposure(
            symbol=track.symbol,
            side=side,
            notional_usdt=planned.sizing.notional_usdt,
            risk_usdt=planned.sizing.risk_usdt,
        )
        self._transitions.fire(
            track,
            Trigger.ENTRY_SIGNAL,
            view.ts_ns,
            f"{side} score {view.score(side):.1f}, expected move {view.expected_move_bps:.2f} bps "
            f"against cost {view.cost_bps:.2f} bps, size by {planned.sizing.capped_by}",
            self._figures(view) | {"requestId": planned.plan.plan_id},
            (planned.plan, exposure),
        )

    def _entry_stops(self, track: SymbolTrack, ts_ns: int) -> list[str]:
        """Why no entry of any kind may leave for this symbol now."""
        if not self._news.adopted:
            return ["waiting for execution to say what it holds"]
        reasons = self._account.silence_reasons(ts_ns)
        account = self._account.view(ts_ns, self._by_symbol.values())
        if account is not None:
            reasons += entry_stops(track.symbol, account, self._config.risk)
        if track.pending is not None:
            reasons.append("an earlier entry is not settled yet")
        return reasons

    def _hint(self, track: SymbolTrack, view: FrameView, may_signal: bool) -> None:
        """Tell execution whether the reason of a pending entry still stands: on change and at a pace."""
        pending = track.pending
        assert pending is not None
        strong = (
            pending.side is not None
            and view.score(pending.side) >= self._config.strategy.watch_score
        )
        holds = strong and may_signal and not self._account.safe_mode_reasons
        age_ns = view.ts_ns - track.hint_ts_ns
        is_due = age_ns >= self._config.strategy.reprice_hint_ms * _NS_PER_MS
        if holds == track.hint_holds and not is_due:
            return
        track.hint_ts_ns, track.hint_holds = view.ts_ns, holds
        self._transitions.emit(
            RepriceHint(
                request_id=pending.request_id,
                symbol=track.symbol,
                ts_ns=view.ts_ns,
                signal_holds=holds,
            )
        )

    def _close_on_opposite(self, track: SymbolTrack, view: FrameView) -> None:
        is_armed = track.armed_frames >= self._config.strategy.arm_frames
        if is_armed and track.side is not None and track.armed_side is not track.side:
            reason = (
                f"armed {track.armed_side} score {view.score(view.side):.1f} against the position"
            )
            self._transitions.fire(
                track, Trigger.OPPOSITE_ARMED, view.ts_ns, reason, self._figures(view)
            )

    # -- what is told -----------------------------------------------------------------------------

    def _candidate(self, track: SymbolTrack, view: FrameView, side: Side) -> Candidate:
        return Candidate(
            score=view.score(side),
            expected_move_bps=view.expected_move_bps,
            cost_bps=view.cost_bps,
            warm=view.warm,
            regime=track.regime.regime,
            regime_reason=track.regime.reason,
        )

    def _figures(self, view: FrameView) -> Figures:
        return {
            "finalScoreLong": view.score_long,
            "finalScoreShort": view.score_short,
            "expectedMoveBps": view.expected_move_bps,
            "costBps": view.cost_bps,
            "spreadBps": view.spread_bps,
            "frameSeq": view.frame_seq,
        }

    def _publish_score(self, track: SymbolTrack, view: FrameView, may_signal: bool) -> None:
        """At most each `score_update_ms`, and at once when a signal comes or goes."""
        config = self._config.strategy
        signals = (
            may_signal
            and has_signal(view.score_long, view.expected_move_bps, view.cost_bps, config),
            may_signal
            and has_signal(view.score_short, view.expected_move_bps, view.cost_bps, config),
        )
        is_due = view.ts_ns - track.score_ts_ns >= config.score_update_ms * _NS_PER_MS
        if signals == track.signals and not is_due:
            return
        track.score_ts_ns, track.signals = view.ts_ns, signals
        blocked = blocking_reasons(self._candidate(track, view, view.side), config)
        stops = tuple(self._entry_stops(track, view.ts_ns))
        self._transitions.emit(
            ScoreUpdate(
                ts_ns=view.ts_ns,
                symbol=track.symbol,
                state=track.state,
                final_score_long=view.score_long,
                final_score_short=view.score_short,
                signal_long=signals[0],
                signal_short=signals[1],
                expected_move_bps=view.expected_move_bps,
                cost_bps=view.cost_bps,
                contributions=dict(zip(SCORE_FEATURES, view.contributions, strict=True)),
                blocked_reasons=tuple(dict.fromkeys((*blocked, *stops, *track.refusals))),
                regime=track.regime.regime.value,
                regime_reason=track.regime.reason,
            )
        )
