"""Real captures: the file as it was caught, its import, the session and the columns replay to one digest."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from execution.domain.config import ExecutionConfig
from failover.domain.days import iso_ms
from market.importing import import_market
from market.recordings import open_market_data
from replay.adapters.session_store import SessionStore
from replay.domain.sessions import BuildReplayOptions
from replay.services.run import ReplayOptions, run_replay
from replay.services.session_build import build_session, open_session
from tests.replay.conftest import EAGER
from tests.replay.session_samples import FACTS

CAPTURE = "bybit_v5_raw/bybit_v5_public_20260809T2126.jsonl.gz"


def digest(data) -> str:
    return run_replay(data, EAGER, ExecutionConfig(), ReplayOptions(run_id="r")).digest


@pytest.mark.shared_data
def test_a_capture_its_import_its_session_and_its_columns_have_one_digest(
    shared: Path, tmp_path: Path
) -> None:
    capture = [shared / "data" / CAPTURE]
    store = SessionStore(tmp_path)
    receipt, _ = import_market(open_market_data(capture), store.market_dir)
    manifest = build_session(
        BuildReplayOptions(
            from_=iso_ms(receipt.first_ts),
            to=iso_ms(receipt.last_ts + 1_000_000),
            symbols=receipt.symbols,
        ),
        store,
        facts=FACTS,
    )

    from_file = digest(open_market_data(capture))
    from_columns = digest(open_session(store, manifest.session_id))
    shutil.rmtree(store.folder(manifest.session_id) / "columns")
    from_events = digest(open_session(store, manifest.session_id))
    from_import = digest(open_market_data([store.market_dir]))

    assert manifest.total_events == sum(receipt.messages.values())
    assert from_file == from_import == from_columns == from_events
