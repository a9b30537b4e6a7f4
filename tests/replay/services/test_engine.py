"""The engine over a synthetic session: it runs, pauses, seeks, loops and stops, and says how far it is."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from execution.domain.config import ExecutionConfig
from market.domain.events import EventChunk
from market.domain.instruments import Instrument
from replay.domain.replay_status import RunReplayOptions
from replay.domain.sessions import SessionRefused
from replay.services.engine import Lap, NothingLoaded, ReplayEngine, ReplayRefused
from replay.services.run import ReplayOptions, run_replay
from strategy.domain.config import DecisionConfig
from tests.replay.engine_samples import SESSION, Sessions, make_engine

MAX = RunReplayOptions()
CRAWL = RunReplayOptions(speed_factor=0.001)


@pytest.fixture
def sessions(market: EventChunk, instruments: list[Instrument]) -> Sessions:
    return Sessions(market, instruments)


@pytest.fixture
def engine(sessions: Sessions, eager: DecisionConfig, tmp_path: Path) -> ReplayEngine:
    return make_engine(sessions, eager, tmp_path)


def begun(engine: ReplayEngine, options: RunReplayOptions) -> threading.Thread:
    """Running in a thread, at its first event."""
    thread = threading.Thread(target=engine.run_session, args=(SESSION, options))
    thread.start()
    wait_for(lambda: engine.get_status().last_event_timestamp)
    return thread


def wait_for(condition: Callable[[], Any]) -> None:
    tick = threading.Event()
    for _ in range(2000):
        if condition():
            return
        tick.wait(0.01)
    raise AssertionError("the condition did not come true")


def test_a_run_leaves_its_files_its_report_and_the_digest_of_an_ordinary_replay(
    engine: ReplayEngine, sessions: Sessions, eager: DecisionConfig, tmp_path: Path
) -> None:
    market = sessions.market
    ordinary = run_replay(
        sessions.open(SESSION, None), eager, ExecutionConfig(), ReplayOptions(run_id="ordinary")
    )

    (report,) = engine.run_session(SESSION, MAX)

    assert report == json.loads((tmp_path / "run1" / "report.json").read_text())
    assert (report["complete"], report["counts"]["messages"]) == (True, len(market))
    assert report["digest"] == ordinary.digest
    assert report["metrics"]["trades"] == report["counts"]["trades"] > 0
    assert report["metrics"]["netPnl"] == pytest.approx(report["result"]["netPnl"])
    assert report["equity"]["last"]
    trades = (tmp_path / "run1" / "trades.jsonl").read_text().splitlines()
    assert {json.loads(line)["runId"] for line in trades} == {"run1"}
    status = engine.get_status()
    assert (status.running, status.current_event_index, status.progress_pct) == (
        False, len(market), 100.0,
    )  # fmt: skip


def test_the_pace_changes_no_decision(
    sessions: Sessions, eager: DecisionConfig, tmp_path: Path
) -> None:
    options = RunReplayOptions(speed_factor=200.0)

    (paced,) = make_engine(sessions, eager, tmp_path / "a").run_session(SESSION, options)
    (fast,) = make_engine(sessions, eager, tmp_path / "b").run_session(SESSION, MAX)

    assert paced["digest"] == fast["digest"]
    assert paced["pace"]["pacedEvents"] == len(sessions.market)


def test_scoring_only_makes_scores_and_no_order(
    sessions: Sessions, eager: DecisionConfig, tmp_path: Path
) -> None:
    engine = make_engine(sessions, eager, tmp_path)
    options = RunReplayOptions(inject_mode="SCORING_ONLY")

    (report,) = engine.run_session(SESSION, options)
    (again,) = engine.run_session(SESSION, options)

    assert report["counts"]["scores"] > 0
    assert (report["counts"]["orders"], report["mode"]) == (0, "SCORING_ONLY")
    assert report["digest"] == again["digest"]
    files = sorted(path.name for path in (tmp_path / "run1").iterdir())
    assert files == ["report.json", "scores.jsonl"]


def test_a_paused_engine_stands_still_and_goes_on_where_it_was(engine: ReplayEngine) -> None:
    thread = begun(engine, RunReplayOptions(speed_factor=0.5, paused=False))
    engine.pause()
    wait_for(lambda: engine.get_status().paused)
    standing = engine.get_status()

    assert (standing.paused, standing.running, standing.eta_seconds) == (True, True, None)
    assert standing.current_event_index < standing.total_events
    engine.set_speed(None)
    engine.resume()
    thread.join(60)
    assert engine.get_status().progress_pct == 100.0


def test_a_seek_begins_a_run_of_its_own_there(
    engine: ReplayEngine, sessions: Sessions, tmp_path: Path
) -> None:
    middle = len(sessions.market) // 2
    at_ns = int(sessions.market.core_ts_ns[middle])
    thread = begun(engine, CRAWL)

    engine.seek(at_ns)
    wait_for(lambda: engine.get_status().lap == 2 and engine.get_status().last_event_timestamp)
    status = engine.get_status()
    engine.set_speed(None)
    thread.join(60)

    assert status.run_id == "run2"
    assert status.current_event_index >= sessions.market.core_ts_ns.searchsorted(at_ns)
    first, second = (
        json.loads((tmp_path / name / "report.json").read_text()) for name in ("run1", "run2")
    )
    assert (first["complete"], second["complete"]) == (False, True)
    assert second["counts"]["messages"] == len(sessions.market) - second["startedAtEvent"]


def test_a_seek_outside_the_session_is_refused(engine: ReplayEngine) -> None:
    with pytest.raises(NothingLoaded):
        engine.seek(1)
    engine.load_session(SESSION)

    with pytest.raises(ValueError, match="outside the session"):
        engine.seek(1)


def test_a_loop_runs_again_until_it_is_stopped(
    sessions: Sessions, eager: DecisionConfig, tmp_path: Path
) -> None:
    laps: list[str] = []
    engine: ReplayEngine

    @contextmanager
    def on_lap(lap: Lap) -> Any:
        laps.append(lap.run_id)
        if len(laps) == 3:
            engine.set_loop(False)
        yield lap

    engine = make_engine(sessions, eager, tmp_path, on_lap=on_lap)
    reports = engine.run_session(SESSION, RunReplayOptions(loop=True, inject_mode="SCORING_ONLY"))

    assert laps == ["run1", "run2", "run3"]
    assert len({report["digest"] for report in reports}) == 1


def test_a_stopped_engine_says_that_its_run_is_not_complete(
    engine: ReplayEngine, tmp_path: Path
) -> None:
    thread = begun(engine, CRAWL)

    engine.stop()
    thread.join(60)

    report = json.loads((tmp_path / "run1" / "report.json").read_text())
    assert not thread.is_alive()
    assert not report["complete"]
    assert not engine.get_status().running


def test_a_stop_before_the_start_lets_nothing_begin(engine: ReplayEngine, tmp_path: Path) -> None:
    engine.stop()

    assert engine.run_session(SESSION, MAX) == []
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_run_is_refused_with_its_reason(engine: ReplayEngine) -> None:
    with pytest.raises(SessionRefused, match="no session"):
        engine.run_session("nowhere", MAX)
    with pytest.raises(ReplayRefused, match="VERIFY"):
        engine.run_session(SESSION, RunReplayOptions(inject_mode="VERIFY"))

    assert "VERIFY" in str(engine.get_status().error)
