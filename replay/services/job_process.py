"""Starts the process of a replay job, waits for its end, and clears up after one that was killed.

A process of its own: an engine at full speed takes a whole processor, and the worker has to go on beating.
It gets no account keys, and ends when the worker does, however that ends.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Sequence

from django.conf import settings

from failover.services.guarded import SUPERVISOR_PID_VARIABLE
from replay.models import JobState, ReplayJob
from replay.services import job_rows
from replay.services.run_mode_rows import RunModeRows

_POLL_S = 0.2
_STOP_WITHIN_S = 6.0  # the worker's own drain ends after 8


def run_in_process(job_id: int, should_stop: Callable[[], bool]) -> str:
    """Run `manage.py replay_job`; returns the state the job ended in ("" = it was not there to be run)."""
    code = run_command(["replay_job", str(job_id)], should_stop)
    if code:
        _clear_up(job_id, f"its process ended with code {code}; the worker's log has more")
    job = ReplayJob.objects.filter(pk=job_id).first()
    return str(job.state) if job is not None else ""


def run_command(arguments: Sequence[str], should_stop: Callable[[], bool]) -> int:
    """Run a `manage.py` command in a process of its own to its end; returns its exit code."""
    process = subprocess.Popen(  # noqa: S603  (our own command line)
        [sys.executable, str(settings.BASE_DIR / "manage.py"), *arguments],
        cwd=settings.BASE_DIR,
        env={
            **os.environ, **settings.WITHOUT_ACCOUNT,
            "DATA_DIR": str(settings.DATA_DIR), SUPERVISOR_PID_VARIABLE: str(os.getpid()),
        },
        stdin=subprocess.DEVNULL,
    )  # fmt: skip
    return _wait(process, should_stop)


def _wait(process: subprocess.Popen[bytes], should_stop: Callable[[], bool]) -> int:
    while True:
        try:
            return process.wait(_POLL_S)
        except subprocess.TimeoutExpired:
            if should_stop():
                return _end(process)


def _end(process: subprocess.Popen[bytes]) -> int:
    process.terminate()
    try:
        return process.wait(_STOP_WITHIN_S)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()


def _clear_up(job_id: int, why: str) -> None:
    """What the process would have done at its end, where it did not come to that."""
    if job_rows.note_end(job_id, JobState.FAILED, error=why):
        RunModeRows().release(ReplayJob.objects.get(pk=job_id).epoch)
