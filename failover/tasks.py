"""Slow work of the floor for Celery workers."""

from __future__ import annotations

from typing import Any

import msgspec
from celery import shared_task
from celery.worker import state
from celery.worker.state import revoked
from django.conf import settings

from failover.adapters.journal_reader import JournalFolder
from failover.services.journal_index import AlreadyRunning, index_journals


@shared_task(name="indexJournals", bind=True)
def index_journal_files(self: Any) -> dict[str, Any]:
    """Bring the rows of the journal's files up to date; the clock of the worker calls it every five minutes.

    Running twice reads nothing more. It stops between two blocks when it is revoked or the worker drains;
    the next run goes on.
    """
    try:
        done = index_journals(
            settings.DATA_DIR,
            JournalFolder(settings.DATA_DIR / "journal"),
            should_stop=lambda: self.request.id in revoked or _is_draining(),
        )
    except AlreadyRunning as error:
        return {"refused": f"another one is at it (pid {error})"}
    answer: dict[str, Any] = msgspec.to_builtins(done)
    return answer


def _is_draining() -> bool:
    """`failover.services.worker` and Celery itself put an exit code there."""
    return vars(state)["should_stop"] is not None
