"""`manage.py run_strategy`: frames and execution's news in, order requests out."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management.base import CommandParser
from redis.asyncio import Redis

from failover.management.base import ConfiguredServiceCommand, Refused
from failover.services.config_follower import ConfigFollower
from failover.services.host import ServiceContext
from strategy.wiring import start_strategy


class Command(ConfiguredServiceCommand):
    help = "Decide: regime, score, state, risk and trade plans for each symbol."
    service = "strategy"

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "--symbols", default="", help="comma-separated; default: all the market has"
        )

    def prepare(self, **options: Any) -> None:
        names = options["symbols"].split(",")
        self._only = frozenset(name.strip().upper() for name in names if name.strip())
        if bad := sorted(name for name in self._only if not name.isalnum()):
            raise Refused(f"--symbols: {', '.join(bad)} is no symbol name; say BTCUSDT,ETHUSDT")

    async def start_on(
        self, follower: ConfigFollower, context: ServiceContext, bus: Redis, **options: Any
    ) -> None:
        await start_strategy(context, bus, settings, follower, self._only)
