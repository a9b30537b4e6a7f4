"""ScoreUpdate: why a symbol has its score, and what stands against an entry, for the screen."""

from __future__ import annotations

from collections.abc import Mapping

from strategy.domain import numeric_layout as at
from strategy.domain.config import StrategyConfig
from strategy.domain.evaluations import Evaluations, FrameView
from strategy.domain.gate import blocking_reasons, has_signal
from strategy.domain.messages import ScoreUpdate
from strategy.domain.scorer import weights_by_name
from strategy.domain.signals import Bench, candidate, stops
from strategy.domain.tracks import SymbolTrack


def signals_of(track: SymbolTrack, view: FrameView, config: StrategyConfig) -> tuple[bool, bool]:
    """Whether the frame alone would allow a long, a short entry."""
    if not view.may_signal:
        return False, False
    cost_bps, move_bps = track.cost.round_trip_bps(view.spread_bps), view.expected_move_bps
    return (
        has_signal(view.score_long, move_bps, cost_bps, config),
        has_signal(view.score_short, move_bps, cost_bps, config),
    )


def score_update(
    bench: Bench, track: SymbolTrack, evaluations: Evaluations, row: int, view: FrameView
) -> ScoreUpdate:
    """All that is known of one row, told."""
    config = bench.config.strategy_for(track.symbol)
    parts = evaluations.contributions(row, weights_by_name(config.weights))
    figures = evaluations.out_f[row]
    cost_bps = track.cost.round_trip_bps(view.spread_bps)
    signals = signals_of(track, view, config)
    return ScoreUpdate(
        ts_ns=view.ts_ns,
        symbol=track.symbol,
        state=track.state,
        final_score_long=view.score_long,
        final_score_short=view.score_short,
        signal_long=signals[0],
        signal_short=signals[1],
        expected_move_bps=view.expected_move_bps,
        cost_bps=cost_bps,
        contributions=parts,
        blocked_reasons=_against(bench, track, view, config),
        regime=track.regime.regime.value,
        regime_reason=track.regime.reason,
        contributions_long=_scaled(parts, config.score_gain),
        contributions_short=_scaled(parts, -config.score_gain),
        penalties={
            "toxicity": float(figures[at.TOXICITY_PART]),
            "spread": float(figures[at.SPREAD_PART]),
            "regimeProximity": float(figures[at.NEAR_PART]),
        },
        regime_figures=track.regime.figures,
        regime_proximity=float(figures[at.PROXIMITY]),
        global_regime=bench.market.regime.value,
        global_regime_reason=bench.market.reason,
        needed_move_bps=config.fee_multiple * cost_bps,
        cost_parts=track.cost.parts(view.spread_bps),
        scorer=config.scorer,
        config_version=bench.config.version,
        armed_frames=view.armed_frames,
    )


def _against(
    bench: Bench, track: SymbolTrack, view: FrameView, config: StrategyConfig
) -> tuple[str, ...]:
    """Every reason against an entry of the side the score points to, each once."""
    gate = blocking_reasons(candidate(track, view, view.side), config)
    account = bench.account.view(view.ts_ns, bench.by_symbol.values())
    against = stops(bench, track, view.ts_ns, account)
    return tuple(dict.fromkeys((*gate, *against, *track.refusals)))


def _scaled(parts: Mapping[str, float], gain: float) -> dict[str, float]:
    return {name: gain * value for name, value in parts.items()}
