"""The replay engine (phase 12 §8): one session at a time, through the cores, at a pace that may change.

    engine = ReplayEngine(parts)
    engine.run_session("2025-11-18T10-11-BTCUSDT", options)     # blocks until the end or `stop`
    engine.pause(); engine.set_speed(None); engine.seek(ts_ns)  # from any other thread
    engine.get_status()

Every lap is a run of its own, with a run id, a folder of results and a row: the first, each loop, and each
seek (the books stand as they stood at that time; account, features and states begin anew).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from msgspec import structs

from failover.domain.days import iso_ms
from market.domain.kernel import MarketKernel
from market.domain.recordings import MarketData
from replay.domain.config import ReplayMode
from replay.domain.dialogue import PipelineObserver
from replay.domain.replay_status import IDLE, ReplayStatus, RunReplayOptions, eta_seconds
from replay.domain.sessions import ReplayManifest
from replay.services.pacer import Pacer


class NothingLoaded(RuntimeError):
    """Load a session first."""


class ReplayRefused(Exception):
    """The replay cannot run as it was asked for: the text says why and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lap:
    """What one run is given: `pacer.paced(data.chunks)` gives its events, and ends when it is stopped.

    `on_kernel` is told the kernel before the first event, `on_piece` that a piece has been worked upon.
    """

    run_id: str
    manifest: ReplayManifest
    data: MarketData
    pacer: Pacer
    folder: Path
    observers: Sequence[PipelineObserver] = ()
    on_kernel: Callable[[MarketKernel], None] = lambda kernel: None
    on_piece: Callable[[], None] = lambda: None
    start_ns: int | None = None


RunLap = Callable[[Lap], dict[str, Any]]  # -> the report, JSON-ready


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineParts:
    """What an engine is built from.

    `require_session` and `open_session` raise SessionRefused. `on_lap` goes around a run and may add
    observers to it, `on_result` hears of its report.
    """

    require_session: Callable[[str], ReplayManifest]
    open_session: Callable[[str, int | None], MarketData]
    modes: dict[ReplayMode, RunLap]
    runs_dir: Path
    new_run_id: Callable[[], str]
    on_lap: Callable[[Lap], AbstractContextManager[Lap]] = nullcontext
    on_result: Callable[[dict[str, Any]], None] = lambda report: None


@dataclass(slots=True)
class _Wanted:
    """What is wanted of the engine; laps come and go, this stays."""

    speed: float | None = None
    is_paused: bool = False
    is_loop: bool = False
    is_stopped: bool = False
    seek_ns: int | None = None
    lock: threading.RLock = field(default_factory=threading.RLock)


class ReplayEngine:
    """Runs one session at a time; everything but `run_session` may be called from any thread."""

    def __init__(self, parts: EngineParts) -> None:
        self._parts = parts
        self._wanted = _Wanted()
        self._manifest: ReplayManifest | None = None
        self._pacer: Pacer | None = None
        self._status = IDLE
        self._lap_from = 0  # index of the lap's first event
        self._lap_began_s = 0.0

    # -- life ----------------------------------------------------------------------------------------

    def load_session(self, session_id: str) -> ReplayManifest:
        """Make it the session that `get_status` and `run_session` are about. Raises: SessionRefused."""
        self._manifest = self._parts.require_session(session_id)
        total = self._manifest.total_events
        self._status = ReplayStatus(session_id=session_id, total_events=total)
        return self._manifest

    def run_session(
        self, session_id: str, options: RunReplayOptions | None = None
    ) -> list[dict[str, Any]]:
        """Replay until the end, or `stop`; returns the reports of its laps (the last hundred).

        Raises: SessionRefused, ReplayRefused, BadRecording, OSError where it cannot begin or go on.
        """
        options = options or RunReplayOptions()
        self.load_session(session_id)
        self._want(options)
        self._status = structs.replace(
            self._status,
            running=True,
            mode=options.inject_mode,
            started_at=iso_ms(time.time_ns()),
        )
        reports: list[dict[str, Any]] = []
        try:
            for start_ns in self._laps(options.from_ns):
                reports = [*reports[-99:], self._run_lap(options.inject_mode, start_ns)]
        except Exception as error:
            self._end(error=str(error) or type(error).__name__)
            raise
        self._end()
        return reports

    def _end(self, **changes: Any) -> None:
        """What was reached stays to be seen."""
        last = self.get_status()
        with self._wanted.lock:
            self._pacer = None
            self._status = structs.replace(last, running=False, eta_seconds=None, **changes)

    def _want(self, options: RunReplayOptions) -> None:
        wanted = self._wanted
        with wanted.lock:
            wanted.speed, wanted.is_loop = options.speed_factor, options.loop
            wanted.is_paused = wanted.is_paused or options.paused

    def _laps(self, start_ns: int | None) -> Iterator[int | None]:
        """Where each lap begins: None is the session's start."""
        wanted = self._wanted
        while not wanted.is_stopped:
            yield start_ns
            with wanted.lock:
                start_ns, wanted.seek_ns = wanted.seek_ns, None
                if start_ns is None and not wanted.is_loop:
                    return

    def _run_lap(self, mode: ReplayMode, start_ns: int | None) -> dict[str, Any]:
        run_lap = self._parts.modes.get(mode)
        if run_lap is None or self._manifest is None:
            raise ReplayRefused(f"{mode} cannot be run here")
        with self._parts.on_lap(self._new_lap(start_ns)) as lap:
            report = run_lap(lap)
        self._parts.on_result(report)
        return report

    def _new_lap(self, start_ns: int | None) -> Lap:
        assert self._manifest is not None
        data = self._parts.open_session(self._manifest.session_id, start_ns)
        run_id = self._parts.new_run_id()
        with self._wanted.lock:
            pacer = Pacer(self._wanted.speed)
            if self._wanted.is_paused:
                pacer.pause()
            if self._wanted.is_stopped or self._wanted.seek_ns is not None:
                pacer.stop()
            self._pacer, self._lap_from = pacer, data.first_event_index
            self._lap_began_s = time.monotonic()
            self._status = structs.replace(self._status, run_id=run_id, lap=self._status.lap + 1)
        return Lap(
            run_id=run_id,
            manifest=self._manifest,
            data=data,
            pacer=pacer,
            folder=self._parts.runs_dir / run_id,
            start_ns=start_ns,
        )

    # -- operating it -----------------------------------------------------------------------------------

    def pause(self) -> None:
        """Hand out nothing more until `resume`; what is due meanwhile waits."""
        with self._wanted.lock:
            self._wanted.is_paused = True
            if self._pacer:
                self._pacer.pause()

    def resume(self) -> None:
        with self._wanted.lock:
            self._wanted.is_paused = False
            if self._pacer:
                self._pacer.resume()

    def set_speed(self, speed: float | None) -> None:
        """From this instant on; None for as fast as it goes."""
        with self._wanted.lock:
            self._wanted.speed = speed
            if self._pacer:
                self._pacer.set_speed(speed)

    def set_loop(self, is_loop: bool) -> None:
        """Whether it begins anew at the end."""
        self._wanted.is_loop = is_loop

    def seek(self, ts_ns: int) -> None:
        """End this lap and begin another one at core time `ts_ns`, inside the session.

        Raises: NothingLoaded, ValueError for an instant outside.
        """
        if self._manifest is None:
            raise NothingLoaded
        if not self._manifest.from_ns <= ts_ns < self._manifest.to_ns:
            between = f"{iso_ms(self._manifest.from_ns)} .. {iso_ms(self._manifest.to_ns)}"
            raise ValueError(f"{iso_ms(ts_ns)} is outside the session ({between})")
        with self._wanted.lock:
            self._wanted.seek_ns = ts_ns
            if self._pacer:
                self._pacer.stop()

    def stop(self) -> None:
        """End after the piece at hand; also before the first."""
        with self._wanted.lock:
            self._wanted.is_stopped = True
            if self._pacer:
                self._pacer.stop()

    def get_status(self) -> ReplayStatus:
        """As of now."""
        with self._wanted.lock:
            status, pacer, wanted = self._status, self._pacer, self._wanted
            status = structs.replace(
                status, speed_factor=wanted.speed, paused=wanted.is_paused, loop=wanted.is_loop
            )
        return status if pacer is None else self._with_progress(status, pacer)

    def _with_progress(self, status: ReplayStatus, pacer: Pacer) -> ReplayStatus:
        total, market_ns = status.total_events, pacer.market_ns
        index = min(self._lap_from + pacer.messages, total)
        elapsed_s = max(time.monotonic() - self._lap_began_s, 1e-3)
        rate = pacer.messages / elapsed_s
        left_ns = (self._manifest.to_ns - market_ns) if self._manifest and market_ns else 0
        is_known = status.running and market_ns and not status.paused
        late = pacer.lateness
        return structs.replace(
            status,
            current_event_index=index,
            last_event_timestamp=iso_ms(market_ns) if market_ns else None,
            progress_pct=round(100 * index / total, 2) if total else 0.0,
            events_per_second=round(rate, 1),
            eta_seconds=eta_seconds(
                market_left_ns=left_ns,
                events_left=total - index,
                speed=status.speed_factor,
                events_per_second=rate,
            )
            if is_known
            else None,
            lateness_p99_ms=round(late.percentile_ms(99), 3) if late.messages else None,
        )
