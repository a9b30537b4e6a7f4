"""A plain websocket client for the tests."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from websockets.asyncio.client import ClientConnection

WAIT_S = 60.0


class Client:
    """A connection that keeps pushes and replies apart."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection
        self.pushes: list[dict[str, Any]] = []

    async def ask(self, request: object) -> dict[str, Any]:
        await self.connection.send(request if isinstance(request, str) else json.dumps(request))
        while True:
            frame = await self.next()
            if "topic" not in frame:
                return frame
            self.pushes.append(frame)

    async def next(self) -> dict[str, Any]:
        async with asyncio.timeout(WAIT_S):
            return json.loads(await self.connection.recv())

    async def push_of(self, topic: str, kind: str | None = None) -> dict[str, Any]:
        """The next push of `topic` (and type), whatever else comes before it."""
        async with asyncio.timeout(WAIT_S):
            while True:
                frame = self.pushes.pop(0) if self.pushes else await self.next()
                if frame.get("topic") == topic and kind in (None, frame["type"]):
                    return frame


def subscribe(*topics: str, **extra: object) -> dict[str, object]:
    return {"op": "subscribe", "args": list(topics), **extra}
