"""What every test may ask for."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import hypothesis
import pytest

if TYPE_CHECKING:
    from redis.asyncio import Redis

SHARED = Path(os.environ.get("SCALPER_SHARED_DATA", Path(__file__).parents[2] / "shared"))
SHARED_MISSING = (
    f"no folder of recorded markets at {SHARED} (set SCALPER_SHARED_DATA to point at one)"
)

# A slow machine is not a failure of the property under test.
hypothesis.settings.register_profile("project", deadline=None)
hypothesis.settings.load_profile("project")


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


@pytest.fixture(scope="session")
def valkey() -> Iterator[str]:
    """The URL of a real Valkey for the whole test session; `settings.REDIS_URL` already names it."""
    from django.conf import settings

    from failover.services.valkey import running_valkey

    with running_valkey(settings.VALKEY_SOCKET) as server:
        yield server.url


@pytest.fixture
async def redis_client(valkey: str) -> AsyncIterator[Redis]:
    """A client of an empty bus."""
    from failover.adapters.bus import connect_bus

    client = connect_bus(valkey)
    await client.flushall()
    yield client
    await client.aclose()
