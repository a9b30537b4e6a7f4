"""Sample instruments, sinks and clocks for the market shell's tests."""

from __future__ import annotations

from decimal import Decimal

import pytest

from market.domain.instruments import Instrument
from tests.market.helpers import CollectedChunks, HandClock, an_instrument


@pytest.fixture
def instruments() -> list[Instrument]:
    """Two symbols with different grids; the second has a tick of 5 smallest decimals."""
    return [
        an_instrument(),
        an_instrument("SOLUSDT", tick_size=Decimal("0.005"), qty_step=Decimal("0.1")),
    ]


@pytest.fixture
def collected() -> CollectedChunks:
    return CollectedChunks()


@pytest.fixture
def hand_clock() -> HandClock:
    return HandClock()
