"""A public websocket server that speaks Bybit's protocol and misbehaves on command."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any, Self

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed

T0_MS = 1_700_000_000_000


def book_frame(topic: str, kind: str, u: int, bids: Any = (), asks: Any = ()) -> str:
    symbol = topic.rpartition(".")[2]
    data = {"s": symbol, "b": list(bids), "a": list(asks), "u": u, "seq": u * 10}
    return json.dumps(
        {"topic": topic, "type": kind, "ts": T0_MS + u, "data": data, "cts": T0_MS + u - 2},
        separators=(",", ":"),
    )


def trade_frame(symbol: str, *trades: tuple[str, str, str]) -> str:
    rows = [
        {"T": T0_MS, "s": symbol, "S": side, "v": qty, "p": price, "i": "x", "BT": False}
        for side, price, qty in trades
    ]
    return json.dumps(
        {"topic": f"publicTrade.{symbol}", "type": "snapshot", "ts": T0_MS, "data": rows}
    )


class MisbehavingServer:
    """Answers subscriptions like Bybit; its public attributes make it worse.

    `on_subscribed(connection, topics)` may send data. `requests` lists (op, args) as they came.
    """

    def __init__(self) -> None:
        self.requests: list[tuple[str, list[str]]] = []
        self.sockets: list[ServerConnection] = []
        self.pings = 0
        self.unknown_topics: set[str] = set()
        self.unknown_text = "error:handler not found,topic:{topic}"
        self.answers = True
        self.echoes_request_id = True
        self.on_subscribed: Callable[[list[str]], list[str | bytes]] = self.a_snapshot_each
        self._subscribed: dict[ServerConnection, set[str]] = {}
        self._server: Server | None = None

    async def __aenter__(self) -> Self:
        self._server = await serve(self._serve, "127.0.0.1", 0, compression=None, max_size=2**26)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        for socket in self.sockets:
            socket.transport.abort()
        self._server.close()
        await self._server.wait_closed()

    @property
    def url(self) -> str:
        assert self._server is not None
        return f"ws://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/v5/public/linear"

    @staticmethod
    def a_snapshot_each(topics: list[str]) -> list[str | bytes]:
        return [
            book_frame(topic, "snapshot", 100, [["100.0", "1"]], [["100.5", "1"]])
            for topic in topics
            if topic.startswith("orderbook.")
        ]

    def without_touches(self) -> MisbehavingServer:
        """Send no `orderbook.1`: what it adds to the stream depends on how long the books were quiet."""
        self.on_subscribed = lambda topics: self.a_snapshot_each(
            [topic for topic in topics if not topic.startswith("orderbook.1.")]
        )
        return self

    async def send(self, *frames: str | bytes) -> None:
        for frame in frames:
            await self.sockets[-1].send(frame, text=True)

    def subscribed(self) -> set[str]:
        return self._subscribed.get(self.sockets[-1], set()) if self.sockets else set()

    async def _serve(self, socket: ServerConnection) -> None:
        self.sockets.append(socket)
        self._subscribed[socket] = set()
        try:
            async for frame in socket:
                await self._answer(socket, json.loads(frame))
        except ConnectionClosed:
            return

    async def _answer(self, socket: ServerConnection, request: dict[str, Any]) -> None:
        op, args = request["op"], request.get("args", [])
        if op == "ping":
            self.pings += 1
            await self._reply(socket, request, True, "pong")
            return
        self.requests.append((op, args))
        if not self.answers:
            return
        if op == "unsubscribe":
            self._subscribed[socket] -= set(args)
            await self._reply(socket, request, True, "")
            return
        bad = next((topic for topic in args if topic in self.unknown_topics), None)
        twice = next((topic for topic in args if topic in self._subscribed[socket]), None)
        if bad is not None:
            await self._reply(socket, request, False, self.unknown_text.format(topic=bad))
        elif twice is not None:
            await self._reply(socket, request, False, f"error:already subscribed,topic:{twice}")
        else:
            self._subscribed[socket] |= set(args)
            await self._reply(socket, request, True, "")
            for data in self.on_subscribed(args):
                await socket.send(data, text=True)

    async def _reply(
        self, socket: ServerConnection, request: dict[str, Any], success: bool, text: str
    ) -> None:
        reply = {"success": success, "ret_msg": text, "conn_id": "c", "op": request["op"]}
        if self.echoes_request_id:
            reply["req_id"] = request.get("req_id", "")
        await socket.send(json.dumps(reply))


async def eventually(condition: Callable[[], object], within_s: float = 60.0) -> None:
    """Wait until `condition` holds; fail the test when it does not in time."""
    async with asyncio.timeout(within_s):
        while not condition():  # noqa: ASYNC110  (whatever the condition, it has no event)
            await asyncio.sleep(0.005)
