"""Another market config for a kernel in the middle of its work: nothing is forgotten, the new rule holds."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from asgiref.sync import sync_to_async
from redis.asyncio import Redis

from failover import wiring
from failover.domain.config_versions import ActiveConfig
from failover.models import AuditSource
from failover.services import config_store as store
from failover.services.audit import Actor
from failover.services.host import ServiceContext
from market.domain.config import MarketConfig
from market.domain.instruments import Instrument
from market.domain.kernel import MarketKernel
from market.domain.reconfigure import reconfigured
from market.services.hub import MarketHub

MS = 1_000_000


class Frames:
    """A frame sink that keeps all."""

    def __init__(self) -> None:
        self.parts: list[Any] = []

    def take_frames(self, frames: Any) -> None:
        self.parts.append(frames.copy())

    def joined(self) -> Any:
        return np.concatenate(self.parts)


class Market:
    """A hub in a made-up market whose mid moves one tick with each message."""

    def __init__(self, instruments: list[Instrument], config: MarketConfig) -> None:
        self.frames, self.instruments = Frames(), instruments
        self.hub = MarketHub(
            instruments,
            MarketKernel(instruments, config),
            clock=lambda: 0,
            frame_sinks=[self.frames],
        )
        self._tick, self._now_ns = 10_000, 1_763_424_000_000_000_000
        self.hub.on_raw_orderbook(
            instruments[0].symbol,
            {"subtype": "SNAPSHOT", "bids": [("1000.0", "5")], "asks": [("1000.1", "5")]},
            self._now_ns,
        )

    def moves(self, count: int) -> None:
        """`count` messages 10 ms apart; each raises both sides of the book by a tick."""
        for _ in range(count):
            bid, ask = self._tick / 10, (self._tick + 1) / 10
            self._tick, self._now_ns = self._tick + 1, self._now_ns + 10 * MS
            self.hub.on_raw_orderbook(
                self.instruments[0].symbol,
                {"bids": [(f"{bid:.1f}", "0"), (f"{ask:.1f}", "5")],
                 "asks": [(f"{ask:.1f}", "0"), (f"{ask + 0.1:.1f}", "5")]},
                self._now_ns,
            )  # fmt: skip
        self.hub.flush()

    def reconfigure(self, config: MarketConfig) -> None:
        self.hub.reconfigure(lambda kernel: reconfigured(kernel, self.instruments, config))


def test_the_same_config_anew_changes_no_frame(instruments: list[Instrument]) -> None:
    plain, changed = (Market(instruments, MarketConfig()) for _ in range(2))
    for market in (plain, changed):
        market.moves(150)
        if market is changed:
            market.reconfigure(MarketConfig())
        market.moves(150)

    assert changed.frames.joined().tobytes() == plain.frames.joined().tobytes()


def test_a_new_threshold_holds_from_the_next_message_on(instruments: list[Instrument]) -> None:
    market = Market(instruments, MarketConfig(trigger_ticks=1000))
    market.moves(100)
    before = len(market.frames.joined())

    market.reconfigure(MarketConfig(trigger_ticks=2))
    market.moves(100)

    frames = market.frames.joined()
    own = frames[frames["symbol"] == 0]
    assert (own["reason"][: before // len(instruments)] == 0).all()
    assert (own["reason"] == 1).sum() > 20
    assert (np.diff(own["frame_seq"]) == 1).all()


def test_a_grid_that_shapes_the_state_is_refused(instruments: list[Instrument]) -> None:
    market = Market(instruments, MarketConfig())
    market.moves(10)

    with pytest.raises(ValueError, match="another config"):
        market.reconfigure(MarketConfig(evaluation_interval_ms=50))


@pytest.mark.django_db(transaction=True)
async def test_an_activation_reaches_the_hub_over_the_bus(
    instruments: list[Instrument], redis_client: Redis, settings: Any, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(wiring, "LOOK_EVERY_S", 3600.0)
    settings.DATA_DIR, settings.BUS_PREFIX = tmp_path, "t:"
    follower = await asyncio.to_thread(wiring.open_config, "market", settings)
    market, context = (
        Market(instruments, follower.config.document["market"]),
        ServiceContext(name="market"),
    )
    done = asyncio.Event()

    def apply(active: ActiveConfig) -> None:
        market.reconfigure(active.document["market"])
        done.set()

    await wiring.follow_config(context, redis_client, settings, follower, apply)
    document = {"market": {"warmupS": 60, "triggerTicks": 2, "evaluationIntervalMs": 50}}
    actor = Actor(name="anna", source=AuditSource.CLI)
    version = await sync_to_async(store.save_version)(msgspec.json.encode(document), actor=actor)
    await sync_to_async(store.activate)(version.pk, actor=actor)
    await asyncio.wait_for(done.wait(), 15)
    context.stop("test over")
    market.moves(100)

    frames = market.frames.joined()
    assert (frames["reason"] == 1).any()
    assert follower.needs_restart == ("market.evaluationIntervalMs",)
    while context._tasks:
        await asyncio.wait(context._tasks)
