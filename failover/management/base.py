"""The command under every `run_*` command.

class Command(ServiceCommand):
    help = "Read the market."
    service = "market"

    async def start(self, context: ServiceContext, bus: Redis, **options: Any) -> None:
        await start_market(context, bus, settings)
"""

from __future__ import annotations

import sys
from typing import Any, ClassVar

from django.conf import settings
from django.core.management.base import BaseCommand, SystemCheckError
from redis.asyncio import Redis

from failover.adapters.bus import connect_bus
from failover.adapters.heartbeats import write_heartbeat
from failover.domain.heartbeat import Heartbeat
from failover.services.host import ServiceContext, Start, end_process, run_service
from failover.services.logs import configure_logging, secrets_of


class ProvenCommand(BaseCommand):
    """Runs the system checks itself, so that a wrong environment is a few clear lines and exit code 1."""

    requires_system_checks = []

    def prove_environment(self) -> None:
        """Run the system checks; on errors print them and exit with 1."""
        try:
            self.check()
        except SystemCheckError as error:
            self.stderr.write(str(error))
            sys.exit(1)


class ServiceCommand(ProvenCommand):
    """System checks, logging, a bus connection, the service host, the exit code."""

    service: ClassVar[str]
    _beat_bus: Redis | None = None

    async def start(self, context: ServiceContext, bus: Redis, **options: Any) -> None:
        """Set the service up on `context`; see `failover.services.host`."""
        raise NotImplementedError

    def handle(self, *args: Any, **options: Any) -> None:
        self.prove_environment()
        configure_logging(
            self.service, level=settings.ENVIRONMENT.log_level, secrets=secrets_of(settings)
        )
        end_process(run_service(self.service, self._starter(options), heartbeat=self._beat))

    def _starter(self, options: dict[str, Any]) -> Start:
        async def start(context: ServiceContext) -> None:
            bus = connect_bus(settings.REDIS_URL)
            context.on_drain(bus.aclose)
            await self.start(context, bus, **options)

        return start

    async def _beat(self, beat: Heartbeat) -> None:
        if self._beat_bus is None:
            # its own connection: never behind a blocked read or a large batch
            self._beat_bus = connect_bus(settings.REDIS_URL, socket_timeout_s=1.0)
        await write_heartbeat(self._beat_bus, settings.BUS_PREFIX, beat)
