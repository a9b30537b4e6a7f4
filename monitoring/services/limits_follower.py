"""The thresholds of the config in force: looked for when another version is told of."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from monitoring.domain.view import LimitsSeen
from monitoring.services.fanout import Fanout

RETRY_S = 1.0  # between two looks for the document of a version

ReadLimits = Callable[[str], LimitsSeen | None]  # of a config version; it blocks


class LimitsFollower:
    """Keeps the view's thresholds those of one version; without `read` it does nothing."""

    def __init__(self, fanout: Fanout, read: ReadLimits | None) -> None:
        self._fanout = fanout
        self._read = read
        self._version = ""  # whose thresholds the view has
        self._asked_s = 0.0

    def forget(self) -> None:
        """The view is a new one and has none."""
        self._version, self._asked_s = "", 0.0

    async def follow(self, version: str) -> None:
        """Show the thresholds of `version`, or none while its document is not at hand."""
        now_s = time.monotonic()
        is_old = version == self._version or now_s - self._asked_s < RETRY_S
        if not version or is_old or self._read is None:
            return
        self._asked_s = now_s
        limits = await asyncio.to_thread(self._read, version)
        if limits is not None:
            self._version = version
        self._fanout.apply(limits or LimitsSeen())
