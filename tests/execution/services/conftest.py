"""A simulated account that holds a position."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from strategy.domain.messages import OrderRequest
from tests.execution.services.simulated_process import MS, Make, Process


@pytest.fixture
def an_open(world: Any) -> Callable[[Process], OrderRequest]:
    """An OPEN at market for a process: the plan of the hand-made market."""

    def make(process: Process) -> OrderRequest:
        return OrderRequest(
            request_id=f"s1-BTCUSDT-{process.entries}", symbol="BTCUSDT", action="OPEN",
            side=world.plan().side, decision_ts_ns=process.now_ns,
            valid_until_ns=process.now_ns + 2000 * MS, plan=world.plan(type="MARKET"),
        )  # fmt: skip

    return make


@pytest.fixture
def holding(
    tmp_path: Path, world: Any, an_instrument: Make, an_open: Callable[[Process], OrderRequest]
) -> Process:
    """A process with a protected long of 100 lots of BTCUSDT, checkpointed."""
    process = Process(tmp_path, [an_instrument("BTCUSDT"), an_instrument("ETHUSDT")], world.now_ns)
    process.account.core.quotes.update(world.core.quotes)
    process.book(10_000)
    process.ask(an_open(process))
    process.wait(400)
    assert process.account.core.trades["BTCUSDT"].position_lots == 100
    process.checkpoint()
    return process
