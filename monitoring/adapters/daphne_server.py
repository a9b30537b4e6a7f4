"""Daphne inside the service host: Twisted turns on the event loop that is already running.

Call `start_server` once per process, from that loop, before anything imports `twisted.internet.reactor`.
"""

from __future__ import annotations

import asyncio
from typing import Any

from twisted.internet import main
from twisted.internet.asyncioreactor import AsyncioSelectorReactor

HTTP_TIMEOUT_S = 60
CLOSE_TIMEOUT_S = 3.0
MAX_MESSAGE_BYTES = 4 * 1024 * 1024


class CannotListen(RuntimeError):
    """The address is taken or not ours: choose another WEB_HOST or WEB_PORT."""


class _HostedReactor(AsyncioSelectorReactor):
    """A reactor that neither starts nor stops the loop it turns on: that is the host's."""

    def run(self, installSignalHandlers: bool = True) -> None:  # noqa: N803  (Twisted's name)
        self.startRunning(installSignalHandlers=False)

    def crash(self) -> None:
        # As the base class's, without stopping the loop.
        self._started = False
        self.running = False


class HostedServer:
    """A listening Daphne; `close` ends its connections and its port."""

    def __init__(self, server: Any, reactor: Any) -> None:
        self._server = server
        self._reactor = reactor

    async def close(self) -> None:
        stopped = asyncio.Event()
        self._reactor.addSystemEventTrigger("after", "shutdown", stopped.set)
        self._server.stop()
        await asyncio.wait_for(stopped.wait(), CLOSE_TIMEOUT_S)


def start_server(application: Any, host: str, port: int) -> HostedServer:
    """Serve `application` (ASGI) on `host:port` in the running loop. Raises CannotListen."""
    reactor = _HostedReactor(asyncio.get_running_loop())
    main.installReactor(reactor)  # type: ignore[no-untyped-call]
    from daphne.server import Server  # only now: it takes whatever reactor is installed

    interface = host.replace("\\", "\\\\").replace(":", "\\:")  # as endpoint strings are quoted
    server = Server(
        application,
        endpoints=[f"tcp:port={port}:interface={interface}"],
        signal_handlers=False,
        http_timeout=HTTP_TIMEOUT_S,
        websocket_timeout=-1,  # a page stays open all day
        # Both ways: a symbol's snapshot is some 100 kB. What browsers send, the consumer limits.
        websocket_max_message_size=MAX_MESSAGE_BYTES,
        websocket_max_frame_size=MAX_MESSAGE_BYTES,
        application_close_timeout=CLOSE_TIMEOUT_S,
        server_name="ai-scalper",
    )
    server.run()  # listens and returns: the reactor does not turn the loop itself
    if server.abort_start:
        raise CannotListen(f"cannot listen on {host}:{port}: address in use or not allowed")
    return HostedServer(server, reactor)
