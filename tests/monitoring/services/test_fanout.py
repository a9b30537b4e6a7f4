"""Watchers: a snapshot first, increments after it, and bounded memory for the slow."""

from __future__ import annotations

import time
from typing import Any

import msgspec
import numpy as np

from market.domain.frames import FRAME_DTYPE
from monitoring.domain.panel import apply_increment
from monitoring.domain.times import iso_of_ms
from monitoring.domain.view import OVERVIEW, BeatsSeen, DashboardView, FramesSeen
from monitoring.services.fanout import ROOM_PER_WATCHER, STAMPS_REMEMBERED, Fanout, Watcher

NOW_MS = 1_760_000_000_000


def a_fanout() -> Fanout:
    return Fanout(DashboardView(mode="SIM", bybit_env="LOCAL"))


def something_happens(fanout: Fanout, lag_ms: float) -> None:
    beat = {"ts": iso_of_ms(NOW_MS), "phase": "RUNNING", "lagMs": lag_ms}
    fanout.apply(BeatsSeen(NOW_MS, {"market": beat}))


async def read_all(watcher: Watcher) -> list[dict[str, Any]]:
    messages = []
    while watcher.has_waiting():
        messages.append(msgspec.json.decode(await watcher.next_message()))
    return messages


def held_after(messages: list[dict[str, Any]]) -> dict[str, Any]:
    held: dict[str, Any] = {}
    for message in messages:
        if message["type"] == "snapshot":
            held = {"seq": message["seq"], "state": message["state"]}
        elif message["type"] == "increment":
            held = apply_increment(held, message)
    return held["state"]


async def test_a_watcher_gets_a_snapshot_and_then_increments_that_lead_to_the_present() -> None:
    fanout = a_fanout()
    watcher = fanout.join(OVERVIEW)

    for lag_ms in range(5):
        something_happens(fanout, float(lag_ms))
        fanout.beat()
    messages = await read_all(watcher)

    assert [m["type"] for m in messages] == ["snapshot"] + ["increment"] * 4
    assert held_after(messages) == fanout.state(OVERVIEW)


async def test_who_joins_later_sees_the_same_as_who_was_there() -> None:
    fanout = a_fanout()
    early = fanout.join(OVERVIEW)
    fanout.beat()
    late = fanout.join(OVERVIEW)

    something_happens(fanout, 7.0)
    fanout.beat()

    assert held_after(await read_all(early)) == held_after(await read_all(late))


async def test_a_watcher_that_does_not_read_is_bounded_and_gets_a_fresh_snapshot() -> None:
    fanout = a_fanout()
    slow = fanout.join(OVERVIEW)

    for lag_ms in range(ROOM_PER_WATCHER * 5):
        something_happens(fanout, float(lag_ms))
        fanout.beat()
    messages = await read_all(slow)

    assert len(messages) <= ROOM_PER_WATCHER
    assert messages[0]["type"] == "snapshot"
    assert slow.dropped_to_snapshot >= 1
    assert held_after(messages) == fanout.state(OVERVIEW)


async def test_a_quiet_panel_says_that_it_is_alive() -> None:
    fanout = a_fanout()
    watcher = fanout.join("NOSUCHUSDT")

    fanout.beat()

    assert [m["type"] for m in await read_all(watcher)] == ["tick"]


async def test_who_left_is_sent_nothing() -> None:
    fanout = a_fanout()
    watcher = fanout.join(OVERVIEW)
    fanout.leave(watcher)

    something_happens(fanout, 1.0)
    fanout.beat()

    assert not watcher.has_waiting()


async def test_the_way_to_a_browser_is_measured_by_its_own_word() -> None:
    fanout = a_fanout()
    watcher = fanout.join(OVERVIEW)
    frames = np.zeros(1, FRAME_DTYPE)
    frames["ts_ns"] = time.time_ns() - 30_000_000
    fanout.apply(FramesSeen(frames))

    fanout.beat()
    stamp_ms = (await read_all(watcher))[0]["t"]
    fanout.on_seen(stamp_ms, (stamp_ms + 12) * 1_000_000)
    fanout.on_seen(stamp_ms - 5, time.time_ns())  # never given
    summary = fanout.latency.summary((stamp_ms + 12) * 1_000_000)["eventToBrowser"]["minute"]

    assert summary["n"] == 1
    assert isinstance(summary["maxMs"], float)
    assert summary["maxMs"] >= 30 + 12 - 2  # the stamp is whole milliseconds


async def test_stamps_that_no_browser_answers_are_forgotten() -> None:
    fanout = a_fanout()
    frames = np.zeros(1, FRAME_DTYPE)

    for step in range(STAMPS_REMEMBERED * 2):
        frames["ts_ns"] = step + 1
        fanout.apply(FramesSeen(frames))
        fanout._note_event_age(step / 10)

    assert len(fanout._event_ages_ns) == STAMPS_REMEMBERED
