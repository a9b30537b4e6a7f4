"""The host under every `run_*` command: signals, drain, heartbeat, and a reason for every death.

    async def start(context: ServiceContext) -> None:
        feed = await connect_feed()
        context.on_drain(feed.close)                  # closed last to first, after the tasks ended
        context.spawn(feed.run(context.stopping), name="feed")

    code = run_service("market", start, heartbeat=...)       # then end_process(code)

`start` sets things up and returns (or runs until `context.stopping` is set; both are fine). A stop request
sets `context.stopping`: tasks end by themselves, those still running after `DRAIN_S` are cancelled. A task
that raises ends the service: the reason is logged, the rest drains, the exit code is not 0.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
import sysconfig
import threading
import time
import traceback
import uuid
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NoReturn, TypeVar

import uvloop

from failover.domain.heartbeat import Heartbeat, Phase
from failover.services.guarded import die_with_supervisor

logger = logging.getLogger(__name__)

DRAIN_S = 8.0
EXIT_S = 9.5  # a loop that does not come back from a call is ended by force
STARTING_EXIT_S = 4.0
BEAT_S = 1.0
EXIT_CRASHED = 1
_CLOSE_S = 2.0
_STDLIB = sysconfig.get_path("stdlib")

T = TypeVar("T")
Start = Callable[["ServiceContext"], Awaitable[None]]
HeartbeatSink = Callable[[Heartbeat], Awaitable[None]]


@dataclass(slots=True, kw_only=True)
class ServiceContext:
    """What a service gets from its host."""

    name: str
    boot_id: str = field(default_factory=lambda: uuid.uuid4().hex[:16])
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    phase: Phase = "STARTING"
    message: str = ""
    _reported_lag_ms: float = 0.0
    _details: dict[str, Any] = field(default_factory=dict)
    _tasks: set[asyncio.Task[Any]] = field(default_factory=set)
    _closers: list[Callable[[], Awaitable[Any] | None]] = field(default_factory=list)
    _failure: BaseException | None = None

    def spawn(self, work: Coroutine[Any, Any, Any], *, name: str) -> asyncio.Task[Any]:
        """Run `work` as part of the service; if it raises (or is cancelled from outside), that ends."""
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._task_ended)
        return task

    def on_drain(self, close: Callable[[], Awaitable[Any] | None]) -> None:
        """Call (and await) `close` after the tasks have ended; the last registered is the first closed."""
        self._closers.append(close)

    def running(self, message: str = "") -> None:
        """Say that the service does its job now. Said for it when `start` returns."""
        if self.phase == "STARTING":
            self.phase = "RUNNING"
            logger.info("service_running", extra={"pid": os.getpid()})
        self.message = message

    def report(
        self,
        *,
        lag_ms: float | None = None,
        message: str | None = None,
        details: dict[str, Any] | None = None,
    ) -> None:
        """Set what the next heartbeats say; `details` are merged into those reported before."""
        if lag_ms is not None:
            self._reported_lag_ms = lag_ms
        if message is not None:
            self.message = message
        if details is not None:
            self._details.update(details)

    async def sleep(self, seconds: float) -> bool:
        """Wait, but no longer than until a stop is asked for; True when it is."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.stopping.wait(), seconds)
        return self.stopping.is_set()

    async def unless_stopping(self, work: Awaitable[T]) -> T | None:
        """What `work` gives; None when a stop is asked for first, and `work` is then cancelled."""
        future = asyncio.ensure_future(work)
        stop = asyncio.ensure_future(self.stopping.wait())
        either: set[asyncio.Future[Any]] = {future, stop}
        try:
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            return await future if future.done() else None
        finally:
            stop.cancel()
            future.cancel()

    async def prepare(
        self,
        work: Callable[[], T],
        *,
        message: str = "compiling kernels (first start)",
        niceness: int = 10,
    ) -> T | None:
        """What long work gives that runs beside the loop: heartbeats go on, a stop is answered at once.

        None when a stop came first. `niceness` 0 to 19: how far it gives way to others on a busy processor.
        Raises: what `work` raises.
        """
        before, self.message = self.message, message
        try:
            return await self.unless_stopping(_in_thread(work, niceness))
        finally:
            self.message = before

    def stop(self, reason: str) -> None:
        """Ask the service to end cleanly, as a signal does."""
        if not self.stopping.is_set():
            logger.info("service_stopping", extra={"reason": reason})
            self.stopping.set()

    def fail(self, error: BaseException, *, task: str = "") -> None:
        """End the service because of `error`; the exit code will not be 0."""
        logger.error("service_crashed", exc_info=error, extra={"task": task, "reason": repr(error)})
        if self._failure is None:
            self._failure = error
            self.message = f"{task}: {error!r}"
        self.stopping.set()

    def beat(self, loop_lag_ms: float) -> Heartbeat:
        return Heartbeat(
            service=self.name,
            boot_id=self.boot_id,
            pid=os.getpid(),
            phase=self.phase,
            lag_ms=round(max(loop_lag_ms, self._reported_lag_ms), 1),
            message=self.message,
            details=dict(self._details),
            ts=datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        )

    def _task_ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if task.cancelled():
            if not self.stopping.is_set():
                self.fail(RuntimeError("cancelled from outside"), task=task.get_name())
        elif (error := task.exception()) is not None:
            self.fail(error, task=task.get_name())


def run_service(name: str, start: Start, *, heartbeat: HeartbeatSink | None = None) -> int:
    """Run a service until a signal, a crash or the end of its work; returns the exit code.

    It is 0 after a clean stop, `EXIT_CRASHED` after a crash or a drain that had to be cut.
    A second signal ends the process at once. Under `run_all` it also ends when run_all does, however that
    ends. Give the code to `end_process`.
    Logging must be configured before. It owns the process: signals, and a time limit on its end.
    """
    if not die_with_supervisor():
        logger.error("supervisor_gone")
        return EXIT_CRASHED
    return uvloop.run(_host(name, start, heartbeat))


def end_process(code: int) -> NoReturn:
    """End at once: all is closed, and tearing down an interpreter full of compiled code takes seconds."""
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


async def _host(name: str, start: Start, heartbeat: HeartbeatSink | None) -> int:
    context = ServiceContext(name=name)
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, details: _unhandled(context, details))
    _install_signals(loop, context)
    beating = loop.create_task(_beat_forever(context, heartbeat), name="heartbeat")
    logger.info("service_starting", extra={"bootId": context.boot_id, "pid": os.getpid()})
    context.spawn(_start(context, start), name="start")
    await _until_stop_or_done(context)
    context.phase = "DRAINING"
    _exit_by_force_after(EXIT_S)
    is_drained = await _drain(context)
    context.phase = "STOPPED"
    beating.cancel()
    await asyncio.wait([beating], timeout=_CLOSE_S)
    code = EXIT_CRASHED if context._failure is not None or not is_drained else 0  # noqa: SLF001
    logger.info("service_stopped", extra={"exitCode": code, "bootId": context.boot_id})
    return code


async def _start(context: ServiceContext, start: Start) -> None:
    await start(context)
    if not context.stopping.is_set():
        context.running(context.message)


def _in_thread(work: Callable[[], T], niceness: int) -> asyncio.Future[T]:
    """Like `asyncio.to_thread`, but nicer, and the end of the process does not wait for it."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()

    def tell(result: T | None, error: BaseException | None) -> None:
        if done.cancelled():
            return
        if error is not None:
            done.set_exception(error)
        else:
            done.set_result(result)  # type: ignore[arg-type]

    def run() -> None:
        result, error = None, None
        if sys.platform.startswith("linux"):  # there, niceness belongs to a thread
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), niceness)
        try:
            result = work()
        except BaseException as raised:  # noqa: BLE001  (handed to the loop)
            error = raised
        with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
            loop.call_soon_threadsafe(tell, result, error)

    threading.Thread(target=run, name="prepare", daemon=True).start()
    return done


async def _until_stop_or_done(context: ServiceContext) -> None:
    stop = asyncio.ensure_future(context.stopping.wait())
    while not stop.done() and context._tasks:  # noqa: SLF001
        await asyncio.wait({stop, *context._tasks}, return_when=asyncio.FIRST_COMPLETED)  # noqa: SLF001
    stop.cancel()
    context.stop("work done")


async def _drain(context: ServiceContext) -> bool:
    """Let tasks end, cancel what does not, then close; False when something had to be cut."""
    deadline = time.monotonic() + DRAIN_S
    tasks = set(context._tasks)  # noqa: SLF001
    pending: set[asyncio.Task[Any]] = set()
    if tasks:
        _, pending = await asyncio.wait(tasks, timeout=DRAIN_S - _CLOSE_S)
    if pending:
        logger.error("drain_cut", extra={"tasks": sorted(task.get_name() for task in pending)})
        for task in pending:
            task.cancel()
        await asyncio.wait(pending, timeout=_CLOSE_S / 2)
    is_clean = not pending
    for close in reversed(context._closers):  # noqa: SLF001
        is_clean &= await _close(close, max(0.1, deadline - time.monotonic()))
    return is_clean


async def _close(close: Callable[[], Awaitable[Any] | None], timeout_s: float) -> bool:
    try:
        result = close()
        if result is not None:
            await asyncio.wait_for(result, timeout_s)
    except Exception as error:  # the other closers must still run
        logger.error("close_failed", exc_info=error, extra={"closer": repr(close)})
        return False
    return True


async def _beat_forever(context: ServiceContext, sink: HeartbeatSink | None) -> None:
    """Beat every second, whatever the sink says, and once more when stopped."""
    if sink is None:
        return
    is_failing = False
    lag_ms = 0.0
    try:
        while True:
            due = time.monotonic() + BEAT_S
            is_failing = await _beat_once(context, sink, lag_ms, is_failing=is_failing)
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            lag_ms = max(0.0, (time.monotonic() - due) * 1e3)
    finally:
        await _beat_once(context, sink, lag_ms, is_failing=is_failing)


async def _beat_once(
    context: ServiceContext, sink: HeartbeatSink, lag_ms: float, *, is_failing: bool
) -> bool:
    try:
        await asyncio.wait_for(sink(context.beat(lag_ms)), BEAT_S)
    except Exception as error:  # noqa: BLE001  (a service outlives its bus)
        if not is_failing:
            logger.warning("heartbeat_failing", extra={"reason": repr(error)})
        return True
    if is_failing:
        logger.info("heartbeat_recovered")
    return False


def _install_signals(loop: asyncio.AbstractEventLoop, context: ServiceContext) -> None:
    """The first signal asks; from then on any signal ends the process, and so does the time limit.

    Plain handlers and not the loop's: they run also while the loop is inside a long call.
    """

    def ask(number: int, _frame: Any) -> None:
        for each in (signal.SIGTERM, signal.SIGINT):
            signal.signal(each, lambda received, _: os._exit(128 + received))
        # a service still starting may sit in a long call, and has nothing to drain
        _exit_by_force_after(EXIT_S if context.phase != "STARTING" else STARTING_EXIT_S)
        loop.call_soon_threadsafe(context.stop, signal.Signals(number).name)

    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, ask)


def _exit_by_force_after(seconds: float) -> None:
    guard = threading.Timer(seconds, _exit_by_force)
    guard.daemon = True
    guard.start()


def _exit_by_force() -> None:
    logger.error("drain_timed_out")
    end_process(EXIT_CRASHED)


def _unhandled(context: ServiceContext, details: dict[str, Any]) -> None:
    """Errors nobody awaited. One of our own tasks or callbacks ends the service; a library's is logged."""
    error = details.get("exception")
    task = details.get("future") or details.get("task")
    if error is not None and isinstance(task, asyncio.Task) and _is_own(task):
        context.fail(error, task=task.get_name())
        return
    if error is not None and task is None and _is_own_callback(error):
        context.fail(error, task="callback")
        return
    logger.error(
        "unhandled_error",
        exc_info=error,
        extra={"reason": details.get("message", ""), "error": repr(error)},
    )


def _is_own(task: asyncio.Task[Any]) -> bool:
    code = getattr(task.get_coro(), "cr_code", None)
    return code is not None and "site-packages" not in code.co_filename


def _is_own_callback(error: BaseException) -> bool:
    """Whether the callback of the loop that raised is ours: what it was about to do is lost."""
    files = (frame.f_code.co_filename for frame, _ in traceback.walk_tb(error.__traceback__))
    first = next((file for file in files if "uvloop" not in file), "")
    return bool(first) and "site-packages" not in first and not first.startswith(_STDLIB)
