"""One client's outgoing queue: bounded, so that a client that does not read harms only itself."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque

from aiohttp import web

logger = logging.getLogger(__name__)


class Subscriber:
    """Frames for one websocket, sent by its own task; a full queue ends the connection.

    `send` never waits and never raises: the market goes on for everybody else.
    """

    def __init__(
        self, socket: web.WebSocketResponse, transport: asyncio.Transport, *, limit: int
    ) -> None:
        self._socket = socket
        self._transport = transport
        self._limit = limit
        self._frames: deque[str] = deque()
        self._wake = asyncio.Event()
        self.is_dropped = False

    def send(self, frame: str) -> None:
        """Queue one text frame."""
        if self.is_dropped:
            return
        if len(self._frames) >= self._limit:
            self.drop("slow_client_dropped")
            return
        self._frames.append(frame)
        self._wake.set()

    def drop(self, reason: str) -> None:
        """Cut the connection at once, without the closing handshake it would not answer."""
        self.is_dropped = True
        logger.warning(reason, extra={"queued": len(self._frames)})
        self._frames.clear()
        self._wake.set()
        self._transport.abort()

    async def write_forever(self) -> None:
        """Write what is queued until the connection ends."""
        with contextlib.suppress(ConnectionError):
            while not self.is_dropped:
                await self._wake.wait()
                self._wake.clear()
                while self._frames:
                    await self._socket.send_str(self._frames.popleft())
