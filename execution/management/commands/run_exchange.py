"""The local exchange: a Bybit-V5-compatible venue for demos, tests and drills. Never in production."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Callable
from pathlib import Path
from typing import Any

from django.conf import settings
from redis.asyncio import Redis

from execution.domain.synthetic_instruments import UnknownSymbol, symbols_named
from execution.domain.synthetic_market import compile_market
from execution.exchange.build import BadMarket, exchange_of, refuse_bad_options
from execution.exchange.server import ExchangeServer, ServerOptions
from failover.management.base import Refused, ServiceCommand
from failover.services.first_compile import compile_once
from failover.services.host import ServiceContext

_REPORT_S = 1.0


class Command(ServiceCommand):
    help = "Run the local exchange: a synthetic market, or a recording played at a speed factor."
    service = "exchange"

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

    def prepare(self, **options: Any) -> None:
        if settings.ENVIRONMENT.is_production:
            raise Refused(
                "run_exchange is a tool for demos and drills: not with SCALPER_ENV=production"
            )
        self._build = _builder(options)
        self._host = options["host"] or settings.ENVIRONMENT.exchange_host
        given = options["port"]
        self._port = settings.ENVIRONMENT.exchange_port if given is None else given
        if not 0 <= self._port <= 65535:  # the socket would take it modulo 65536
            raise Refused(f"--port {self._port} is not between 0 and 65535")

    async def start(self, context: ServiceContext, bus: Redis, **options: Any) -> None:
        try:
            # everyone waits for the exchange
            server = await context.prepare(self._build, niceness=0)
        except BadMarket as error:
            raise Refused(str(error)) from error
        if server is None:
            return  # asked to stop meanwhile
        try:
            bound = await server.start(self._host, self._port)
        except (OSError, OverflowError) as error:
            text = f"run_exchange: cannot listen on {self._host}:{self._port}: {error}"
            raise Refused(text) from error
        context.on_drain(server.close)
        self.stdout.write(f"local exchange on http://{self._host}:{bound}")
        self.stdout.flush()
        context.spawn(server.run(context.stopping), name="market")
        context.spawn(_report(context, server), name="report")


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
        raise Refused(str(error)) from error

    def build() -> ExchangeServer:
        if options["play"] is None:
            compile_once(settings.RUN_DIR, "exchange", compile_market)
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
