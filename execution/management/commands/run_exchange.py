"""The local exchange: a Bybit-V5-compatible venue for demos, tests and drills. Never in production."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Callable
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from execution.domain.synthetic_instruments import UnknownSymbol, symbols_named
from execution.exchange.build import BadMarket, exchange_of, refuse_bad_options
from execution.exchange.server import ExchangeServer, ServerOptions
from failover.adapters.bus import connect_bus
from failover.adapters.heartbeats import write_heartbeat
from failover.domain.heartbeat import Heartbeat
from failover.services.host import ServiceContext, end_process, run_service
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
        build = _builder(options)
        refusal: list[BadMarket] = []
        bus = connect_bus(settings.REDIS_URL)
        host = options["host"] or settings.ENVIRONMENT.exchange_host
        port = settings.ENVIRONMENT.exchange_port if options["port"] is None else options["port"]
        if not 0 <= port <= 65535:  # the socket would take it modulo 65536
            raise CommandError(f"--port {port} is not between 0 and 65535")
        configure_logging(
            "exchange", level=settings.ENVIRONMENT.log_level, secrets=secrets_of(settings)
        )

        async def beat(heartbeat: Heartbeat) -> None:
            await write_heartbeat(bus, settings.BUS_PREFIX, heartbeat)

        async def start(context: ServiceContext) -> None:
            try:
                # everyone waits for the exchange: it compiles first where processors are few
                server = await context.prepare(build, niceness=0)
            except BadMarket as error:
                refusal.append(error)
                context.stop("refused to start")
                return
            if server is None:
                return  # asked to stop meanwhile
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

        code = run_service("exchange", start, heartbeat=beat)
        if refusal:
            raise CommandError(str(refusal[0]))
        end_process(code)


def _builder(options: dict[str, Any]) -> Callable[[], ExchangeServer]:
    """What makes the server (seconds, at a first start); bad arguments are said in one line before."""
    chosen = {
        "play": options["play"],
        "seed": options["seed"],
        "predictability": options["predictability"],
        "rate_multiplier": options["rate_multiplier"],
        "options": ServerOptions(speed=options["speed"], reply_delay_ms=options["reply_delay_ms"]),
    }
    try:
        refuse_bad_options(**chosen)
        symbols = symbols_named(options["symbols"]) if options["play"] is None else ()
    except (BadMarket, UnknownSymbol) as error:
        raise CommandError(str(error)) from error

    def build() -> ExchangeServer:
        server = exchange_of(symbols=symbols, **chosen)
        server.catch_up()
        return server

    return build


async def _report(context: ServiceContext, server: ExchangeServer) -> None:
    while not await context.sleep(_REPORT_S):
        context.report(
            lag_ms=server.behind_ns / 1e6,
            details={
                "frames": server.venue.frames_sent,
                "skippedMs": server.skipped_ns // 1_000_000,
            },
        )
