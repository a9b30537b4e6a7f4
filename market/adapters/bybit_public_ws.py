"""Bybit's public linear websocket: connect, subscribe, stay alive, and tell the hub what is said.

Nothing a peer sends ends the feed: bad frames are counted and logged once per kind; a dead, silent or
half-open socket is left and another opened after a jittered back-off; a topic that jumps or falls silent
is asked for afresh. Whenever a book may be wrong the hub hears `on_gap` first.
Source: Bybit V5 documentation, websocket connect and public topics.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

from market.adapters.bybit_book_sequence import Verdict
from market.adapters.bybit_messages import (
    BadMessage,
    BookMessage,
    KlineMessage,
    LiquidationMessage,
    Message,
    Reply,
    TickerMessage,
    TradeMessage,
    named_topic,
    parse,
)
from market.adapters.bybit_topics import (
    FeedTimings,
    Topic,
    request_chunks,
    silent_topics,
    split_by_connection,
    topics_of,
)
from market.adapters.fault_log import FaultLog
from market.domain.errors import BadPayload
from market.ports import RawMarketSink

MAX_FRAME_BYTES = 32 * 1024 * 1024  # a larger frame closes the connection (1009) and we come back
_CLOSE_WITHIN_S = 1.0

logger = logging.getLogger(__name__)


@dataclass(slots=True, kw_only=True)
class FeedStats:
    """Counters since start."""

    messages: int = 0
    received_bytes: int = 0
    connects: int = 0
    gaps: int = 0
    resubscribes: int = 0
    ignored: Counter[str] = field(default_factory=Counter)


class BybitPublicFeed:
    """The whole public feed of a list of symbols, over as many connections as the venue's limits ask."""

    def __init__(
        self,
        url: str,
        symbols: Sequence[str],
        sink: RawMarketSink,
        *,
        book_depth: int = 50,
        rng: random.Random,
        timings: FeedTimings | None = None,
        is_local: bool = False,
        on_off_grid: Callable[[str], object] | None = None,
    ) -> None:
        """`rng` jitters the back-off. `is_local` keeps away from a proxy named in the environment.

        `on_off_grid(symbol)` is told when a price or size does not fit the instrument rules.
        """
        self.stats = FeedStats()
        self.faults = FaultLog(url)
        self.connections = [
            _Connection(url, topics, sink, self, rng, timings or FeedTimings(), is_local=is_local)
            for topics in split_by_connection(topics_of(symbols, book_depth))
        ]
        self.on_off_grid = on_off_grid

    async def run(self, stopping: asyncio.Event) -> None:
        """Feed the sink until `stopping` is set. Connection troubles never raise."""
        async with asyncio.TaskGroup() as group:
            for connection in self.connections:
                group.create_task(connection.run(stopping))

    @property
    def is_connected(self) -> bool:
        return all(connection.is_open for connection in self.connections)

    def symbol_states(self, now_s: float) -> dict[str, dict[str, Any]]:
        """By symbol: the book's state, seconds since its last message, and refused topics."""
        states: dict[str, dict[str, Any]] = {}
        for topic in itertools.chain.from_iterable(c.topics.values() for c in self.connections):
            state = states.setdefault(topic.symbol, {"refused": []})
            if topic.kind == "book":
                state["book"] = "LIVE" if topic.sequence.is_known else "WAITING"
                state["silentS"] = round(now_s - topic.last_message_s, 1)
            if topic.refusal:
                state["refused"].append(topic.name)
        return states


@dataclass(slots=True)
class _Request:
    op: str
    topics: list[str]
    sent_s: float


class _Connection:
    """One socket with its subscriptions."""

    def __init__(
        self,
        url: str,
        topics: Sequence[Topic],
        sink: RawMarketSink,
        feed: BybitPublicFeed,
        rng: random.Random,
        timings: FeedTimings,
        *,
        is_local: bool,
    ) -> None:
        self.topics = {topic.name: topic for topic in topics}
        self.is_open = False
        self._symbols = list(dict.fromkeys(topic.symbol for topic in topics))
        self._url = url
        self._sink = sink
        self._feed = feed
        self._stats = feed.stats
        self._faults = feed.faults
        self._rng = rng
        self._timings = timings
        self._is_local = is_local
        self._requests: dict[str, _Request] = {}
        self._request_ids = itertools.count(1)
        self._announced_refusals: set[str] = set()
        self._last_data_s = 0.0
        self._wake = asyncio.Event()
        self._outbox: list[tuple[str, list[str]]] = []
        self._handlers: dict[type, Callable[[Any, float], None]] = {
            BookMessage: self._on_book,
            TradeMessage: self._on_trades,
            TickerMessage: self._on_ticker,
            KlineMessage: self._on_kline,
            LiquidationMessage: self._on_liquidation,
            Reply: self._on_reply,
        }

    # --- life of the socket

    async def run(self, stopping: asyncio.Event) -> None:
        attempt = 0
        while not stopping.is_set():
            began_s = _now_s()
            reason = await self._serve_once(stopping)
            if stopping.is_set():
                return
            attempt = 0 if _now_s() - began_s > self._timings.healthy_after_s else attempt
            delay_s = self._backoff_s(attempt)
            attempt += 1
            logger.warning(
                "feed_disconnected",
                extra={"url": self._url, "reason": reason, "retryS": round(delay_s, 2)},
            )
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stopping.wait(), delay_s)

    def _backoff_s(self, attempt: int) -> float:
        """Doubles up to the limit; half of it is chance, so that many clients do not come back at once."""
        ceiling_s: float = min(
            self._timings.backoff_first_s * 2 ** min(attempt, 16), self._timings.backoff_max_s
        )
        return ceiling_s * (0.5 + 0.5 * self._rng.random())

    async def _serve_once(self, stopping: asyncio.Event) -> str:
        """Open, serve until it ends for whatever reason, return the reason."""
        try:
            async with connect(
                self._url,
                open_timeout=self._timings.open_within_s,
                close_timeout=_CLOSE_WITHIN_S,
                ping_interval=None,  # Bybit asks for its own ping; silence is judged by data
                compression=None,
                max_size=MAX_FRAME_BYTES,
                max_queue=1024,
                proxy=None if self._is_local else True,
            ) as socket:
                self._begin()
                keeper = asyncio.create_task(self._keep(socket, stopping), name="feed-keeper")
                # A socket without its keeper would be listened to for ever.
                keeper.add_done_callback(lambda _: socket.transport.abort())
                try:
                    await self._receive(socket)
                finally:
                    keeper.cancel()
                    await asyncio.wait([keeper])
                return _end_of(keeper) or f"closed by the peer ({socket.close_code})"
        except (OSError, TimeoutError, WebSocketException, EOFError) as error:
            return f"{type(error).__name__}: {error}"[:200]
        finally:
            self._end()

    def _begin(self) -> None:
        now_s = _now_s()
        self.is_open = True
        self._stats.connects += 1
        self._requests.clear()
        self._last_data_s = now_s
        self._outbox = []
        for topic in self.topics.values():
            topic.start(now_s)
        self._outbox.extend(("subscribe", chunk) for chunk in request_chunks(list(self.topics)))
        self._wake.set()
        logger.info("feed_connected", extra={"url": self._url, "topics": len(self.topics)})

    def _end(self) -> None:
        """The books went on without us."""
        if not self.is_open:
            return
        self.is_open = False
        for topic in self.topics.values():
            if topic.kind == "book" and topic.sequence.is_known:
                self._sink.on_gap(topic.symbol)
            topic.sequence.reset()

    async def _receive(self, socket: ClientConnection) -> None:
        with contextlib.suppress(WebSocketException):
            while True:
                # Returns without a turn of the loop while frames are queued: the hub batches them.
                self._on_frame(await socket.recv(decode=False))

    async def _keep(self, socket: ClientConnection, stopping: asyncio.Event) -> str:
        """Send what is to be sent, ping, and judge silence; returns why the socket was given up."""
        stop = asyncio.create_task(stopping.wait())
        ping_due_s = _now_s() + self._timings.ping_every_s
        try:
            while not stop.done():
                now_s = _now_s()
                if reason := self._reason_to_leave(now_s):
                    return await self._leave(socket, reason)
                self._ask_again_where_silent(now_s)
                await self._send_outbox(socket)
                if now_s >= ping_due_s:
                    await socket.send('{"op":"ping"}')
                    ping_due_s = now_s + self._timings.ping_every_s
                await self._pause(stop)
            return await self._leave(socket, "stopping")
        except (WebSocketException, OSError) as error:
            return f"send failed: {error}"
        finally:
            stop.cancel()

    async def _pause(self, stop: asyncio.Task[bool]) -> None:
        wake = asyncio.create_task(self._wake.wait())
        await asyncio.wait(
            {stop, wake},
            timeout=self._timings.check_every_s,
            return_when=asyncio.FIRST_COMPLETED,
        )
        wake.cancel()
        self._wake.clear()

    async def _leave(self, socket: ClientConnection, reason: str) -> str:
        """Close; a peer that does not answer the closing handshake is cut off."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(_finish(socket.close), _CLOSE_WITHIN_S)
        return reason

    def _reason_to_leave(self, now_s: float) -> str:
        if all(topic.refusal for topic in self.topics.values()):
            return ""  # nothing to hear here; another socket would be told the same
        silent_s = now_s - self._last_data_s
        if silent_s > self._timings.silent_socket_s:
            return f"silent for {silent_s:.1f} s"
        for request in self._requests.values():
            if now_s - request.sent_s > self._timings.reply_within_s:
                return f"no answer to {request.op} for {self._timings.reply_within_s:g} s"
        return ""

    def _ask_again_where_silent(self, now_s: float) -> None:
        for topic in silent_topics(self.topics.values(), now_s, self._timings):
            logger.warning("topic_silent", extra={"topic": topic.name})
            self._ask_again(topic, now_s)

    def _ask_again(self, topic: Topic, now_s: float) -> None:
        if topic.kind == "book" and topic.sequence.is_known:
            self._sink.on_gap(topic.symbol)
        topic.sequence.reset()
        topic.ask_again(now_s)
        self._wake.set()

    async def _send_outbox(self, socket: ClientConnection) -> None:
        now_s = _now_s()
        for topic in self.topics.values():
            if topic.resubscribe_due_s is not None and topic.resubscribe_due_s <= now_s:
                topic.asked(now_s)
                self._stats.resubscribes += 1
                self._outbox += [("unsubscribe", [topic.name]), ("subscribe", [topic.name])]
        outbox, self._outbox = self._outbox, []
        for op, names in outbox:
            request_id = str(next(self._request_ids))
            self._requests[request_id] = _Request(op, names, now_s)
            await socket.send(
                msgspec.json.encode({"req_id": request_id, "op": op, "args": names}), text=True
            )

    # --- what is said

    def _on_frame(self, frame: bytes | str) -> None:
        self._stats.messages += 1
        self._stats.received_bytes += len(frame)
        try:
            message: Message = parse(frame)
            self._handlers[type(message)](message, _now_s())
        except (BadMessage, BadPayload) as error:
            self._faults.note(error.kind, error.detail)

    def _topic(self, name: str, kind: str, now_s: float) -> Topic:
        topic = self.topics.get(name)
        if topic is None or not topic.kind.startswith(kind):
            raise BadMessage("not_subscribed", name[:80])
        topic.last_message_s = self._last_data_s = now_s
        return topic

    def _on_book(self, message: BookMessage, now_s: float) -> None:
        topic = self._topic(message.topic, "", now_s)
        data = message.data
        if data.s != topic.symbol:
            raise BadMessage("wrong_symbol", f"{data.s} in {topic.name}")
        if topic.kind == "touch":
            if data.u != topic.last_u and topic.last_u >= 0:
                topic.last_change_s = now_s
            topic.last_u = data.u
            self._sink.on_liveness(topic.symbol)
            return
        is_snapshot = message.type == "snapshot"
        verdict = topic.sequence.check(is_snapshot=is_snapshot, u=data.u)
        if verdict is Verdict.APPLY:
            self._apply_book(topic, message, is_snapshot=is_snapshot, now_s=now_s)
        elif verdict is Verdict.GAP:
            self._stats.gaps += 1
            self._sink.on_gap(topic.symbol)
            self._faults.note("book_gap", f"{topic.name} at u={data.u}")
            self._ask_again(topic, now_s)
        else:
            self._stats.ignored[verdict.name] += 1

    def _apply_book(
        self, topic: Topic, message: BookMessage, *, is_snapshot: bool, now_s: float
    ) -> None:
        data = message.data
        payload = {
            "subtype": "SNAPSHOT" if is_snapshot else "DELTA",
            "bids": data.b,
            "asks": data.a,
            "ts": message.cts or message.ts,
        }
        try:
            self._sink.on_raw_orderbook(topic.symbol, payload)
        except BadPayload as error:
            topic.sequence.reset()  # the hub has noted the gap
            self._ask_again(topic, now_s)
            self._tell_off_grid(topic, error)
            raise

    def _on_trades(self, message: TradeMessage, now_s: float) -> None:
        topic = self._topic(message.topic, "trade", now_s)
        for trade in message.data:
            if trade.s != topic.symbol:
                raise BadMessage("wrong_symbol", f"{trade.s} in {topic.name}")
            try:
                self._sink.on_raw_trade(
                    topic.symbol,
                    {
                        "price": trade.p,
                        "qty": trade.v,
                        "side": trade.S,
                        "ts": trade.T,
                        "rpi": trade.RPI,
                        "block": trade.BT,
                    },
                )
            except BadPayload as error:  # the other trades of the frame are good
                self._faults.note(error.kind, error.detail)
                self._tell_off_grid(topic, error)

    def _on_ticker(self, message: TickerMessage, now_s: float) -> None:
        topic = self._topic(message.topic, "ticker", now_s)
        data = message.data
        if data.symbol != topic.symbol:
            raise BadMessage("wrong_symbol", f"{data.symbol} in {topic.name}")
        self._sink.on_raw_ticker(
            topic.symbol,
            {
                "lastPrice": data.last_price,
                "markPrice": data.mark_price,
                "indexPrice": data.index_price,
                "fundingRate": data.funding_rate,
                "nextFundingTime": data.next_funding_time,
                "openInterest": data.open_interest,
                "ts": message.ts,
            },
        )

    def _on_kline(self, message: KlineMessage, now_s: float) -> None:
        self._topic(message.topic, "kline", now_s)

    def _on_liquidation(self, message: LiquidationMessage, now_s: float) -> None:
        self._topic(message.topic, "liquidation", now_s)

    def _tell_off_grid(self, topic: Topic, error: BadPayload) -> None:
        if error.kind == "off_grid" and self._feed.on_off_grid is not None:
            self._feed.on_off_grid(topic.symbol)

    # --- answers to our requests

    def _on_reply(self, reply: Reply, now_s: float) -> None:
        if reply.is_pong:
            return
        request = self._answered(reply)
        if request is None:
            if not reply.success:
                self._faults.note("refused", reply.ret_msg)
            return
        if reply.success:
            for name in request.topics:
                self.topics[name].is_confirmed = True
        elif request.op == "subscribe":
            self._mend(request, reply.ret_msg)
        else:
            self._faults.note("unsubscribe_refused", reply.ret_msg)

    def _answered(self, reply: Reply) -> _Request | None:
        """The request of a reply: by its id, else the oldest of its kind (answers come in order)."""
        request = self._requests.pop(str(reply.req_id), None)
        if request is None and not reply.req_id:
            for request_id, waiting in self._requests.items():
                if waiting.op == reply.op:
                    return self._requests.pop(request_id)
        return request

    def _mend(self, request: _Request, ret_msg: str) -> None:
        """One bad topic spoils its whole request: leave that one out and ask for the rest again."""
        named = named_topic(ret_msg)
        if named not in request.topics:
            named = next((name for name in request.topics if name in ret_msg), "")
        if not named and len(request.topics) > 1:
            self._outbox.extend(("subscribe", [name]) for name in request.topics)
        else:
            named = named or request.topics[0]
            if "already subscribed" in ret_msg:
                self.topics[named].is_confirmed = True
            else:
                self._refuse(self.topics[named], ret_msg)
            rest = [name for name in request.topics if name != named]
            if rest:
                self._outbox.append(("subscribe", rest))
        self._wake.set()

    def _refuse(self, topic: Topic, ret_msg: str) -> None:
        topic.refusal = ret_msg
        if topic.name not in self._announced_refusals:
            self._announced_refusals.add(topic.name)
            logger.error("topic_refused", extra={"topic": topic.name, "reason": ret_msg[:200]})


def _now_s() -> float:
    return asyncio.get_running_loop().time()


async def _finish(close: Callable[[], Awaitable[None]]) -> None:
    with contextlib.suppress(WebSocketException, OSError):
        await close()


def _end_of(keeper: asyncio.Task[str]) -> str:
    if keeper.cancelled():
        return ""
    error = keeper.exception()
    if error is not None:
        raise error
    return keeper.result()
