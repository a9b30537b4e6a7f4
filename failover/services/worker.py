"""The Celery worker and its clock (beat) inside a service: threads of one process.

Threads and no process pool: the tasks wait for disks and the database, and forked workers would cost the
memory of a Django each and could outlive a killed parent.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

from celery import Celery, signals
from celery.beat import EmbeddedService
from celery.worker import WorkController, state

from failover.services.host import ServiceContext

logger = logging.getLogger(__name__)

CONCURRENCY = 2
MAX_CLOCK_WAIT_S = 5


def load_celery_app(path: str) -> Celery:
    """The app at `package.module:attribute`."""
    module, _, attribute = path.partition(":")
    app = getattr(import_module(module), attribute)
    assert isinstance(app, Celery), f"{path} is no Celery app"
    return app


async def start_worker(context: ServiceContext, app: Celery, *, schedule_path: Path) -> None:
    """Run worker and beat until the service stops; a running task may end first (a warm shutdown).

    A task that takes longer than the drain is delivered again to the next worker: tasks acknowledge late.
    """
    schedule_path.parent.mkdir(parents=True, exist_ok=True)
    # the service's own logging is configured already
    signals.setup_logging.connect(_leave_logging_alone, weak=False)
    worker = _worker(app)
    beat = EmbeddedService(
        app, thread=True, schedule_filename=str(schedule_path), max_interval=MAX_CLOCK_WAIT_S
    )
    counts = _count_tasks(context)
    context.spawn(_run(context, worker, beat), name="worker")
    context.on_drain(counts)


async def _run(context: ServiceContext, worker: Any, beat: Any) -> None:
    ended = _in_thread(worker.start, "celery-worker")
    beat.start()
    stopping = asyncio.ensure_future(context.stopping.wait())
    either: set[asyncio.Future[Any]] = {stopping, ended}
    await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    # the worker looks at it in every turn of its loop; 0 is the exit code
    vars(state)["should_stop"] = 0
    await asyncio.to_thread(beat.stop)
    failure = await ended
    if failure is not None:
        raise failure
    if not context.stopping.is_set():
        raise RuntimeError("the worker ended by itself")


def _worker(app: Celery) -> Any:
    return WorkController(
        app=app,
        pool_cls="threads",
        concurrency=CONCURRENCY,
        loglevel=logging.getLogger().level,
        without_gossip=True,
        without_mingle=True,
        quiet=True,
    )


def _in_thread(work: Callable[[], None], name: str) -> asyncio.Future[BaseException | None]:
    """Run `work` in a daemon thread; the future gives what it raised, or None."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[BaseException | None] = loop.create_future()

    def run() -> None:
        failure: BaseException | None = None
        try:
            work()
        except SystemExit:
            pass
        except BaseException as error:  # noqa: BLE001  (handed to the loop, which ends the service)
            failure = error
        loop.call_soon_threadsafe(tell, failure)

    def tell(failure: BaseException | None) -> None:
        if not done.cancelled():
            done.set_result(failure)

    threading.Thread(target=run, name=name, daemon=True).start()
    return done


def _count_tasks(context: ServiceContext) -> Callable[[], None]:
    """Tell the heartbeats how many tasks ran and failed; returns what undoes it."""
    loop = asyncio.get_running_loop()
    counts = {"tasksDone": 0, "tasksFailed": 0}

    def count(name: str) -> None:
        counts[name] += 1
        loop.call_soon_threadsafe(lambda: context.report(details=dict(counts)))

    def on_done(**_: Any) -> None:
        count("tasksDone")

    def on_failed(sender: Any = None, exception: Any = None, **_: Any) -> None:
        count("tasksFailed")
        name = getattr(sender, "name", "")
        logger.error("task_failed", exc_info=exception, extra={"task": name})

    signals.task_success.connect(on_done)
    signals.task_failure.connect(on_failed)
    context.report(details=dict(counts))

    def undo() -> None:
        signals.task_success.disconnect(on_done)
        signals.task_failure.disconnect(on_failed)

    return undo


def _leave_logging_alone(**_: Any) -> None:
    """Celery configures no logging where this signal has a receiver."""
