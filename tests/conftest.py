"""What every test may ask for."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

SHARED = Path(os.environ.get("SCALPER_SHARED_DATA", Path(__file__).parents[2] / "shared"))
SHARED_MISSING = (
    f"no folder of recorded markets at {SHARED} (set SCALPER_SHARED_DATA to point at one)"
)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Without the shared folder its tests are skipped; where it must be there, that fails."""
    if SHARED.is_dir():
        return
    if os.environ.get("SCALPER_REQUIRE_SHARED_DATA") == "1":
        raise pytest.UsageError(f"SCALPER_REQUIRE_SHARED_DATA=1 but {SHARED_MISSING}")
    for item in items:
        if item.get_closest_marker("shared_data"):
            item.add_marker(pytest.mark.skip(reason=SHARED_MISSING))


@pytest.fixture(scope="session")
def shared() -> Path:
    """The developers' folder of recorded markets (`data/`) and captured messages (`fixtures/`)."""
    return SHARED
