"""`manage.py run_market`: the exchange's public feed in, frames, raw stream and recording out."""

from __future__ import annotations

import resource
from functools import partial
from typing import Any

from django.conf import settings
from django.core.management.base import CommandParser
from redis.asyncio import Redis

from failover.management.base import ConfiguredServiceCommand, Refused
from failover.services.config_follower import ConfigFollower
from failover.services.host import ServiceContext
from market.services.instruments import NoInstruments, UnknownSymbols
from market.wiring import choose_instruments, compiled_kernel, instrument_book, start_market


class Command(ConfiguredServiceCommand):
    help = "Follow the exchange's public feed: books, frames, raw stream, recording."
    service = "market"

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "--symbols",
            default=settings.ENVIRONMENT.symbols,
            help="comma-separated, e.g. BTCUSDT,ETHUSDT; default: all of a local exchange, else majors",
        )

    def prepare(self, **options: Any) -> None:
        self._wanted = [name.strip() for name in options["symbols"].split(",") if name.strip()]
        _allow_many_open_files()

    async def start_on(
        self, follower: ConfigFollower, context: ServiceContext, bus: Redis, **options: Any
    ) -> None:
        book = instrument_book(settings)
        if await context.prepare(partial(compiled_kernel, settings)) is None:
            return
        context.report(message="waiting for the exchange's instruments")
        try:
            instruments = await context.unless_stopping(
                choose_instruments(settings, book, self._wanted)
            )
        except (NoInstruments, UnknownSymbols) as error:
            raise Refused(f"run_market: {error}") from error
        if instruments is not None:
            context.report(message="")
            await start_market(context, bus, settings, follower, book, instruments)


def _allow_many_open_files() -> None:
    """Three files per symbol stay open; the usual soft limit of 1,024 would end at 340 symbols."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
