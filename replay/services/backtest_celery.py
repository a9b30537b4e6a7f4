"""Runs the jobs of a backtest on the Celery workers that share the bus, on any number of machines."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec
from celery import Celery
from celery.result import AsyncResult
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from replay.domain.backtest_parts import BacktestJob, PartFailure, PartResult
from replay.services.backtest_run import Outcome, Stopped, failure_of

TASK_NAME = "replay.backtest_job"
_POLL_S = 0.3
_ASK_EVERY_S = 20.0
_PING_TIMEOUT_S = 2.0
_ENDED = frozenset({"SUCCESS", "FAILURE", "REVOKED"})


class NoWorkers(Exception):
    """Start a worker (`manage.py run_worker`) that shares the bus and the files, or leave out --celery."""


def run_on_workers(
    app: Celery,
    jobs: Sequence[BacktestJob],
    *,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> Iterator[tuple[BacktestJob, Outcome]]:
    """As `run_jobs`, elsewhere. Raises: NoWorkers, Stopped (the tasks are then called back)."""
    _ask_for_workers(app)
    pending = {_send(app, job): job for job in jobs}
    total = sum(job.size_bytes for job in jobs)
    done, asked_at = 0, time.monotonic()
    try:
        while pending:
            for result, job in list(pending.items()):
                if result.state in _ENDED:
                    del pending[result]
                    done += job.size_bytes
                    asked_at = time.monotonic()
                    yield job, _outcome(job, result)
            on_progress(min(done + sum(map(_read_by, pending)), total), total)
            if should_stop():
                raise Stopped
            if pending and time.monotonic() - asked_at > _ASK_EVERY_S:
                _ask_for_workers(app)
                asked_at = time.monotonic()
            time.sleep(_POLL_S if pending else 0)
    except Stopped:
        app.control.revoke([result.id for result in pending])
        raise
    except (OperationalError, RedisError) as error:
        raise NoWorkers(f"the bus is gone: {error}") from None


def _ask_for_workers(app: Celery) -> None:
    try:
        answers = app.control.ping(timeout=_PING_TIMEOUT_S)
    except (OperationalError, OSError) as error:
        raise NoWorkers(f"the bus does not answer ({error}); is the system running?") from None
    if not answers:
        raise NoWorkers("no Celery worker answers; start one with manage.py run_worker")


def _send(app: Celery, job: BacktestJob) -> AsyncResult[Any]:
    result: AsyncResult[Any] = app.send_task(TASK_NAME, [msgspec.json.encode(job).decode()])
    return result


def _read_by(result: AsyncResult[Any]) -> int:
    meta = result.info
    return int(meta.get("read", 0)) if isinstance(meta, dict) else 0


def _outcome(job: BacktestJob, result: AsyncResult[Any]) -> Outcome:
    state, answer = result.state, result.result
    result.forget()
    if state != "SUCCESS" or not isinstance(answer, dict):
        return failure_of(job, f"the worker gave up: {answer}")
    if "part" in answer:
        return msgspec.json.decode(answer["part"], type=PartResult)
    if "failure" in answer:
        return msgspec.json.decode(answer["failure"], type=PartFailure)
    return failure_of(job, "stopped")
