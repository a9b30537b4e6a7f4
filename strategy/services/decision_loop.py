"""The strategy service: bus in, core, bus out.

One reader merges the three streams in the order the bus took them, so that frames are never read with
another run's symbol table. Requests leave alone and at once; everything else in one entry a batch.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
from redis.asyncio import Redis
from redis.exceptions import RedisError

from failover.adapters.archive import Archive
from failover.adapters.journal import JournalWriter
from failover.adapters.streams import Entry, Gap, StreamReader, StreamWriter
from failover.domain.latency import LatencyTable
from failover.services.host import ServiceContext
from failover.services.logs import OncePerKind
from market.domain.frames import Frames, unpack_frames
from strategy.domain.config import DecisionConfig
from strategy.domain.core import StrategyCore
from strategy.domain.decision_desk import DeskOptions
from strategy.domain.journal_words import CORE, decode_news
from strategy.domain.messages import (
    ExecutionSnapshot,
    OrderRequest,
    RepriceHint,
    RiskSnapshot,
    StateEvent,
    StrategyInput,
    StrategyOutput,
)
from strategy.domain.records import risk_snapshot_record, state_event_record
from strategy.domain.scorer import ScorerWatch
from strategy.services.checkpoint import StateCheckpoint
from strategy.services.journalled_desk import JournalledDesk

logger = logging.getLogger(__name__)

_ENCODER = msgspec.msgpack.Encoder()
_REQUESTS_MAXLEN, _EVENTS_MAXLEN = 10_000, 50_000
_CHECKPOINT_EVERY_S = 10.0
_SILENT_AFTER_S = 3.0
FRAME_TO_DECISION = (
    "frameToDecision"  # a stage of latency: frames on the bus to their judgement's end
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Streams:
    """Keys of the bus streams this service reads and writes (docs/contracts.md)."""

    frames: str
    symbols: str
    news: str
    requests: str
    events: str

    @classmethod
    def with_prefix(cls, prefix: str) -> Streams:
        return cls(
            frames=f"{prefix}market.frames",
            symbols=f"{prefix}market.symbols",
            news=f"{prefix}execution.events",
            requests=f"{prefix}strategy.requests",
            events=f"{prefix}strategy.events",
        )


class DecisionLoop:
    """Owns the core and its streams from `open` to `close`. `venue` names the market of the frames."""

    def __init__(
        self,
        client: Redis,
        streams: Streams,
        config: DecisionConfig,
        archive: Archive,
        *,
        run_id: str,
        data_dir: Path,
        only_symbols: frozenset[str] = frozenset(),
        watch: ScorerWatch | None = None,
        venue: str = "",
    ) -> None:
        self._watch_scorers = watch
        self._client = client
        self._streams = streams
        self._config = config
        self._archive = archive
        self._run_id = run_id
        self._only = only_symbols
        self._checkpoint = StateCheckpoint(
            data_dir / "system" / "strategy_state.msgpack", venue=venue
        )
        self._requests = StreamWriter(client, streams.requests, _REQUESTS_MAXLEN, run_id=run_id)
        self._events = StreamWriter(client, streams.events, _EVENTS_MAXLEN, run_id=run_id)
        self._bad_entries = OncePerKind(logger, "bad_bus_entry")
        self._bad_scorers = OncePerKind(logger, "scorer_failed")
        self._reader: StreamReader | None = None
        self._inputs = JournalWriter(data_dir / "journal", CORE, run_id)
        self._desk: JournalledDesk | None = None  # once the bus has said where requests stand
        self._positions: ExecutionSnapshot | None = None
        self._event_number = 0
        self._last_frame_s = 0.0
        self._last_checkpoint_s = 0.0
        self.counts: Counter[str] = Counter()
        self._latency = LatencyTable((FRAME_TO_DECISION,))

    @property
    def _core(self) -> StrategyCore | None:
        return None if self._desk is None else self._desk.core

    # -- life -------------------------------------------------------------------------------------

    async def run(self, context: ServiceContext) -> None:
        """Wait for a symbol table, then decide until the service is asked to stop."""
        while self._reader is None:
            try:
                self._reader = await self._open_reader()
            except (RedisError, OSError) as error:
                context.report(message=f"waiting for the bus: {error}")
                if await context.sleep(0.5):
                    return
        if context.stopping.is_set():  # asked for before there was a reader to close
            return
        context.running("waiting for frames")
        watcher = asyncio.create_task(self._watch(context), name="watch-frames")
        try:
            async for batch in self._reader.batches():
                self._last_checkpoint_s = self._last_checkpoint_s or time.monotonic()
                await self._take_batch(batch, context)
                if context.stopping.is_set():
                    break
        finally:
            watcher.cancel()

    def stop(self) -> None:
        """End `run` after the read that is under way."""
        if self._reader is not None:
            self._reader.close()

    async def close(self) -> None:
        """Save the numeric state, let the bus have what is left, close journal and archive."""
        if self._core is not None:
            self._checkpoint.save(self._core)
        await self._requests.close()
        await self._events.close()
        await asyncio.to_thread(self._inputs.close, self._desk.at_ns if self._desk else 0)
        await asyncio.to_thread(self._archive.close)

    async def _open_reader(self) -> StreamReader:
        """Frames from now on; news from now on (a snapshot comes each second); the table in force."""
        streams = self._streams
        earlier_requests_id, _ = await self._latest(streams.requests)
        table_id, table = await self._latest(streams.symbols)
        desk = self._desk = self._desk or self._new_desk(earlier_requests_id)
        if table_id:
            self._follow_symbols(desk, table)
        reader = StreamReader(
            self._client,
            {
                streams.symbols: table_id or "0",
                streams.frames: "$",
                streams.news: "$",
            },
        )
        await reader.open()
        return reader

    def _new_desk(self, earlier_requests_id: str) -> JournalledDesk:
        options = DeskOptions(
            run_id=self._run_id,
            config=self._config,
            only=tuple(sorted(self._only)),
            earlier_requests_id=earlier_requests_id,
        )
        return JournalledDesk(self._inputs, options, time.time_ns(), self._watch_scorers)

    async def _latest(self, stream: str) -> tuple[str, bytes]:
        """Id and payload of the stream's last entry; empty when there is none."""
        entries: Any = await self._client.xrevrange(stream, count=1)
        if not entries:
            return "", b""
        entry_id, fields = entries[0]
        return entry_id.decode(), fields.get(b"d", b"")

    async def _watch(self, context: ServiceContext) -> None:
        """Say it when no frames come, and what the loop has counted."""
        while not await context.sleep(1.0):
            silent_s = time.monotonic() - self._last_frame_s if self._last_frame_s else 0.0
            if not self._last_frame_s:
                message = "waiting for frames" if self._core else "waiting for the market's symbols"
            elif silent_s > _SILENT_AFTER_S:
                message = f"no frames for {silent_s:.0f} s: no entries"
            elif self._core is not None and not self._core.adopted:
                message = "waiting for execution to say what it holds"
            else:
                message = ""
            context.report(message=message, details=self._details())

    def _details(self) -> dict[str, Any]:
        desk, core = self._desk, self._core
        details: dict[str, Any] = dict(self.counts)
        if desk is not None and core is not None:
            details |= {
                "symbols": len(desk.desk.instruments),
                "adopted": core.adopted,
                "droppedFrames": core.dropped_frames,
                "staleEvents": core.stale_events,
                "globalRegime": core.global_regime.regime.value,
                "scorerFailures": sum(core.scorer_failures.values()),
                "checkpoint": self._checkpoint.outcome,
            }
        details |= {
            "configVersion": self._config.version,
            "archive": self._archive.details(),
            "inputJournal": self._inputs.details(),
            "badEntries": sum(self._bad_entries.counts.values()),
            "latency": self._latency.summary(time.time_ns()),
        }
        return details

    async def on_config(self, config: DecisionConfig) -> None:
        """Take another config, between two inputs: each decision goes by one of them alone."""
        outputs = self._desk.take_config(config) if self._desk is not None else []
        self._config = config
        await self._send(outputs)

    @property
    def state_outcome(self) -> str:
        """Which checkpoint this run went on from, or why from none."""
        return self._checkpoint.outcome

    # -- what comes in ------------------------------------------------------------------------------

    async def _take_batch(self, batch: Sequence[Entry | Gap], context: ServiceContext) -> None:
        desk = self._desk
        assert desk is not None, "the reader is opened after the desk is made"
        for item in batch:
            desk.keep_state()
            if isinstance(item, Gap):
                self._on_gap(desk, item)
            elif outputs := self._on_entry(desk, item, context):
                await self._send(outputs)
        if time.monotonic() - self._last_checkpoint_s > _CHECKPOINT_EVERY_S:
            self._last_checkpoint_s = time.monotonic()
            if self._core is not None:
                self._archive.run_later("checkpoint", self._checkpoint.save_job(self._core))

    def _on_gap(self, desk: JournalledDesk, gap: Gap) -> None:
        """Missed frames: go on, they are states. Missed news: no entry before the next snapshot."""
        self.counts["gaps"] += 1
        logger.warning(
            "bus_gap",
            extra={"stream": gap.stream, "gap": gap.kind, "want": gap.expected, "got": gap.found},
        )
        if gap.stream == self._streams.news and desk.core is not None:
            desk.take_news_gap()

    def _on_entry(
        self, desk: JournalledDesk, entry: Entry, context: ServiceContext
    ) -> list[StrategyOutput]:
        try:
            if entry.stream == self._streams.frames:
                # A copy that may be written to: the compiled path knows no other kind of array, and
                # would be compiled a second time, here, for one that may not (bytes).
                frames = unpack_frames(entry.payload).copy()
                outputs = self._on_frames(desk, entry, frames, context)
                now_ns = time.time_ns()
                self._latency.add(FRAME_TO_DECISION, now_ns - entry.ts_ms * 1_000_000, now_ns)
                return outputs
            if entry.stream == self._streams.news:
                return self._on_news(desk, entry.payload)
        except (msgspec.DecodeError, ValueError) as error:
            self._bad_entries.note(entry.stream, reason=str(error))
            return []
        self._follow_symbols(desk, entry.payload)
        return []

    def _on_frames(
        self, desk: JournalledDesk, entry: Entry, frames: Frames, context: ServiceContext
    ) -> list[StrategyOutput]:
        self._last_frame_s = time.monotonic()
        if desk.core is None or not len(frames):
            return []
        self.counts["frames"] += len(frames)
        outputs = desk.take_frames(entry, frames)
        context.report(lag_ms=max(0.0, (time.time_ns() - int(frames["ts_ns"][-1])) / 1e6))
        return outputs

    def _on_news(self, desk: JournalledDesk, payload: bytes) -> list[StrategyOutput]:
        messages: list[StrategyInput] = decode_news(payload)
        if desk.core is None:
            return []
        for message in messages:
            if isinstance(message, ExecutionSnapshot):
                self._positions = message
        return desk.take_news(payload, messages, time.time_ns())

    def _follow_symbols(self, desk: JournalledDesk, payload: bytes) -> None:
        """Take the market's table: the first makes the core, later ones are followed."""
        try:
            is_first = desk.take_table(payload)
        except msgspec.DecodeError as error:
            self._bad_entries.note(self._streams.symbols, reason=str(error))
            return
        if missing := self._only - {instrument.symbol for instrument in desk.desk.table}:
            logger.warning("symbols_not_in_market", extra={"symbols": sorted(missing)})
        if is_first:
            self._checkpoint.load(desk, self._config.strategy.checkpoint_max_age_s)

    # -- what goes out ------------------------------------------------------------------------------

    async def _send(self, outputs: list[StrategyOutput]) -> None:
        wishes = [item for item in outputs if isinstance(item, OrderRequest | RepriceHint)]
        news = [item for item in outputs if not isinstance(item, OrderRequest | RepriceHint)]
        for wish in wishes:
            self._requests.append(_ENCODER.encode(wish))
            self.counts["requests" if isinstance(wish, OrderRequest) else "hints"] += 1
        if news:
            self._events.append(_ENCODER.encode(news), len(news))
        for item in news:
            if isinstance(item, StateEvent):
                self._journal_event(item)
            elif isinstance(item, RiskSnapshot):
                self._write_risk(item)
        await self._note_written(wishes)

    async def _note_written(self, wishes: Sequence[OrderRequest | RepriceHint]) -> None:
        """Tell the core where its requests stand on the bus (a later place is only more careful)."""
        opened = [wish for wish in wishes if isinstance(wish, OrderRequest) and wish.plan]
        if self._desk is None or not opened or not await self._requests.flush(0.5):
            return
        for request in opened:
            self._desk.take_written(request.request_id, self._requests.last_entry_id)

    def _journal_event(self, event: StateEvent) -> None:
        self._event_number += 1
        self.counts["stateEvents"] += 1
        if event.extra.get("scorerFailed"):
            self._bad_scorers.note(event.symbol, reason=event.reason)
        record = state_event_record(event, run_id=self._run_id, number=self._event_number)
        self._archive.log_state_event(event.symbol, record)

    def _write_risk(self, snapshot: RiskSnapshot) -> None:
        positions = self._positions.positions if self._positions is not None else ()
        table = self._desk.desk.table if self._desk is not None else ()
        instruments = {item.symbol: item for item in table}
        self._archive.write_risk_snapshot(risk_snapshot_record(snapshot, positions, instruments))
