"""A replay, shared or isolated, leaves every live stream, table and file as it was, and sends no order.

The whole job runs as the worker's process runs it: session from disk, real pipeline, bus and database.
A guard takes a picture of everything before and compares after; what may change is named, nothing else.
"""

from __future__ import annotations

import hashlib
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import redis
from django.apps import apps

from market.domain.events import EventChunk
from monitoring.services.bus_view import DECODERS
from replay.adapters.replay_bus import REPLAY_NAMESPACE
from replay.adapters.session_store import SessionStore
from replay.domain.sessions import BuildReplayOptions, ReplayManifest
from replay.models import ReplayJob, ReplayRun
from replay.services import replay_jobs
from replay.services.job_run import run_job
from replay.services.replay_jobs import RunOrder
from replay.services.session_build import build_session
from replay.wiring import job_parts
from tests.replay.recording_samples import write_recording

pytestmark = pytest.mark.django_db(transaction=True)

LIVE_STREAMS = (
    "market.symbols", "market.frames", "market.raw", "strategy.requests", "strategy.events",
    "execution.events", "execution.records", "operator.commands", "config.activations",
)  # fmt: skip
MAY_CHANGE = {"replay_replayjob", "replay_replayrun", "replay_runmoderow"}


@pytest.fixture
def session(market: EventChunk, tmp_path: Path, settings: Any) -> ReplayManifest:
    """A data folder with everything that lives in one, and a session."""
    settings.DATA_DIR = tmp_path
    write_recording(tmp_path / "market", market)
    for name in (
        "orders/day-2025-11-18.jsonl",
        "system/risk_snapshot.json",
        "events/ETHUSDT.jsonl",
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("{}\n")
    options = BuildReplayOptions(
        from_="2025-11-18T00:00:00Z", to="2025-11-18T00:01:00Z", symbols=["ETHUSDT", "AI16ZUSDT"]
    )
    return build_session(options, SessionStore(tmp_path))


@pytest.fixture
def bus(valkey: str, settings: Any) -> Any:
    """A live system's streams, each with something in it."""
    with redis.Redis.from_url(valkey) as client:
        client.flushall()
        for name in LIVE_STREAMS:
            client.xadd(settings.BUS_PREFIX + name, {"r": "live", "n": 1, "c": 1, "d": b"x"})
        yield client
        client.flushall()


def picture(folder: Path, bus: Any, prefix: str) -> dict[str, str]:
    """Everything that a replay could touch, by name, as a digest of its content."""
    seen = {}
    for path in sorted(folder.rglob("*")):
        inside = path.relative_to(folder)
        if path.is_file() and inside.parts[0] != "replay":
            seen[f"file {inside}"] = hashlib.sha256(path.read_bytes()).hexdigest()
    for key in sorted(bus.keys("*")):
        if not key.decode().startswith(prefix + REPLAY_NAMESPACE):
            seen[f"key {key.decode()}"] = hashlib.sha256(bus.dump(key)).hexdigest()
    for model in apps.get_models():
        if model._meta.managed and model._meta.db_table not in MAY_CHANGE:
            rows = repr(sorted(model.objects.values_list(), key=repr))
            seen[f"table {model._meta.db_table}"] = hashlib.sha256(rows.encode()).hexdigest()
    return seen


@pytest.mark.parametrize("isolated", [True, False])
def test_a_replay_changes_nothing_live(
    isolated: bool, session: ReplayManifest, bus: Any, tmp_path: Path, settings: Any
) -> None:
    before = picture(tmp_path, bus, settings.BUS_PREFIX)
    order = RunOrder(
        session_id=session.session_id, mode="FULL_DECISION", speed=None, by="operator",
        isolated=isolated, config="demo",
    )  # fmt: skip
    job = replay_jobs.start(order, session, lambda job_id: None)

    assert run_job(job.pk, job_parts()) == "DONE", ReplayJob.objects.get(pk=job.pk).error

    assert picture(tmp_path, bus, settings.BUS_PREFIX) == before
    told = bus.keys(settings.BUS_PREFIX + REPLAY_NAMESPACE + "*")
    assert bool(told) is not isolated
    run = ReplayRun.objects.get()
    assert run.complete
    assert (tmp_path / "replay" / "runs" / run.run_id / "report.json").exists()


def test_the_guard_sees_a_changed_stream_a_new_file_and_a_new_row(
    session: ReplayManifest, bus: Any, tmp_path: Path, settings: Any
) -> None:
    """A guard that cannot fail proves nothing."""
    del session
    before = picture(tmp_path, bus, settings.BUS_PREFIX)

    bus.xadd(settings.BUS_PREFIX + "execution.records", {"r": "x", "n": 1, "c": 1, "d": b"y"})
    (tmp_path / "orders" / "day-2025-11-19.jsonl").write_text("{}\n")
    apps.get_model("failover", "AuditEntry").objects.create(
        timestamp="2025-11-18T00:00:00Z", actor="a", source="API", action="b", result="OK"
    )

    after = picture(tmp_path, bus, settings.BUS_PREFIX)
    changed = {name for name in before | after if before.get(name) != after.get(name)}
    assert changed == {
        f"key {settings.BUS_PREFIX}execution.records", "file orders/day-2025-11-19.jsonl",
        "table failover_auditentry",
    }  # fmt: skip


def test_what_a_shared_replay_tells_can_be_read_as_the_live_streams_are(
    session: ReplayManifest, bus: Any, settings: Any
) -> None:
    """The dashboard's own decoders take every entry, numbered without a gap."""
    order = RunOrder(
        session_id=session.session_id, mode="FULL_DECISION", speed=200.0, by="operator",
        config="demo",
    )  # fmt: skip
    job = replay_jobs.start(order, session, lambda job_id: None)
    run_job(job.pk, job_parts())

    seen = {}
    for name, decode in DECODERS.items():
        entries = bus.xrange(settings.BUS_PREFIX + REPLAY_NAMESPACE + name)
        numbers = [(int(fields[b"n"]), int(fields[b"c"])) for _, fields in entries]
        assert all(n + c == after for (n, c), (after, _) in pairwise(numbers))
        seen[name] = sum(len(list(decode(fields[b"d"]))) for _, fields in entries)
    assert seen["market.symbols"] == 1
    assert seen["market.frames"] > 2
    assert seen["market.raw"] > 0
    assert seen["strategy.events"] > 2
    assert seen["execution.events"] > 0
