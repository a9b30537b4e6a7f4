"""`profileUpdater`: recordings in, a proposal with evidence out, once."""

from __future__ import annotations

import io
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from django.core.management import CommandError, call_command

from execution.domain.synthetic_instruments import synthetic_instruments
from execution.domain.synthetic_market import synthetic_chunks
from failover.domain.config import load_document
from failover.models import AuditSource, ConfigVersion, VersionStatus
from failover.services.audit import Actor
from failover.services.config_store import activate, decline, save_version
from market.domain.config import MarketConfig
from market.domain.events import EventChunk, EventKind
from market.domain.kernel import MarketKernel
from market.domain.raw_events import RawEventEncoder
from replay.adapters.session_paths import open_market_data
from replay.domain.profile_rules import ProfileUpdaterConfig, differing, suggested
from replay.domain.profile_statistics import SizeHistogram, SymbolStatistics
from replay.services.profile_run import Update, recent_days, update_profiles
from replay.services.profile_updater import Stopped, look_at
from replay.tasks import profile_updater
from scalper_site.celery import app

SYMBOLS = ("SYN01USDT", "AI16ZUSDT")
NOW = datetime(2025, 11, 19, 0, 30, tzinfo=UTC)
DAY = "2025-11-18"
DOCUMENT = {
    "market": {"warmupS": 10},
    "profileUpdater": {"days": 3, "minHours": 0.02},
    "symbols": {"SYN01USDT": {"strategy": {"entryScore": 75.0, "maxSpreadBps": 900.0}}},
}


@pytest.fixture(scope="module")
def chunks() -> list[EventChunk]:
    return list(synthetic_chunks(4, 100, SYMBOLS, rate_multiplier=0.5))


@pytest.fixture(scope="module")
def market_folder(tmp_path_factory: pytest.TempPathFactory, chunks: list[EventChunk]) -> Path:
    """A recording with one day of data and one that cannot be read."""
    folder = tmp_path_factory.mktemp("market")
    (folder / "2025-11-17").mkdir()
    day = folder / DAY
    day.mkdir()
    instruments = synthetic_instruments(SYMBOLS)
    (day / "instruments-run1.json").write_bytes(msgspec.json.encode(instruments))
    encoder = RawEventEncoder(instruments, "run1")
    lines: dict[str, list[str]] = {}
    for chunk in chunks:
        for symbol, kind, line in encoder.lines(chunk):
            lines.setdefault(f"{symbol}-{kind}.jsonl", []).append(line + "\n")
    for name, own in lines.items():
        (day / name).write_text("".join(own))
    return folder


@pytest.fixture
def active(db: None) -> ConfigVersion:
    actor = Actor(name="test", source=AuditSource.CLI)
    version = save_version(msgspec.json.encode(DOCUMENT), actor=actor)
    activate(version.pk, actor=actor)
    return version


def updated(folder: Path, **options: Any) -> Update:
    return update_profiles(lambda day: open_market_data([day]), folder=folder, now=NOW, **options)


def test_thresholds_are_proposed_with_their_evidence_and_days_without_data_noted(
    market_folder: Path, active: ConfigVersion
) -> None:
    version = updated(market_folder).version

    assert version is not None
    assert (version.author, version.status) == ("profileUpdater", VersionStatus.PROPOSED)
    assert version.parent == active
    document, errors = load_document(version.document.encode())
    assert not errors
    assert document is not None
    own = document.for_symbol("SYN01USDT")
    evidence: dict[str, Any] = version.evidence
    facts = evidence["symbols"]["SYN01USDT"]
    assert own["strategy"].max_spread_bps == pytest.approx(2 * facts["spreadBps"]["p99"], rel=0.01)
    assert own["execution"].max_spread_bps == own["strategy"].max_spread_bps
    assert own["strategy"].min_depth_usd == pytest.approx(facts["depthUsd"]["p5"] / 2, rel=0.01)
    assert own["strategy"].entry_score == 75.0
    assert document["strategy"].max_spread_bps == 15.0
    assert [each["day"] for each in evidence["days"]] == [DAY]
    assert evidence["days"][0]["messages"] > 1000
    assert any(note.startswith("2025-11-17") for note in evidence["notes"])
    assert any(note.startswith("2025-11-19: no recording") for note in evidence["notes"])
    assert evidence["fees"] == {"makerBps": 2.0, "takerBps": 5.5, "paid": {}}
    assert evidence["configVersion"]
    hours = facts["rv60sByHour"]
    assert hours[0] > 0
    assert hours[1:] == [None] * 23


def test_the_same_recordings_propose_once_also_after_the_proposal_was_declined(
    market_folder: Path, active: ConfigVersion
) -> None:
    first, second = updated(market_folder).version, updated(market_folder).version
    assert first is not None
    decline(first.pk, actor=Actor(name="test", source=AuditSource.CLI))

    third = updated(market_folder).version

    assert second is None
    assert third is None
    assert ConfigVersion.objects.filter(author="profileUpdater").count() == 1


def test_once_activated_the_thresholds_stand_and_nothing_more_is_proposed(
    market_folder: Path, active: ConfigVersion
) -> None:
    version = updated(market_folder).version
    assert version is not None
    activate(version.pk, actor=Actor(name="test", source=AuditSource.CLI))

    again = updated(market_folder)

    assert again.proposal.changes == {}
    assert again.version is None


def test_the_statistics_are_those_of_the_market(
    market_folder: Path, chunks: list[EventChunk]
) -> None:
    """Against plain quantiles of all frames and trades; a histogram's bucket is 4.4 % wide."""
    market = MarketConfig(warmup_s=10)
    found = look_at(market_folder, [DAY], market, lambda day: open_market_data([day]))
    instruments = synthetic_instruments(SYMBOLS)
    kernel = MarketKernel(instruments, market)
    frames = np.concatenate([kernel.process(chunk) for chunk in chunks])
    mine = frames[(frames["symbol"] == 1) & (frames["warm"] == 1) & (frames["reason"] == 0)]
    seconds = mine[mine["ts_ns"] % 10**9 == 0]
    step = float(instruments[1].tick_size) * float(instruments[1].qty_step)
    trades = np.concatenate(
        [
            (c.tick[first] * c.lot[first] * step)
            for c in chunks
            for first in [
                c.level_offset[np.flatnonzero((c.kind == EventKind.TRADE) & (c.symbol == 1))]
            ]
        ]
    )

    facts = found.statistics["AI16ZUSDT"].summary()
    assert facts["seconds"] == len(seconds)
    assert facts["trades"] == trades.size
    for told, values, share in (
        (facts["spreadBps"]["p50"], seconds["spread_bps"], 0.5),
        (facts["rv300s"]["p95"], seconds["rv300s"], 0.95),
        (facts["tradeUsd"]["p90"], trades, 0.9),
    ):
        expected = np.quantile(values, share, method="inverted_cdf")
        assert told == pytest.approx(expected, rel=0.03)


def test_a_histogram_keeps_its_size_and_finds_quantiles_of_any_scale() -> None:
    histogram = SizeHistogram()
    rng = np.random.default_rng(1)
    values = np.exp(rng.normal(3.0, 4.0, 50_000))
    for part in np.array_split(values, 7):
        histogram.add(part)
    histogram.add(np.array([np.nan, -1.0]))

    assert histogram.count == 50_000
    for share in (0.01, 0.5, 0.999):
        assert histogram.quantile(share) == pytest.approx(np.quantile(values, share), rel=0.05)
    assert SizeHistogram().quantile(0.5) is None


def test_small_differences_are_left_alone_and_suggestions_stay_in_range() -> None:
    found = {"strategy": {"maxSpreadBps": 11.0, "flickerMax": 9.0}}
    held = {"strategy": {"maxSpreadBps": 10.0, "flickerMax": 3.0}}

    assert differing(found, held, 20.0) == {"strategy": {"flickerMax": 9.0}}
    wild = SymbolStatistics(synthetic_instruments(SYMBOLS)[0])
    wild.spread_bps.add(np.full(10, 5e5))
    wild.depth_usd.add(np.full(10, 3.0))
    config = ProfileUpdaterConfig()
    assert suggested(wild, config)["strategy"]["maxSpreadBps"] == 1000.0
    assert suggested(wild, config)["strategy"]["minDepthUsd"] == config.least_depth_usd


def test_a_run_stops_between_chunks_and_proposes_nothing(
    market_folder: Path, active: ConfigVersion
) -> None:
    with pytest.raises(Stopped):
        updated(market_folder, should_stop=lambda: True)

    assert not ConfigVersion.objects.filter(author="profileUpdater").exists()


def test_the_worker_knows_the_job_and_its_clock_calls_it_daily() -> None:
    app.loader.import_default_modules()

    entry = app.conf.beat_schedule["profileUpdater"]
    assert entry["task"] in app.tasks
    assert entry["schedule"].remaining_estimate(NOW).total_seconds() <= 86_400
    assert recent_days(3, NOW) == ("2025-11-17", "2025-11-18", "2025-11-19")


def test_the_job_answers_with_what_it_found_where_nothing_is_recorded(
    active: ConfigVersion, tmp_path: Path, settings: Any
) -> None:
    settings.DATA_DIR = tmp_path

    answer = profile_updater.apply().get()

    assert answer["version"] is None
    assert answer["symbols"] == []
    assert len(answer["notes"]) == 3


def test_the_command_says_what_it_saw_and_refuses_bad_input_in_one_line(
    market_folder: Path, active: ConfigVersion, tmp_path: Path
) -> None:
    out = io.StringIO()
    call_command("update_profiles", "--data", str(market_folder), "--days", "2", stdout=out)

    assert "note: " in out.getvalue()
    for arguments, complaint in (
        (["--data", str(tmp_path / "nothing")], "no such folder"),
        (["--days", "0"], "1 to 90"),
    ):
        with pytest.raises(CommandError, match=complaint) as refused:
            call_command("update_profiles", *arguments, stdout=io.StringIO())
        assert len(str(refused.value).splitlines()) == 1
