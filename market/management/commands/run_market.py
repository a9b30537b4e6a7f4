"""`manage.py run_market`: the exchange's public feed in, frames, raw stream and recording out."""

from __future__ import annotations

import resource
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from failover.adapters.bus import connect_bus
from failover.adapters.heartbeats import write_heartbeat
from failover.domain.heartbeat import Heartbeat
from failover.services.host import ServiceContext, end_process, run_service
from failover.services.logs import configure_logging, secrets_of
from market.services.instruments import NoInstruments, UnknownSymbols
from market.wiring import (
    BadMarketConfig,
    choose_instruments,
    compile_kernel,
    instrument_book,
    load_market_config,
    start_market,
)


class Command(BaseCommand):
    help = "Follow the exchange's public feed: books, frames, raw stream, recording."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--symbols",
            default=settings.ENVIRONMENT.symbols,
            help="comma-separated, e.g. BTCUSDT,ETHUSDT; default: all of a local exchange, else majors",
        )
        parser.add_argument(
            "--config",
            default=settings.ENVIRONMENT.trading_config,
            help="built-in document (default, demo) or a JSON file",
        )

    def handle(self, *, symbols: str, config: str, **_: Any) -> None:
        wanted = [name.strip() for name in symbols.split(",") if name.strip()]
        try:
            market = load_market_config(config, settings.TRADING_PROFILES_DIR)
        except BadMarketConfig as error:
            raise CommandError(str(error)) from error
        environment = settings.ENVIRONMENT
        configure_logging("market", level=environment.log_level, secrets=secrets_of(settings))
        _allow_many_open_files()
        bus = connect_bus(settings.REDIS_URL)
        refusal: list[Exception] = []

        async def start(context: ServiceContext) -> None:
            book = instrument_book(settings)
            # a first start compiles while the exchange, on its own first start, compiles too
            if await context.prepare(compile_kernel, niceness=5) is None:
                return
            context.report(message="waiting for the exchange's instruments")
            try:
                instruments = await context.unless_stopping(
                    choose_instruments(settings, book, wanted)
                )
            except (NoInstruments, UnknownSymbols) as error:
                refusal.append(error)
                context.stop("refused to start")
                return
            if instruments is not None:
                context.report(message="")
                await start_market(context, settings, market, book, instruments)

        async def beat(heartbeat: Heartbeat) -> None:
            await write_heartbeat(bus, settings.BUS_PREFIX, heartbeat)

        code = run_service("market", start, heartbeat=beat)
        if refusal:
            raise CommandError(f"run_market: {refusal[0]}")
        end_process(code)


def _allow_many_open_files() -> None:
    """Three files per symbol stay open; the usual soft limit of 1,024 would end at 340 symbols."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
