"""What the commands of replay share: times on the command line, and Ctrl-C as a wish."""

from __future__ import annotations

import multiprocessing
import signal
from argparse import ArgumentTypeError
from datetime import UTC, datetime
from types import FrameType
from typing import Any, Self

from django.core.management.base import OutputWrapper

STOPPED = 130  # as a shell reports a process that Ctrl-C ended


def instant(text: str) -> int:
    """ISO 8601 as ns since the epoch; without a zone it is UTC."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ArgumentTypeError(
            f"{text!r} is no ISO 8601 time, such as 2025-11-18T10:00:00Z"
        ) from None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    whole_s = int(moment.timestamp() // 1)
    return whole_s * 1_000_000_000 + moment.microsecond * 1000


class StopOnSignals:
    """Ctrl-C (and SIGTERM) ask for an end; a second one also ends all worker processes at once."""

    def __init__(self, errors: OutputWrapper, text: str) -> None:
        self.asked = False
        self._errors = errors
        self._text = text
        self._before: dict[signal.Signals, Any] = {}

    def is_asked(self) -> bool:
        return self.asked

    def __enter__(self) -> Self:
        for name in (signal.SIGINT, signal.SIGTERM):
            self._before[name] = signal.signal(name, self._ask)
        return self

    def __exit__(self, *_: object) -> None:
        for name, handler in self._before.items():
            signal.signal(name, handler)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        if self.asked:
            for child in multiprocessing.active_children():
                child.kill()
            return
        self.asked = True
        self._errors.write(self._text)
