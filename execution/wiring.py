"""Builds the execution service from the settings: SIM mode."""

from __future__ import annotations

import logging
import time
import uuid
from functools import partial
from typing import Any

import msgspec
from redis.asyncio import Redis

from execution.adapters.order_log import CommitStore, OrderLog, QualityLog, TradeLog
from execution.domain.core import ExecutionCore
from execution.domain.profile import execution_settings_of
from execution.domain.sim_book import compile_venue_kernel
from execution.domain.simulated_exchange import SimulatedExchange
from execution.ports import Recovered
from execution.services.account_memory import RunFacts, RunStart
from execution.services.latency import LatencyWatch
from execution.services.market_change import on_market_of
from execution.services.process_record import ProcessRecord
from execution.services.projection import Projection
from execution.services.simulated_account import CONFIG_INVALID, SimulatedAccount, Sinks
from execution.services.simulation import SYMBOLS_CODEC, InputClock, SimulationService, Streams
from execution.services.tape import JournalTape
from failover.adapters.archive import Archive
from failover.adapters.heartbeats import read_heartbeats
from failover.adapters.journal import JournalWriter
from failover.adapters.process_state import ProcessStateStore
from failover.adapters.streams import StreamReader, StreamWriter
from failover.domain.config_versions import ActiveConfig
from failover.domain.days import utc_day
from failover.services.config_follower import ConfigFollower
from failover.services.first_compile import compile_once
from failover.services.host import ServiceContext
from failover.services.run_mode import begin_to_follow
from failover.wiring import follow_config
from market.domain.instruments import Instrument

logger = logging.getLogger(__name__)

_EVENTS_MAXLEN, _RECORDS_MAXLEN = 50_000, 50_000
_LATER = {
    "LIVE": "LIVE comes with the Bybit private connector",
    "DRY_RUN": "DRY_RUN comes with the Bybit private connector",
    "REPLAY": "REPLAY is a run mode of the whole system: start it on the replay page or its API",
}


class UnsupportedMode(Exception):
    """Start with EXECUTION_MODE=SIM; the text says when the other mode comes."""


def refuse_other_modes(mode: str) -> None:
    """Raises: UnsupportedMode for every mode but SIM."""
    if mode != "SIM":
        raise UnsupportedMode(f"EXECUTION_MODE={mode}: {_LATER.get(mode, 'unknown mode')}")


async def start_execution(
    context: ServiceContext, bus: Redis, settings: Any, follower: ConfigFollower
) -> None:
    """Recover the account, then trade it inside its host.

    Raises: Refused when the account holds positions of another BYBIT_ENV.
    """
    streams = Streams.with_prefix(settings.BUS_PREFIX)
    compiled = partial(compile_once, settings.RUN_DIR, "execution", compile_venue_kernel)
    if await context.prepare(compiled) is None:
        return  # asked to stop meanwhile
    table = await _wait_for_symbols(context, bus, streams.symbols)
    if not table:
        return
    data, clock = settings.DATA_DIR, InputClock()
    run_id = f"e{uuid.uuid4().hex[:10]}"
    logging_config = follower.config.document["logging"]
    archive = Archive(logging_config.folder(data), logging_config)
    order_log = OrderLog(archive)
    order_log.open(utc_day(time.time_ns()))
    commits = CommitStore(data / "system")
    bybit_env = settings.ENVIRONMENT.bybit_env
    recovered = on_market_of(commits.recover(), bybit_env, str(data / "system"))
    instruments = recovered.instruments(table)
    projection = Projection(archive.orders.folder)
    events = StreamWriter(bus, streams.events, _EVENTS_MAXLEN, run_id=run_id)
    records = StreamWriter(bus, streams.records, _RECORDS_MAXLEN, run_id=run_id)
    # The name of a new account goes into its execution ids: unique also beside an older account's rows.
    trading = execution_settings_of(follower.config.document)
    venue_id = f"SIM{time.time_ns() // 1_000_000_000:x}".upper()
    account = SimulatedAccount(
        core=ExecutionCore(
            instruments,
            trading.config,
            "SIM",
            run_id,
            trading.limits,
            trading.symbols,
            trading.version,
            symbol_limits=trading.symbol_limits,
        ),
        venue=SimulatedExchange(instruments, trading.config, venue_id, trading.symbols),
        symbols=tuple(instrument.symbol for instrument in table),
        bybit_env=bybit_env,
        settings=trading,
        sinks=Sinks(
            commits=commits,
            order_log=order_log,
            trade_log=TradeLog(archive),
            quality_log=QualityLog(archive),
            events=events,
            records=records,
            projection=projection,
        ),
    )
    process = ProcessRecord(ProcessStateStore(data / "system", run_mode="SIM"), account)
    process.begin()
    journal = JournalWriter(data / "journal", "execution", run_id)
    tape = _begin_tape(journal, account, recovered, (run_id, venue_id), clock())
    account.tape = tape
    outcome = account.recover(recovered, clock())
    process.has_recovered = recovered.checkpoint is not None or recovered.newest is not None
    logger.info("execution_recovered", extra={"outcome": outcome})
    service = SimulationService(
        context=context,
        account=account,
        reader=_reader(bus, streams, account),
        streams=streams,
        commits=commits,
        process=process,
        archive=archive,
        clock=clock,
        journal=journal,
    )
    projection.start()
    for close in (
        lambda: journal.close(clock()), tape.end, archive.close, commits.close, projection.close,
        records.close, events.close, process.end, service.save,
    ):  # fmt: skip
        context.on_drain(_quietly(close))
    context.spawn(_stop_with_host(context, service.reader), name="stop")
    if follower.config.is_invalid:
        account.refuse_entries(CONFIG_INVALID, follower.config.problem, clock())

    def apply(config: ActiveConfig) -> None:
        archive.reconfigure(config.document["logging"])
        account.on_config(config, clock())

    await follow_config(context, bus, settings, follower, apply)
    await begin_to_follow(context, service.on_run_mode)  # before any request is read
    context.spawn(service.run(), name="consume")
    context.spawn(service.tick(), name="tick")
    context.spawn(service.keep_checkpoints(), name="checkpoint")
    watch = LatencyWatch(
        account.meter,
        lambda: read_heartbeats(bus, settings.BUS_PREFIX, ("market", "strategy")),
        lambda: account.core.config.latency,
        lambda text, _: account.say_latency(text, clock()),
    )
    context.spawn(watch.run(context), name="latency")


def _begin_tape(
    journal: JournalWriter,
    account: SimulatedAccount,
    recovered: Recovered,
    names: tuple[str, str],
    now_ns: int,
) -> JournalTape:
    """The journal of an account that was just made; `names` are those of its run and of a new venue."""
    facts = RunFacts(
        run_id=names[0],
        mode=account.core.mode,
        instruments=tuple(account.core.instruments.values()),
        symbols=account.symbols,
        bybit_env=account.bybit_env,
        venue_id=names[1],
    )
    start = RunStart(facts=facts, settings=account.settings, recovered=recovered)
    journal.begin(now_ns, msgspec.msgpack.encode(start))
    return JournalTape(journal)


def _quietly(close: Any) -> Any:
    """Closers say by a bool what they achieved; the host only wants to wait for them."""

    async def run() -> None:
        result = close()
        if hasattr(result, "__await__"):
            await result

    return run


def _reader(client: Redis, streams: Streams, account: SimulatedAccount) -> StreamReader:
    """Continue where the account stands; a new account takes all that the bus still has."""
    places = account.positions
    return StreamReader(
        client,
        {
            streams.raw: places.get(streams.raw, "0"),
            streams.requests: places.get(streams.requests, "0"),
            streams.operator: places.get(streams.operator, "$"),
            streams.frames: "$",
            streams.symbols: "$",
        },
    )


async def _wait_for_symbols(
    context: ServiceContext, client: Redis, stream: str
) -> list[Instrument]:
    """The newest symbol table; waits for the market service to write the first one."""
    context.message = "waiting for market.symbols"
    while True:
        newest: Any = await client.xrevrange(stream, count=1)
        if newest:
            context.message = ""
            return list(SYMBOLS_CODEC.decode(newest[0][1][b"d"]))
        if await context.sleep(0.2):
            return []


async def _stop_with_host(context: ServiceContext, reader: StreamReader) -> None:
    await context.stopping.wait()
    reader.close()
