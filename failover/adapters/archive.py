"""The central logger (phase 12 §2): the one door through which records go to files.

    archive = Archive(logging.folder(settings.DATA_DIR), logging)
    archive.log_order([line], ts_ns=now_ns)          # on disk when it returns, or StorageError
    archive.log_state_event("BTCUSDT", event)        # queued; never waits, never raises

| call | file | written |
| --- | --- | --- |
| `log_order` | `orders/day-*.jsonl` | at return: one write(), survives `kill -9`; synced within 20 ms |
| `log_trade`, `log_order_quality` | `trades_log/day-*`, `execution/quality/day-*` | the same |
| `log_state_event` | `events/<symbol>.jsonl`, and the sinks of the host | soon; queued |
| `write_…_snapshot` | `system/…_snapshot.json` | soon; queued, of each kind only the newest |
| `write_replay_manifest` | `replay/sessions/<id>/manifest.json` | at return, whole or not at all |
| `append_replay_event(s)` | `replay/sessions/<id>/events.jsonl` | at return |
| `write_manifest`, `open_replay_events` | the same two of a session being built | when it is published |

`maxLineLength` cuts state events, and the line says that it was cut; nothing else is ever cut: a shortened
order, trade or replay event would be another one.
Orders do not go through the queue: they must be on disk before they leave the machine, and nothing that
waits for a disk or a database may stand in front of them. The records' shapes belong to the apps above;
here they are dicts, structs, or lines that are ready. The raw market has a recorder of its own
(`market.services.recorder`), for it comes a thousand times as fast.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import IO, Any

import msgspec

from failover.adapters.archive_queue import ArchiveQueue, RecordSink
from failover.adapters.files import write_atomically, write_json_snapshot
from failover.adapters.jsonl import JsonlAppender, TornTail
from failover.adapters.symbol_files import SymbolFiles
from failover.domain.line_limit import bounded_line
from failover.domain.logging_config import LoggingConfig

logger = logging.getLogger(__name__)

_SESSION_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")
_OPEN_SESSIONS = 4
_BUILD_BUFFER = 1 << 20


def report_torn(torn: TornTail) -> None:
    """Say that a crash had left half a line, and where it was put."""
    logger.error(
        "data_corruption",
        extra={"path": torn.path, "aside": torn.aside_path, "bytes": torn.size_bytes},
    )


def write_manifest(session_dir: Path, manifest: Any) -> Path:
    """Replace `manifest.json` of a session, also of one that is still being built out of sight.

    `manifest` is anything msgspec encodes, or JSON that is ready. Raises: StorageError (DiskFull).
    """
    path = session_dir / "manifest.json"
    if isinstance(manifest, bytes):
        write_atomically(path, manifest)
    else:
        write_json_snapshot(path, manifest)
    return path


def open_replay_events(session_dir: Path) -> IO[bytes]:
    """`events.jsonl` of a session that is being built out of sight, for millions of lines: buffered.

    Whoever builds syncs it and shows the folder when it is whole. Raises: OSError.
    """
    return (session_dir / "events.jsonl").open("wb", buffering=_BUILD_BUFFER)


class DayFiles:
    """`<folder>/day-YYYY-MM-DD.jsonl`: whole lines, one write() an append, fdatasync within 20 ms."""

    def __init__(
        self,
        folder: Path,
        *,
        exclusive: bool = False,
        on_torn: Callable[[TornTail], None] = report_torn,
    ) -> None:
        """`exclusive`: a second process is refused (FileInUse)."""
        self.folder = folder
        self._appender = JsonlAppender(self._path, sync=True, exclusive=exclusive, on_torn=on_torn)

    def append(self, records: Iterable[Any], *, ts_ns: int) -> None:
        """Append records of one day. Raises: StorageError (DiskFull)."""
        self._appender.append_many(records, ts_ns=ts_ns)

    def open(self, day: str) -> None:
        """Take the day's file now: sets a torn tail aside. Raises: StorageError (FileInUse)."""
        self._appender.open(day)

    def newest_first(self) -> list[Path]:
        return sorted(self.folder.glob("day-*.jsonl"), reverse=True)

    def close(self) -> None:
        self._appender.close()

    def _path(self, day: str) -> Path:
        return self.folder / f"day-{day}.jsonl"


class Archive:
    """See the module. One of it a process; `log_…` of orders and trades from one thread."""

    def __init__(
        self,
        base_dir: Path,
        config: LoggingConfig | None = None,
        *,
        state_event_sinks: Sequence[RecordSink] = (),
        on_torn: Callable[[TornTail], None] = report_torn,
    ) -> None:
        """`state_event_sinks` get each state event beside its file (rows of the database)."""
        self._config = config = config or LoggingConfig()
        self.base_dir = base_dir
        self.truncated = 0
        self.orders = DayFiles(base_dir / "orders", exclusive=True, on_torn=on_torn)
        self.trades = DayFiles(base_dir / "trades_log", on_torn=on_torn)
        self.order_quality = DayFiles(base_dir / "execution" / "quality", on_torn=on_torn)
        self._queue = ArchiveQueue(config.max_queued_records)
        self._state_events = (
            SymbolFiles(base_dir / "events", self._bounded, on_torn),
            *state_event_sinks,
        )
        self._sessions: dict[str, JsonlAppender] = {}
        self._on_torn = on_torn

    def reconfigure(self, config: LoggingConfig) -> None:
        """Take what may change while running: the form of snapshots, the length of lines."""
        self._config = config

    def details(self) -> dict[str, Any]:
        """For the heartbeat; `problem` is empty while all is well."""
        return {**self._queue.details(), "truncated": self.truncated}

    # -- orders and trades: on disk at return ----------------------------------------------------------

    def log_order(self, records: Iterable[Any], *, ts_ns: int) -> None:
        """Append OrderLogRecords of one step with one write(). Raises: StorageError (DiskFull)."""
        self.orders.append(records, ts_ns=ts_ns)

    def log_trade(self, record: Any, *, ts_ns: int) -> None:
        """Append a TradeLogRecord. Raises: StorageError (DiskFull)."""
        self.trades.append((record,), ts_ns=ts_ns)

    def log_order_quality(self, record: Any, *, ts_ns: int) -> None:
        """Append how one order was carried out. Raises: StorageError (DiskFull)."""
        self.order_quality.append((record,), ts_ns=ts_ns)

    # -- state events and snapshots: queued ------------------------------------------------------------

    def log_state_event(self, symbol: str, state_event: dict[str, Any]) -> None:
        """Queue a StateEvent of `symbol` for its file and the sinks."""
        self._queue.put(self._state_events, {**state_event, "symbol": symbol})

    def write_risk_snapshot(self, snapshot: Any) -> None:
        self._write_snapshot("risk_snapshot.json", snapshot)

    def write_tpsl_snapshot(self, snapshot: Any) -> None:
        self._write_snapshot("tpsl_snapshot.json", snapshot)

    def write_execution_snapshot(self, snapshot: Any) -> None:
        self._write_snapshot("execution_snapshot.json", snapshot)

    def write_health_snapshot(self, snapshot: Any) -> None:
        self._write_snapshot("health_snapshot.json", snapshot)

    def run_later(self, name: str, work: Callable[[], None]) -> bool:
        """Do file work of the host in the archive's thread, after what is queued. False: no room."""
        return self._queue.run(name, work)

    # -- replay sessions: on disk at return ------------------------------------------------------------

    def write_replay_manifest(self, session_id: str, manifest: Any) -> Path:
        """Replace the session's ReplayManifest. Raises: StorageError; ValueError for an odd id."""
        return write_manifest(self.session_dir(session_id), manifest)

    def append_replay_event(self, session_id: str, replay_event: Any) -> None:
        """Append a ReplayEvent (anything msgspec encodes, or ready JSON)."""
        self.append_replay_events(session_id, (replay_event,))

    def append_replay_events(self, session_id: str, replay_events: Iterable[Any]) -> None:
        """Append ReplayEvents with one write(). Raises: StorageError; ValueError for an odd id."""
        file = self._sessions.get(session_id)
        if file is None:
            while len(self._sessions) >= _OPEN_SESSIONS:
                self._sessions.pop(next(iter(self._sessions))).close()
            path = self.session_dir(session_id) / "events.jsonl"
            file = self._sessions[session_id] = JsonlAppender(path, on_torn=self._on_torn)
        file.append_many(replay_events)

    def session_dir(self, session_id: str) -> Path:
        """Raises: ValueError where the id is no name of a folder."""
        if not _SESSION_ID.fullmatch(session_id):
            raise ValueError(f"{session_id!r} is no id of a replay session")
        return self.base_dir / "replay" / "sessions" / session_id

    # -- end -------------------------------------------------------------------------------------------

    def close(self, timeout_s: float = 5.0) -> bool:
        """Write what is queued, sync and close; False when the queue was not empty within the time."""
        is_done = self._queue.close(timeout_s)
        for days in (self.orders, self.trades, self.order_quality):
            days.close()
        for file in self._sessions.values():
            file.close()
        self._sessions.clear()
        if not is_done:
            logger.error("archive_close_timeout", extra=self.details())
        return is_done

    def _write_snapshot(self, name: str, snapshot: Any) -> None:
        path = self.base_dir / "system" / name
        self._queue.run_newest(name, partial(self._write_now, path, snapshot))

    def _write_now(self, path: Path, snapshot: Any) -> None:
        if self._config.pretty_print_snapshots:
            write_json_snapshot(path, snapshot)
        else:
            write_atomically(path, msgspec.json.encode(snapshot) + b"\n")

    def _bounded(self, record: dict[str, Any]) -> bytes:
        line, was_cut = bounded_line(record, self._config.max_line_length)
        if was_cut:
            self.truncated += 1
            if self.truncated == 1:
                logger.warning(
                    "archive_line_cut",
                    extra={"limit": self._config.max_line_length, "symbol": record["symbol"]},
                )
        return line
