"""Clean ends, and kills of those that hold no state of the account: on a system of their own."""

from __future__ import annotations

import signal

import pytest

from tests.e2e.running_system import System
from tests.e2e.wellness import ends_alone_and_comes_back

pytestmark = pytest.mark.e2e


@pytest.mark.parametrize("name", ["exchange", "dashboard", "worker"])
def test_a_service_without_account_state_that_is_killed_comes_back(
    system: System, name: str
) -> None:
    ends_alone_and_comes_back(system, name, signal.SIGKILL)


# a clean end is the same host code everywhere; those that hold state are asked here
@pytest.mark.parametrize("name", ["market", "strategy", "execution"])
def test_a_service_that_is_asked_to_end_ends_cleanly_and_comes_back(
    system: System, name: str
) -> None:
    ends_alone_and_comes_back(system, name, signal.SIGTERM)
