"""`manage.py run_execution`: order requests in, orders, positions and closed trades out."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from execution.wiring import (
    UnsupportedMode,
    load_execution_config,
    refuse_other_modes,
    start_execution,
)
from failover.adapters.bus import connect_bus
from failover.adapters.heartbeats import write_heartbeat
from failover.domain.heartbeat import Heartbeat
from failover.services.host import ServiceContext, end_process, run_service
from failover.services.logs import configure_logging, secrets_of
from strategy.domain.profile import BadConfig


class Command(BaseCommand):
    help = "Carry out what the strategy asks for, and manage every trade until it is flat."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--config",
            default=settings.ENVIRONMENT.trading_config,
            help="built-in document (default, demo) or a JSON file",
        )

    def handle(self, *, config: str, **_: Any) -> None:
        environment = settings.ENVIRONMENT
        try:
            refuse_other_modes(environment.execution_mode)
            execution, limits = load_execution_config(config)
        except (UnsupportedMode, BadConfig) as error:
            raise CommandError(str(error)) from error
        configure_logging("execution", level=environment.log_level, secrets=secrets_of(settings))
        _keep_errors(settings.DATA_DIR / "logs" / "execution-error.log")
        bus = connect_bus(settings.REDIS_URL)

        async def start(context: ServiceContext) -> None:
            await start_execution(context, settings, execution, limits)

        async def beat(heartbeat: Heartbeat) -> None:
            await write_heartbeat(bus, settings.BUS_PREFIX, heartbeat)

        end_process(run_service("execution", start, heartbeat=beat))


def _keep_errors(path: Path) -> None:
    """Every error also goes to its own file, redacted as the rest."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handler = logging.FileHandler(path, encoding="utf-8", delay=True)
    handler.setLevel(logging.ERROR)
    handler.setFormatter(logging.getLogger().handlers[0].formatter)
    logging.getLogger().addHandler(handler)
