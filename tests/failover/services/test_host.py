"""The host as a real process: signals, crashes, heartbeats."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from django.conf import settings

from failover.adapters.heartbeats import _DECODER, heartbeat_key
from failover.domain.heartbeat import Heartbeat
from failover.services.guarded import SUPERVISOR_PID_VARIABLE
from failover.services.valkey import ValkeyServer

ROOT = Path(__file__).parents[3]
PROLOGUE = """
import asyncio, sys, time
from failover.services.host import run_service, ServiceContext
from failover.services.logs import configure_logging
configure_logging("test")
def say(text): print(text, flush=True)
"""
EPILOGUE = '\nsys.exit(run_service("test", start))\n'


class Process:
    """A child running a script with the host; its output as lines, its log as records."""

    def __init__(self, script: str, **environment: str) -> None:
        self.popen = subprocess.Popen(
            [sys.executable, "-c", PROLOGUE + script + EPILOGUE],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **environment},
        )

    def wait_for(self, line: str) -> None:
        assert self.popen.stdout is not None
        for each in self.popen.stdout:
            if each.strip() == line:
                return
        raise AssertionError(f"{line!r} was not said: {self.end()}")

    def end(self, timeout_s: float = 90) -> tuple[int, str, list[dict[str, Any]]]:
        out, err = self.popen.communicate(timeout=timeout_s)
        records = [json.loads(line) for line in err.splitlines() if line.startswith("{")]
        return self.popen.returncode, out, records

    def signal(self, number: int) -> None:
        self.popen.send_signal(number)


@pytest.fixture
def run() -> Iterator[Callable[..., Process]]:
    made: list[Process] = []

    def start(script: str, **environment: str) -> Process:
        made.append(Process(script, **environment))
        return made[-1]

    yield start
    for each in made:
        if each.popen.poll() is None:
            each.popen.kill()
        each.popen.communicate()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_drains_the_tasks_then_closes_in_reverse_and_exits_with_0(
    run: Callable[..., Process], number: signal.Signals
) -> None:
    process = run("""
async def work(context):
    say("ready")
    await context.stopping.wait()
    say("task drained")
async def start(context):
    context.spawn(work(context), name="work")
    context.on_drain(lambda: say("closed first opened"))
    async def close(): say("closed last opened")
    context.on_drain(close)
""")
    process.wait_for("ready")
    process.signal(number)
    code, out, records = process.end()

    assert code == 0
    assert out.split("\n")[:3] == ["task drained", "closed last opened", "closed first opened"]
    events = [record["event"] for record in records]
    assert events == ["service_starting", "service_running", "service_stopping", "service_stopped"]
    assert records[2]["reason"] == number.name


def test_a_start_that_runs_until_the_stop_works_too(run: Callable[..., Process]) -> None:
    process = run("""
async def start(context):
    context.running()
    say("ready")
    await context.stopping.wait()
    say("done")
""")
    process.wait_for("ready")
    process.signal(signal.SIGTERM)
    code, out, _ = process.end()

    assert (code, out) == (0, "done\n")


def test_work_that_is_done_ends_the_service(run: Callable[..., Process]) -> None:
    code, _, records = run("async def start(context): pass").end()

    assert code == 0
    assert records[-2]["reason"] == "work done"


@pytest.mark.parametrize(
    "script",
    [
        'async def start(context): raise ValueError("boom")',
        """
async def bad(): raise ValueError("boom")
async def start(context):
    context.spawn(context.stopping.wait(), name="good")
    context.spawn(bad(), name="bad")
""",
        """
async def bad(): raise ValueError("boom")
async def start(context):
    import gc
    asyncio.create_task(bad())  # nobody awaits it
    await asyncio.sleep(0); await asyncio.sleep(0); gc.collect()
    await context.stopping.wait()
""",
        """
def bad(): raise ValueError("boom")
async def start(context):
    asyncio.get_running_loop().call_soon(bad)
    await context.stopping.wait()
""",
    ],
    ids=["in start", "in a task", "in a task nobody awaits", "in a callback of the loop"],
)
def test_a_crash_ends_the_service_with_its_reason_and_a_code(
    run: Callable[..., Process], script: str
) -> None:
    code, _, records = run(script).end()

    assert code == 1
    (crash,) = [record for record in records if record["event"] == "service_crashed"]
    assert crash["reason"] == "ValueError('boom')"
    assert "Traceback" in crash["exc_info"]


def test_a_task_that_will_not_end_is_cut_and_the_exit_code_says_so(
    run: Callable[..., Process],
) -> None:
    process = run("""
import failover.services.host as host
host.DRAIN_S, host._CLOSE_S = 1.0, 0.5
async def start(context):
    context.spawn(asyncio.sleep(1000), name="stubborn")
    context.on_drain(lambda: say("closed"))
    say("ready")
""")
    process.wait_for("ready")
    process.signal(signal.SIGTERM)
    code, out, records = process.end()

    assert (code, out) == (1, "closed\n")
    assert [r["tasks"] for r in records if r["event"] == "drain_cut"] == [["stubborn"]]


def test_a_loop_that_does_not_come_back_is_ended_by_force(run: Callable[..., Process]) -> None:
    process = run("""
import failover.services.host as host
host.STARTING_EXIT_S = 0.5
async def start(context):
    say("ready")
    time.sleep(1000)
""")
    process.wait_for("ready")
    process.signal(signal.SIGTERM)
    code, _, records = process.end()

    assert code == 1
    assert records[-1]["event"] == "drain_timed_out"


def test_a_second_signal_ends_the_process_at_once(run: Callable[..., Process]) -> None:
    process = run("""
async def start(context):
    async def never(): await asyncio.sleep(1000)
    context.spawn(never(), name="never")
    say("ready")
    await context.stopping.wait()
    say("draining")
""")
    process.wait_for("ready")
    process.signal(signal.SIGTERM)
    process.wait_for("draining")
    process.signal(signal.SIGTERM)
    code, _, _ = process.end()

    assert code == 128 + signal.SIGTERM


PARENT = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", sys.stdin.read()], stdout=sys.stdout)
print("child", child.pid, flush=True)
time.sleep(1000)
"""


def test_a_service_does_not_outlive_a_supervisor_that_was_killed(
    eventually: Callable[..., Any],
) -> None:
    script = (
        ("import os; os.environ['" + SUPERVISOR_PID_VARIABLE + "'] = str(os.getppid())" + PROLOGUE)
        + """
async def start(context):
    say("ready")
    await context.stopping.wait()
    say("stopped cleanly")
"""
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert parent.stdin is not None
    assert parent.stdout is not None
    parent.stdin.write(script + EPILOGUE)
    parent.stdin.close()
    child_pid = int(parent.stdout.readline().split()[1])
    assert parent.stdout.readline() == "ready\n"

    parent.kill()
    parent.wait()

    assert parent.stdout.readline() == "stopped cleanly\n"
    eventually(lambda: not Path(f"/proc/{child_pid}/cmdline").exists() or _is_zombie(child_pid))
    parent.stdout.close()


def _is_zombie(pid: int) -> bool:
    try:
        return "State:\tZ" in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return True


def test_a_service_whose_supervisor_is_already_gone_does_not_start(
    run: Callable[..., Process],
) -> None:
    process = run("async def start(context): say('ran')", **{SUPERVISOR_PID_VARIABLE: "999999"})

    assert process.end()[:2] == (1, "")


BEATING = """
import os, logging
os.environ["DJANGO_SETTINGS_MODULE"] = "scalper_site.settings"
import django
django.setup()
from failover.management.base import ServiceCommand
class Command(ServiceCommand):
    service = "beating"
    async def start(self, context, bus, **options):
        say("starting")
        context.report(lag_ms=12.5, details={"symbols": 3})
        context.report(details={"books": 2})
        context.running("all well")
        await context.stopping.wait()
from django.core.management import call_command
call_command(Command())
"""


def beat_of(client: Any, service: str = "beating") -> Heartbeat | None:
    value = client.get(heartbeat_key(settings.BUS_PREFIX, service))
    return None if value is None else _DECODER.decode(value)


@pytest.fixture
def sync_client(valkey: str) -> Iterator[Any]:
    with redis.Redis.from_url(valkey) as client:
        client.flushall()
        yield client


def test_a_service_says_every_second_how_it_is_and_at_last_that_it_stopped(
    run: Callable[..., Process], sync_client: Any, eventually: Callable[..., Any]
) -> None:
    process = run(BEATING)
    first = eventually(lambda: (b := beat_of(sync_client)) and b.phase == "RUNNING" and b)
    later = eventually(lambda: (b := beat_of(sync_client)) and b.ts > first.ts and b)

    assert (first.pid, first.lag_ms, first.message) == (process.popen.pid, 12.5, "all well")
    assert first.details == {"symbols": 3, "books": 2}
    assert later.boot_id == first.boot_id
    assert 0 < sync_client.ttl(heartbeat_key(settings.BUS_PREFIX, "beating")) <= 10
    process.signal(signal.SIGTERM)
    assert process.end()[0] == 0
    assert eventually(lambda: beat_of(sync_client)).phase == "STOPPED"


def test_a_service_outlives_its_bus_and_beats_again_when_it_is_back(
    run: Callable[..., Process],
    eventually: Callable[..., Any],
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    server = ValkeyServer(tmp_path_factory.mktemp("v") / "v.sock")
    process = run(BEATING, REDIS_URL=server.url)
    try:
        process.wait_for("starting")
        server.start()
        with redis.Redis.from_url(server.url) as client:
            boot = eventually(lambda: beat_of(client)).boot_id
            server.kill()
            server.start()
            assert eventually(lambda: beat_of(client)).boot_id == boot
        process.signal(signal.SIGTERM)
        code, _, records = process.end()
    finally:
        server.kill()

    assert code == 0
    assert {"heartbeat_failing", "heartbeat_recovered"} <= {r["event"] for r in records}


def test_a_wrong_environment_is_one_clear_line_and_no_start(run: Callable[..., Process]) -> None:
    process = run(BEATING, WEB_PORT="eighty")
    out, err = process.popen.communicate(timeout=90)

    assert process.popen.returncode == 1
    assert "WEB_PORT" in err
    assert "Traceback" not in err
    assert out == ""


def test_loop_lag_is_reported(run: Callable[..., Process], sync_client: Any) -> None:
    process = run(
        BEATING.replace('context.running("all well")', "await asyncio.sleep(0.1); time.sleep(2)")
    )
    process.wait_for("starting")
    deadline = time.monotonic() + 15
    lag_ms = 0.0
    while lag_ms < 500 and time.monotonic() < deadline:
        beat = beat_of(sync_client)
        lag_ms = beat.lag_ms if beat else 0.0

    assert lag_ms >= 500


def test_long_preparation_neither_stops_the_heart_nor_delays_a_stop(
    run: Callable[..., Process],
) -> None:
    process = run(
        """
async def start(context):
    say("preparing")
    made = await context.prepare(lambda: time.sleep(60), message="long work")
    say(f"{made} {context.message!r}")
"""
    )
    process.wait_for("preparing")
    process.signal(signal.SIGTERM)
    code, out, records = process.end()

    assert (code, out.strip()) == (0, "None ''")
    assert [record["event"] for record in records][-1] == "service_stopped"


def test_preparation_gives_its_result_or_ends_the_service_with_its_error(
    run: Callable[..., Process],
) -> None:
    process = run(
        """
async def start(context):
    say(await context.prepare(lambda: "made"))
    await context.prepare(lambda: 1 / 0)
"""
    )
    code, out, records = process.end()

    assert (code, out.strip()) == (1, "made")
    assert "ZeroDivisionError" in next(r["reason"] for r in records if r["level"] == "ERROR")
