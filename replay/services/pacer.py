"""Hands out recorded messages when their time comes: exact to the wake-up of a thread, without drift.

    pacer = Pacer(speed=4.0)
    for chunk in pacer.paced(data.chunks): ...            # one thread
    pacer.set_speed(50); pacer.pause(); pacer.resume(); pacer.stop()    # any other

It sleeps until the next message is due and hands out all that are due by then. While one piece is worked
upon others fall due: they follow together at once. Recordings are read ahead in a thread of their own, so a
slow disk or a long line delays nothing that was there to be read before.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterable, Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray

from market.domain.events import EventChunk
from replay.domain.pacing import NEVER_NS, Lateness, PaceClock

_CHUNKS_AHEAD = 2
_LONGEST_WAIT_S = 3600.0
_END: Final = object()


class Pacer:
    """The pace of one run. `messages` were handed out, the last of core time `market_ns`.

    `lateness` is of what was paced (not of "max").
    """

    def __init__(self, speed: float | None) -> None:
        self.lateness = Lateness()
        self.market_ns = 0
        self.messages = 0
        self._clock = PaceClock(speed)
        self._changed = threading.Condition()
        self._is_stopped = False

    @property
    def speed(self) -> float | None:
        return self._clock.speed

    @property
    def is_paused(self) -> bool:
        return self._clock.is_paused

    @property
    def is_stopped(self) -> bool:
        return self._is_stopped

    # -- from any thread ---------------------------------------------------------------------------

    def set_speed(self, speed: float | None) -> None:
        """Market seconds per second, None for as fast as it goes; holds from this instant on."""
        with self._changed:
            self._clock.set_speed(speed, time.monotonic_ns(), self.market_ns)
            self._changed.notify_all()

    def pause(self) -> None:
        with self._changed:
            self._clock.pause(time.monotonic_ns(), self.market_ns)

    def resume(self) -> None:
        with self._changed:
            self._clock.resume(time.monotonic_ns())
            self._changed.notify_all()

    def stop(self) -> None:
        """`paced` ends before its next piece."""
        with self._changed:
            self._is_stopped = True
            self._changed.notify_all()

    # -- the thread that replays ----------------------------------------------------------------------

    def paced(self, chunks: Iterable[EventChunk]) -> Iterator[EventChunk]:
        """The same messages in pieces, each when it is due; ends early once stopped."""
        with ReadAhead(chunks) as ahead:
            for chunk in ahead:
                yield from self._pieces(chunk)
                if self._is_stopped:
                    return

    def _pieces(self, chunk: EventChunk) -> Iterator[EventChunk]:
        position = 0
        while position < len(chunk):
            stop = self._wait_for(chunk, position)
            if stop == position:
                return  # stopped
            self.market_ns = int(chunk.core_ts_ns[stop - 1])
            self.messages += stop - position
            yield chunk.slice(position, stop)
            position = stop

    def _wait_for(self, chunk: EventChunk, position: int) -> int:
        """Wait until the message at `position` is due; returns the end of what is; `position` = stopped."""
        times_ns = chunk.core_ts_ns
        next_ns = int(times_ns[position])
        with self._changed:
            self._clock.begin(next_ns, time.monotonic_ns())
            while not self._is_stopped:
                now_ns = time.monotonic_ns()
                wait_ns = self._clock.due_ns(next_ns) - now_ns
                if wait_ns <= 0:
                    return self._due(times_ns, position, now_ns)
                self._changed.wait(min(wait_ns / 1e9, _LONGEST_WAIT_S))
        return position

    def _due(self, times_ns: NDArray[np.int64], position: int, now_ns: int) -> int:
        """The end of what is due now, noting how late it is."""
        reached_ns = self._clock.reached_ns(now_ns)
        if reached_ns == NEVER_NS:
            return len(times_ns)
        stop = max(position + 1, int(times_ns.searchsorted(reached_ns, side="right")))
        speed = self._clock.speed
        assert speed is not None
        self.lateness.note(((reached_ns - times_ns[position:stop]) / speed).astype(np.int64))
        return stop


class ReadAhead:
    """`with ReadAhead(chunks) as ahead: for chunk in ahead`: a thread reads, at most a few chunks ahead.

    What the source raises is raised where its chunk would have come.
    """

    def __init__(self, chunks: Iterable[EventChunk]) -> None:
        self._source = chunks
        self._queue: queue.Queue[object] = queue.Queue(_CHUNKS_AHEAD)
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._read, name="read-ahead", daemon=True)

    def __enter__(self) -> Iterator[EventChunk]:
        self._thread.start()
        return self._chunks()

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        while self._thread.is_alive():
            try:
                self._queue.get(timeout=0.05)
            except queue.Empty:
                continue

    def _read(self) -> None:
        try:
            for chunk in self._source:
                self._put(chunk)
                if self._is_over.is_set():
                    return
        except BaseException as error:  # noqa: BLE001  (handed to the reader)
            self._put(error)
        self._put(_END)

    def _put(self, item: object) -> None:
        if not self._is_over.is_set():
            self._queue.put(item)

    def _chunks(self) -> Iterator[EventChunk]:
        while (item := self._queue.get()) is not _END:
            if isinstance(item, BaseException):
                raise item
            assert isinstance(item, EventChunk)
            yield item
