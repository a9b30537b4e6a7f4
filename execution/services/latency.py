"""Measures execution's own stages, gathers those of the others, and stops entries while any is too slow."""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec
from redis.exceptions import RedisError

from execution.domain.latency import (
    ACK_TO_FILL,
    DECISION_TO_JOURNALLED,
    JOURNALLED_TO_SENT,
    MEASURED_BY_EXECUTION,
    SENT_TO_ACK,
    LatencyJudge,
)
from execution.domain.quality_config import LatencyConfig
from execution.domain.trade import CLOSE, ENTRY
from failover.domain.heartbeat import Heartbeat
from failover.domain.latency import WINDOW_S, LatencyTable, latency_of
from failover.services.host import ServiceContext

logger = logging.getLogger(__name__)

_ORDERS_FOLLOWED = 1000  # at a time
_MS = 1_000_000
Clock = Callable[[], int]


class OrderMeter:
    """Wall-clock stages of an order: request read, intent on disk, command away, first word, first fill."""

    def __init__(self, clock: Clock = time.time_ns) -> None:
        self.table = LatencyTable(MEASURED_BY_EXECUTION)
        self._clock = clock
        self._asked_ns = 0
        self._journalled_ns = 0
        self._sent: dict[str, int] = {}  # order -> when it left, until the venue's first word
        self._heard: dict[str, int] = {}  # order -> when it was heard of, until its first fill

    def request_written(self, at_ms: int) -> None:
        """A request is taken up; the bus says when it was written, to the millisecond."""
        self._asked_ns, self._journalled_ns = at_ms * _MS, 0

    def journalled(self) -> None:
        """The lines of a step are on disk."""
        if self._asked_ns and not self._journalled_ns:
            self._journalled_ns = now_ns = self._clock()
            self.table.add(DECISION_TO_JOURNALLED, now_ns - self._asked_ns, now_ns)

    def request_done(self) -> None:
        """Its commands have been handed over."""
        if self._journalled_ns:
            now_ns = self._clock()
            self.table.add(JOURNALLED_TO_SENT, now_ns - self._journalled_ns, now_ns)
        self._asked_ns = self._journalled_ns = 0

    def row(self, row: Mapping[str, Any]) -> None:
        """A row for the screen tells of an order's life."""
        if row["record"] == "ORDER":
            self._order(row["clientOrderId"], row["state"], row["leg"])
        elif row["record"] == "FILL" and (heard := self._heard.pop(row["clientOrderId"], None)):
            now_ns = self._clock()
            self.table.add(ACK_TO_FILL, now_ns - heard, now_ns)

    def _order(self, identity: str, state: str, leg: str) -> None:
        now_ns = self._clock()
        if state == "SENT":
            _remember(self._sent, identity, now_ns)
        elif (sent_ns := self._sent.pop(identity, None)) is not None:
            self.table.add(SENT_TO_ACK, now_ns - sent_ns, now_ns)
            if leg in (ENTRY, CLOSE):
                _remember(self._heard, identity, now_ns)
        if state in ("CANCELED", "REJECTED", "EXPIRED"):
            self._heard.pop(identity, None)


def _remember(times: dict[str, int], identity: str, now_ns: int) -> None:
    """Orders that never come to an end must not fill the memory."""
    times.setdefault(identity, now_ns)
    if len(times) > _ORDERS_FOLLOWED:
        del times[next(iter(times))]


class LatencyWatch:
    """Every 10 s: the p90 of each stage of every service, judged."""

    def __init__(
        self,
        meter: OrderMeter,
        read_beats: Callable[[], Awaitable[Mapping[str, Heartbeat]]],
        config: Callable[[], LatencyConfig],
        say: Callable[[str, int], None],
    ) -> None:
        """`say(text, now_ns)` hears the reason for a stop at each judgement; empty = none."""
        self._meter = meter
        self._read_beats = read_beats
        self._config = config
        self._say = say
        self._judge = LatencyJudge()

    async def run(self, context: ServiceContext) -> None:
        """Until the host stops. A reason left by an earlier process is judged anew."""
        self._say("", time.time_ns())
        while not await context.sleep(WINDOW_S):
            await self.look()

    async def look(self) -> None:
        """Judge the last window."""
        now_ns = time.time_ns()
        spans = self._meter.table.summary(now_ns)
        try:
            for beat in (await self._read_beats()).values():
                spans |= latency_of(beat.details)
        except (RedisError, OSError, TimeoutError, msgspec.DecodeError):
            pass  # without the bus there are no frames and no requests either
        p90_ms = {stage: span.get("window", {}).get("p90Ms") for stage, span in spans.items()}
        self._judge.on_window(p90_ms, self._config())
        self._say(self._judge.text, now_ns)
