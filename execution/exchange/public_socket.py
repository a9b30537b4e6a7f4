"""The public websocket `/v5/public/linear`: requests, replies, and the texts Bybit answers with."""

from __future__ import annotations

import asyncio
import logging
import secrets
from typing import Any

import msgspec
from aiohttp import WSMsgType, web

from execution.exchange.subscribers import Subscriber
from execution.exchange.topics import Topic, parse_topic
from execution.exchange.venue import PublicVenue
from execution.exchange.wire import json_text

logger = logging.getLogger(__name__)

MAX_ARGS_CHARS = 21_000
_MAX_FRAME_BYTES = 1 << 17
_IDLE_S = 60.0  # a socket without subscription and traffic is cut after about a minute


class PublicSocket:
    """Serves one connection at a time through `handle`; shared by all connections.

    `reply_delay_s`: pybit registers a subscription only after sending it, and dies of a reply that comes
    sooner; a real venue is never that fast.
    """

    def __init__(self, venue: PublicVenue, *, reply_delay_s: float, queue_limit: int) -> None:
        self._venue = venue
        self._reply_delay_s = reply_delay_s
        self._queue_limit = queue_limit
        self._open: set[web.WebSocketResponse] = set()

    async def handle(self, request: web.Request) -> web.WebSocketResponse:
        """The life of one connection."""
        socket = web.WebSocketResponse(max_msg_size=_MAX_FRAME_BYTES)
        await socket.prepare(request)
        transport = request.transport
        if transport is None:
            return socket
        subscriber = Subscriber(socket, transport, limit=self._queue_limit)
        connection = _Connection(self._venue, subscriber, self._reply_delay_s)
        writing = asyncio.create_task(subscriber.write_forever())
        self._open.add(socket)
        try:
            await _read(socket, connection)
        finally:
            self._open.discard(socket)
            connection.unsubscribe_all()
            writing.cancel()
            await asyncio.gather(writing, return_exceptions=True)
        return socket

    async def close(self) -> None:
        """End every connection as a venue does that goes away."""
        await asyncio.gather(
            *(socket.close(code=1001, message=b"going away") for socket in list(self._open)),
            return_exceptions=True,
        )


async def _read(socket: web.WebSocketResponse, connection: _Connection) -> None:
    while True:
        try:
            message = await socket.receive(timeout=_IDLE_S)
        except TimeoutError:
            if connection.topics:
                continue
            await socket.close()
            return
        if message.type in (WSMsgType.TEXT, WSMsgType.BINARY):
            await connection.take(message.data)
        else:
            return


class _Connection:
    def __init__(self, venue: PublicVenue, subscriber: Subscriber, reply_delay_s: float) -> None:
        self._venue = venue
        self._subscriber = subscriber
        self._reply_delay_s = reply_delay_s
        self._conn_id = f"{secrets.token_hex(10)}-{secrets.token_hex(3)[:5]}"
        self.topics: dict[str, Topic] = {}

    async def take(self, data: str | bytes) -> None:
        """Answer one frame; frames of a connection are handled strictly in order."""
        try:
            request = msgspec.json.decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            self._reply(success=False, ret_msg=f"Failed to decode incoming data:{error}")
            return
        if not isinstance(request, dict):
            self._reply(success=False, ret_msg="Failed to decode incoming data:not an object")
            return
        req_id = request.get("req_id", "")
        req_id = req_id if isinstance(req_id, (str, int, float)) else ""
        op = request.get("op")
        if op == "ping":
            self._reply(success=True, ret_msg="pong", req_id=req_id, op="ping")
        elif op in ("subscribe", "unsubscribe"):
            await asyncio.sleep(self._reply_delay_s)
            self._change(op, request.get("args"), req_id)
        else:
            text = op if isinstance(op, str) else ""
            self._reply(success=False, ret_msg="error:invalid op", req_id=req_id, op=text[:40])

    def _change(self, op: str, args: Any, req_id: str | float) -> None:
        """All topics of the request or none: the first bad one is named."""
        names = args if isinstance(args, list) else []
        topics = [parse_topic(name, self._venue.index) for name in names]
        problem = self._problem(op, names, topics)
        if problem:
            self._reply(success=False, ret_msg=problem, req_id=req_id, op=op)
            return
        # The reply goes first: clients take it as the sign that pushes may follow.
        self._reply(success=True, ret_msg="", req_id=req_id, op=op)
        for topic in topics:
            assert topic is not None
            if op == "subscribe":
                self.topics[topic.name] = topic
                self._venue.subscribe(topic, self._subscriber)
            else:
                self.topics.pop(topic.name, None)
                self._venue.unsubscribe(topic, self._subscriber)

    def _problem(self, op: str, names: list[Any], topics: list[Topic | None]) -> str:
        if not names:
            return "error:invalid args"
        for number, (name, topic) in enumerate(zip(names, topics, strict=True)):
            if topic is None:
                return f"error:handler not found,topic:{str(name)[:200]}"
            if op == "subscribe" and (name in self.topics or name in names[:number]):
                return f"error:already subscribed,topic:{name}"
        if op == "subscribe":
            chars = sum(map(len, self.topics)) + sum(map(len, names))
            if chars > MAX_ARGS_CHARS:
                return f"error:args of one connection exceed {MAX_ARGS_CHARS} characters"
        return ""

    def _reply(
        self, *, success: bool, ret_msg: str, req_id: str | float = "", op: str = ""
    ) -> None:
        self._subscriber.send(
            json_text(
                {
                    "success": success,
                    "ret_msg": ret_msg,
                    "conn_id": self._conn_id,
                    "req_id": req_id,
                    "op": op,
                }
            )
        )

    def unsubscribe_all(self) -> None:
        for topic in self.topics.values():
            self._venue.unsubscribe(topic, self._subscriber)
        self.topics.clear()
