"""`manage.py replay_job ID`: the process of one replay job; the worker starts it, nobody else needs to."""

from __future__ import annotations

import signal
import sys
import threading
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from failover.services.guarded import die_with_supervisor
from failover.services.logs import configure_logging, secrets_of
from replay.services.job_run import run_job
from replay.wiring import job_parts


class Command(BaseCommand):
    help = "Run one replay job of the database; the worker does this."
    requires_system_checks = []  # the worker has made them

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("job_id", type=int)

    def handle(self, *, job_id: int, **options: Any) -> None:
        stopping = threading.Event()
        for name in (signal.SIGINT, signal.SIGTERM):
            signal.signal(name, lambda *_: stopping.set())
        if not die_with_supervisor():
            return
        configure_logging(
            "replay", level=settings.ENVIRONMENT.log_level, secrets=secrets_of(settings)
        )
        sys.setswitchinterval(0.0005)  # the bus thread must not keep a due message waiting
        self.stdout.write(run_job(job_id, job_parts(), stopping))
