"""The local exchange: a Bybit-V5-compatible venue for demos, tests and drills. Never in production."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from execution.domain.synthetic_instruments import UnknownSymbol, symbols_named
from execution.exchange.build import BadMarket, exchange_of
from execution.exchange.server import ExchangeServer, ServerOptions
from failover.services.host import ServiceContext, run_service
from failover.services.logs import configure_logging, secrets_of

_REPORT_S = 1.0


class Command(BaseCommand):
    help = "Run the local exchange: a synthetic market, or a recording played at a speed factor."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--host", help="address to bind (EXCHANGE_HOST)")
        parser.add_argument(
            "--port", type=int, help="port to bind, 0 for a free one (EXCHANGE_PORT)"
        )
        parser.add_argument("--seed", type=int, default=1, help="of the synthetic market")
        parser.add_argument(
            "--predictability",
            type=float,
            default=1.0,
            help="strength of the short-term drift the book gives away; 0 switches it off",
        )
        parser.add_argument(
            "--symbols",
            default="",
            help="names with commas, or how many: 4 real ones, then SYNnnUSDT",
        )
        parser.add_argument(
            "--play", type=Path, help="play this recording instead of a synthetic market"
        )
        parser.add_argument("--speed", type=float, default=1.0, help="market seconds per second")
        parser.add_argument(
            "--rate-multiplier", type=float, default=1.0, help="more, smaller events, for load"
        )
        parser.add_argument(
            "--reply-delay-ms", type=float, default=20.0, help="before a subscription is answered"
        )

    def handle(self, **options: Any) -> None:
        if settings.ENVIRONMENT.is_production:
            raise CommandError(
                "run_exchange is a tool for demos and drills: not with SCALPER_ENV=production"
            )
        server = _server(options)
        host = options["host"] or settings.ENVIRONMENT.exchange_host
        port = settings.ENVIRONMENT.exchange_port if options["port"] is None else options["port"]
        configure_logging(
            "exchange", level=settings.ENVIRONMENT.log_level, secrets=secrets_of(settings)
        )

        async def start(context: ServiceContext) -> None:
            try:
                bound = await server.start(host, port)
            except (OSError, OverflowError) as error:
                self.stderr.write(f"run_exchange: cannot listen on {host}:{port}: {error}")
                raise
            context.on_drain(server.close)
            self.stdout.write(f"local exchange on http://{host}:{bound}")
            self.stdout.flush()
            context.spawn(server.run(context.stopping), name="market")
            context.spawn(_report(context, server), name="report")

        code = run_service("exchange", start)
        if code:
            raise SystemExit(code)


def _server(options: dict[str, Any]) -> ExchangeServer:
    """Build the server or say in one line what is wrong with the arguments."""
    server_options = ServerOptions(speed=options["speed"], reply_delay_ms=options["reply_delay_ms"])
    try:
        return exchange_of(
            play=options["play"],
            seed=options["seed"],
            symbols=symbols_named(options["symbols"]) if options["play"] is None else (),
            predictability=options["predictability"],
            rate_multiplier=options["rate_multiplier"],
            options=server_options,
        )
    except (BadMarket, UnknownSymbol) as error:
        raise CommandError(str(error)) from error


async def _report(context: ServiceContext, server: ExchangeServer) -> None:
    while not await context.sleep(_REPORT_S):
        context.report(
            lag_ms=server.behind_ns / 1e6,
            details={
                "frames": server.venue.frames_sent,
                "skippedMs": server.skipped_ns // 1_000_000,
            },
        )
