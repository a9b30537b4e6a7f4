"""A session in mode VERIFY: built, given to the engine, proved from the journals of its time."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import pytest

from failover.domain.days import iso_ms
from replay.adapters.run_files import RunFiles
from replay.adapters.session_store import SessionStore
from replay.domain.replay_status import RunReplayOptions
from replay.domain.sessions import BuildReplayOptions
from replay.services.engine import EngineParts, ReplayEngine
from replay.services.lap_verify import verification
from replay.services.session_build import build_session
from replay.services.session_open import open_session
from tests.replay.recorded_world import START_NS, SYMBOLS, S, World
from tests.replay.session_samples import FACTS

VERIFY = RunReplayOptions(inject_mode="VERIFY")


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    world = World(tmp_path / "data")
    world.start_market()
    world.start_strategy("s1")
    world.run(5.0)
    world.stop_strategy()
    world.stop_market()
    return world.data_dir


def engine_of(data_dir: Path, session_id: str) -> ReplayEngine:
    store = SessionStore(data_dir)
    options = BuildReplayOptions(
        from_=iso_ms(START_NS + S),
        to=iso_ms(START_NS + 4 * S),
        symbols=list(SYMBOLS),
        session_id=session_id,
    )
    build_session(options, store, facts=FACTS)
    return ReplayEngine(
        EngineParts(
            require_session=store.require,
            open_session=lambda name, start_ns: open_session(store, name, start_ns=start_ns),
            modes={"VERIFY": verification(data_dir, lambda to, run: RunFiles(to, run, ()))},
            runs_dir=data_dir / "replay" / "runs",
            new_run_id=lambda: "p1",
        )
    )


def test_the_time_of_a_session_is_proved_and_what_has_no_journal_is_said(data_dir: Path) -> None:
    engine = engine_of(data_dir, "proof")

    (report,) = engine.run_session("proof", VERIFY)

    kept: dict[str, Any] = json.loads((data_dir / "replay/runs/p1/report.json").read_text())
    assert kept["verify"]["firstDivergence"] is None
    cores = report["verify"]["cores"]
    assert cores["market"]["compared"] == cores["market"]["outputs"] > 30
    assert cores["strategy"]["compared"] == cores["strategy"]["outputs"] > 30
    assert [refusal["core"] for refusal in report["verify"]["refused"]] == ["execution"]
    assert not report["complete"]
    assert report["mode"] == "VERIFY"
    status = engine.get_status()
    assert (status.running, status.progress_pct) == (False, 100.0)


def test_a_paused_verification_waits_and_a_stopped_one_claims_nothing(data_dir: Path) -> None:
    engine = engine_of(data_dir, "proof")
    engine.pause()
    thread = threading.Thread(target=engine.run_session, args=("proof", VERIFY))
    thread.start()
    while engine.get_status().run_id is None:
        threading.Event().wait(0.01)
    assert thread.is_alive()

    engine.stop()
    thread.join(30.0)

    kept = json.loads((data_dir / "replay/runs/p1/report.json").read_text())
    assert (kept["complete"], kept["verify"]["cores"]) == (False, {})
