"""Runs the jobs of a backtest side by side in processes of this machine.

A worker never outlives its parent, ignores Ctrl-C (the parent decides), looks between two chunks whether
it should stop, and tells how far it is through shared memory. A worker that dies takes its job with it,
not the others.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Any

from replay.domain.backtest_parts import BacktestJob
from replay.services.backtest_run import OpenData, Outcome, Stopped, failure_of, outcome_of

OnProgress = Callable[[int, int], None]  # over all jobs: done, total
_CONTEXT = multiprocessing.get_context("spawn")
_POLL_S = 0.2
_DIED = "its worker process died (out of memory?); choose a shorter span or fewer symbols"
_STOP = 0  # place of the stop flag in the board
_WORKER: dict[str, Any] = {}  # of the worker process: the board


def run_jobs(
    jobs: Sequence[BacktestJob],
    open_data: OpenData,
    *,
    processes: int,
    on_progress: OnProgress = lambda done, total: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> Iterator[tuple[BacktestJob, Outcome]]:
    """Yield each job with its outcome as it ends. Raises: Stopped, after all workers have ended."""
    board = _CONTEXT.Array("q", 1 + len(jobs), lock=False)
    total = sum(job.size_bytes for job in jobs)

    def watch() -> None:
        on_progress(min(sum(board[1:]), total), total)
        if should_stop():
            raise Stopped

    numbered = list(enumerate(jobs, 1))
    lost = []
    for number, job, outcome in _in_pool(numbered, open_data, board, processes, watch):
        if outcome is None:
            lost.append((number, job))
        else:
            yield job, outcome
    for one in lost:  # a dead worker breaks its whole pool: alone, only the guilty one fails again
        for _, job, outcome in _in_pool([one], open_data, board, 1, watch):
            yield job, outcome or failure_of(job, _DIED)


def _in_pool(
    jobs: Sequence[tuple[int, BacktestJob]],
    open_data: OpenData,
    board: Any,
    processes: int,
    watch: Callable[[], None],
) -> Iterator[tuple[int, BacktestJob, Outcome | None]]:
    """Jobs as they end; without an outcome where the pool broke first."""
    workers = max(min(processes, len(jobs)), 1)
    pool = ProcessPoolExecutor(workers, _CONTEXT, initializer=_begin, initargs=(board,))
    try:
        with _interrupts_held():
            pending = {pool.submit(_work, n, job, open_data): (n, job) for n, job in jobs}
        while pending:
            ended, _ = wait(pending, timeout=_POLL_S, return_when=FIRST_COMPLETED)
            watch()
            for future in ended:
                number, job = pending.pop(future)
                yield number, job, _outcome(job, future)
    finally:
        board[_STOP] = 1
        pool.shutdown(wait=True, cancel_futures=True)
        board[_STOP] = 0


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Processes started meanwhile never see Ctrl-C, not even before their first line; we do, afterwards."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _outcome(job: BacktestJob, future: Future[Outcome]) -> Outcome | None:
    """None where the pool broke before; a defect of ours costs one job, not all of them."""
    error = future.exception()
    if error is None:
        return future.result()
    if isinstance(error, BrokenProcessPool):
        return None
    return failure_of(job, f"{type(error).__name__}: {error}; this is a defect, please report it")


def _begin(board: Any) -> None:
    """First thing in a worker process; Ctrl-C is held back from it since its start."""
    _WORKER["board"] = board
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _work(number: int, job: BacktestJob, open_data: OpenData) -> Outcome:
    board = _WORKER["board"]

    def show(read: int, total: int) -> None:
        del total
        board[number] = read

    try:
        outcome = outcome_of(job, open_data, show, lambda: bool(board[_STOP]))
    except Stopped:
        outcome = failure_of(job, "stopped")
    board[number] = job.size_bytes
    return outcome
