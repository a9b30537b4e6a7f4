"""Where the local exchange gets its market from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from execution.domain.synthetic_market import Messages
from market.domain.instruments import Instrument


class MarketSource(Protocol):
    """Simulated or recorded; `execution.domain.synthetic_market.SyntheticMarket` is one."""

    @property
    def instruments(self) -> Sequence[Instrument]: ...

    @property
    def now_ns(self) -> int:
        """Market time reached."""
        ...

    def enable_depth(self, symbol: int, depth: int, *, on: bool) -> None:
        """Compute pushes of a book depth of 1, 50, 200 or 1000 levels, or not."""
        ...

    def step(self, until_ns: int) -> Messages:
        """Advance to `until_ns`; return everything the market sent meanwhile, in order."""
        ...

    def window(self, symbol: int, depth: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Bids and asks as pushed last for `depth`: i8[k, 2] of (tick, lots), best first."""
        ...
