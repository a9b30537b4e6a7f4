"""Frames in, regimes and scores out: everything of the strategy that is a function of frames alone.

Batched and independent of decisions, so it may run over a whole chunk of frames ahead of them
(docs/contracts.md). One object holds the running state of all symbols.
"""

from __future__ import annotations

import math

import msgspec
import numpy as np
from numpy.typing import NDArray

from market.domain.frames import Frames
from strategy.domain import numeric_layout as at
from strategy.domain.config import DecisionConfig, StrategyConfig
from strategy.domain.evaluations import Evaluations
from strategy.domain.numeric_kernel import observe_rows, score_rows
from strategy.domain.numeric_state import NumericCheckpoint, NumericState
from strategy.domain.scorer import SCORERS, ScorerRegistry, ScorerWatch, weights_by_name
from strategy.domain.scorer_desk import ScorerDesk

_SQRT_60 = math.sqrt(60.0)
_LN2 = math.log(2.0)


class NumericPath:
    """The running scales, baselines, regimes and scorers of `symbols` (index = `symbol` of frames)."""

    def __init__(
        self,
        symbols: tuple[str, ...],
        config: DecisionConfig,
        scorers: ScorerRegistry = SCORERS,
        watch: ScorerWatch | None = None,
    ) -> None:
        """Raises: BadScorer when the config names a scorer that is not to be had."""
        self._scorers, self._watch = scorers, watch
        self._state = NumericState.fresh(symbols)
        self._prepare(config)

    def configure(self, config: DecisionConfig) -> None:
        """Judge by another version from the next frame on; all that is running stays. Raises: BadScorer.

        A scorer that had failed is asked again at once: it may be another one.
        """
        self._prepare(config)
        self._state.ints[:, [at.SCORER_OFF_UNTIL, at.SCORER_FAILED]] = 0

    def _prepare(self, config: DecisionConfig) -> None:
        desks = self._desks(config)
        self._config, self._scorer_desks = config, desks
        symbols = self._state.symbols
        warmup_ns = config.market.warmup_s * 1e9
        self._params = np.array(
            [_params(config.strategy_for(symbol), warmup_ns) for symbol in symbols]
        ).reshape(len(symbols), at.PARAMS)
        leader = config.strategy.leader_symbol
        self._params[:, at.IS_LEADER] = [symbol == leader for symbol in symbols]
        self._common = _common(config.strategy)

    def evaluate(self, frames: Frames) -> Evaluations:
        """Judge and score `frames`, any symbols in order of emission, and move the state past them."""
        state = self._state
        evaluations = Evaluations.empty_for(frames)
        out_i, out_f = evaluations.out_i, evaluations.out_f
        observe_rows(
            evaluations.words, evaluations.floats, state.ints, state.floats, state.rings,
            state.market_ints, state.market_floats, self._params, self._common, out_i, out_f,
        )  # fmt: skip
        for place, desk in self._scorer_desks:
            desk.score(evaluations, place, state.ints[place])
        score_rows(out_i, out_f, state.ints, self._params)
        for rows, move_bps in evaluations.own_moves:
            given = np.isfinite(move_bps)
            out_f[rows[given], at.MOVE] = move_bps[given]
        return evaluations

    def frame_numbers(self) -> list[tuple[int, int]]:
        """(frame number, market generation) of each symbol's last frame."""
        held = self._state.ints[:, [at.LAST_SEQ, at.GENERATION]].clip(min=0)
        return [(seq, generation) for seq, generation in held.tolist()]

    def regimes(self) -> tuple[list[int], int]:
        """Codes of the regimes in force: of each symbol, and of the market."""
        codes: list[int] = self._state.ints[:, at.REGIME].tolist()
        return codes, int(self._state.market_ints[at.GLOBAL])

    def remap(self, symbols: tuple[str, ...]) -> None:
        """Follow a new symbol table; symbols that stay keep all they have."""
        self._state = self._state.remapped(symbols)
        self._prepare(self._config)

    def state(self) -> bytes:
        """A checkpoint of all that is running; named by `numeric_state.checkpoint_digest`."""
        return msgspec.msgpack.encode(self._state.checkpoint())

    def restore(self, data: bytes) -> int | None:
        """Take over a checkpoint; the core time it was made at, or None when torn or of another build."""
        try:
            held = msgspec.msgpack.decode(data, type=NumericCheckpoint)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return None
        return held.ts_ns if self._state.restore(held) else None

    def _desks(self, config: DecisionConfig) -> list[tuple[int, ScorerDesk]]:
        desks = []
        for place, symbol in enumerate(self._state.symbols):
            strategy = config.strategy_for(symbol)
            scorer = self._scorers.make(strategy.scorer)
            if scorer is not None:
                desks.append((place, ScorerDesk(symbol, scorer, strategy, self._watch)))
        return desks


def _params(config: StrategyConfig, warmup_ns: float) -> NDArray[np.float64]:
    """One symbol's thresholds in the order of `numeric_layout`."""
    return np.array(
        [
            *weights_by_name(config.weights).values(), *at.SCALE_FLOORS,
            config.score_gain, config.toxicity_penalty, config.toxicity_floor,
            config.spread_penalty / config.max_spread_bps,
            config.edge_coef * math.sqrt(config.horizon_s), _LN2 / config.scale_half_life_s,
            config.regime_penalty, config.regime_near_from,
            config.entry_score, warmup_ns, config.feed_silence_ms * 1e6, config.regime_exit_s * 1e9,
            config.min_depth_usd, config.max_spread_bps,
            config.max_book_age_ms, config.max_trade_age_ms,
            config.pump_z * _SQRT_60, config.vol_floor_bps,
            config.pump_volume_x, config.notional_floor_usd,
            config.pump_lag_s, _LN2 / config.notional_half_life_s,
            config.news_vol_x, config.news_spread_x, config.spread_floor_bps,
            config.news_lag_s, _LN2 / config.spread_half_life_s,
            config.flicker_max, config.flicker_s * 1e9, config.print_outside_bps,
            config.baseline_s * 1e9,
            0.0,
        ]
    )  # fmt: skip


def _common(config: StrategyConfig) -> NDArray[np.float64]:
    return np.array(
        [
            config.panic_ret_bps, config.panic_dump_share, config.panic_min_symbols,
            config.risk_off_fraction, config.regime_exit_s * 1e9,
        ]
    )  # fmt: skip
