"""Another market config for a kernel that runs: books, averages and clocks go on."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from market.domain.config import MarketConfig
from market.domain.instruments import Instrument
from market.domain.kernel import MarketKernel


def reconfigured(
    kernel: object, instruments: Sequence[Instrument], config: MarketConfig
) -> MarketKernel:
    """A kernel that knows all `kernel` knows and judges by `config`.

    Raises: ValueError when `config` differs in what shapes the state (`evaluation_interval_ms`).
    """
    assert isinstance(kernel, MarketKernel), "a live hub drives the one real kernel"
    fresh = MarketKernel(instruments, config)
    rules, *_ = _parts(fresh)
    _, *remembered = _parts(kernel)
    fresh.restore(msgspec.msgpack.encode([rules, *remembered]))
    return fresh


def _parts(kernel: MarketKernel) -> list[bytes]:
    """A kernel's state begins with the rules it was made under; the rest is what it remembers."""
    parts: list[bytes] = msgspec.msgpack.decode(kernel.state(), type=list[bytes])
    return parts
