"""Which of the named paths belong together: one recording is what one account trades through.

Binance captures hold one symbol a file. Files of several symbols of the same time, and files that follow
each other, are one recording; captures that begin more than a day apart are not. Every other path is a
recording of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from replay.adapters.detection import Detected, RecordingFormat, detect
from replay.domain.backtest_parts import PartFailure
from replay.domain.recordings import BadRecording

# Daily files follow each other within a day and a little; what is farther apart has a hole in between.
_FOLLOWS_WITHIN_NS = 25 * 3_600_000_000_000

Group = tuple[Path, ...]


def group_recordings(paths: Sequence[Path]) -> tuple[list[Group], list[PartFailure]]:
    """Recordings in the order of the paths, and the paths that are none."""
    groups: list[Group] = []
    failures: list[PartFailure] = []
    captures: list[Detected] = []
    for path in dict.fromkeys(path.resolve() for path in paths):
        try:
            if not path.exists():
                raise BadRecording(path, 0, "no such file or folder", "check the path")
            found = detect(path)
        except BadRecording as error:
            failures.append(PartFailure(name=path.name, paths=[str(path)], reason=str(error)))
            continue
        if found.format is RecordingFormat.BINANCE_USDM:
            captures.append(found)
        else:
            groups.append((path,))
    return [*groups, *_captures_together(captures)], failures


def _captures_together(captures: Sequence[Detected]) -> list[Group]:
    groups: list[list[Detected]] = []
    for one in sorted(captures, key=lambda found: (found.first_ns, found.symbol)):
        if groups and one.first_ns - groups[-1][-1].first_ns <= _FOLLOWS_WITHIN_NS:
            groups[-1].append(one)
        else:
            groups.append([one])
    return [tuple(one.path for one in group) for group in groups]


def split_by_symbol(group: Group) -> list[Group]:
    """The captures of each symbol alone; a group that cannot be split comes back whole."""
    by_symbol: dict[str, list[Path]] = {}
    for path in group:
        by_symbol.setdefault(detect(path).symbol, []).append(path)
    return [tuple(paths) for paths in by_symbol.values()]
