"""Keeps the newest laps of a job: a loop at full speed would otherwise fill the disk with equal results."""

from __future__ import annotations

import logging
import shutil
from dataclasses import dataclass
from pathlib import Path

from replay.models import ReplayRun
from replay.services import job_rows

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class LapsKept:
    """Runs of one job under `folder`; the newest `most` stay. Raises DatabaseError."""

    job_id: int
    folder: Path
    most: int

    def begin(self, run_id: str) -> None:
        """A lap begins: the oldest go that there is no room for."""
        for old in job_rows.note_run(self.job_id, run_id, self.most):
            ReplayRun.objects.filter(run_id=old).delete()
            shutil.rmtree(self.folder / old, ignore_errors=True)

    def end(self, unsaved: str) -> None:
        """`unsaved` says why the row of a finished lap could not be written, or is empty."""
        if unsaved:
            logger.error("replay_run_not_saved", extra={"job": self.job_id, "reason": unsaved})
