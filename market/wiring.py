"""Builds the market service from the settings: what is real, and who hears whom."""

from __future__ import annotations

import asyncio
import logging
import os
import random
import uuid
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from redis.asyncio import Redis

from failover.adapters.files import write_atomically
from failover.adapters.journal import JournalWriter
from failover.domain.config_versions import ActiveConfig
from failover.domain.run_mode import RunMode
from failover.services.config_follower import ConfigFollower
from failover.services.first_compile import compile_once
from failover.services.host import ServiceContext
from failover.services.run_mode import follow_run_mode
from failover.wiring import follow_config
from market.adapters.bus import MarketPublisher
from market.adapters.bybit_clock import VenueClock
from market.adapters.bybit_public_ws import BybitPublicFeed
from market.adapters.bybit_rest import fetch_instruments
from market.adapters.endpoints import Endpoints, bybit_endpoints
from market.adapters.indexed_file import IndexedFile
from market.adapters.instrument_store import DjangoInstrumentStore
from market.domain.config import MarketConfig
from market.domain.instruments import Instrument
from market.domain.journal_words import CORE
from market.domain.kernel import MarketKernel, compile_kernel
from market.domain.reconfigure import reconfigured
from market.ports import Kernel
from market.services.core_clock import CoreClock
from market.services.core_journal import MarketJournal
from market.services.hub import MarketHub
from market.services.instruments import InstrumentBook
from market.services.latency import MarketLatency, follow_clock
from market.services.recorder import MarketRecorder
from market.services.runtime import FeedGate, FeedMeter, MarketRuntime

logger = logging.getLogger(__name__)

MAJORS = ("BTCUSDT", "ETHUSDT", "SOLUSDT", "XRPUSDT", "DOGEUSDT")
_LOCAL_EXCHANGE_PATIENCE_S = 120.0  # run_all starts both at once, and its first start compiles


def compiled_kernel(settings: Any) -> bool:
    """The kernel's machine code, before the first message of the feed (seconds at a first start)."""
    return compile_once(settings.RUN_DIR, "market", compile_kernel)


def endpoints_of(settings: Any) -> Endpoints:
    """The venue's hosts as the environment names them."""
    environment = settings.ENVIRONMENT
    return bybit_endpoints(
        environment.bybit_env,
        exchange_host=environment.exchange_host,
        exchange_port=environment.exchange_port,
    )


def instrument_book(settings: Any) -> InstrumentBook:
    endpoints = endpoints_of(settings)
    return InstrumentBook(
        lambda: fetch_instruments(endpoints.rest, is_local=endpoints.is_local),
        DjangoInstrumentStore(settings.ENVIRONMENT.bybit_env),
        venue=f"{settings.ENVIRONMENT.bybit_env} at {endpoints.rest}",
    )


async def choose_instruments(
    settings: Any, book: InstrumentBook, symbols: Sequence[str]
) -> list[Instrument]:
    """The instruments to follow: `symbols`; else all of a local exchange, or the majors of Bybit.

    Raises NoInstruments, UnknownSymbols.
    """
    is_local = endpoints_of(settings).is_local
    await book.load(patience_s=_LOCAL_EXCHANGE_PATIENCE_S if is_local else 0.0)
    if symbols:
        return book.choose(symbols)
    if is_local:
        return book.all()
    return book.choose([symbol for symbol in MAJORS if book.get(symbol)])


def new_recorder_run() -> str:
    """Sorts by start time; unique also when two runs start within a microsecond."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}-{uuid.uuid4().hex[:4]}"


async def start_market(
    context: ServiceContext,
    bus: Redis,
    settings: Any,
    follower: ConfigFollower,
    book: InstrumentBook,
    instruments: Sequence[Instrument],
) -> None:
    """Set the market service going inside its host."""
    run_id = new_recorder_run()
    config: MarketConfig = follower.config.document["market"]
    publisher = MarketPublisher(bus, settings.BUS_PREFIX, run_id)
    recorder = MarketRecorder(
        settings.DATA_DIR / "market",
        instruments,
        run_id,
        open_file=IndexedFile,
        write_whole=write_atomically,
    )
    clock, meter, gate = CoreClock(), FeedMeter(), FeedGate()
    latency = MarketLatency()
    journal = MarketJournal(
        JournalWriter(settings.DATA_DIR / "journal", CORE, run_id), instruments, config, clock()
    )
    hub = _hub(
        instruments,
        config,
        clock,
        [journal, recorder, publisher, meter, latency],
        [journal, publisher, latency],
        on_time=journal.take_time,
    )
    endpoints = endpoints_of(settings)
    feed = BybitPublicFeed(
        endpoints.ws_public_linear,
        [i.symbol for i in instruments],
        hub,
        book_depth=config.book_depth,
        rng=random.Random(os.getpid()),  # noqa: S311  (spreads reconnects, keeps no secret)
        is_local=endpoints.is_local,
    )
    runtime = MarketRuntime(
        hub=hub,
        feed=feed,
        publisher=publisher,
        book=book,
        instruments=instruments,
        clock=clock,
        meter=meter,
        evaluation_interval_ms=config.evaluation_interval_ms,
        details=lambda: (
            _details(run_id, feed, recorder, publisher)
            | latency.details()
            | {"inputJournal": journal.details()}
        ),
        report=lambda details: context.report(details=details),
        gate=gate,
        on_boundary=lambda: journal.keep_state(hub.kernel_state),
    )
    feed.on_off_grid = runtime.suspect_rules
    venue_clock = VenueClock(endpoints.rest, is_local=endpoints.is_local)
    context.on_drain(venue_clock.close)
    context.on_drain(publisher.close)
    context.on_drain(lambda: asyncio.to_thread(recorder.stop))
    context.on_drain(lambda: asyncio.to_thread(journal.close))
    recorder.start()
    context.spawn(
        context.unless_stopping(follow_clock(latency.offset, venue_clock.sample)), name="clock"
    )
    context.spawn(runtime.run(context.stopping), name="market")
    context.spawn(
        follow_run_mode(context.sleep, lambda mode: _follow(context, gate, mode)), name="run-mode"
    )

    def apply(active: ActiveConfig) -> None:
        def go_on_under(kernel: Kernel) -> Kernel:
            config: MarketConfig = active.document["market"]
            journal.take_config(config)
            return reconfigured(kernel, instruments, config)

        hub.reconfigure(go_on_under)

    await follow_config(context, bus, settings, follower, apply)


def _follow(context: ServiceContext, gate: FeedGate, mode: RunMode) -> None:
    """In REPLAY no live connector is open, and none is opened; the heartbeat says which switch we follow."""
    if mode.is_replay == gate.is_open:
        logger.info("run_mode", extra={"runMode": mode.run_mode, "sessionId": mode.session_id})
    gate.set(is_open=not mode.is_replay)
    context.report(
        message=f"REPLAY of {mode.session_id}: the live feed is closed" if mode.is_replay else "",
        details={"runMode": mode.run_mode, "runModeEpoch": mode.epoch},
    )


def _hub(
    instruments: Sequence[Instrument],
    config: MarketConfig,
    clock: CoreClock,
    chunk_sinks: Sequence[Any],
    frame_sinks: Sequence[Any],
    *,
    on_time: Callable[[int], object],
) -> MarketHub:
    kernel = MarketKernel(instruments, config)
    loop = asyncio.get_running_loop()
    hub = MarketHub(
        instruments,
        kernel,
        clock=clock,
        chunk_sinks=chunk_sinks,
        frame_sinks=frame_sinks,
        # All frames that wait in the socket are parsed before the loop comes to the flush.
        on_pending=lambda: loop.call_soon(hub.flush),
        on_time=on_time,
    )
    return hub


def _details(
    run_id: str, feed: BybitPublicFeed, recorder: MarketRecorder, publisher: MarketPublisher
) -> dict[str, Any]:
    stats, recorded = feed.stats, recorder.stats
    return {
        "recorderRun": run_id,
        "connects": stats.connects,
        "frames": stats.messages,
        "gaps": stats.gaps,
        "resubscribes": stats.resubscribes,
        "ignored": dict(stats.ignored),
        "faults": dict(feed.faults.counts),
        "symbols": feed.symbol_states(asyncio.get_running_loop().time()),
        "recorder": {
            "queued": recorded.queued_messages,
            "writtenLines": recorded.written_lines,
            "writtenBytes": recorded.written_bytes,
            "dropped": recorded.dropped_messages,
            "problem": recorded.problem,
        },
        **publisher.details(),
    }
