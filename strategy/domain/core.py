"""The strategy core: frames and execution's news in, decisions out (docs/contracts.md).

Pure and deterministic: outputs depend on the inputs and their order alone, not on how frames are batched
nor on which frames are visited. All time-outs happen at frames. No entry leaves before execution has said
what it holds.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime

import numpy as np

from market.domain.frames import FRAME_DTYPE, Frames
from market.domain.instruments import Instrument
from strategy.domain import numeric_layout as at
from strategy.domain.account import AccountTracker
from strategy.domain.config import DecisionConfig
from strategy.domain.evaluations import Evaluations, FrameView
from strategy.domain.full_state import CoreState, pack_state, unpack_state
from strategy.domain.limit_watch import LimitWatch
from strategy.domain.messages import (
    EventType,
    ExecutionEvent,
    RiskSnapshot,
    StrategyInput,
    StrategyOutput,
    SymbolState,
)
from strategy.domain.news import ExecutionNews
from strategy.domain.numeric_path import NumericPath
from strategy.domain.numeric_state import checkpoint_digest
from strategy.domain.regime import (
    GLOBAL_REGIMES,
    REGIMES,
    GlobalRegime,
    GlobalStatus,
    Regime,
    RegimeStatus,
    global_at,
    regime_at,
    with_safe_mode,
)
from strategy.domain.risk import assess
from strategy.domain.scorer import SCORERS, ScorerRegistry, ScorerWatch
from strategy.domain.signals import (
    Bench,
    close_on_opposite,
    follow_score,
    hint,
    panic_closes,
)
from strategy.domain.state_machine import Trigger
from strategy.domain.telling import score_update, signals_of
from strategy.domain.tracks import SymbolTrack, parse_stream_id
from strategy.domain.transitions import Transitions
from strategy.domain.waiting import SIGNALLING, Waiting

GLOBAL_SYMBOL = "GLOBAL"  # symbol of state events that are of the whole market

_NS_PER_MS = 1_000_000
_NS_PER_S = 1_000_000_000
_NOWHERE = (SymbolState.FLAT, SymbolState.FLAT)
_TIMEOUTS = {
    SymbolState.COOLDOWN: (Trigger.COOLDOWN_OVER, "cooldown is over"),
    SymbolState.ENTRY_PENDING: (Trigger.ENTRY_TIMEOUT, "entry not filled in time"),
    SymbolState.IN_POSITION: (Trigger.ENTRY_TIMEOUT, "rest of the entry not filled in time"),
    SymbolState.EXIT_PENDING: (Trigger.EXIT_TIMEOUT, "close not confirmed in time"),
}


class StrategyCore:
    """One decision maker for the symbols of `instruments` (index = `symbol` column of frames).

    `run_id` begins every request id and must be new at each start. `earlier_requests_id` is the last entry
    of `strategy.requests` before this run ("" when there is none): execution must have read that far, or
    those requests must have expired, before anything is asked for. Without `telemetry` no ScoreUpdate and
    no RiskSnapshot is made; decisions are the same. `watch` keeps the time of pluggable scorers.
    Raises: BadScorer when the config names a scorer that is not to be had.
    """

    def __init__(
        self,
        instruments: Sequence[Instrument],
        config: DecisionConfig,
        run_id: str,
        earlier_requests_id: str = "",
        *,
        telemetry: bool = True,
        scorers: ScorerRegistry = SCORERS,
        watch: ScorerWatch | None = None,
    ) -> None:
        symbols = tuple(instrument.symbol for instrument in instruments)
        self._numeric = NumericPath(symbols, config, scorers, watch)
        transitions = Transitions(config, run_id)
        account = AccountTracker(config.strategy, config.risk)
        news = ExecutionNews(transitions, account, config.strategy, earlier_requests_id)
        tracks = {item.symbol: SymbolTrack(item) for item in instruments}
        self._bench = Bench(config, transitions, account, news, tracks)
        self._transitions, self._account, self._news = transitions, account, news
        self._by_symbol = tracks
        self._telemetry = telemetry
        self._now_ns = 0
        self._told_second = -1
        self._limits = LimitWatch(account)
        self._by_market = GlobalStatus()  # safe mode not included
        self._market_basis: tuple[GlobalStatus, tuple[str, ...]] | None = None
        self.dropped_frames = 0
        self.scorer_failures: Counter[str] = Counter()
        self._waiting = self._place(symbols, version=0)
        self._wait()

    # -- frames ---------------------------------------------------------------------------------

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
        """The numeric path of `frames`, one row each: it moves scales, baselines, regimes, no decision."""
        self._passed = self._numeric.frame_numbers()
        evaluations = self._numeric.evaluate(frames)
        self.dropped_frames += len(evaluations) - int(evaluations.out_i[:, at.ACCEPTED].sum())
        return evaluations

    def next_attention(self, evaluations: Evaluations, start: int) -> int:
        """First row from `start` on that could change anything; the number of rows when there is none.

        The answer holds as long as `attention_version` is the same.
        """
        return self._waiting.first(evaluations, start)

    @property
    def attention_version(self) -> int:
        """Grows whenever what is waited for changes."""
        return self._waiting.version

    def decide(self, evaluations: Evaluations, row: int) -> list[StrategyOutput]:
        """Judge one row; a row that `next_attention` would pass over gives nothing."""
        if not evaluations.out_i[row, at.ACCEPTED]:
            return []
        view = evaluations.view(row)
        track = self._waiting.table[view.symbol]
        track.refusals = ()
        if self._waiting.matters(evaluations, row):
            self._decide(evaluations, row, view, track)
        if self._telemetry:
            self._tell(evaluations, row, view, track)
        self._wait(track)
        return self._transitions.take_outputs()

    # -- what else comes in ------------------------------------------------------------------------

    def on_execution(self, message: StrategyInput, now_ns: int) -> list[StrategyOutput]:
        """Take one event or snapshot of execution, consumed at core time `now_ns`."""
        now_ns = self._now_ns = max(self._now_ns, now_ns)
        touched: SymbolTrack | None = None  # it alone
        if isinstance(message, ExecutionEvent):
            is_news = self._news.on_event(message, now_ns, self._by_symbol)
            if not is_news and self._limits.has_seen_all(now_ns):
                return self._transitions.take_outputs()
            touched = self._by_symbol.get(message.symbol)
        else:
            is_news = self._news.on_snapshot(message, now_ns, self._by_symbol)
            if message.quality != self._bench.quality:
                self._bench.quality = message.quality
                self._waiting.price()
        self._follow_market(now_ns)
        if self._watch_limits(now_ns) or is_news:
            self._wait(touched)
        return self._transitions.take_outputs()

    def on_execution_gap(self) -> None:
        """Events of execution were missed: no entries until its next snapshot has been adopted."""
        self._news.adopted = False

    def on_config(self, config: DecisionConfig) -> list[StrategyOutput]:
        """Take a new version between two inputs: the next decision goes by it alone.

        Running scales, baselines, states and deadlines stay. Raises: BadScorer, and then nothing changed.
        """
        self._numeric.configure(config)
        self._bench.config = config
        self._transitions.configure(config)
        self._account.configure(config.strategy, config.risk)
        self._news.configure(config.strategy)
        for track in self._by_symbol.values():
            track.scorer_failure = ""
        self._waiting.price()
        self._limits.forget()
        self._watch_limits(self._now_ns)
        self._wait()
        return self._transitions.take_outputs()

    def on_instruments(self, instruments: Sequence[Instrument]) -> None:
        """Follow a new symbol table (market restarted); symbols that stay keep all they have."""
        for instrument in instruments:
            track = self._by_symbol.setdefault(instrument.symbol, SymbolTrack(instrument))
            track.instrument = instrument
        symbols = tuple(instrument.symbol for instrument in instruments)
        self._numeric.remap(symbols)
        self._waiting = self._place(symbols, version=self.attention_version + 1)
        self._wait()

    def note_request_written(self, request_id: str, stream_id: str) -> None:
        """Tell where on the bus a request went, so that a snapshot can say whether it was read."""
        for track in self._by_symbol.values():
            if track.pending is not None and track.pending.request_id == request_id:
                track.pending.stream_id = parse_stream_id(stream_id)

    # -- carried over a restart -------------------------------------------------------------------

    def state(self) -> bytes:
        """The numeric state, for a checkpoint. Orders and positions come back by snapshot instead."""
        return self._numeric.state()

    def restore(self, data: bytes) -> bool:
        """Take over what `state` gave; False when it is of another build or torn.

        A state event says which state it was, with the first frame's outputs.
        """
        made_ns = self._numeric.restore(data)
        if made_ns is None:
            return False
        digest, when = checkpoint_digest(data), datetime.fromtimestamp(made_ns / 1e9, UTC)
        reason = f"restored state {digest} of {when:%Y-%m-%d %H:%M:%S} UTC"
        codes, market = self._numeric.regimes()
        for track, code in zip(self._waiting.table, codes, strict=True):
            track.regime = RegimeStatus(REGIMES[code], "as it stood at the checkpoint")
        self._by_market = GlobalStatus(GLOBAL_REGIMES[market], "as it stood at the checkpoint")
        self._transitions.tell(
            GLOBAL_SYMBOL, _NOWHERE, EventType.SCORING_UPDATE, made_ns, reason,
            {"digest": digest, "stateTsNs": made_ns},
        )  # fmt: skip
        self._follow_market(made_ns)
        self._wait()
        return True

    def full_state(self) -> bytes:
        """Everything, between two inputs of one run: `restore_full` of it goes on bit for bit."""
        return pack_state(
            CoreState(
                table=tuple(track.symbol for track in self._waiting.table),
                tracks=list(self._by_symbol.values()),
                numeric=self._numeric.state(),
                account=self._account.state(),
                news=self._news.state(),
                transitions=self._transitions.state(),
                market=self._bench.market,
                by_market=self._by_market,
                quality=self._bench.quality,
                now_ns=self._now_ns,
                told_second=self._told_second,
                risk_due_ns=self._limits.due_ns,
                stopped=self._limits.stopped,
                dropped_frames=self.dropped_frames,
                scorer_failures=dict(self.scorer_failures),
                untold=self._transitions.untold,
            )
        )

    def restore_full(self, data: bytes) -> None:
        """Take over `full_state` of a core of the same config. Raises: ValueError; it is then of no use."""
        held = unpack_state(data)
        self._numeric.remap(held.table)
        if self._numeric.restore(held.numeric) is None:
            raise ValueError("state of the strategy core is of another build")
        self._by_symbol.clear()
        self._by_symbol.update({track.symbol: track for track in held.tracks})
        self._account.restore(held.account)
        self._news.restore(held.news)
        self._transitions.restore(held.transitions, held.untold)
        self._transitions.follow_deadlines(held.tracks)
        self._bench.market, self._bench.quality = held.market, held.quality
        self._by_market, self._now_ns = held.by_market, held.now_ns
        self._told_second, self.dropped_frames = held.told_second, held.dropped_frames
        self._limits.restore(held.risk_due_ns, stopped=held.stopped)
        self.scorer_failures = Counter(held.scorer_failures)
        self._market_basis = None  # what this core saw before proves nothing now
        self._waiting = self._place(held.table, version=self.attention_version + 1)
        self._wait()

    # -- what can be looked at --------------------------------------------------------------------

    @property
    def adopted(self) -> bool:
        """Whether execution's account has been taken over, so that entries have ground to stand on."""
        return self._news.adopted

    @property
    def stale_events(self) -> int:
        """Execution events that spoke of something long over."""
        return self._news.stale_events

    @property
    def global_regime(self) -> GlobalStatus:
        return self._bench.market

    def states(self) -> dict[str, SymbolState]:
        return {symbol: track.state for symbol, track in self._by_symbol.items()}

    def regimes(self) -> dict[str, RegimeStatus]:
        return {symbol: track.regime for symbol, track in self._by_symbol.items()}

    def ignored_triggers(self) -> dict[str, int]:
        """Counted no-ops, by `STATE/TRIGGER`."""
        return {
            f"{state}/{trigger}": count
            for (state, trigger), count in self._transitions.ignored.items()
        }

    def risk(self) -> RiskSnapshot | None:
        """The account against its limits now; None before the first snapshot."""
        account = self._account.view(self._now_ns, self._by_symbol.values())
        return None if account is None else assess(account, self._bench.config.risk)

    # -- one frame --------------------------------------------------------------------------------

    def _decide(
        self, evaluations: Evaluations, row: int, view: FrameView, track: SymbolTrack
    ) -> None:
        self._now_ns = max(self._now_ns, view.ts_ns)
        if self._news.started_ts_ns is None:
            self._news.started_ts_ns = view.ts_ns
        track.frame_seq, track.market_generation = view.frame_seq, view.generation
        self._fire_timeouts(evaluations, row, view.ts_ns)
        if self._limits.due_ns is not None and view.ts_ns >= self._limits.due_ns:
            self._watch_limits(view.ts_ns)
        changes = int(evaluations.out_i[row, at.CHANGES])
        if changes & at.SCORER_CHANGED:
            self._note_scorer(track, view.ts_ns, evaluations.scorer_notes[row])
        if changes & at.REGIME_CHANGED:
            self._change_regime(evaluations, row, view, track)
        if changes & at.GLOBAL_CHANGED:
            self._by_market = global_at(evaluations, row, self._bench.config.strategy)
            self._follow_market(view.ts_ns)
        self._follow_frame(view, track)

    def _follow_frame(self, view: FrameView, track: SymbolTrack) -> None:
        config = self._bench.config.strategy_for(track.symbol)
        if track.state in SIGNALLING:
            follow_score(self._bench, track, view)
        elif panic_closes(self._bench, track):
            reason = f"{self._bench.market.regime}: {self._bench.market.reason}"
            self._transitions.fire(track, Trigger.MARKET_PANIC, view.ts_ns, reason)
        elif track.pending is not None:
            hint(self._bench, track, view)
        elif track.state is SymbolState.IN_POSITION and config.close_on_opposite:
            close_on_opposite(self._bench, track, view)

    def _fire_timeouts(self, evaluations: Evaluations, row: int, ts_ns: int) -> None:
        due = self._transitions.next_deadline_ns
        if due is None or ts_ns < due:
            return
        for track in self._by_symbol.values():
            deadline = track.deadline_ns()
            if deadline is not None and ts_ns >= deadline:
                self._catch_up(track, evaluations, row)
                trigger, reason = _TIMEOUTS[track.state]
                self._transitions.fire(track, trigger, ts_ns, reason)
        self._transitions.follow_deadlines(self._by_symbol.values())
        self._waiting.refresh_all()

    def _catch_up(self, track: SymbolTrack, evaluations: Evaluations, row: int) -> None:
        """The symbol's last frame up to `row`: what it asks for now is named after that one."""
        place = self._waiting.places.get(track.symbol)
        if place is not None:
            held = evaluations.last_numbers(place, row + 1) or self._passed[place]
            track.frame_seq, track.market_generation = held

    def _note_scorer(self, track: SymbolTrack, ts_ns: int, failure: str) -> None:
        config = self._bench.config.strategy_for(track.symbol)
        if failure:
            self.scorer_failures[track.symbol] += 1
            track.scorer_failure = (
                f"scorer {config.scorer} failed: {failure}; "
                f"no signal for {config.scorer_probation_s:g} s"
            )
        else:
            track.scorer_failure = ""
        reason = track.scorer_failure or f"scorer {config.scorer} answers again"
        figures = {
            "scorerFailed": bool(failure),
            "scorerFailures": self.scorer_failures[track.symbol],
        }
        states = (track.state, track.state)
        self._transitions.tell(
            track.symbol, states, EventType.SCORING_UPDATE, ts_ns, reason, dict(figures)
        )

    # -- regimes and limits -----------------------------------------------------------------------

    def _change_regime(
        self, evaluations: Evaluations, row: int, view: FrameView, track: SymbolTrack
    ) -> None:
        before = REGIMES[int(evaluations.out_i[row, at.REGIME_BEFORE])]
        config = self._bench.config.strategy_for(track.symbol)
        now = track.regime = regime_at(evaluations, row, config)
        is_clear = now.regime is Regime.NORMAL
        trigger = Trigger.REGIME_CLEARED if is_clear else Trigger.REGIME_BLOCKED
        reason = now.reason if is_clear else f"{now.regime}: {now.reason}"
        figures = {"regime": now.regime.value, "regimeBefore": before.value, **now.figures}
        if not self._transitions.fire(track, trigger, view.ts_ns, reason, dict(figures)):
            states = (track.state, track.state)
            self._transitions.tell(
                track.symbol, states, EventType.REGIME_UPDATE, view.ts_ns, reason, dict(figures)
            )

    def _follow_market(self, ts_ns: int) -> None:
        """The market's regime with safe mode on top; a change is told and takes back entries."""
        basis, safe_mode_reasons = self._market_basis, self._account.safe_mode_reasons
        if basis and self._by_market is basis[0] and safe_mode_reasons == basis[1]:
            return
        self._market_basis, before = (self._by_market, safe_mode_reasons), self._bench.market
        now = with_safe_mode(self._by_market, safe_mode_reasons)
        self._bench.market = now
        if now.regime is before.regime:
            self._waiting.refresh_all()
            return
        self._transitions.global_regime = now.regime.value
        figures = {"globalRegime": now.regime.value, "globalRegimeBefore": before.regime.value}
        self._transitions.tell(
            GLOBAL_SYMBOL, _NOWHERE, EventType.REGIME_UPDATE, ts_ns, now.reason or "calm",
            {**figures, **now.figures},
        )  # fmt: skip
        if now.regime is GlobalRegime.GLOBAL_NORMAL or self._account.safe_mode_reasons:
            self._waiting.refresh_all()
            return
        reason = f"{now.regime}: {now.reason}"
        for track in self._by_symbol.values():
            closes = panic_closes(self._bench, track)
            trigger = Trigger.MARKET_PANIC if closes else Trigger.RISK_BLOCKED
            self._transitions.fire(track, trigger, ts_ns, reason)
        self._waiting.refresh_all()

    def _watch_limits(self, ts_ns: int) -> bool:
        """Act on what the account forbids: after each word of execution, and when a limit ends by time.

        Returns False when neither a symbol nor the time to look again has changed.
        """
        before_ns = self._limits.due_ns
        found = self._limits.look(ts_ns, self._bench.config.risk)
        for trigger, reason in found:
            self._fire_all(trigger, ts_ns, reason)
        return bool(found) or self._limits.due_ns != before_ns

    def _fire_all(self, trigger: Trigger, ts_ns: int, reason: str) -> None:
        for track in self._by_symbol.values():
            self._transitions.fire(track, trigger, ts_ns, reason)
        self._waiting.refresh_all()

    # -- what is told -----------------------------------------------------------------------------

    def _tell(
        self, evaluations: Evaluations, row: int, view: FrameView, track: SymbolTrack
    ) -> None:
        """RiskSnapshot once a second; ScoreUpdate at a pace, and at once when a signal comes or goes."""
        config = self._bench.config.strategy_for(track.symbol)
        if view.ts_ns // _NS_PER_S != self._told_second:
            self._told_second = view.ts_ns // _NS_PER_S
            account = self._account.view(view.ts_ns, self._by_symbol.values())
            if account is not None:
                self._transitions.emit(assess(account, self._bench.config.risk))
        signals = signals_of(track, view, config)
        is_due = view.ts_ns >= track.score_ts_ns + config.score_update_ms * _NS_PER_MS
        if signals != track.signals or is_due:
            track.score_ts_ns, track.signals = view.ts_ns, signals
            self._transitions.emit(score_update(self._bench, track, evaluations, row, view))

    # -- what is waited for -----------------------------------------------------------------------

    def _place(self, symbols: tuple[str, ...], *, version: int) -> Waiting:
        """Number the symbols anew."""
        self._passed = self._numeric.frame_numbers()
        return Waiting(self._bench, symbols, telemetry=self._telemetry, version=version)

    def _wait(self, track: SymbolTrack | None = None) -> None:
        """What one symbol, or every one, waits for from now on."""
        if track is None:
            self._waiting.refresh_all()
        else:
            self._waiting.refresh(track)
        self._waiting.set_clock(due_ns=self._limits.due_ns, told_second=self._told_second)


def compile_numeric_path() -> bool:
    """Judge nothing, once: a first start compiles the numeric path (seconds), later ones load it."""
    StrategyCore((), DecisionConfig(), "compile").on_frames(np.zeros(0, FRAME_DTYPE))
    return True
