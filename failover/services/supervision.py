"""Runs the services of a plan as children under the supervisor library, and tells the console the news."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

from supervisor import events
from supervisor.medusa import asyncore_25 as asyncore
from supervisor.options import ServerOptions
from supervisor.supervisord import Supervisor

from failover.domain.supervision import SupervisionPlan, supervisor_config
from failover.services.guarded import SUPERVISOR_PID_VARIABLE

MAX_BACKOFF_S = 15
_TAIL_BYTES = 16_384

Say = Callable[[str], None]


class _Supervision(Supervisor):  # type: ignore[misc]
    """The library's supervisor with our news; it calls `handle_signal` once in every turn of its loop."""

    def __init__(self, options: Any, news: _News, on_turn: Callable[[], None]) -> None:
        super().__init__(options)
        self._news = news
        self._on_turn = on_turn

    def runforever(self) -> None:
        # the library forgets its subscribers when it starts to run
        events.subscribe(events.ProcessStateEvent, self._news.take)
        super().runforever()

    def handle_signal(self) -> None:
        super().handle_signal()
        self._on_turn()


class _News:
    """Turns state changes into lines: a death, its reason, the return."""

    def __init__(self, plan: SupervisionPlan, say: Say) -> None:
        self._log_dir = plan.log_dir
        self._say = say
        self._is_down: set[str] = set()
        self._is_stopping = False

    def take(self, event: Any) -> None:
        name = event.process.config.name
        if isinstance(event, events.ProcessStateStoppingEvent):
            self._is_stopping = True
        elif isinstance(event, events.ProcessStateExitedEvent):
            self._is_down.add(name)
            self._say(f"{name} ended (exit code {event.process.exitstatus}){self._why(name)}")
        elif isinstance(event, events.ProcessStateBackoffEvent):
            self._failed_to_start(name, event.process)
        elif isinstance(event, events.ProcessStateRunningEvent) and name in self._is_down:
            self._is_down.discard(name)
            self._say(f"{name} is running again")

    def _failed_to_start(self, name: str, process: Any) -> None:
        tries = process.backoff
        if tries > MAX_BACKOFF_S:
            process.delay -= tries - MAX_BACKOFF_S
        self._is_down.add(name)
        if not self._is_stopping and (tries == 1 or tries % 10 == 0):
            self._say(f"{name} does not stay up, trying again{self._why(name)}")

    def _why(self, name: str) -> str:
        path = self._log_dir / f"{name}.log"
        reason = last_error(path)
        return f": {reason} (see {path})" if reason else f" (see {path})"


def last_error(path: Path) -> str:
    """The last error a service's log tells of, in one line of at most 200 characters; "" when none."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - _TAIL_BYTES))
            lines = file.read().decode("utf-8", "replace").splitlines()
    except OSError:
        return ""
    for line in reversed(lines):
        with contextlib.suppress(json.JSONDecodeError, AttributeError, TypeError):
            record = json.loads(line)
            if record.get("level") in ("ERROR", "CRITICAL"):
                return f"{record.get('event')} {record.get('reason', '')}".strip()[:200]
            continue
        if "Error" in line:
            return line.strip()[:200]
    return ""


class ReadyWatch:
    """Says once that a page answers. `check` never waits: call it in every turn of a loop.

    A page's first answer may take seconds, so a question stays open over many turns.
    """

    def __init__(self, host: str, port: int, path: str, on_ready: Callable[[], None]) -> None:
        self._address = ({"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host), port)  # noqa: S104
        self._path = path
        self._on_ready: Callable[[], None] | None = on_ready
        self._question: socket.socket | None = None

    def check(self) -> None:
        if self._on_ready is None or not self._is_answered():
            return
        self._on_ready()
        self._on_ready = None

    def _is_answered(self) -> bool:
        try:
            if self._question is None:
                self._question = self._ask()
            answer = self._question.recv(64)
        except BlockingIOError:
            return False
        except OSError:
            answer = b""
        if self._question is not None:
            self._question.close()
            self._question = None
        return answer.startswith(b"HTTP/")

    def _ask(self) -> socket.socket:
        connection = socket.create_connection(self._address, timeout=0.2)
        request = f"GET {self._path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        connection.sendall(request.encode())
        connection.setblocking(False)
        return connection


def supervise(plan: SupervisionPlan, *, say: Say, on_turn: Callable[[], None]) -> None:
    """Run the plan until SIGINT, SIGTERM, SIGQUIT or SIGHUP; all children have ended when it returns.

    Children ask the kernel to be ended if this process is killed. Takes over the process's signals.
    """
    plan.log_dir.mkdir(parents=True, exist_ok=True)
    config = plan.run_dir / "supervisor.conf"
    config.write_text(supervisor_config(plan), encoding="utf-8")
    os.environ[SUPERVISOR_PID_VARIABLE] = str(os.getpid())
    options = ServerOptions()
    options.first, options.test = True, False
    try:
        options.realize(["-c", str(config), "-n"], doc="run_all")
        with contextlib.suppress(asyncore.ExitNow):
            _Supervision(options, _News(plan, say), on_turn).main()
    finally:
        config.unlink(missing_ok=True)
        (plan.run_dir / "supervisor.pid").unlink(missing_ok=True)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)  # what is left to do takes no time
