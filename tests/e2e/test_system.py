"""Parts of the running system are killed alone while the others run; at last all of it."""

from __future__ import annotations

import signal

import psutil
import pytest

from tests.e2e.order_audit import faults, order_lines
from tests.e2e.running_system import SERVICES, System
from tests.e2e.wellness import (
    BACK_S,
    all_is_well,
    all_run,
    ends_alone_and_comes_back,
    next_entry,
    seconds,
)
from tests.proof.verified import verified

pytestmark = pytest.mark.e2e

CORES = ("market", "strategy", "execution")


def test_only_execution_is_given_the_keys_of_the_account(system: System) -> None:
    with system.away(*CORES, since_ns=system.started_ns):
        beats = all_run(system)
    assert len(beats) == len(SERVICES)
    for name, beat in beats.items():
        environment = psutil.Process(beat.pid).environ()
        has_keys = bool(environment["BYBIT_API_KEY"] or environment["BYBIT_API_SECRET"])
        assert has_keys is (name == "execution"), name


def test_before_anything_is_killed_it_trades(system: System) -> None:
    next_entry(system)
    all_is_well(system)


@pytest.mark.parametrize("name", ["market", "strategy", "execution"])
def test_a_service_that_is_killed_alone_comes_back_and_nothing_is_lost_or_doubled(
    system: System, name: str
) -> None:
    ends_alone_and_comes_back(system, name, signal.SIGKILL)


def test_when_the_bus_is_killed_everybody_comes_back_to_the_new_one(system: System) -> None:
    before = all_run(system)
    valkey = system.valkey()

    with system.away(*CORES):
        valkey.kill()
        system.until(lambda: system.valkey().pid != valkey.pid, "another Valkey", BACK_S)
        system.until(
            lambda: (
                min(map(seconds, all_run(system).values())) > max(map(seconds, before.values()))
            ),
            "everybody beats again",
            BACK_S,
        )

    after = all_is_well(system)
    assert {n: b.boot_id for n, b in before.items()} == {n: b.boot_id for n, b in after.items()}
    next_entry(system)


def test_when_run_all_itself_is_killed_a_new_one_starts_on_the_same_data(system: System) -> None:
    assert system.process is not None
    lines_before = len(order_lines(system.data_dir))
    children = system.processes()

    with system.away(*CORES):
        assert system.end(signal.SIGKILL) == -signal.SIGKILL
        system.until(lambda: not system.processes(), "the children end as well", 30.0)
        assert children
        assert (system.data_dir / "run" / "run_all.lock").exists(), "nobody was there to remove it"

        system.start()
        all_run(system)

    all_is_well(system)
    assert len(order_lines(system.data_dir)) >= lines_before


def test_ctrl_c_leaves_nothing_behind(system: System) -> None:
    all_run(system)
    assert system.leftovers(), "what is looked for can be seen while it runs"

    code = system.end(signal.SIGINT)

    assert code == 0
    assert system.said().rstrip().endswith("Stopped")
    assert system.leftovers() == []
    assert faults(order_lines(system.data_dir)) == []


def test_what_was_decided_through_all_of_it_is_proved(system: System) -> None:
    """Every service was killed meanwhile, the bus and run_all too."""
    assert system.process is None, "runs after the end"

    report = verified(system.data_dir)

    assert report["firstDivergence"] is None, report["firstDivergence"]
    for refused in report["refused"]:  # a core that was slow to come back, and nothing else
        assert system.was_away(refused["core"], refused["fromNs"], refused["toNs"]), refused
    for name, core in report["cores"].items():
        assert core["runs"] >= 3, name
        assert core["compared"] > 100, name
