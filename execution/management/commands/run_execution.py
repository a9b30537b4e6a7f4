"""`manage.py run_execution`: order requests in, orders, positions and closed trades out."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from django.conf import settings
from redis.asyncio import Redis

from execution.wiring import UnsupportedMode, refuse_other_modes, start_execution
from failover.management.base import ConfiguredServiceCommand, Refused
from failover.services.config_follower import ConfigFollower
from failover.services.host import ServiceContext


class Command(ConfiguredServiceCommand):
    help = "Carry out what the strategy asks for, and manage every trade until it is flat."
    service = "execution"

    def prepare(self, **options: Any) -> None:
        try:
            refuse_other_modes(settings.ENVIRONMENT.execution_mode)
        except UnsupportedMode as error:
            raise Refused(str(error)) from error

    async def start_on(
        self, follower: ConfigFollower, context: ServiceContext, bus: Redis, **options: Any
    ) -> None:
        _keep_errors(settings.DATA_DIR / "logs" / "execution-error.log")
        await start_execution(context, bus, settings, follower)


def _keep_errors(path: Path) -> None:
    """Every error also goes to its own file, redacted as the rest."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handler = logging.FileHandler(path, encoding="utf-8", delay=True)
    handler.setLevel(logging.ERROR)
    handler.setFormatter(logging.getLogger().handlers[0].formatter)
    logging.getLogger().addHandler(handler)
