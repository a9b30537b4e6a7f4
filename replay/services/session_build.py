"""`build_session`: a stretch of the recording becomes a session, or is refused with the reason.

Files are merged as they are read, in order of (recorder run, seq) alone; core times only select. Memory
does not grow with the length. The session begins with what was known at `from`: each symbol's book and
ticker as one statement; trades before it are forgotten, flows and volatilities warm up anew.
"""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime
from itertools import count

import numpy as np
from zstandard import ZstdError

from failover.adapters.in_use import in_use
from failover.domain.days import iso_ms
from market.domain.events import EventChunk, EventKind
from market.domain.lined_chunks import RecordedWindow
from market.domain.priming import Primer
from market.domain.recordings import count_kinds
from replay.domain.sessions import (
    FILE_OF_TYPE,
    MARKET_ORDERBOOK,
    MARKET_TICKER,
    BuildProgress,
    BuildReplayOptions,
    RecordedRun,
    ReplayManifest,
    SessionCheckpoint,
    SessionFacts,
    SessionFile,
    SessionRefused,
    SourceDateRange,
    checked_options,
    default_session_id,
    iso_exact,
)
from replay.ports import RecordedMarket, SessionFiles, SessionInTheMaking
from replay.services.session_open import open_session

__all__ = ["build_session", "open_session"]

_BOOK_KINDS = (EventKind.BOOK_SNAPSHOT, EventKind.BOOK_DELTA, EventKind.BBO)
_DEFAULT_SPEED = 4.0
ASSUMPTIONS = (
    "Order is that of the recorder: (recorder run, seq). Times only select.",
    "Books and tickers begin as they stood at `from`; trades before it are not in the session.",
    "Between two recorder runs nothing was seen: each book is unknown until its next snapshot.",
)

OnProgress = Callable[[BuildProgress], None]


def build_session(
    options: BuildReplayOptions,
    store: SessionFiles,
    *,
    on_progress: OnProgress = lambda progress: None,
    should_stop: Callable[[], bool] = lambda: False,
    facts: SessionFacts | None = None,
) -> ReplayManifest:
    """Build it from `data/market`. Raises: SessionRefused; nothing that looks like a session is left."""
    from_ns, to_ns = checked_options(options)
    session_id = _session_id(options, store, from_ns, to_ns)
    build = _Build(options, store, session_id, (from_ns, to_ns), on_progress, should_stop)
    try:
        return build.run(facts or _facts_of_now())
    except (OSError, EOFError, ZstdError, zlib.error) as error:
        raise SessionRefused("BAD_RECORDING", f"a recorded file is broken: {error}") from error


def _session_id(options: BuildReplayOptions, store: SessionFiles, from_ns: int, to_ns: int) -> str:
    """The asked one, which must be free; else the default, numbered where it is taken."""
    if options.session_id is not None:
        if store.exists(options.session_id):
            raise SessionRefused(
                "EXISTS", f"there is a session {options.session_id!r} already",
                {"sessionId": "is taken"},
            )  # fmt: skip
        return options.session_id
    name = default_session_id(from_ns, to_ns, options.symbols)
    if not store.exists(name):
        return name
    return next(other for n in count(2) if not store.exists(other := f"{name}.{n}"))


def _facts_of_now() -> SessionFacts:
    now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return SessionFacts(created_at=now, speed_factor=_DEFAULT_SPEED)


class _Build:
    """One build; what it learns while the windows go by ends up in the manifest."""

    def __init__(
        self,
        options: BuildReplayOptions,
        store: SessionFiles,
        session_id: str,
        span: tuple[int, int],
        on_progress: OnProgress,
        should_stop: Callable[[], bool],
    ) -> None:
        self._options, self._store, self._id = options, store, session_id
        self._from_ns, self._to_ns = span
        self._on_progress, self._should_stop = on_progress, should_stop
        self._events = 0
        self._last_ns: int | None = None
        self._bytes_total = 0
        self._counts: Counter[str] = Counter()
        self._by_symbol = np.zeros(len(options.symbols), np.int64)
        self._runs: dict[str, RecordedRun] = {}
        self._checkpoints: list[SessionCheckpoint] = []
        self._without_book: set[int] = set()
        self._is_truncated = False
        self._recording: RecordedMarket | None = None

    def run(self, facts: SessionFacts) -> ReplayManifest:
        options = self._options
        kinds = [FILE_OF_TYPE[name] for name in options.include_types]
        self._recording = self._store.recording(
            options.symbols, kinds, self._from_ns, self._to_ns, self._tell_reading
        )
        self._bytes_total = self._recording.bytes_total
        ahead_ns = self._store.exchange_ahead_ns(self._recording.runs)
        with ExitStack() as stack:
            stack.enter_context(
                in_use(self._store.data_dir, f"session build {self._id}", self._recording.paths)
            )
            draft = stack.enter_context(self._store.draft(self._id, self._recording.instruments))
            self._take_windows(draft)
            self._refuse_what_is_missing()
            self._tell("FINISHING")
            events, digest = draft.seal()
            manifest = self._manifest(facts, events, digest, ahead_ns)
            draft.commit(manifest)
        self._tell("DONE")
        return manifest

    def _take_windows(self, draft: SessionInTheMaking) -> None:
        assert self._recording is not None
        symbols = len(self._recording.instruments)
        primer: Primer | None = Primer(symbols)
        if MARKET_ORDERBOOK in self._options.include_types:
            self._without_book = set(range(symbols))
        for window in self._recording.windows():
            first = 0
            if primer is not None:
                first = int(window.chunk.core_ts_ns.searchsorted(self._from_ns))
                primer.skip(window.chunk.slice(0, first))
            stop = max(first, int(window.chunk.core_ts_ns.searchsorted(self._to_ns)))
            if first < stop:
                if primer is not None:
                    self._state(draft, primer.statement(self._from_ns), window.run)
                    primer = None
                if not self._take(draft, window.slice(first, stop)):
                    return
            if stop < len(window):
                return

    def _state(self, draft: SessionInTheMaking, statement: EventChunk, run: str) -> None:
        """What was known at the start, as events and in the manifest."""
        assert self._recording is not None
        if not len(statement):
            return
        for i, kind in enumerate(statement.kind.tolist()):
            symbol = int(statement.symbol[i])
            is_ticker = kind == EventKind.TICKER
            self._checkpoints.append(
                SessionCheckpoint(
                    symbol=self._recording.instruments[symbol].symbol,
                    type=MARKET_TICKER if is_ticker else MARKET_ORDERBOOK,
                    recorder_run=run,
                    seq=int(statement.seq[i]),
                    recv_ts=self._from_ns,
                    entries=int(statement.level_offset[i + 1] - statement.level_offset[i]),
                    is_trusted=kind != EventKind.FEED_GAP,
                )
            )
            if not is_ticker:
                # A book that was unknown then is one the live system did not know either.
                self._without_book.discard(symbol)
        draft.add_statement(statement, run)
        self._note(statement, run, is_statement=True)

    def _take(self, draft: SessionInTheMaking, window: RecordedWindow) -> bool:
        """Add a window; False when the session is full."""
        most = self._options.max_events
        if most is not None and self._events + len(window) > most:
            window = window.slice(0, max(0, most - self._events))
            self._is_truncated = True
        if len(window):
            self._refuse_unprimed(window.chunk)
            draft.add(window)
            self._note(window.chunk, window.run)
        return not self._is_truncated

    def _note(self, chunk: EventChunk, run: str, *, is_statement: bool = False) -> None:
        self._events += len(chunk)
        self._last_ns = int(chunk.core_ts_ns[-1])
        count_kinds(self._counts, chunk)
        self._by_symbol += np.bincount(chunk.symbol, minlength=self._by_symbol.size)
        if is_statement:
            return
        known = self._runs.get(run)
        self._runs[run] = RecordedRun(
            recorder_run=run,
            first_seq=known.first_seq if known else int(chunk.seq[0]),
            last_seq=int(chunk.seq[-1]),
            first_ts=known.first_ts if known else int(chunk.core_ts_ns[0]),
            last_ts=self._last_ns,
            events=len(chunk) + (known.events if known else 0),
        )

    def _refuse_unprimed(self, chunk: EventChunk) -> None:
        """The first word about a book must be the whole of it."""
        assert self._recording is not None
        for symbol in sorted(self._without_book):
            rows = np.flatnonzero((chunk.symbol == symbol) & np.isin(chunk.kind, _BOOK_KINDS))
            if not rows.size:
                continue
            if chunk.kind[rows[0]] != EventKind.BOOK_SNAPSHOT:
                name = self._recording.instruments[symbol].symbol
                at = iso_ms(int(chunk.core_ts_ns[rows[0]]))
                raise SessionRefused(
                    "NO_SNAPSHOT",
                    f"no snapshot or checkpoint of the book of {name} was recorded before {at}; "
                    "begin later, or leave the symbol out",
                    {"from": f"{name} has no snapshot before it"},
                )
            self._without_book.discard(symbol)

    def _refuse_what_is_missing(self) -> None:
        assert self._recording is not None
        instruments = self._recording.instruments
        silent = [i.symbol for n, i in enumerate(instruments) if not self._by_symbol[n]]
        if silent:
            named = ", ".join(silent)
            raise SessionRefused(
                "NO_DATA", f"nothing of {named} was recorded in that range",
                {"symbols": f"nothing of {named}"},
            )  # fmt: skip

    def _tell_reading(self) -> None:
        if self._should_stop():
            raise SessionRefused("STOPPED", "the build was stopped")
        self._tell("READING")

    def _tell(self, phase: str) -> None:
        self._on_progress(
            BuildProgress(
                session_id=self._id,
                phase=phase,
                bytes_read=self._recording.bytes_read if self._recording else 0,
                bytes_total=self._bytes_total,
                events=self._events,
                last_event_timestamp=iso_ms(self._last_ns) if self._last_ns is not None else None,
            )
        )

    def _manifest(
        self, facts: SessionFacts, events: SessionFile, digest: str, ahead_ns: int
    ) -> ReplayManifest:
        assert self._recording is not None
        options = self._options
        return ReplayManifest(
            session_id=self._id,
            created_at=facts.created_at,
            created_by=options.created_by,
            source_date_range=SourceDateRange(
                from_=iso_exact(self._from_ns), to=iso_exact(self._to_ns)
            ),
            symbols=list(options.symbols),
            event_types=list(options.include_types),
            speed_factor=facts.speed_factor,
            total_events=events.rows,
            notes=options.notes or None,
            instruments=list(self._recording.instruments),
            fees=facts.fees,
            config_version=facts.config_version,
            checkpoints=self._checkpoints,
            assumptions=list(ASSUMPTIONS),
            digest=digest,
            files=self._source_files(),
            events=events,
            recorder_runs=list(self._runs.values()),
            event_counts=dict(sorted(self._counts.items())),
            faults=dict(sorted(self._recording.problems.items())),
            truncated=self._is_truncated,
            exchange_ahead_ns=ahead_ns,
        )

    def _source_files(self) -> list[SessionFile]:
        assert self._recording is not None
        return sorted(
            (
                SessionFile(
                    path=path.relative_to(self._store.data_dir).as_posix(),
                    rows=read.rows,
                    sha256=read.sha256,
                    bytes=read.bytes,
                )
                for path, read in self._recording.files_read.items()
            ),
            key=lambda file: file.path,
        )
