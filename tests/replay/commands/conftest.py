"""A recording of ours on disk and a profile that trades it."""

from __future__ import annotations

from pathlib import Path

import pytest

from market.domain.events import EventChunk
from tests.replay.recording_samples import write_recording


@pytest.fixture(scope="session")
def recording(tmp_path_factory: pytest.TempPathFactory, market: EventChunk) -> Path:
    """Our own recording of 40 s of two symbols, as the recorder writes it."""
    folder = tmp_path_factory.mktemp("market")
    write_recording(folder, market)
    return folder


@pytest.fixture(scope="session")
def profile(tmp_path_factory: pytest.TempPathFactory, eager_document: bytes) -> Path:
    path = tmp_path_factory.mktemp("config") / "eager.json"
    path.write_bytes(eager_document)
    return path
