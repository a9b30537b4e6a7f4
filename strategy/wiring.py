"""Builds the strategy service from the settings."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

import numpy as np

from failover.adapters.bus import connect_bus
from failover.services.host import ServiceContext
from market.domain.frames import FRAME_DTYPE
from strategy.adapters.state_event_files import StateEventFiles
from strategy.adapters.state_event_rows import StateEventRows
from strategy.domain.config import DecisionConfig, StrategyConfig
from strategy.domain.profile import BadConfig, read_decision_config
from strategy.domain.score import Scorer
from strategy.services.decision_loop import DecisionLoop, Streams
from strategy.services.journal import DecisionJournal

PROFILES_DIR = Path(__file__).resolve().parent / "profiles"


def load_decision_config(name: str) -> DecisionConfig:
    """The config of a built-in document (`default`, `demo`) or of a JSON file.

    Raises: BadConfig when there is no such document or it is refused.
    """
    built_in = PROFILES_DIR / f"{name}.json"
    path = built_in if built_in.is_file() else Path(name)
    try:
        document = path.read_bytes()
    except OSError as error:
        known = ", ".join(sorted(file.stem for file in PROFILES_DIR.glob("*.json")))
        reason = f"{error.strerror}: name a JSON file or one of {known}"
        raise BadConfig(name, [reason]) from error
    return read_decision_config(path.stem, document)


def compile_kernels() -> bool:
    """Score nothing, once: a first start compiles the score (seconds), later ones load it."""
    Scorer((), StrategyConfig(), 0.0).score(np.zeros(0, FRAME_DTYPE))
    return True


async def start_strategy(
    context: ServiceContext,
    settings: Any,
    config: DecisionConfig,
    only_symbols: frozenset[str],
) -> None:
    """Run the decision loop inside its host, until the host stops."""
    if await context.prepare(compile_kernels) is None:
        return  # asked to stop meanwhile
    client = connect_bus(settings.REDIS_URL)
    journal = DecisionJournal([StateEventFiles(settings.DATA_DIR / "events"), StateEventRows()])
    loop = DecisionLoop(
        client,
        Streams.with_prefix(settings.BUS_PREFIX),
        config,
        journal,
        run_id=f"s{uuid.uuid4().hex[:10]}",
        data_dir=settings.DATA_DIR,
        only_symbols=only_symbols,
    )
    context.on_drain(client.aclose)
    context.on_drain(loop.close)
    context.spawn(_stop_with_host(context, loop), name="stop")
    await loop.run(context)


async def _stop_with_host(context: ServiceContext, loop: DecisionLoop) -> None:
    await context.stopping.wait()
    loop.stop()
