"""Supervision with tiny real children: order, back-off, news, and no orphans."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from failover.domain.supervision import ServiceSpec, SupervisionPlan, supervisor_config
from failover.services.run_lock import AlreadyRunning, sole_run
from failover.services.supervision import ReadyWatch, last_error

ROOT = Path(__file__).parents[3]
SUPERVISOR = """
import sys
from pathlib import Path
from failover.domain.supervision import ServiceSpec, SupervisionPlan
from failover.services.supervision import supervise
from failover.services.valkey import guarded
place = Path(sys.argv[1])
services = tuple(
    ServiceSpec(
        name=name,
        tier=tier,
        settle_s=60 if "cannot" in name else 1,
        command=tuple(guarded([sys.executable, script, str(place), name])),
    )
    for name, tier, script in {services!r}
)
plan = SupervisionPlan(
    services=services, run_dir=place, log_dir=place / "logs", project_dir=Path.cwd()
)
supervise(plan, say=lambda line: print(line, flush=True), on_turn=lambda: None)
print("over", flush=True)
"""
LIVE = "import signal; signal.pause()"
CRASH = """
import json, sys
from pathlib import Path
with (Path(sys.argv[1]) / "starts").open("a") as file: file.write("x")
print(json.dumps({"level": "ERROR", "event": "service_crashed", "reason": "no config"}))
sys.exit(3)
"""


class Supervised:
    def __init__(self, place: Path, services: list[tuple[str, int, str]]) -> None:
        self.place = place
        self.lines: list[str] = []
        scripts = place.with_name(f"{place.name}-scripts")
        scripts.mkdir()
        for name, _, script in services:
            (scripts / name).write_text(script)
        paths = [(name, tier, str(scripts / name)) for name, tier, _ in services]
        self.popen = subprocess.Popen(
            [sys.executable, "-c", SUPERVISOR.format(services=paths), str(place)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self) -> None:
        assert self.popen.stdout is not None
        self.lines.extend(line.rstrip() for line in self.popen.stdout)

    def log(self) -> str:
        path = self.place / "logs" / "supervisor.log"
        return path.read_text() if path.exists() else ""

    def is_running(self, *names: str) -> bool:
        return all(f"success: {name} entered RUNNING" in self.log() for name in names)

    def child(self, name: str) -> psutil.Process | None:
        for child in psutil.Process(self.popen.pid).children():
            with suppress(psutil.NoSuchProcess):  # one just killed
                words = child.cmdline()
                if words[-1:] == [name] and "guarded" not in " ".join(words[:4]):
                    return child
        return None

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        self.popen.send_signal(number)
        code = self.popen.wait(30)
        self.reader.join(5)
        return code


@pytest.fixture
def supervised(tmp_path: Path) -> Iterator[Callable[..., Supervised]]:
    made: list[Supervised] = []

    def start(*services: tuple[str, int, str]) -> Supervised:
        made.append(Supervised(tmp_path, list(services)))
        return made[-1]

    yield start
    for each in made:
        if each.popen.poll() is None:
            each.popen.kill()
            each.popen.wait()
        each.reader.join(5)
        assert each.popen.stdout is not None
        each.popen.stdout.close()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_tiers_stop_from_the_highest_and_nothing_is_left(
    supervised: Callable[..., Supervised], eventually: Callable[..., Any], number: signal.Signals
) -> None:
    run = supervised(("bus", 0, LIVE), ("venue", 1, LIVE), ("reader", 2, LIVE), ("brain", 2, LIVE))
    eventually(lambda: run.is_running("bus", "venue", "reader", "brain"), within_s=90)
    children = psutil.Process(run.popen.pid).children(recursive=True)
    assert len(children) == 4

    assert run.end(number) == 0

    assert run.lines == ["over"]
    assert not [child for child in children if child.is_running()]
    stopped = re.findall(r"stopped: (\S+) \(", run.log())
    assert set(stopped[:2]) == {"reader", "brain"}
    assert stopped[2:] == ["venue", "bus"]
    assert [each.name for each in run.place.iterdir()] == ["logs"]


def test_a_killed_service_comes_back_and_the_console_says_so(
    supervised: Callable[..., Supervised], eventually: Callable[..., Any]
) -> None:
    run = supervised(("market", 1, LIVE))
    eventually(lambda: run.is_running("market"), within_s=90)
    victim = run.child("market")
    assert victim is not None

    victim.kill()

    back = eventually(lambda: (c := run.child("market")) and c.pid != victim.pid and c, within_s=90)
    eventually(lambda: run.log().count("success: market entered RUNNING") == 2, within_s=90)
    assert run.end() == 0
    assert not back.is_running()
    assert run.lines[0].startswith("market ended (exit code ")
    assert run.lines[1:] == ["market is running again", "over"]


def test_a_service_that_cannot_start_is_tried_again_with_its_reason_told_once(
    supervised: Callable[..., Supervised], eventually: Callable[..., Any]
) -> None:
    run = supervised(("cannot", 1, CRASH))
    starts = run.place / "starts"

    eventually(lambda: starts.exists() and len(starts.read_text()) >= 3, within_s=90)

    assert run.end() == 0
    assert len(run.lines) == 2
    assert run.lines[0].startswith(
        "cannot does not stay up, trying again: service_crashed no config"
    )
    assert re.findall(r"spawned: 'cannot'", run.log())[2:]


def test_a_killed_supervisor_takes_its_children_with_it(
    supervised: Callable[..., Supervised], eventually: Callable[..., Any]
) -> None:
    """Also a child that knows nothing of it: the kernel was asked before its program began."""
    run = supervised(("a", 1, LIVE), ("b", 2, LIVE))
    eventually(lambda: run.is_running("a", "b"), within_s=90)
    children = psutil.Process(run.popen.pid).children(recursive=True)

    run.popen.kill()
    run.popen.wait()

    assert len(children) == 2
    eventually(lambda: not any(child.is_running() for child in children), within_s=90)


def test_log_paths_and_arguments_reach_the_child_as_they_are(tmp_path: Path) -> None:
    """The library expands % and splits like a shell."""
    from supervisor.options import ServerOptions

    place = tmp_path / "odd 100% dir"
    (place / "logs").mkdir(parents=True)
    command = ("prog", "", "with space", 'quote"d', "back\\slash", "50%", "semi;colon", "$HOME")
    plan = SupervisionPlan(
        services=(
            ServiceSpec(
                name="odd", command=command, environment={"KEY": "", "SHARE": "50%", "MORE": "x"}
            ),
        ),
        run_dir=place,
        log_dir=place / "logs",
        project_dir=place,
    )
    config = place / "supervisor.conf"
    config.write_text(supervisor_config(plan))
    options = ServerOptions()

    options.realize(["-c", str(config), "-n"], doc="")

    (group,) = options.process_group_configs
    (program,) = group.process_configs
    import shlex

    assert shlex.split(program.command) == list(command)
    assert program.environment == {"KEY": "", "SHARE": "50%", "MORE": "x"}
    assert program.stdout_logfile == str(place / "logs" / "odd.log")


def test_the_last_error_of_a_log_is_one_short_line(tmp_path: Path) -> None:
    path = tmp_path / "x.log"
    records = [
        {"level": "ERROR", "event": "old", "reason": "r"},
        {"level": "ERROR", "event": "service_crashed", "reason": "ValueError('" + "y" * 500},
        {"level": "INFO", "event": "service_stopped"},
    ]
    path.write_text("\n".join(map(json.dumps, records)) + "\n7\nnull\n[1]\n")

    assert last_error(path).startswith("service_crashed ValueError('yyy")
    assert len(last_error(path)) <= 200
    assert last_error(tmp_path / "none.log") == ""


def test_a_page_that_answers_late_is_announced_once(eventually: Callable[..., Any]) -> None:
    said: list[str] = []
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        watch = ReadyWatch("0.0.0.0", server.getsockname()[1], "/", lambda: said.append("ready"))
        watch.check()  # refused: nobody listens
        server.listen()
        watch.check()
        connection, _ = server.accept()
        watch.check()  # open, not answered
        assert said == []
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")

        eventually(lambda: watch.check() or said)
        connection.close()
        watch.check()

    assert said == ["ready"]


def test_one_run_for_one_lock_file(tmp_path: Path) -> None:
    path = tmp_path / "run" / "lock"
    with sole_run(path), pytest.raises(AlreadyRunning), sole_run(path):
        pass

    assert not path.exists()
    with sole_run(path):
        assert path.read_text().strip().isdigit()
