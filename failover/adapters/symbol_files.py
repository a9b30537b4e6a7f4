"""One line file a symbol: `<folder>/<symbol>.jsonl`; at UTC midnight it moves to `<symbol>-<day>.jsonl`."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from typing import Any

from failover.adapters.jsonl import JsonlAppender, TornTail

_SYMBOL = re.compile(r"[A-Za-z0-9_-]{1,40}")


class SymbolFiles:
    """Appends records with `symbol` and `timestamp` (ISO, UTC). The one writer of its folder."""

    def __init__(
        self,
        folder: Path,
        encode: Callable[[dict[str, Any]], bytes],
        on_torn: Callable[[TornTail], None] | None = None,
    ) -> None:
        """`encode` makes a record the line that is written."""
        self._folder = folder
        self._encode = encode
        self._on_torn = on_torn
        self._open: dict[str, tuple[str, JsonlAppender]] = {}

    def write(self, records: Sequence[dict[str, Any]]) -> None:
        """Append `records`, each to its symbol's file.

        Raises: StorageError, DiskFull; ValueError for a symbol that is no file's name.
        """
        for (symbol, day), group in groupby(
            records, key=lambda record: (record["symbol"], record["timestamp"][:10])
        ):
            self._file(symbol, day).append_lines([self._encode(record) for record in group])

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
        if not _SYMBOL.fullmatch(symbol):
            raise ValueError(f"{symbol!r} is no symbol")
        path = self._folder / f"{symbol}.jsonl"
        _put_past_day_aside(path, day)
        file = JsonlAppender(path, on_torn=self._on_torn)
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
