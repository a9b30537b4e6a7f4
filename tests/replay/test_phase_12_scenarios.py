"""Phase 12 §13, KORAK 8: the owner's test scenarios 1 to 4, with the real parts in one process.

A market is recorded and traded as the live services do it (recorder, cores, archive); a session is built from
the recording, replayed by a job that holds the run mode, and compared with what was decided while recording;
old files are made up and the retention job is let loose on them.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from django.conf import settings as django_settings

from execution.domain.outputs import ExecutionOutput, LogLine, RecordRow
from execution.domain.venue import VenueUpdate
from failover.adapters.archive import Archive
from failover.adapters.bus import connect_bus
from failover.adapters.files import read_jsonl, write_atomically
from failover.adapters.streams import Entry, StreamReader
from failover.domain.days import iso_ms
from failover.services.run_mode import RunModeWatch
from market.adapters.indexed_file import IndexedFile
from market.adapters.recording_files import open_lines
from market.domain.events import EventChunk
from market.domain.frames import Frames
from market.domain.instruments import Instrument
from market.services.recorder import MarketRecorder
from market.services.runtime import FeedGate
from monitoring.tasks import retention
from replay.adapters.session_store import SessionStore
from replay.domain.config import ReplayConfig
from replay.domain.pipeline import Pipeline
from replay.domain.sessions import BuildReplayOptions, ReplayManifest, iso_exact
from replay.models import ReplayJob, ReplayRun
from replay.services import replay_jobs
from replay.services.compare import compare
from replay.services.job_run import run_job
from replay.services.replay_jobs import RunOrder
from replay.services.run_mode_rows import RunModeRows
from replay.services.session_build import build_session
from replay.wiring import job_parts, load_settings
from strategy.domain.messages import StateEvent, StrategyOutput
from strategy.domain.records import state_event_record

pytestmark = pytest.mark.django_db(transaction=True)

STATE_EVENT = {"timestamp", "symbol", "fromState", "toState", "eventType", "reason", "extra"}
TRADE_LOG_RECORD = {
    "timestamp", "dateKey", "symbol", "side", "entryPrice", "closePrice", "qty", "leverage",
    "realizedPnl", "mfe", "mae", "durationSeconds", "mode",
}  # fmt: skip
ORDER_LOG_RECORD = {
    "timestamp", "clientOrderId", "exchangeOrderId", "symbol", "side", "type", "timeInForce", "price",
    "triggerPrice", "qty", "reduceOnly", "status", "filledQty", "avgFillPrice", "notionalUsd", "mode",
    "source", "lastError",
}  # fmt: skip
DASHBOARD_STREAMS = (
    "market.symbols", "market.frames", "market.raw", "strategy.events", "execution.records",
)  # fmt: skip
RAW_MARKET_EVENT = {"timestamp", "source", "type", "symbol", "payload"}
MANIFEST = {
    "sessionId", "createdAt", "createdBy", "sourceDateRange", "symbols", "eventTypes", "speedFactor",
    "totalEvents", "notes",
}  # fmt: skip


@dataclass
class LiveLog:
    """Writes what the cores say as the services do: through the archive."""

    archive: Archive
    counts: Counter[str] = field(default_factory=Counter)

    def on_frames(self, frames: Frames) -> None:
        self.counts["frames"] += len(frames)

    def on_strategy(self, outputs: Sequence[StrategyOutput], now_ns: int) -> None:
        for output in outputs:
            if isinstance(output, StateEvent):
                self.counts["events"] += 1
                record = state_event_record(output, run_id="live", number=self.counts["events"])
                self.archive.log_state_event(output.symbol, record)

    def on_execution(self, outputs: Sequence[ExecutionOutput], now_ns: int) -> None:
        for output in outputs:
            if isinstance(output, LogLine):
                self.counts["orders"] += 1
                self.archive.log_order([output.record], ts_ns=now_ns)
            elif isinstance(output, RecordRow) and output.row.get("record") == "TRADE":
                self.counts["trades"] += 1
                self.archive.log_trade(output.row, ts_ns=now_ns)

    def on_venue(self, update: VenueUpdate, now_ns: int) -> None:
        """The order log has it all."""


@pytest.fixture(scope="module")
def profiles(tmp_path_factory: pytest.TempPathFactory, eager_document: bytes) -> Path:
    """The built-in configs, and one that trades often."""
    folder = tmp_path_factory.mktemp("profiles")
    for path in Path(django_settings.TRADING_PROFILES_DIR).glob("*.json"):
        shutil.copy(path, folder)
    (folder / "eager.json").write_bytes(eager_document)
    return folder


@pytest.fixture(scope="module")
def lived(
    tmp_path_factory: pytest.TempPathFactory,
    instruments: list[Instrument],
    market: EventChunk,
    profiles: Path,
) -> tuple[Path, Counter[str]]:
    """A data folder after 40 s of trading two symbols, and how much was said meanwhile."""
    data_dir = tmp_path_factory.mktemp("lived")
    recorder = MarketRecorder(
        data_dir / "market",
        instruments,
        "run1",
        open_file=IndexedFile,
        write_whole=write_atomically,
    )
    log = LiveLog(Archive(data_dir))
    decision, execution = load_settings(str(profiles / "eager.json"))
    pipeline = Pipeline(instruments, decision, execution.config, (log,), run_id="live")
    recorder.start()
    for start in range(0, len(market), 200):
        chunk = market.slice(start, min(start + 200, len(market)))
        recorder.take_chunk(chunk)
        pipeline.feed(chunk)
    recorder.stop()
    pipeline.finish()
    assert log.archive.close()
    assert recorder.stats.dropped_messages == 0
    return data_dir, log.counts


@pytest.fixture
def data_dir(lived: tuple[Path, Counter[str]], profiles: Path, settings: Any) -> Iterator[Path]:
    settings.DATA_DIR, settings.TRADING_PROFILES_DIR = lived[0], profiles
    yield lived[0]
    shutil.rmtree(lived[0] / "replay", ignore_errors=True)


@pytest.fixture
def store(data_dir: Path) -> SessionStore:
    return SessionStore(data_dir)


def built(store: SessionStore, market: EventChunk, **changes: Any) -> ReplayManifest:
    asked: dict[str, Any] = {
        "from_": iso_exact(int(market.core_ts_ns[0])),
        "to": iso_exact(int(market.core_ts_ns[-1]) + 1000),
        "symbols": ["ETHUSDT", "AI16ZUSDT"],
    }
    return build_session(BuildReplayOptions(**(asked | changes)), store)


def lines(path: Path) -> list[dict[str, Any]]:
    return [*read_jsonl(path)]


def test_phase_12_test_1_logovi_events_orders_trades_log_and_market_fill_up(
    lived: tuple[Path, Counter[str]], market: EventChunk
) -> None:
    """Test 1 - logovi: vidi da se `events`, `orders`, `trades_log`, `market` pune."""
    data_dir, counts = lived
    day = "2025-11-18"

    events = [line for path in (data_dir / "events").glob("*.jsonl") for line in lines(path)]
    orders = lines(data_dir / "orders" / f"day-{day}.jsonl")
    trades = lines(data_dir / "trades_log" / f"day-{day}.jsonl")

    assert (len(events), len(orders), len(trades)) == (
        counts["events"], counts["orders"], counts["trades"],
    )  # fmt: skip
    assert min(counts.values()) > 0
    assert all(set(event) >= STATE_EVENT for event in events)
    assert all(set(trade) >= TRADE_LOG_RECORD for trade in trades)
    assert all(set(line) >= ORDER_LOG_RECORD for line in orders if line["kind"] != "RESULT")
    assert {path.stem for path in (data_dir / "events").iterdir()} == {"ETHUSDT", "AI16ZUSDT"}
    recorded = Counter[str]()
    for symbol in ("ETHUSDT", "AI16ZUSDT"):
        for kind in ("trades", "orderbook", "ticker"):
            with open_lines(data_dir / "market" / day / f"{symbol}-{kind}.jsonl") as file:
                raw = [msgspec.json.decode(line) for line in file]
            assert all(set(line) >= RAW_MARKET_EVENT and line["symbol"] == symbol for line in raw)
            recorded[kind] = sum(line["payload"].get("subtype") != "CHECKPOINT" for line in raw)
            assert recorded[kind] > 0


def test_phase_12_test_2_build_session_makes_a_session_of_the_minutes_traded(
    store: SessionStore, market: EventChunk
) -> None:
    """Test 2 - buildSession: za 5-10 minuta tradinga napravi replay sesiju (here 40 s, as busy)."""
    manifest = built(store, market, notes="ETH+AI16Z scalp test")

    folder = store.folder(manifest.session_id)
    assert set(msgspec.json.decode((folder / "manifest.json").read_bytes())) >= MANIFEST
    assert manifest.symbols == ["ETHUSDT", "AI16ZUSDT"]
    assert manifest.notes == "ETH+AI16Z scalp test"
    assert store.list_sessions() == [manifest]
    events = lines(folder / "events.jsonl")
    assert len(events) == manifest.total_events == len(market)
    assert {event["type"] for event in events} == set(manifest.event_types)
    assert [event["seq"] for event in events] == sorted(event["seq"] for event in events)
    assert manifest.session_id == "2025-11-18T000000-000040-ETHUSDT-AI16ZUSDT"


def test_phase_12_test_2_build_session_takes_the_types_and_the_number_asked_for(
    store: SessionStore, market: EventChunk
) -> None:
    """Phase 12 §7.1: includeTypes select, maxEvents cuts, and the manifest says so."""
    manifest = built(
        store, market, include_types=["MARKET_TRADE", "MARKET_ORDERBOOK"], max_events=1000,
        session_id="short",
    )  # fmt: skip

    events = lines(store.folder("short") / "events.jsonl")
    assert len(events) == manifest.total_events == 1000
    assert manifest.truncated
    assert {event["type"] for event in events} <= {"MARKET_TRADE", "MARKET_ORDERBOOK"}


@pytest.fixture
def replayed(
    data_dir: Path, store: SessionStore, market: EventChunk, valkey: str
) -> tuple[ReplayJob, list[bool]]:
    """A shared replay of the session, from its order to its end, and whether a live feed was let in."""
    asyncio.run(_emptied(valkey))
    manifest = built(store, market)
    asked = RunOrder(
        session_id=manifest.session_id, mode="FULL_DECISION", speed=None, by="owner", config="eager"
    )
    feeds = [_lets_the_feed_in()]
    job = replay_jobs.start(asked, manifest, lambda job_id: feeds.append(_lets_the_feed_in()))
    run_job(job.pk, job_parts())
    feeds.append(_lets_the_feed_in())
    job.refresh_from_db()
    return job, feeds


def _lets_the_feed_in() -> bool:
    """What the market service does with the run mode it reads."""
    gate = FeedGate()
    gate.set(is_open=not RunModeWatch().look().is_replay)
    return gate.is_open


async def _emptied(url: str) -> None:
    client = connect_bus(url)
    await client.flushall()
    await client.aclose()


def test_phase_12_test_3_run_replay_behaves_as_in_the_recorded_period_and_moves_the_dashboard(
    replayed: tuple[ReplayJob, list[bool]],
    data_dir: Path,
    lived: tuple[Path, Counter[str]],
    valkey: str,
) -> None:
    """Test 3 - run REPLAY: ugasi WS konektor, pokreni `runSession`, posmatraj da se feature / scoring /
    state / risk / execution ponašaju kao u snimljenom periodu, dashboard se "pomera" kao live.

    The dashboard's streams come under the replay's own names; no live one is written."""
    job, feeds = replayed

    assert (job.state, job.error) == ("DONE", "")
    assert feeds == [True, False, True]  # before, from the order on, and after the end
    assert not RunModeRows().read().is_replay
    assert job.status["progressPct"] == 100.0
    strict = ReplayConfig(compare_live_tolerance_ms=0)
    found = compare(job.run_id, "live", data_dir=data_dir, archive=data_dir, config=strict)
    assert found.first_divergence is None
    counts = lived[1]
    assert found.counts["STATE"].equal == counts["events"]
    assert found.counts["TRADE"].equal == counts["trades"]
    assert found.counts["ORDER"].equal > 0 < found.counts["FILL"].equal
    assert ReplayRun.objects.get(run_id=job.run_id).trades == counts["trades"]
    prefix = django_settings.BUS_PREFIX
    keys, trades = asyncio.run(_told(valkey, prefix))
    ours = {key for key in keys if key.startswith(prefix)}
    assert ours >= {f"{prefix}replay.{name}" for name in DASHBOARD_STREAMS}
    assert all(key.startswith(f"{prefix}replay.") for key in ours)
    assert trades == counts["trades"]


async def _told(url: str, prefix: str) -> tuple[set[str], int]:
    """The keys on the bus, and how many closed trades the screen was told."""
    client = connect_bus(url)
    keys = {key.decode() for key in await client.keys("*")}
    stream = f"{prefix}replay.execution.records"
    length, trades = int(await client.xlen(stream)), 0
    reader = StreamReader(client, {stream: "0"})
    await reader.open()
    async for item in reader:
        if isinstance(item, Entry):
            rows = msgspec.msgpack.decode(item.payload)
            trades += sum(row["record"] == "TRADE" for row in rows)
            length -= 1
        if not length:
            break
    await client.aclose()
    return keys, trades


def test_phase_12_test_4_retention_deletes_what_was_made_old(tmp_path: Path, settings: Any) -> None:
    """Test 4 - retention: napravi veštački stare fajlove, pusti job, proveri da su obrisani."""
    settings.DATA_DIR = tmp_path
    now = datetime.now(UTC)

    def day(days_ago: int) -> str:
        return f"{now - timedelta(days=days_ago):%Y-%m-%d}"

    old = [
        f"trades_log/day-{day(31)}.jsonl", f"orders/day-{day(31)}.jsonl", "events/OLDUSDT.jsonl",
        f"market/{day(4)}/BTCUSDT-trades.jsonl", f"market/{day(4)}/BTCUSDT-orderbook.jsonl",
        "replay/sessions/old/manifest.json", "replay/sessions/old/events.jsonl",
    ]  # fmt: skip
    young = [
        f"trades_log/day-{day(29)}.jsonl", f"orders/day-{day(29)}.jsonl", "events/NEWUSDT.jsonl",
        f"market/{day(0)}/BTCUSDT-trades.jsonl", f"market/{day(1)}/BTCUSDT-trades.jsonl",
        "replay/sessions/new/manifest.json", "replay/sessions/new/events.jsonl",
    ]  # fmt: skip
    for path in (*old, *young):
        _put(tmp_path / path, now - timedelta(days=60 if path in old else 0))
    for name, days_ago in (("old", 31), ("new", 29)):
        to = now - timedelta(days=days_ago)
        source = {"from": iso_of(to - timedelta(hours=1)), "to": iso_of(to)}
        manifest = {"sessionId": name, "createdAt": iso_of(to), "sourceDateRange": source}
        _put(tmp_path / f"replay/sessions/{name}/manifest.json", to, msgspec.json.encode(manifest))

    result = retention.apply().get()

    left = {p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*") if p.is_file()}
    assert left == set(young)
    assert (result["deleted"], result["kept"], result["errors"]) == (len(old), len(young), 0)


def iso_of(moment: datetime) -> str:
    return iso_ms(int(moment.timestamp()) * 1_000_000_000)


def _put(path: Path, at: datetime, content: bytes = b"{}\n") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    os.utime(path, (at.timestamp(), at.timestamp()))
