"""What must hold of a running system, and the waits for it."""

from __future__ import annotations

import json
import signal
import urllib.request
from datetime import datetime
from typing import Any

import psutil

from failover.domain.heartbeat import Heartbeat
from tests.e2e.order_audit import faults, order_lines
from tests.e2e.running_system import SERVICES, System

BACK_S = 240.0
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


def ends_alone_and_comes_back(system: System, name: str, number: signal.Signals) -> None:
    """End one service; it returns, the others go on, nothing is lost or doubled."""
    before = all_run(system)
    victim = psutil.Process(before[name].pid)
    if name in ("strategy", "execution") and number == signal.SIGKILL:
        next_entry(system)  # so that it dies with an order on its way

    with system.away(name):
        victim.send_signal(number)
        system.until(lambda: not victim.is_running(), f"{name} ends", 15.0)
        system.until(
            lambda: (b := system.beats().get(name)) and b.boot_id != before[name].boot_id,
            f"{name} is started again",
            BACK_S,
        )
        all_run(system)

    after = all_is_well(system)
    others = {each: beat.boot_id for each, beat in before.items() if each != name}
    assert others == {each: beat.boot_id for each, beat in after.items() if each != name}
    if number == signal.SIGTERM:
        assert exit_code(system, name, before[name].boot_id) == 0
