"""What waits to be written: bounded, emptied by a thread, and never in anybody's way."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Sequence
from functools import partial
from itertools import groupby
from typing import Any, NamedTuple, Protocol

logger = logging.getLogger(__name__)

_MAX_BATCH = 500
_STOP = object()


class RecordSink(Protocol):
    """Keeps records, in order. `write` may raise; it then gets the next batch all the same."""

    def write(self, records: Sequence[dict[str, Any]]) -> None: ...

    def close(self) -> None: ...


class _Record(NamedTuple):
    sinks: Sequence[RecordSink]
    record: dict[str, Any]


class _Job(NamedTuple):
    name: str
    work: Callable[[], None]


class ArchiveQueue:
    """Hands records to their sinks in batches, and runs jobs after the records before them.

    When it is full the newest are dropped, counted (`dropped`) and announced once until it is empty again.
    A sink or job that fails is announced once until it works again (`failed` counts records).
    The thread starts with the first item.
    """

    def __init__(self, limit: int, name: str = "archive") -> None:
        self.dropped = 0
        self.failed = 0
        self.limit = limit
        self._queue: queue.Queue[Any] = queue.Queue(limit)
        self._newest: dict[str, Callable[[], None]] = {}
        self._guard = threading.Lock()
        self._sinks: list[RecordSink] = []
        self._failing: dict[str, str] = {}  # what fails, and why
        self._is_dropping = False
        self._is_closed = False
        self._is_started = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    @property
    def problem(self) -> str:
        """Empty while all is well."""
        if self._is_dropping:
            return f"queue full: {self.dropped} records dropped"
        return "; ".join(f"{what}: {why}" for what, why in list(self._failing.items()))

    def details(self) -> dict[str, Any]:
        """For the heartbeat."""
        return {
            "queued": self._queue.qsize(),
            "dropped": self.dropped,
            "failed": self.failed,
            "problem": self.problem,
        }

    def put(self, sinks: Sequence[RecordSink], record: dict[str, Any]) -> None:
        """Queue one record; never waits."""
        self._put(_Record(sinks, record))

    def run(self, name: str, work: Callable[[], None]) -> bool:
        """Queue a job, run after the records before it; never waits. False: there is no room."""
        return self._put(_Job(name, work))

    def run_newest(self, name: str, work: Callable[[], None]) -> None:
        """Like `run`, but a job of that name that still waits is replaced: only the last one counts."""
        with self._guard:
            waits = name in self._newest
            self._newest[name] = work
        if not waits and not self.run(name, partial(self._run_newest, name)):
            with self._guard:
                self._newest.pop(name, None)

    def close(self, timeout_s: float = 5.0) -> bool:
        """Write what is queued and stop; False when it did not within the time."""
        with self._guard:
            self._is_closed = True
            if not self._is_started:
                return True
        try:
            self._queue.put(_STOP, timeout=timeout_s)
        except queue.Full:
            return False
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _put(self, item: _Record | _Job) -> bool:
        """What comes after `close` has nobody to write it: dropped like what finds no room."""
        self._start()
        try:
            if self._is_closed:
                raise queue.Full
            self._queue.put_nowait(item)
        except queue.Full:
            self.dropped += 1
            if not self._is_dropping:
                self._is_dropping = True
                logger.error("archive_queue_full", extra={"limit": self.limit})
            return False
        return True

    def _start(self) -> None:
        if self._is_started:
            return
        with self._guard:
            if not self._is_started and not self._is_closed:
                self._is_started = True
                self._thread.start()

    def _run(self) -> None:
        is_open = True
        while is_open:
            items = self._next_items()
            is_open = items[-1] is not _STOP
            self._write([item for item in items if isinstance(item, _Record)])
            for item in items:
                if isinstance(item, _Job):
                    self._attempt(item.name, item.work)
            if self._is_dropping and self._queue.empty():
                self._is_dropping = False
                logger.warning("archive_goes_on", extra={"dropped": self.dropped})
        for sink in self._sinks:
            self._attempt(f"closing {_name(sink)}", sink.close)

    def _next_items(self) -> list[Any]:
        items = [self._queue.get()]
        while len(items) < _MAX_BATCH and items[-1] is not _STOP:
            try:
                items.append(self._queue.get_nowait())
            except queue.Empty:
                break
        return items

    def _write(self, items: Sequence[_Record]) -> None:
        for sinks, group in groupby(items, key=lambda item: item.sinks):
            records = [item.record for item in group]
            for sink in sinks:
                if sink not in self._sinks:
                    self._sinks.append(sink)
                if not self._attempt(_name(sink), partial(sink.write, records)):
                    self.failed += len(records)

    def _run_newest(self, name: str) -> None:
        with self._guard:
            work = self._newest.pop(name)
        work()

    def _attempt(self, what: str, work: Callable[[], None]) -> bool:
        try:
            work()
        except Exception as error:
            if what not in self._failing:
                logger.error("archive_failing", exc_info=error, extra={"what": what})
            self._failing[what] = str(error) or type(error).__name__
            return False
        if self._failing.pop(what, None) is not None:
            logger.warning("archive_recovered", extra={"what": what})
        return True


def _name(sink: RecordSink) -> str:
    return type(sink).__name__
