"""How often a data set has been tried: one appended line per finished backtest, never taken back.

A data set is known by what its files hold, not by where they lie: size, first and last MiB. Our own day
files are known by day and name, so that packing a past day does not make it new.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import msgspec

from failover.adapters.files import read_jsonl
from failover.adapters.jsonl import JsonlAppender
from replay.domain.judgement import Trials

_ENDS_BYTES = 1 << 20


class Trial(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One finished backtest."""

    run_id: str
    at: str
    config_version: str
    sources: list[str]
    trades: int
    sharpe: float | None = None


class TrialLedger:
    """The file `trials.jsonl` beside the reports; several processes may append."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def trials_of(self, sources: Sequence[str]) -> list[Trial]:
        """Earlier backtests that used any of these sources, in order."""
        wanted = set(sources)
        return [
            trial for trial in read_jsonl(self._path, Trial) if not wanted.isdisjoint(trial.sources)
        ]

    def append(self, trial: Trial) -> None:
        """Raises: StorageError."""
        appender = JsonlAppender(self._path)
        try:
            appender.append(trial)
        finally:
            appender.close()


def trials_with_this(earlier: Sequence[Trial], at_least: int) -> Trials:
    """The count that deflates: earlier ones and this one, or what the trader says it has tried."""
    sharpes = tuple(trial.sharpe for trial in earlier if trial.sharpe is not None)
    return Trials(count=max(len(earlier) + 1, at_least), sharpes=sharpes)


def sources_of(paths: Sequence[Path]) -> list[str]:
    """Names of the data behind the paths, sorted."""
    found = {name for path in paths for name in (_own(path) if _is_own(path) else [_content(path)])}
    return sorted(found)


def _is_own(path: Path) -> bool:
    return path.is_dir() or any(path.parent.glob("instruments-*.json"))


def _own(path: Path) -> list[str]:
    files = [path] if path.is_file() else sorted(p for p in path.rglob("*.jsonl*") if p.is_file())
    return [f"own:{file.parent.name}/{file.name.split('.jsonl')[0]}" for file in files]


def _content(path: Path) -> str:
    size = path.stat().st_size
    with path.open("rb") as file:
        digest = hashlib.blake2b(str(size).encode(), digest_size=12)
        digest.update(file.read(_ENDS_BYTES))
        file.seek(max(size - _ENDS_BYTES, 0))
        digest.update(file.read(_ENDS_BYTES))
    return f"file:{digest.hexdigest()}"
