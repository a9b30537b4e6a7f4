"""State events in `data/events/<symbol>.jsonl`; at UTC midnight the file moves to `<symbol>-<day>.jsonl`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from typing import Any

from failover.adapters.jsonl import JsonlAppender


class StateEventFiles:
    """One open file a symbol. The one writer of its folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._open: dict[str, tuple[str, JsonlAppender]] = {}

    def write(self, records: Sequence[dict[str, Any]]) -> None:
        """Append `records`, each to its symbol's file. Raises: StorageError, DiskFull."""
        for (symbol, day), group in groupby(
            records, key=lambda record: (record["symbol"], record["timestamp"][:10])
        ):
            self._file(symbol, day).append_many(list(group))

    def close(self) -> None:
        for _, file in self._open.values():
            file.close()
        self._open.clear()

    def _file(self, symbol: str, day: str) -> JsonlAppender:
        opened = self._open.get(symbol)
        if opened is not None and opened[0] >= day:
            return opened[1]
        if opened is not None:
            opened[1].close()
        path = self._folder / f"{symbol}.jsonl"
        _put_past_day_aside(path, day)
        file = JsonlAppender(path)
        self._open[symbol] = (day, file)
        return file


def _put_past_day_aside(path: Path, day: str) -> None:
    """Retention goes by file: a file that is written for ever would never expire."""
    if not path.exists():
        return
    last = datetime.fromtimestamp(path.stat().st_mtime, UTC).date().isoformat()
    if last < day:
        aside = path.with_name(f"{path.stem}-{last}.jsonl")
        if not aside.exists():
            path.rename(aside)
