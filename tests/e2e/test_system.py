"""Parts of the running system are killed alone while the others run; at last all of it."""

from __future__ import annotations

import json
import signal
import urllib.request
from datetime import datetime
from typing import Any

import psutil
import pytest

from failover.domain.heartbeat import Heartbeat
from tests.e2e.order_audit import faults, order_lines
from tests.e2e.running_system import SERVICES, System
from tests.proof.verified import verified

pytestmark = pytest.mark.e2e

BACK_S = 120.0
PENDING_S = 90.0
TRADE_S = 240.0
_PENDING = ("ENTRY_PENDING", "EXIT_PENDING")


def all_run(system: System) -> dict[str, Heartbeat]:
    """The heartbeats once every service does its job and the strategy knows what execution holds."""

    def look() -> dict[str, Heartbeat] | None:
        beats = system.beats()
        is_up = len(beats) == len(SERVICES) and all(b.phase == "RUNNING" for b in beats.values())
        return beats if is_up and beats["strategy"].details.get("adopted") else None

    return system.until(look, "every service runs, the strategy has adopted", BACK_S)


def everything_moves(system: System) -> None:
    """Frames, decisions' input and execution's news flow, and the dashboard answers."""
    for stream in ("market.frames", "market.raw", "execution.events"):
        before = system.newest(stream)
        system.until(lambda s=stream, b=before: system.newest(s) > b, f"{stream} moves", BACK_S)
    with urllib.request.urlopen(f"{system.url}/healthz", timeout=BACK_S) as answer:
        assert answer.status == 200


def last_states(system: System) -> dict[str, dict[str, Any]]:
    """The newest state event of each symbol."""
    states = {}
    for path in (system.data_dir / "events").glob("*.jsonl"):
        whole, _, _ = path.read_text().rpartition("\n")
        states[path.stem] = json.loads(whole.splitlines()[-1])
    return states


def no_symbol_is_stuck(system: System) -> None:
    """Every symbol that waits for an answer leaves that state in bounded time."""
    states = system.until(lambda: last_states(system), "a first decision", TRADE_S)
    run = max(states.values(), key=lambda event: event["timestamp"])["runId"]
    for symbol, event in states.items():
        if event["runId"] == run and event["toState"] in _PENDING:
            system.until(
                lambda s=symbol, e=event: last_states(system)[s] != e,
                f"{symbol} leaves {event['toState']}",
                PENDING_S,
            )


def every_position_has_a_live_stop(system: System) -> None:
    """In the snapshots of execution; a stop just ordered gets the time to be confirmed."""

    def protected() -> bool:
        path = system.data_dir / "system" / "tpsl_snapshot.json"
        trades = json.loads(path.read_text())["trades"]
        return all(
            trade["stop"]["state"] == "OPEN" and trade["stop"]["qty"] >= trade["qty"]
            for trade in trades
            if trade["qty"] > 0
        )

    system.until(protected, "a live stop for each position", 20.0)


def all_is_well(system: System) -> dict[str, Heartbeat]:
    beats = all_run(system)
    everything_moves(system)
    no_symbol_is_stuck(system)
    every_position_has_a_live_stop(system)
    assert faults(order_lines(system.data_dir)) == []
    return beats


def next_entry(system: System) -> None:
    """Wait until one more entry order has left."""

    def entries() -> int:
        lines = order_lines(system.data_dir)
        return sum(line["kind"] == "SENT" and line["leg"] == "ENTRY" for line in lines)

    before = entries()
    system.until(lambda: entries() > before, "another entry order", TRADE_S)


def exit_code(system: System, name: str, boot_id: str) -> int | None:
    """What a service said of its own end; None when it was not heard to end."""
    for text in (system.data_dir / "logs" / f"{name}.log").read_text().splitlines():
        if '"service_stopped"' in text and boot_id in text:
            return int(json.loads(text)["exitCode"])
    return None


def seconds(beat: Heartbeat) -> float:
    return datetime.fromisoformat(beat.ts).timestamp()


def test_only_execution_is_given_the_keys_of_the_account(system: System) -> None:
    beats = all_run(system)
    assert len(beats) == len(SERVICES)
    for name, beat in beats.items():
        environment = psutil.Process(beat.pid).environ()
        has_keys = bool(environment["BYBIT_API_KEY"] or environment["BYBIT_API_SECRET"])
        assert has_keys is (name == "execution"), name


def test_before_anything_is_killed_it_trades(system: System) -> None:
    next_entry(system)
    all_is_well(system)


@pytest.mark.parametrize(
    ("name", "number"),
    [(name, signal.SIGKILL) for name in SERVICES]
    # a clean end is the same host code everywhere; those that hold state are asked here
    + [(name, signal.SIGTERM) for name in ("market", "strategy", "execution")],
)
def test_a_service_that_ends_alone_comes_back_and_nothing_is_lost_or_doubled(
    system: System, name: str, number: signal.Signals
) -> None:
    before = all_run(system)
    victim = psutil.Process(before[name].pid)
    if name in ("strategy", "execution") and number == signal.SIGKILL:
        next_entry(system)  # so that it dies with an order on its way

    victim.send_signal(number)
    system.until(lambda: not victim.is_running(), f"{name} ends", 15.0)
    system.until(
        lambda: (b := system.beats().get(name)) and b.boot_id != before[name].boot_id,
        f"{name} is started again",
        BACK_S,
    )

    after = all_is_well(system)
    others = {each: beat.boot_id for each, beat in before.items() if each != name}
    assert others == {each: beat.boot_id for each, beat in after.items() if each != name}
    if number == signal.SIGTERM:
        assert exit_code(system, name, before[name].boot_id) == 0


def test_when_the_bus_is_killed_everybody_comes_back_to_the_new_one(system: System) -> None:
    before = all_run(system)
    valkey = system.valkey()

    valkey.kill()
    system.until(lambda: system.valkey().pid != valkey.pid, "another Valkey", BACK_S)
    system.until(
        lambda: min(map(seconds, all_run(system).values())) > max(map(seconds, before.values())),
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

    assert system.end(signal.SIGKILL) == -signal.SIGKILL
    system.until(lambda: not system.processes(), "the children end as well", 30.0)
    assert children
    assert (system.data_dir / "run" / "run_all.lock").exists(), "nobody was there to remove it"

    system.start()

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
    assert report["refused"] == []
    for name, core in report["cores"].items():
        assert core["runs"] >= 4, name
        assert core["compared"] > 100, name
