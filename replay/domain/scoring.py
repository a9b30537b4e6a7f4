"""SCORING_ONLY: market kernel and the strategy's numeric path over a recording, and no decision."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

from market.domain.events import EventChunk
from market.domain.frames import Frames
from market.domain.instruments import Instrument
from market.domain.kernel import MarketKernel
from replay.domain.dialogue import PipelineObserver
from replay.domain.digest import RunDigest
from strategy.domain import numeric_layout as at
from strategy.domain.config import DecisionConfig
from strategy.domain.core import StrategyCore
from strategy.domain.evaluations import Evaluations
from strategy.domain.gate import planned_cost
from strategy.domain.messages import ScoreUpdate, SymbolState
from strategy.domain.regime import global_at, regime_at
from strategy.domain.scorer import weights_by_name


class ScoringPipeline:
    """Feed chunks in order, then `finish` once. Observers see frames, and scores at the strategy's pace.

    The digest takes every frame and every figure of every row; how the input was cut plays no part.
    """

    def __init__(
        self,
        instruments: Sequence[Instrument],
        decision: DecisionConfig,
        observers: Sequence[PipelineObserver] = (),
        *,
        run_id: str = "replay",
    ) -> None:
        self.kernel = MarketKernel(instruments, decision.market)
        self._frames = RunDigest(list(instruments), decision, "SCORING_ONLY")
        self._figures = hashlib.blake2b(digest_size=16), hashlib.blake2b(digest_size=16)
        self.messages = 0
        self.first_ns = 0
        self.last_ns = 0
        self.frames = self.scores = 0
        self._strategy = StrategyCore(instruments, decision, run_id, telemetry=False)
        self._symbols = [instrument.symbol for instrument in instruments]
        self._decision = decision
        self._observers = tuple(observers)
        self._interval_ns = decision.market.evaluation_interval_ms * 1_000_000
        self._next_score_ns = [0] * len(self._symbols)

    def feed(self, chunk: EventChunk) -> None:
        """Consume all messages of `chunk`; core times never go back, also between chunks."""
        if not len(chunk):
            return
        self.first_ns = self.first_ns or int(chunk.core_ts_ns[0])
        self.last_ns = int(chunk.core_ts_ns[-1])
        self.messages += len(chunk)
        self._score(self.kernel.process(chunk))

    def finish(self) -> None:
        """The session ends: make the boundary frame that covers its last messages."""
        self._score(self.kernel.advance(self.last_ns + self._interval_ns))

    def _score(self, frames: Frames) -> None:
        if not len(frames):
            return
        self.frames += len(frames)
        evaluations = self._strategy.evaluate(frames)
        self._hash(frames, evaluations)
        updates = self._due(evaluations)
        self.scores += len(updates)
        for observer in self._observers:
            observer.on_frames(frames)
            for update in updates:
                observer.on_strategy([update], update.ts_ns)

    def hexdigest(self) -> str:
        """Of everything so far."""
        parts = (self._frames.hexdigest(), *(part.hexdigest() for part in self._figures))
        return hashlib.blake2b("".join(parts).encode(), digest_size=16).hexdigest()

    def _hash(self, frames: Frames, evaluations: Evaluations) -> None:
        self._frames.add_frames(frames)
        for part, rows in zip(self._figures, (evaluations.out_i, evaluations.out_f), strict=True):
            part.update(np.ascontiguousarray(rows).view(np.uint8).data)

    def _due(self, evaluations: Evaluations) -> list[ScoreUpdate]:
        """One score a symbol each `scoreUpdateMs`, at boundary frames, in order of time."""
        flags = evaluations.out_i
        told = (flags[:, at.ACCEPTED] > 0) & (flags[:, at.BOUNDARY] > 0)
        updates = []
        for row in np.flatnonzero(told).tolist():
            symbol, ts_ns = int(flags[row, at.SYMBOL]), evaluations.ts_ns(row)
            if ts_ns >= self._next_score_ns[symbol]:
                config = self._decision.strategy_for(self._symbols[symbol])
                self._next_score_ns[symbol] = ts_ns + config.score_update_ms * 1_000_000
                updates.append(self._update(evaluations, row, self._symbols[symbol]))
        return updates

    def _update(self, evaluations: Evaluations, row: int, symbol: str) -> ScoreUpdate:
        config, view = self._decision.strategy_for(symbol), evaluations.view(row)
        cost = planned_cost(config, self._decision.risk_for(symbol))
        cost_bps = cost.round_trip_bps(view.spread_bps)
        regime, market = regime_at(evaluations, row, config), global_at(evaluations, row, config)
        figures = evaluations.out_f[row]
        return ScoreUpdate(
            ts_ns=view.ts_ns,
            symbol=symbol,
            state=SymbolState.FLAT,
            final_score_long=view.score_long,
            final_score_short=view.score_short,
            signal_long=False,
            signal_short=False,
            expected_move_bps=view.expected_move_bps,
            cost_bps=cost_bps,
            contributions=evaluations.contributions(row, weights_by_name(config.weights)),
            blocked_reasons=("SCORING_ONLY",),
            regime=regime.regime.value,
            regime_reason=regime.reason,
            penalties={
                "toxicity": float(figures[at.TOXICITY_PART]),
                "spread": float(figures[at.SPREAD_PART]),
                "regimeProximity": float(figures[at.NEAR_PART]),
            },
            regime_figures=regime.figures,
            regime_proximity=float(figures[at.PROXIMITY]),
            global_regime=market.regime.value,
            global_regime_reason=market.reason,
            needed_move_bps=config.fee_multiple * cost_bps,
            cost_parts=cost.parts(view.spread_bps),
            scorer=config.scorer,
            config_version=self._decision.version,
        )
