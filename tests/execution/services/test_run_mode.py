"""Execution opens nothing while a recorded market is shown; an operator cannot talk it out of that."""

from __future__ import annotations

from execution.domain.config import ExecutionConfig
from execution.domain.core import ExecutionCore
from execution.domain.operator import OperatorAction, OperatorCommand
from execution.domain.outputs import RecordRow
from execution.domain.synthetic_instruments import synthetic_instruments
from failover.domain.run_mode import REPLAY_REASON

NOW_NS = 1_763_424_000_000_000_000


def test_safe_mode_replay_stays_when_an_operator_switches_safe_mode_off() -> None:
    core = ExecutionCore(synthetic_instruments(("ETHUSDT",)), ExecutionConfig(), "SIM", "run")
    core.set_safe_mode(REPLAY_REASON, "session s is being replayed", NOW_NS)
    off = OperatorCommand(
        command_id="c1", action=OperatorAction.SAFE_MODE_OFF, reason="on again", actor="me",
        source="API", ts_ns=NOW_NS,
    )  # fmt: skip

    outputs = core.on_operator(off, NOW_NS + 1)

    (result,) = [
        output.row
        for output in outputs
        if isinstance(output, RecordRow) and output.row["record"] == "OPERATOR_RESULT"
    ]
    assert not result["ok"]
    assert "REPLAY" in result["message"]
    assert list(core.book.safe_mode) == [REPLAY_REASON]
    core.clear_safe_mode(REPLAY_REASON, NOW_NS + 2)
    assert not core.book.safe_mode
