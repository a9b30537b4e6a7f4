"""A whole system under `run_all`: its console, processes, heartbeats, bus and files."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import psutil
import redis

from failover.adapters.heartbeats import _DECODER, heartbeat_key
from failover.domain.heartbeat import Heartbeat

ROOT = Path(__file__).parents[2]
START_S = 240.0
SERVICES = ("exchange", "market", "strategy", "execution", "dashboard", "worker")
BEATS_AS = {"dashboard": "web"}
_BUS = "scalper-1:bus:"

T = TypeVar("T")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class System:
    """One data directory and its ports; `start` and `end` a run_all on it, any number of times."""

    def __init__(self, folder: Path, trading_config: str = "demo") -> None:
        self._trading_config = trading_config
        self.data_dir = folder / "data"
        self.log = folder / "run_all.log"
        self.web_port, self.exchange_port = free_port(), free_port()
        self.url = f"http://127.0.0.1:{self.web_port}"
        self.password = ""
        self._socket = self.data_dir / "run" / "valkey.sock"
        self.bus = redis.Redis(unix_socket_path=str(self._socket), socket_timeout=5)
        self.process: subprocess.Popen[bytes] | None = None
        self.started_ns = 0
        self._away: list[tuple[str, int, int]] = []

    # -- life -------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start run_all and wait for the dashboard; the first time, take the password it prints."""
        self.started_ns = time.time_ns()
        said_before = len(self.said())
        environment = {name: v for name, v in os.environ.items() if name != "REDIS_URL"} | {
            "DATA_DIR": str(self.data_dir), "ENV_FILE": os.devnull, "PYTHONUNBUFFERED": "1",
            "TRADING_CONFIG": self._trading_config, "WEB_PORT": str(self.web_port),
            "EXCHANGE_PORT": str(self.exchange_port),
            "BYBIT_API_KEY": "key-for-execution-only", "BYBIT_API_SECRET": "secret-for-execution-only",
        }  # fmt: skip
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, "manage.py", "run_all"],
                cwd=ROOT, env=environment, stdout=output, stderr=subprocess.STDOUT,
            )  # fmt: skip
        self.until(lambda: "Dashboard: http" in self.said()[said_before:], "a dashboard", START_S)
        if not self.password:
            (self.password,) = re.findall(r"password (\S+)", self.said())

    def end(self, number: signal.Signals, within_s: float = 60.0) -> int:
        assert self.process is not None
        self.process.send_signal(number)
        code = self.process.wait(within_s)
        self.bus.close()
        self.process = None
        return code

    @contextmanager
    def away(self, *names: str, since_ns: int | None = None) -> Iterator[None]:
        """Within it, or since then, services are ended and come back."""
        from_ns = since_ns or time.time_ns()
        yield
        self._away += [(name, from_ns, time.time_ns()) for name in names]

    def was_away(self, name: str, from_ns: int, to_ns: int) -> bool:
        """Whether a service had been ended just then, give or take what it had not written yet."""
        slack_ns = 2_000_000_000
        return any(
            name == each and from_ns >= since_ns - slack_ns and to_ns <= back_ns + slack_ns
            for each, since_ns, back_ns in self._away
        )

    def said(self) -> str:
        return self.log.read_text() if self.log.exists() else ""

    # -- what can be seen from outside ----------------------------------------------------------------

    def until(self, condition: Callable[[], T], what: str, within_s: float = 60.0) -> T:
        """Wait for a condition; a bus that is away for a moment is not yet an answer."""
        deadline = time.monotonic() + within_s
        while True:
            try:
                if result := condition():
                    return result
            except (redis.RedisError, psutil.Error, OSError):
                pass
            if time.monotonic() > deadline:
                raise AssertionError(f"not within {within_s:.0f} s: {what}\n{self._told()}")
            time.sleep(0.1)

    def _told(self) -> str:
        try:
            beats = "\n".join(map(str, self.beats().values()))
        except redis.RedisError as error:
            beats = repr(error)
        return f"{self.said()[-1500:]}\n{beats}"

    def beats(self) -> dict[str, Heartbeat]:
        keys = [heartbeat_key(_BUS, BEATS_AS.get(name, name)) for name in SERVICES]
        values: Any = self.bus.mget(keys)
        return {
            name: _DECODER.decode(value)
            for name, value in zip(SERVICES, values, strict=True)
            if value is not None
        }

    def newest(self, stream: str) -> str:
        """Id of the last entry of a bus stream; empty when there is none."""
        entries: Any = self.bus.xrevrange(_BUS + stream, count=1)
        return entries[0][0].decode() if entries else ""

    def processes(self) -> dict[int, psutil.Process]:
        """Every process of ours: our data directory is in its environment or in its title.

        Valkey writes its title over its environment.
        """
        found = {}
        for process in psutil.process_iter():
            try:
                is_ours = process.environ().get("DATA_DIR") == str(self.data_dir)
                if is_ours or str(self.data_dir) in " ".join(process.cmdline()):
                    found[process.pid] = process
            except psutil.Error:
                continue
        return found

    def valkey(self) -> psutil.Process:
        """The server of the bus. Raises psutil.NoSuchProcess while there is none."""
        for process in self.processes().values():
            if any("valkey-server" in part for part in process.cmdline()[:1]):
                return process
        raise psutil.NoSuchProcess(0, "valkey-server")

    def leftovers(self) -> list[str]:
        """What should not be there after the end: processes, bound ports, sockets, locks."""
        left = [f"process {process.cmdline()}" for process in self.processes().values()]
        kept = ("secret_key", "celerybeat-schedule")
        left += [
            f"file {path.name}"
            for path in (self.data_dir / "run").iterdir()
            if not path.name.startswith(kept)
        ]
        for port in (self.web_port, self.exchange_port):
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    left.append(f"port {port}")
        return left
