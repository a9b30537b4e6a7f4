"""Real processes for the floor's tests."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest


@pytest.fixture
def eventually() -> Callable[..., Any]:
    """Wait for a condition, with a bound: `eventually(lambda: path.exists())`."""

    def wait(condition: Callable[[], Any], *, within_s: float = 90.0) -> Any:
        deadline = time.monotonic() + within_s
        while not (result := condition()):
            if time.monotonic() > deadline:
                raise AssertionError("the condition did not come true")
            time.sleep(0.01)
        return result

    return wait
