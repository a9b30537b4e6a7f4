"""The local exchange as a server: one port for REST and websockets, market time paced by the wall clock."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Any

import msgspec
from aiohttp import web

from execution.exchange.board import SymbolBoard
from execution.exchange.public_socket import PublicSocket
from execution.exchange.rest_market import MarketRest
from execution.exchange.source import MarketSource
from execution.exchange.venue import PublicVenue

logger = logging.getLogger(__name__)

_TICK_S, _MANY_TICK_S = 0.01, 0.02  # with many symbols twice the pushes at once, half the calls
_MANY_SYMBOLS = 8
_MAX_BEHIND_NS = 60_000_000_000
_MAX_ADVANCE_NS = 1_000_000_000
_SHUTDOWN_S = 2.0


class ServerOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How the exchange behaves towards its clients.

    `speed`: market seconds per wall second. `reply_delay_ms`: wait before the answer to a subscribe
    request (pybit needs 20). `queue_limit`: frames a client may leave unread before it is cut off.
    """

    speed: float = 1.0
    reply_delay_ms: float = 20.0
    queue_limit: int = 20_000


class ExchangeServer:
    """`start` binds and answers; `run` moves the market until told to stop; `close` ends it."""

    def __init__(
        self,
        source: MarketSource,
        boards: list[SymbolBoard],
        options: ServerOptions,
        wall_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self.options = options
        self._wall_ns = wall_ns
        self._base_market_ns = self._base_wall_ns = wall_ns()
        self.venue = PublicVenue(source, boards)
        self._tick_s = _TICK_S if len(boards) <= _MANY_SYMBOLS else _MANY_TICK_S
        self.behind_ns = 0
        self.skipped_ns = 0
        self._public = PublicSocket(
            self.venue,
            reply_delay_s=options.reply_delay_ms / 1e3,
            queue_limit=options.queue_limit,
        )
        self._runner: web.AppRunner | None = None

    def market_ns(self) -> int:
        """Market time now: equal to the wall clock at speed 1."""
        elapsed = self._wall_ns() - self._base_wall_ns
        return self._base_market_ns + int(elapsed * self.options.speed)

    def catch_up(self) -> None:
        """Bring the market up to now. May run in another thread, before `start` (a first run compiles)."""
        while self.market_ns() - self.venue.now_ns > _MAX_ADVANCE_NS // 2:
            self.venue.advance(min(self.market_ns(), self.venue.now_ns + _MAX_ADVANCE_NS))

    async def start(self, host: str, port: int) -> int:
        """Bring the market up to now, bind and serve; return the port (asked for 0: a free one)."""
        self.catch_up()
        app = web.Application()
        app.router.add_routes(MarketRest(self.venue, self.market_ns).routes())
        app.router.add_get("/v5/public/linear", self._public.handle)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=_SHUTDOWN_S)
        await self._runner.setup()
        await web.TCPSite(self._runner, host, port).start()
        bound: Any = self._runner.addresses[0]
        return int(bound[1])

    async def run(self, stopping: asyncio.Event) -> None:
        """Advance the market every 10 or 20 ms, catching up at most a second of it at a time.

        A machine that cannot keep up at all leaves time out rather than fall behind without end.
        """
        while not stopping.is_set():
            now_ns = self.market_ns()
            self.behind_ns = max(0, now_ns - self.venue.now_ns)
            if self.behind_ns > _MAX_BEHIND_NS * max(1.0, self.options.speed):
                logger.warning("exchange_behind", extra={"behindMs": self.behind_ns // 1_000_000})
                self._base_market_ns -= self.behind_ns
                self.skipped_ns += self.behind_ns
                continue
            self.venue.advance(min(now_ns, self.venue.now_ns + _MAX_ADVANCE_NS))
            is_behind = now_ns - self.venue.now_ns > _MAX_ADVANCE_NS
            await asyncio.sleep(0 if is_behind else self._tick_s)

    async def close(self) -> None:
        """Say goodbye to every client and free the port."""
        await self._public.close()
        if self._runner is not None:
            await self._runner.cleanup()
