"""`manage.py run_worker`: slow work that may run twice (retention, backups, builds), never orders."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from redis.asyncio import Redis

from failover.management.base import ServiceCommand
from failover.services.host import ServiceContext
from failover.services.worker import load_celery_app, start_worker


class Command(ServiceCommand):
    help = "Run background tasks and their clock."
    service = "worker"

    async def start(self, context: ServiceContext, bus: Redis, **options: Any) -> None:
        app = load_celery_app(settings.CELERY_APP)
        await start_worker(
            context, app, schedule_path=settings.DATA_DIR / "run" / "celerybeat-schedule"
        )
