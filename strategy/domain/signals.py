"""What a frame's score does to one symbol: it watches, arms, asks for an entry, keeps or drops one.

`Bench` is what all of it works on; the core owns it and moves it between inputs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from strategy.domain.account import AccountTracker
from strategy.domain.config import DecisionConfig
from strategy.domain.evaluations import FrameView
from strategy.domain.gate import Candidate, CostModel, blocking_reasons, planned_cost
from strategy.domain.messages import QualityView, RepriceHint, Side, SymbolState
from strategy.domain.news import ExecutionNews
from strategy.domain.plan import PlanInput
from strategy.domain.plans import make_plan
from strategy.domain.regime import GlobalRegime, GlobalStatus
from strategy.domain.risk import AccountRisk, Exposure, entry_stops, funding_refusals
from strategy.domain.state_machine import Trigger
from strategy.domain.tracks import SymbolTrack
from strategy.domain.transitions import Figures, Transitions

_NS_PER_MS = 1_000_000


@dataclass(slots=True)
class Bench:
    """The parts that decide together, and what holds for all symbols."""

    config: DecisionConfig
    transitions: Transitions
    account: AccountTracker
    news: ExecutionNews
    by_symbol: dict[str, SymbolTrack]
    market: GlobalStatus = field(default_factory=GlobalStatus)  # safe mode included
    quality: Mapping[str, QualityView] = field(default_factory=dict)

    def cost(self, symbol: str) -> CostModel:
        """Planned round trip of a symbol, with what was measured of its orders."""
        config, measured = self.config, self.quality.get(symbol, QualityView())
        return planned_cost(config.strategy_for(symbol), config.risk_for(symbol), measured)


def candidate(track: SymbolTrack, view: FrameView, side: Side) -> Candidate:
    """One side of a frame for the gate."""
    return Candidate(
        score=view.score(side),
        expected_move_bps=view.expected_move_bps,
        cost_bps=track.cost.round_trip_bps(view.spread_bps),
        warm=view.warm,
        regime=track.regime.regime,
        regime_reason=track.regime.reason,
        scorer_failure=track.scorer_failure,
    )


def figures_of(track: SymbolTrack, view: FrameView) -> Figures:
    """What a state event says of the frame that caused it."""
    return {
        "finalScoreLong": view.score_long,
        "finalScoreShort": view.score_short,
        "expectedMoveBps": view.expected_move_bps,
        "costBps": track.cost.round_trip_bps(view.spread_bps),
        "spreadBps": view.spread_bps,
        "frameSeq": view.frame_seq,
    }


def market_stops(bench: Bench, symbol: str) -> list[str]:
    """Why the whole market, or what was measured of our orders, forbids an entry."""
    reasons = []
    market, quality = bench.market, bench.quality.get(symbol)
    is_normal = market.regime is GlobalRegime.GLOBAL_NORMAL
    if not is_normal and not bench.account.safe_mode_reasons:
        reasons.append(f"{market.regime}: {market.reason}")
    if quality is not None and quality.blocked:
        reasons.append(f"execution quality: {quality.reason or f'score {quality.score:.0f}'}")
    return reasons


def panic_closes(bench: Bench, track: SymbolTrack) -> bool:
    """The market is in panic and this symbol's position is to be closed then."""
    is_panic = bench.market.regime is GlobalRegime.GLOBAL_PANIC
    is_held = track.state is SymbolState.IN_POSITION
    return is_panic and is_held and bench.config.strategy_for(track.symbol).panic_closes


def stops(bench: Bench, track: SymbolTrack, ts_ns: int, account: AccountRisk | None) -> list[str]:
    """Why no entry of any kind may leave for this symbol now; `account` as it is now."""
    if not bench.news.adopted:
        return ["waiting for execution to say what it holds"]
    reasons = bench.account.silence_reasons(ts_ns)
    if account is not None:
        reasons += entry_stops(track.symbol, account, bench.config.risk)
    reasons += market_stops(bench, track.symbol)
    if track.pending is not None:
        reasons.append("an earlier entry is not settled yet")
    return reasons


def follow_score(bench: Bench, track: SymbolTrack, view: FrameView) -> None:
    """Move a symbol that holds nothing by its score; armed, it may ask for an entry."""
    side, trigger = view.side, _score_trigger(bench, track, view)
    if bench.transitions.moves(track, trigger):
        reason = f"{side} score {view.score(side):.1f}"
        bench.transitions.fire(track, trigger, view.ts_ns, reason, figures_of(track, view))
    if trigger is Trigger.SCORE_ARMED:
        track.signal_side = side
    if track.state is SymbolState.ARM:
        _try_enter(bench, track, view)


def _score_trigger(bench: Bench, track: SymbolTrack, view: FrameView) -> Trigger:
    """What the score says to this state; a threshold once reached is left only by the hysteresis."""
    config, side = bench.config.strategy_for(track.symbol), view.side
    score = view.score(side)
    slack = 0.0 if track.state is SymbolState.FLAT else config.score_hysteresis
    if not view.may_signal or score < config.watch_score - slack:
        return Trigger.SCORE_LOW
    if track.state is SymbolState.ARM:
        stays = side is track.signal_side and score >= config.entry_score - slack
        return Trigger.SCORE_ARMED if stays else Trigger.SCORE_WATCH
    is_armed = view.armed_frames >= config.arm_frames and side is view.armed_side
    is_armed = is_armed and score >= config.entry_score
    return Trigger.SCORE_ARMED if is_armed else Trigger.SCORE_WATCH


def _try_enter(bench: Bench, track: SymbolTrack, view: FrameView) -> None:
    """Ask for an entry when gate, account and plan all allow it; say why when they do not."""
    side, config = view.side, bench.config
    if blocking_reasons(candidate(track, view, side), config.strategy_for(track.symbol)):
        return
    account = bench.account.view(view.ts_ns, bench.by_symbol.values())
    refusals = stops(bench, track, view.ts_ns, account)
    refusals += funding_refusals(
        side, view.funding_rate, view.seconds_to_funding, config.risk_for(track.symbol)
    )
    if refusals or account is None:
        track.refusals = tuple(refusals)
        return
    planned = make_plan(_plan_input(bench, track, view), account, config)
    track.refusals = planned.refusals
    if planned.plan is None or planned.sizing is None:
        return
    exposure = Exposure(
        symbol=track.symbol,
        side=side,
        notional_usdt=planned.sizing.notional_usdt,
        risk_usdt=planned.sizing.risk_usdt,
    )
    cost_bps = track.cost.round_trip_bps(view.spread_bps)
    bench.transitions.fire(
        track,
        Trigger.ENTRY_SIGNAL,
        view.ts_ns,
        f"{side} score {view.score(side):.1f}, expected move {view.expected_move_bps:.2f} bps "
        f"against cost {cost_bps:.2f} bps, size by {planned.sizing.capped_by}",
        figures_of(track, view) | {"requestId": planned.plan.plan_id},
        (planned.plan, exposure),
    )


def _plan_input(bench: Bench, track: SymbolTrack, view: FrameView) -> PlanInput:
    return PlanInput(
        instrument=track.instrument,
        side=view.side,
        bid_ticks=view.bid_ticks,
        ask_ticks=view.ask_ticks,
        rv60s=view.rv60s,
        cost_bps=track.cost.round_trip_bps(view.spread_bps),
        near_depth_usd=view.near_depth_usd(view.side),
        plan_id=bench.transitions.request_id(track),
    )


def hint(bench: Bench, track: SymbolTrack, view: FrameView) -> None:
    """Tell execution whether the reason of a pending entry still stands: on change and at a pace."""
    pending, config = track.pending, bench.config.strategy_for(track.symbol)
    assert pending is not None
    strong = pending.side is not None and view.score(pending.side) >= config.watch_score
    holds = strong and view.may_signal and not bench.account.safe_mode_reasons
    is_due = view.ts_ns >= track.hint_ts_ns + config.reprice_hint_ms * _NS_PER_MS
    if holds == track.hint_holds and not is_due:
        return
    track.hint_ts_ns, track.hint_holds = view.ts_ns, holds
    bench.transitions.emit(
        RepriceHint(
            request_id=pending.request_id,
            symbol=track.symbol,
            ts_ns=view.ts_ns,
            signal_holds=holds,
        )
    )


def close_on_opposite(bench: Bench, track: SymbolTrack, view: FrameView) -> None:
    """An armed score against the position closes it, where configured, perhaps to turn round."""
    config = bench.config.strategy_for(track.symbol)
    is_armed = view.armed_frames >= config.arm_frames
    if is_armed and track.side is not None and view.armed_side is not track.side:
        reason = f"armed {view.armed_side} score {view.score(view.side):.1f} against the position"
        bench.transitions.fire(
            track, Trigger.OPPOSITE_ARMED, view.ts_ns, reason, figures_of(track, view)
        )
        if config.reverse_on_opposite:
            track.reverse_to = view.armed_side
