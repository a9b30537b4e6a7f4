"""Walk-forward: each block of time is judged by what was learnt strictly before it, with an embargo.

A label looks `horizon` into the future, so the last labels before a block already hold moves of the block.
They, and another `embargo` before them, teach nothing: features remember for a while, too
(Lopez de Prado, Advances in Financial Machine Learning, 2018, ch. 7).
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Fold(NamedTuple):
    """Rows [0, train_stop) teach, rows [test_start, test_stop) judge."""

    train_stop: int
    test_start: int
    test_stop: int


def walk_forward(
    ts_ns: NDArray[np.int64],
    *,
    folds: int,
    horizon_ns: int,
    embargo_ns: int,
    min_train: int,
    min_test: int = 2,
) -> list[Fold]:
    """Cut rows in order of time into folds + 1 equal blocks; each but the first is judged once.

    A fold with less than `min_train` rows to learn from, or less than `min_test` to judge, is left out.
    """
    edges = np.linspace(0, ts_ns.size, folds + 2).astype(np.int64).tolist()
    found = []
    for start, stop in pairwise(edges[1:]):
        if stop - start < min_test:
            continue
        last_ns = int(ts_ns[start]) - horizon_ns - embargo_ns
        train_stop = int(np.searchsorted(ts_ns, last_ns, side="right"))
        if train_stop >= min_train:
            found.append(Fold(train_stop, start, stop))
    return found
