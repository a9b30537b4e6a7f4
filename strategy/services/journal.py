"""Writes what was decided to files and database, in a thread: decisions never wait for either."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from strategy.ports import StateEventSink

logger = logging.getLogger(__name__)

_MAX_QUEUED = 20_000
_MAX_BATCH = 500
_STOP = object()


class DecisionJournal:
    """Hands state event records to sinks in batches, and runs small jobs (snapshot files) in order.

    When it cannot keep up, the newest are dropped and counted (`dropped`): the bus has them too. A sink
    that fails is reported once until it works again; its batch is counted in `failed`.
    """

    def __init__(self, sinks: Sequence[StateEventSink]) -> None:
        self._sinks = sinks
        self._queue: queue.Queue[Any] = queue.Queue(_MAX_QUEUED)
        self._failing: set[int] = set()
        self.dropped = 0
        self.failed = 0
        self._thread = threading.Thread(target=self._run, name="decision-journal", daemon=True)
        self._thread.start()

    def add(self, record: dict[str, Any]) -> None:
        """Queue one record; never waits."""
        self._put(record)

    def run(self, job: Callable[[], None]) -> None:
        """Queue a job, run after the records before it; never waits."""
        self._put(job)

    def close(self, timeout_s: float = 5.0) -> bool:
        """Write what is queued and stop; False when it did not within the time."""
        try:
            self._queue.put(_STOP, timeout=timeout_s)
        except queue.Full:
            return False
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _put(self, item: Any) -> None:
        try:
            self._queue.put_nowait(item)
        except queue.Full:
            self.dropped += 1
            if self.dropped == 1:
                logger.error("decision_journal_full", extra={"queued": _MAX_QUEUED})

    def _run(self) -> None:
        is_open = True
        while is_open:
            items = self._next_items()
            is_open = items[-1] is not _STOP
            self._write([item for item in items if isinstance(item, dict)])
            for job in items:
                if callable(job):
                    self._attempt(-1, job)
        for sink in self._sinks:
            self._attempt(-1, sink.close)

    def _next_items(self) -> list[Any]:
        items = [self._queue.get()]
        while len(items) < _MAX_BATCH and items[-1] is not _STOP:
            try:
                items.append(self._queue.get_nowait())
            except queue.Empty:
                break
        return items

    def _write(self, records: list[dict[str, Any]]) -> None:
        for index, sink in enumerate(self._sinks if records else ()):
            if not self._attempt(index, partial(sink.write, records)):
                self.failed += len(records)

    def _attempt(self, index: int, work: Callable[[], None]) -> bool:
        try:
            work()
        except Exception as error:
            if index not in self._failing:
                self._failing.add(index)
                logger.error("decision_journal_failing", exc_info=error, extra={"sink": index})
            return False
        if index in self._failing:
            self._failing.discard(index)
            logger.warning("decision_journal_recovered", extra={"sink": index})
        return True
