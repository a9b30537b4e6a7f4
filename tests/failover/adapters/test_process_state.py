"""The black box of a process."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from failover.adapters.process_state import ProcessStateStore
from failover.domain.process_state import FailureEvent, ended_in_the_middle


def test_the_file_has_the_owners_names(tmp_path: Path) -> None:
    store = ProcessStateStore(tmp_path / "system", run_mode="SIM")
    failure = FailureEvent(timestamp="t", type="DATA_CORRUPTION", source="RECORDER", message="torn")

    store.update(phase="RUNNING", active_symbols=("BTCUSDT",), last_failure=failure)

    content = json.loads((tmp_path / "system" / "process_state.json").read_text())
    assert content.pop("lastUpdate").endswith("Z")
    assert content == {
        "pid": os.getpid(),
        "runMode": "SIM",
        "phase": "RUNNING",
        "activeSymbols": ["BTCUSDT"],
        "openPositionsSnapshot": [],
        "openOrdersSnapshot": [],
        "lastRecoveryAt": None,
        "lastFailure": {
            "timestamp": "t",
            "type": "DATA_CORRUPTION",
            "source": "RECORDER",
            "message": "torn",
            "details": {},
            "schemaVersion": 1,
        },
        "schemaVersion": 1,
    }


def test_an_update_keeps_what_it_does_not_name(tmp_path: Path) -> None:
    store = ProcessStateStore(tmp_path, run_mode="SIM")
    store.update(phase="RUNNING", open_orders_snapshot=({"clientOrderId": "a"},))
    store.update(phase="STOPPING")

    state = ProcessStateStore(tmp_path, run_mode="SIM").load()

    assert state is not None
    assert (state.phase, state.open_orders_snapshot) == ("STOPPING", ({"clientOrderId": "a"},))


@pytest.mark.parametrize(
    ("phase", "expected"), [("RUNNING", True), ("RECOVERING", True), ("STOPPING", False)]
)
def test_the_next_process_sees_how_the_last_one_ended(
    tmp_path: Path, phase: str, expected: bool
) -> None:
    store = ProcessStateStore(tmp_path, run_mode="SIM")
    store.update(phase=phase)

    assert ended_in_the_middle(store.load()) is expected


def test_the_first_process_has_no_predecessor(tmp_path: Path) -> None:
    assert not ended_in_the_middle(ProcessStateStore(tmp_path, run_mode="SIM").load())


def test_an_unknown_field_is_a_mistake_of_the_caller(tmp_path: Path) -> None:
    with pytest.raises(TypeError):
        ProcessStateStore(tmp_path, run_mode="SIM").update(mood="good")
