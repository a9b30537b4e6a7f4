"""One run_all for one data directory."""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
from collections.abc import Iterator
from pathlib import Path


class AlreadyRunning(Exception):
    """Another run_all holds the data directory: stop that one, or use another DATA_DIR."""


class PortTaken(Exception):
    """Another program listens there: stop it, or choose another port."""


@contextlib.contextmanager
def sole_run(path: Path) -> Iterator[None]:
    """Hold the lock file `path` (it carries our pid) and remove it at the end. Raises: AlreadyRunning."""
    handle = _locked(path)
    try:
        os.ftruncate(handle, 0)
        os.write(handle, f"{os.getpid()}\n".encode())
        yield
    finally:
        path.unlink(missing_ok=True)
        os.close(handle)


def _locked(path: Path) -> int:
    path.parent.mkdir(parents=True, exist_ok=True)
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(handle, 20).decode(errors="replace").strip() or "unknown"
            os.close(handle)
            raise AlreadyRunning(holder) from None
        if _is_still(handle, path):
            return handle
        os.close(handle)  # its holder removed it between our open and our lock


def _is_still(handle: int, path: Path) -> bool:
    try:
        return os.fstat(handle).st_ino == path.stat().st_ino
    except FileNotFoundError:
        return False


def require_free_port(host: str, port: int) -> None:
    """Raises: PortTaken when something listens on it, or the host is not ours."""
    try:
        address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(address[0], socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address[4])
    except OSError as error:
        raise PortTaken(error.strerror or str(error)) from error
