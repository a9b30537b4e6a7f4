"""Asks the pluggable scorers, and keeps one that fails from taking the loop with it.

A scorer that raises, answers with anything but finite numbers, or takes too long leaves its symbol without
signal for `scorer_probation_s` of core time; then it is asked again. It is asked only for frames that could
signal: warm, with a sound book.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from market.domain.frames import BookState
from strategy.domain import numeric_layout as at
from strategy.domain.config import StrategyConfig
from strategy.domain.evaluations import Evaluations
from strategy.domain.scorer import (
    Score,
    ScoreContext,
    Scorer,
    ScorerTooSlow,
    ScorerWatch,
    let_stop_through,
    told,
    weights_by_name,
    z_columns,
)


@dataclass(frozen=True, slots=True)
class _Answers:
    """Answers for the first rows of those asked, and why the row after them has none."""

    pressure: NDArray[np.float64]
    move_bps: NDArray[np.float64] | None
    parts: Mapping[str, NDArray[np.float64]]
    failure: str = ""

    def __len__(self) -> int:
        return len(self.pressure)


class ScorerDesk:
    """One symbol's pluggable scorer."""

    def __init__(
        self, symbol: str, scorer: Scorer, config: StrategyConfig, watch: ScorerWatch | None
    ) -> None:
        self._symbol, self._scorer, self._config = symbol, scorer, config
        self._watch = watch
        self._weights = weights_by_name(config.weights)
        self._limit_s = config.scorer_limit_ms / 1000.0
        self._probation_ns = round(config.scorer_probation_s * 1e9)

    def score(self, evaluations: Evaluations, place: int, state: NDArray[np.int64]) -> None:
        """Write the pressure of every row of symbol `place`; `state` is the symbol's row of state_i."""
        flags, times = evaluations.out_i, evaluations.words[:, at.frame_word("ts_ns")]
        of_symbol = (flags[:, at.ACCEPTED] > 0) & (flags[:, at.SYMBOL] == place)
        evaluations.out_f[of_symbol, at.PRESSURE] = 0.0
        flags[of_symbol, at.SCORER_OK] = 0
        is_ok = evaluations.frames["book_state"] == BookState.OK
        rows = np.flatnonzero(of_symbol & (flags[:, at.WARM] > 0) & is_ok)
        while len(rows):
            waiting = int(np.searchsorted(times[rows], state[at.SCORER_OFF_UNTIL]))
            rows = rows[waiting:]
            if len(rows):
                rows = rows[self._score_rows(evaluations, rows, state) :]

    def _score_rows(
        self, evaluations: Evaluations, rows: NDArray[np.int64], state: NDArray[np.int64]
    ) -> int:
        """Take the scorer's answers for `rows` up to its first failure; how many rows are done with."""
        answers = self._ask(evaluations, rows)
        done = len(answers)
        good = rows[:done]
        evaluations.out_f[good, at.PRESSURE] = answers.pressure
        evaluations.out_i[good, at.SCORER_OK] = 1
        evaluations.own_parts.append((good, answers.parts))
        if answers.move_bps is not None:
            evaluations.own_moves.append((good, answers.move_bps))
        if done and state[at.SCORER_FAILED]:
            state[at.SCORER_FAILED] = 0
            self._note(evaluations, int(good[0]), "")
        if answers.failure:
            bad = int(rows[min(done, len(rows) - 1)])
            state[at.SCORER_FAILED] = 1
            state[at.SCORER_OFF_UNTIL] = evaluations.ts_ns(bad) + max(self._probation_ns, 1)
            self._note(evaluations, bad, answers.failure)
            done += 1
        return done

    def _note(self, evaluations: Evaluations, row: int, reason: str) -> None:
        evaluations.scorer_notes[row] = reason
        evaluations.out_i[row, at.CHANGES] |= at.SCORER_CHANGED

    # -- asking -----------------------------------------------------------------------------------

    def _ask(self, evaluations: Evaluations, rows: NDArray[np.int64]) -> _Answers:
        """All rows at once where the scorer can; row by row to find the one that it fails on."""
        try:
            if hasattr(self._scorer, "score_frames"):
                return self._ask_all(evaluations, rows)
        except ScorerTooSlow as slow:
            return _no_answer(told(slow))
        except BaseException as error:  # noqa: BLE001  (a stranger's code may raise anything; see below)
            let_stop_through(error)
        return self._ask_each(evaluations, rows)

    def _ask_all(self, evaluations: Evaluations, rows: NDArray[np.int64]) -> _Answers:
        frames, z = evaluations.frames[rows], evaluations.z[rows]
        context = self._context(z_columns(z))
        score_frames = self._scorer.score_frames  # type: ignore[attr-defined]
        score = self._call(lambda: score_frames(frames, context), len(rows))
        _prove_score(score)
        return _cut(
            _column(score.pressure, len(rows)),
            None
            if score.expected_move_bps is None
            else _column(score.expected_move_bps, len(rows)),
            {_name(name): _column(part, len(rows)) for name, part in score.contributions.items()},
        )

    def _ask_each(self, evaluations: Evaluations, rows: NDArray[np.int64]) -> _Answers:
        scores: list[Score] = []
        failure = ""
        for row in rows.tolist():
            context = self._context(
                dict(zip(at.SCORE_FEATURES, evaluations.z[row].tolist(), strict=True))
            )
            frame = evaluations.frames[row].copy()  # the row itself would be a view to write into
            try:
                scores.append(_plain(self._call(partial(self._scorer.score, frame, context), 1)))
            except BaseException as error:  # noqa: BLE001  (a stranger's code may raise anything)
                let_stop_through(error)
                failure = told(error)
                break
        return _joined(scores, failure)

    def _call(self, ask: Any, rows: int) -> Score:
        """Within the time allowed, where a shell keeps the time."""
        score: Score = ask() if self._watch is None else self._watch.call(ask, self._limit_s * rows)
        return score

    def _context(self, z: Mapping[str, Any]) -> ScoreContext:
        return ScoreContext(
            symbol=self._symbol,
            z=z,
            weights=self._weights,
            params=self._config.scorer_params,
            config=self._config,
        )


def _prove_score(score: Any) -> None:
    if not isinstance(score, Score):
        raise TypeError(f"it answered with {type(score).__name__}, not with a Score")


def _plain(score: Any) -> Score:
    """The same score of plain finite floats, whatever numbers and mapping the scorer made it of."""
    _prove_score(score)
    pressure = float(score.pressure)
    parts = {_name(name): float(part) for name, part in score.contributions.items()}
    move_bps = None if score.expected_move_bps is None else float(score.expected_move_bps)
    if not all(map(math.isfinite, (pressure, move_bps or 0.0, *parts.values()))):
        raise ValueError(f"its score is not a number: pressure {pressure}")
    return Score(pressure, parts, move_bps)


def _name(name: Any) -> str:
    """A contribution's name, proved fit to be sent."""
    if not isinstance(name, str):
        raise TypeError(f"a contribution is named by {type(name).__name__}, not by a text")
    name.encode()  # a lone surrogate raises
    return str(name)


def _no_answer(failure: str) -> _Answers:
    return _Answers(np.zeros(0), None, {}, failure)


def _column(value: Any, rows: int) -> NDArray[np.float64]:
    column = np.asarray(value, np.float64)
    return np.ascontiguousarray(np.broadcast_to(column, (rows,)))


def _cut(
    pressure: NDArray[np.float64],
    move_bps: NDArray[np.float64] | None,
    parts: Mapping[str, NDArray[np.float64]],
) -> _Answers:
    """Answers up to the first row that is not of finite numbers."""
    columns = [pressure, *parts.values(), *([] if move_bps is None else [move_bps])]
    finite = np.logical_and.reduce([np.isfinite(column) for column in columns])
    if finite.all():
        return _Answers(pressure, move_bps, parts)
    bad = int(np.argmin(finite))
    return _Answers(
        pressure[:bad],
        None if move_bps is None else move_bps[:bad],
        {name: part[:bad] for name, part in parts.items()},
        f"ValueError: its score is not a number: pressure {float(pressure[bad])}",
    )


def _joined(scores: list[Score], failure: str) -> _Answers:
    """Answers given one by one, as columns; a part or a move left out is 0 in that row."""
    names = dict.fromkeys(name for score in scores for name in score.contributions)
    moves = [score.expected_move_bps for score in scores]
    return _Answers(
        np.array([score.pressure for score in scores]),
        np.array([math.nan if move is None else move for move in moves])
        if any(move is not None for move in moves)
        else None,
        {
            name: np.array([score.contributions.get(name, 0.0) for score in scores])
            for name in names
        },
        failure,
    )
