"""Pluggable scorers (pipeline §3): a profile names a class by dotted path, here is what it must be.

    class Lean:
        def score(self, frame, context):
            parts = {"imb5": 0.6 * context.z["imb5"], "flow": 0.4 * context.z["flowRatio5s"]}
            return Score(pressure=parts["imb5"] + parts["flow"], contributions=parts)

`frame` is one row of FRAME_DTYPE, read by field name. A scorer is a function of `frame` and `context`
alone: it keeps nothing between calls, so the same frames give the same scores live, in a replay and
after a restart. With `score_frames` it takes many frames of one symbol at once: the same names then hold
columns, so a scorer of plain arithmetic may say `score_frames = score`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from market.domain.frames import Frames
from strategy.domain.config import ScoreWeights, StrategyConfig
from strategy.domain.numeric_layout import SCORE_FEATURES

_MAX_REASON = 200

Number = Any  # float for one frame, a float64 column for many
_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class Score:
    """What a scorer says: where the price is pushed, and how hard.

    `pressure` > 0 is up, in usual sizes (a z of 1 is an ordinary reading); the engine turns it into two
    scores 0..100, less penalties. `contributions` explain it on the screen. `expected_move_bps` replaces
    edgeCoef * |pressure| * rv10s * sqrt(horizonS) where it is given.
    """

    pressure: Number
    contributions: Mapping[str, Number] = field(default_factory=dict)
    expected_move_bps: Number | None = None


@dataclass(frozen=True, slots=True)
class ScoreContext:
    """What a scorer may look at beside the frame.

    `z`: each feature of SCORE_FEATURES over its usual size, cut at +-6; 0 where it is not known.
    """

    symbol: str
    z: Mapping[str, Number]
    weights: Mapping[str, float]
    params: Mapping[str, float]
    config: StrategyConfig


class Scorer(Protocol):
    def score(self, frame: Any, context: ScoreContext) -> Score: ...


class BatchScorer(Scorer, Protocol):
    def score_frames(self, frames: Frames, context: ScoreContext) -> Score: ...


class LinearScorer:
    """The built-in scorer: p = sum of weight * z. This text is what the compiled path computes."""

    def score(self, frame: np.void | Frames, context: ScoreContext) -> Score:
        del frame
        parts = {name: context.weights[name] * context.z[name] for name in SCORE_FEATURES}
        return Score(pressure=sum(parts.values()), contributions=parts)

    score_frames = score


BUILT_IN = f"{LinearScorer.__module__}.{LinearScorer.__qualname__}"


class BadScorer(ValueError):
    """The profile must name another scorer; the text says what is wrong with this one."""


class ScorerRegistry:
    """Finds scorers by dotted path. The shell says where others than the built-in one may come from."""

    def __init__(self) -> None:
        self._load: Callable[[str], type[Scorer]] | None = None

    def use(self, load: Callable[[str], type[Scorer]]) -> None:
        """`load` returns the class at a dotted path, or raises BadScorer."""
        self._load = load

    def make(self, path: str) -> Scorer | None:
        """A new scorer; None for the built-in one, which is compiled. Raises: BadScorer."""
        if path == BUILT_IN:
            return None
        if self._load is None:
            raise BadScorer(f"scorer {path}: no package is allowed to bring scorers")
        kind = self._load(path)
        try:
            return kind()
        except BaseException as error:  # a stranger's constructor may raise anything
            let_stop_through(error)
            raise BadScorer(f"scorer {path} cannot be made: {told(error)}") from error


SCORERS = ScorerRegistry()


class ScorerTooSlow(BaseException):
    """A scorer was stopped, or had been so slow that its symbol goes without signal.

    No Exception: a scorer that tries again after any error must not swallow it.
    """


def let_stop_through(error: BaseException) -> None:
    """Raise a Ctrl-C again; whatever else a stranger's code raises, SystemExit too, ends that code alone.

    Only the very class counts: one of the stranger's own derived from it stops nothing.
    """
    if type(error) is KeyboardInterrupt:
        raise error


def told(error: BaseException) -> str:
    """An error of a stranger's code in words that can be sent: it may have no text, or no sendable one."""
    name = type(error).__name__
    try:
        text = str(error)
    except BaseException as no_text:  # noqa: BLE001  (a stranger's code may raise anything)
        let_stop_through(no_text)
        text = "(it has no text)"
    words = text if isinstance(error, ScorerTooSlow) else f"{name}: {text}"
    return words.encode("utf-8", "replace").decode()[:_MAX_REASON]


class ScorerWatch(Protocol):
    """Times a scorer's call for the core, which has no clock."""

    def call(self, ask: Callable[[], _Result], limit_s: float) -> _Result:
        """The result of `ask`. Raises: ScorerTooSlow when it took longer, and what `ask` raises."""
        ...


def weights_by_name(weights: ScoreWeights) -> dict[str, float]:
    """Weights under the names of SCORE_FEATURES."""
    values = (
        weights.microprice_gap, weights.imb5, weights.imb20, weights.ofi1s, weights.ofi5s,
        weights.flow_ratio5s, weights.ret5s, weights.basis,
    )  # fmt: skip
    return dict(zip(SCORE_FEATURES, values, strict=True))


def z_columns(z: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    """The matrix of z as columns by feature."""
    return {name: z[:, index] for index, name in enumerate(SCORE_FEATURES)}
