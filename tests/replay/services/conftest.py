"""A recorded market that VERIFY may judge."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.replay.recorded_world import World


@pytest.fixture(scope="session")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """20 s, with states of both cores after 8 s and 14 s."""
    world = World(tmp_path_factory.mktemp("recorded"))
    world.start_market()
    world.start_strategy("s1")
    for seconds in (8.0, 6.0, 6.0):
        world.run(seconds)
        world.keep_states()
    world.stop_strategy()
    world.stop_market()
    assert world.requests
    return world.data_dir


@pytest.fixture
def data_dir(recorded: Path, tmp_path: Path) -> Path:
    """A copy that a test may spoil."""
    return Path(shutil.copytree(recorded, tmp_path / "data"))
