"""The exchange that the tests of this folder share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from execution.exchange.build import synthetic_exchange
from execution.exchange.server import ServerOptions
from tests.exchange.served import RunningExchange, running


@pytest.fixture(scope="session")
def exchange() -> Iterator[RunningExchange]:
    """The synthetic exchange with its four symbols, shared by all tests that only read."""
    with running(synthetic_exchange(seed=11, options=ServerOptions(reply_delay_ms=50))) as served:
        yield served
