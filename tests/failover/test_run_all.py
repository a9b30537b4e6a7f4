"""run_all as a real process over tiny services and a real Valkey."""

from __future__ import annotations

import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import psutil
import pytest
from django.contrib.auth.hashers import check_password
from django.core.management import call_command, get_commands
from django.core.management.base import CommandError

ROOT = Path(__file__).parents[2]

# A service as any other, so small that starting it is quick: it listens where the dashboard would.
COMMAND = """
import asyncio
from django.conf import settings
from failover.management.base import ServiceCommand
class Command(ServiceCommand):
    service = "dashboard"
    async def start(self, context, bus, **options):
        async def answer(reader, writer):
            await reader.read(100)
            writer.write(b"HTTP/1.1 200 OK\\r\\nContent-Length: 0\\r\\n\\r\\n")
            await writer.drain()
            writer.close()
        await bus.ping()
        server = await asyncio.start_server(answer, *settings.LISTENING_PORTS["WEB"])
        context.on_drain(server.close)
        context.spawn(context.stopping.wait(), name="live")
"""
SETTINGS = """
from scalper_site.settings import *
INSTALLED_APPS = [*INSTALLED_APPS, "tinyapp"]
SUPERVISED_SERVICES = {"dashboard": (1, "tiny_dashboard")}
LISTENING_PORTS = {"WEB": LISTENING_PORTS["WEB"]}
"""


class RunAll:
    """A run_all process, its console and its children."""

    def __init__(self, popen: subprocess.Popen[str], data_dir: Path) -> None:
        self.popen = popen
        self.data_dir = data_dir
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.popen.stdout is not None
        for line in self.popen.stdout:
            self.lines.append(line.rstrip())

    def said(self, pattern: str) -> bool:
        return any(re.search(pattern, line) for line in self.lines)

    def children(self) -> dict[str, psutil.Process]:
        """Name of each running child (command or program) to its process."""
        found = {}
        for child in psutil.Process(self.popen.pid).children(recursive=True):
            try:
                arguments = child.cmdline()
            except psutil.Error:
                continue
            if not arguments or "failover.services.guarded" in arguments:
                continue  # not yet what it is about to become
            found["valkey" if "valkey-server" in arguments[0] else arguments[-1]] = child
        return found

    def end(self, number: signal.Signals) -> int:
        self.popen.send_signal(number)
        code = self.popen.wait(40)
        self._reader.join(5)
        return code


@pytest.fixture
def run_all(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., RunAll]]:
    made: list[RunAll] = []
    place = tmp_path_factory.mktemp("all")
    commands = place / "code" / "tinyapp" / "management" / "commands"
    commands.mkdir(parents=True)
    for folder in (commands, commands.parent, commands.parent.parent):
        (folder / "__init__.py").touch()
    (commands / "tiny_dashboard.py").write_text(COMMAND)
    (place / "code" / "tiny_settings.py").write_text(SETTINGS)
    environment = {name: v for name, v in os.environ.items() if name != "REDIS_URL"} | {
        "DATA_DIR": str(place / "data"),
        "DJANGO_SETTINGS_MODULE": "tiny_settings",
        "PYTHONPATH": str(place / "code"),
    }

    def start(*, port: int) -> RunAll:
        popen = subprocess.Popen(
            [sys.executable, "manage.py", "run_all"],
            cwd=ROOT,
            env={**environment, "WEB_PORT": str(port)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        made.append(RunAll(popen, place / "data"))
        return made[-1]

    yield start
    for each in made:
        if each.popen.poll() is None:
            each.popen.kill()  # its children go with it
            each.popen.wait()
        each._reader.join(5)
        assert each.popen.stdout is not None
        each.popen.stdout.close()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def is_up(run: RunAll) -> bool:
    return run.said("^Dashboard: http://127.0.0.1:") and len(run.children()) == 2


def nothing_is_left(run: RunAll, children: dict[str, psutil.Process], port: int) -> None:
    assert not [child for child in children.values() if child.is_running()]
    assert [each.name for each in (run.data_dir / "run").iterdir()] == ["secret_key"]
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", port))


def test_run_all_from_the_first_start_to_ctrl_c_and_again(
    run_all: Callable[..., RunAll], eventually: Callable[..., Any]
) -> None:
    """One story, because each start costs seconds: what is promised of a first and of a second start."""
    port = free_port()
    first = run_all(port=port)
    eventually(lambda: is_up(first), within_s=90)
    children = first.children()
    assert set(children) == {"valkey", "tiny_dashboard"}
    assert first.said(f"^Dashboard: http://127.0.0.1:{port}/$")

    # a second one on the same data is refused in one line and hurts nobody
    intruder = run_all(port=free_port())
    assert intruder.popen.wait(60) == 1
    intruder._reader.join(5)
    (line,) = intruder.lines
    assert f"run_all already runs on {first.data_dir} (pid {first.popen.pid})" in line
    assert is_up(first)
    assert list(first.data_dir.glob("run/valkey.sock")), "the bus of the first is cut off"

    assert first.end(signal.SIGINT) == 0, first.lines
    assert first.lines[-1] == "Stopped"
    nothing_is_left(first, children, port)
    log = (first.data_dir / "logs" / "supervisor.log").read_text()
    assert re.findall(r"stopped: (\S+) \(", log) == ["dashboard", "valkey"]
    assert '"event": "service_stopped"' in (first.data_dir / "logs" / "dashboard.log").read_text()

    # the password was shown once, works, and is written nowhere
    (line,) = [line for line in first.lines if line.startswith("Administrator")]
    password = line.rpartition(" ")[2]
    assert len(password) >= 20
    for path in first.data_dir.rglob("*"):
        assert not path.is_file() or password.encode() not in path.read_bytes(), path
    assert check_password(password, stored_password(first.data_dir))

    second = run_all(port=port)
    eventually(lambda: is_up(second), within_s=90)
    children = second.children()
    assert second.end(signal.SIGTERM) == 0
    assert not second.said("Administrator")
    nothing_is_left(second, children, port)


def stored_password(data_dir: Path) -> str:
    with closing(sqlite3.connect(data_dir / "scalper.sqlite3")) as database:
        (encoded,) = database.execute("select password from auth_user").fetchone()
    return str(encoded)


@pytest.fixture
def free_ports(settings: Any) -> Any:
    settings.LISTENING_PORTS = {"WEB": ("127.0.0.1", free_port())}
    settings.SUPERVISED_SERVICES = {"dashboard": (1, "run_dashboard")}
    return settings


def test_a_taken_port_is_said_in_one_line(free_ports: Any) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        free_ports.LISTENING_PORTS = {"WEB": taken.getsockname()}

        with pytest.raises(CommandError, match=r"127\.0\.0\.1:\d+ cannot be used .* WEB_PORT"):
            call_command("run_all")


def test_a_service_nobody_knows_is_said_in_one_line(free_ports: Any) -> None:
    with pytest.raises(CommandError, match="nonsense is no service here; there are dashboard"):
        call_command("run_all", only="dashboard,nonsense")


def test_every_supervised_service_has_its_command() -> None:
    from django.conf import settings

    commands = {command for _, command in settings.SUPERVISED_SERVICES.values()}

    assert set(settings.SUPERVISED_SERVICES) == {
        "exchange",
        "execution",
        "dashboard",
        "worker",
        "market",
        "strategy",
    }
    assert commands <= set(get_commands())


@pytest.mark.django_db
def test_an_unusable_admin_hash_is_said_in_one_line_without_the_hash(free_ports: Any) -> None:
    free_ports.ENVIRONMENT = msgspec.structs.replace(
        free_ports.ENVIRONMENT, admin_password_hash="md5-of-my-password"
    )

    with pytest.raises(CommandError, match="ADMIN_PASSWORD_HASH") as caught:
        call_command("run_all")

    assert "md5-of" not in str(caught.value)
