"""Builds the strategy service from the settings."""

from __future__ import annotations

import uuid
from functools import partial
from typing import Any

from redis.asyncio import Redis

from failover.adapters.archive import Archive
from failover.domain.config_versions import ActiveConfig
from failover.services.config_follower import ConfigFollower
from failover.services.first_compile import compile_once
from failover.services.host import ServiceContext
from failover.wiring import follow_config
from market.adapters.endpoints import bybit_endpoints
from strategy.adapters.scorer_watch import ScorerStopwatch
from strategy.adapters.state_event_rows import StateEventRows
from strategy.domain.core import compile_numeric_path
from strategy.domain.profile import decision_config_of
from strategy.services.decision_loop import DecisionLoop, Streams


def venue_of(settings: Any) -> str:
    """The market whose frames come in: environment and address of its feed."""
    environment = settings.ENVIRONMENT
    endpoints = bybit_endpoints(
        environment.bybit_env,
        exchange_host=environment.exchange_host,
        exchange_port=environment.exchange_port,
    )
    return f"{environment.bybit_env} at {endpoints.ws_public_linear}"


async def start_strategy(
    context: ServiceContext,
    bus: Redis,
    settings: Any,
    follower: ConfigFollower,
    only_symbols: frozenset[str],
) -> None:
    """Run the decision loop inside its host, until the host stops."""
    compiled = partial(compile_once, settings.RUN_DIR, "strategy", compile_numeric_path)
    if await context.prepare(compiled) is None:
        return  # asked to stop meanwhile
    logging = follower.config.document["logging"]
    archive = Archive(
        logging.folder(settings.DATA_DIR), logging, state_event_sinks=[StateEventRows()]
    )
    loop = DecisionLoop(
        bus,
        Streams.with_prefix(settings.BUS_PREFIX),
        decision_config_of(follower.config.document),
        archive,
        run_id=f"s{uuid.uuid4().hex[:10]}",
        data_dir=settings.DATA_DIR,
        only_symbols=only_symbols,
        watch=ScorerStopwatch(),
        venue=venue_of(settings),
    )
    context.on_drain(loop.close)
    context.spawn(_stop_with_host(context, loop), name="stop")

    async def apply(config: ActiveConfig) -> None:
        archive.reconfigure(config.document["logging"])
        await loop.on_config(decision_config_of(config.document))

    await follow_config(context, bus, settings, follower, apply)
    await loop.run(context)


async def _stop_with_host(context: ServiceContext, loop: DecisionLoop) -> None:
    await context.stopping.wait()
    loop.stop()
