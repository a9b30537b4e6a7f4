"""The commands under every `run_*` command.

class Command(ConfiguredServiceCommand):
    help = "Read the market."
    service = "market"

    async def start_on(
        self, follower: ConfigFollower, context: ServiceContext, bus: Redis, **options: Any
    ) -> None:
        await start_market(context, bus, settings, follower)

`raise Refused("…")`, in `prepare` or in a start, ends the command with that one line and exit code 1.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any, ClassVar

from django.conf import settings
from django.core.management.base import (
    BaseCommand,
    CommandError,
    CommandParser,
    SystemCheckError,
)
from redis.asyncio import Redis

from failover.adapters.bus import connect_bus
from failover.adapters.heartbeats import write_heartbeat
from failover.domain.config import BadConfigDocument
from failover.domain.errors import Refused
from failover.domain.heartbeat import Heartbeat
from failover.services.config_follower import ConfigFollower
from failover.services.host import ServiceContext, Start, end_process, run_service
from failover.services.logs import configure_logging, secrets_of
from failover.wiring import open_config

__all__ = ["ConfiguredServiceCommand", "ProvenCommand", "Refused", "ServiceCommand"]


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
    _refusal: Refused | None = None

    def prepare(self, **options: Any) -> None:
        """Judge the arguments before anything starts. Raises: Refused."""

    async def start(self, context: ServiceContext, bus: Redis, **options: Any) -> None:
        """Set the service up on `context`; see `failover.services.host`. Raises: Refused."""
        raise NotImplementedError

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            self.prepare(**options)
        except Refused as refusal:
            raise CommandError(str(refusal)) from refusal
        self.prove_environment()
        configure_logging(
            self.service, level=settings.ENVIRONMENT.log_level, secrets=secrets_of(settings)
        )
        code = run_service(self.service, self._starter(options), heartbeat=self._beat)
        if self._refusal is not None:
            raise CommandError(str(self._refusal)) from self._refusal
        end_process(code)

    def _starter(self, options: dict[str, Any]) -> Start:
        async def start(context: ServiceContext) -> None:
            bus = connect_bus(settings.REDIS_URL)
            context.on_drain(bus.aclose)
            try:
                await self.start(context, bus, **options)
            except Refused as refusal:
                self._refusal = refusal
                context.stop("refused to start")

        return start

    async def _beat(self, beat: Heartbeat) -> None:
        if self._beat_bus is None:
            # its own connection: never behind a blocked read or a large batch
            self._beat_bus = connect_bus(settings.REDIS_URL, socket_timeout_s=1.0)
        await write_heartbeat(self._beat_bus, settings.BUS_PREFIX, beat)


class ConfiguredServiceCommand(ServiceCommand):
    """A service that runs on the active trading config and follows it."""

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--config",
            default="",
            help="run on this document and follow no activation: a built-in one (default, demo), a JSON "
            "file, or a version (v7); without it: the active version",
        )

    async def start(self, context: ServiceContext, bus: Redis, **options: Any) -> None:
        pinned = options["config"]
        try:
            follower = await asyncio.to_thread(
                lambda: open_config(self.service, settings, pinned=pinned)
            )
        except BadConfigDocument as bad:
            raise Refused(str(bad)) from bad
        await self.start_on(follower, context, bus, **options)

    async def start_on(
        self, follower: ConfigFollower, context: ServiceContext, bus: Redis, **options: Any
    ) -> None:
        """Set the service up on `context`; call `failover.wiring.follow_config`. Raises: Refused."""
        raise NotImplementedError
