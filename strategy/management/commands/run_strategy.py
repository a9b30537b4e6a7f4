"""`manage.py run_strategy`: frames and execution's news in, order requests out."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from failover.adapters.bus import connect_bus
from failover.adapters.heartbeats import write_heartbeat
from failover.domain.heartbeat import Heartbeat
from failover.services.host import ServiceContext, end_process, run_service
from failover.services.logs import configure_logging, secrets_of
from strategy.domain.profile import BadConfig
from strategy.wiring import load_decision_config, start_strategy


class Command(BaseCommand):
    help = "Decide: regime, score, state, risk and trade plans for each symbol."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--symbols", default="", help="comma-separated; default: all the market has"
        )
        parser.add_argument(
            "--config",
            default=settings.ENVIRONMENT.trading_config,
            help="built-in document (default, demo) or a JSON file",
        )

    def handle(self, *, symbols: str, config: str, **_: Any) -> None:
        only = frozenset(name.strip().upper() for name in symbols.split(",") if name.strip())
        if bad := sorted(name for name in only if not name.isalnum()):
            raise CommandError(
                f"--symbols: {', '.join(bad)} is no symbol name; say BTCUSDT,ETHUSDT"
            )
        try:
            decisions = load_decision_config(config)
        except BadConfig as error:
            raise CommandError(str(error)) from error
        environment = settings.ENVIRONMENT
        configure_logging("strategy", level=environment.log_level, secrets=secrets_of(settings))
        bus = connect_bus(settings.REDIS_URL)

        async def start(context: ServiceContext) -> None:
            await start_strategy(context, settings, decisions, only)

        async def beat(heartbeat: Heartbeat) -> None:
            await write_heartbeat(bus, settings.BUS_PREFIX, heartbeat)

        end_process(run_service("strategy", start, heartbeat=beat))
