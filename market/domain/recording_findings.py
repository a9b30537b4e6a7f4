"""What may be wrong with a recording, as data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from enum import StrEnum

import msgspec


class Severity(StrEnum):
    """ERROR: something was lost or changed. WARN: it may be. INFO: the recording says so itself."""

    ERROR = "ERROR"
    WARN = "WARN"
    INFO = "INFO"


class Problem(StrEnum):
    """Kinds of findings."""

    TORN_LINE = "TORN_LINE"
    UNREADABLE_LINE = "UNREADABLE_LINE"
    FOREIGN_LINE = "FOREIGN_LINE"
    DUPLICATE_SEQ = "DUPLICATE_SEQ"
    REORDERED_SEQ = "REORDERED_SEQ"
    MISSING_SEQ = "MISSING_SEQ"
    TIME_BACKWARDS = "TIME_BACKWARDS"
    WRONG_DAY = "WRONG_DAY"
    CROSSED_BOOK = "CROSSED_BOOK"
    CHECKPOINT_DIFFERS = "CHECKPOINT_DIFFERS"
    CHECKSUM_MISMATCH = "CHECKSUM_MISMATCH"
    INDEX_MISMATCH = "INDEX_MISMATCH"
    BAD_INDEX = "BAD_INDEX"
    UNREADABLE_FILE = "UNREADABLE_FILE"
    FILE_MISSING = "FILE_MISSING"
    UNKNOWN_RUN = "UNKNOWN_RUN"
    TWO_VARIANTS = "TWO_VARIANTS"
    FOREIGN_FILE = "FOREIGN_FILE"
    CUT_TAIL = "CUT_TAIL"
    TORN_ASIDE = "TORN_ASIDE"
    NOT_INDEXED = "NOT_INDEXED"
    RECORDER_GAP = "RECORDER_GAP"
    FEED_GAP = "FEED_GAP"


_WARNINGS = {
    Problem.CROSSED_BOOK,
    Problem.CUT_TAIL,
    Problem.TORN_ASIDE,
    Problem.FOREIGN_FILE,
    Problem.TWO_VARIANTS,
}
_ADMITTED = {Problem.NOT_INDEXED, Problem.RECORDER_GAP, Problem.FEED_GAP}


def severity_of(problem: Problem) -> Severity:
    if problem in _ADMITTED:
        return Severity.INFO
    return Severity.WARN if problem in _WARNINGS else Severity.ERROR


class Finding(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One thing found. `path` is relative to what was checked; `offset` counts uncompressed bytes."""

    problem: Problem
    path: str
    detail: str
    severity: Severity
    line: int | None = None  # from 1
    offset: int | None = None
    recorder_run: str = ""
    seq: int | None = None
    ts: int | None = None  # core time, ns


class FileVerdict(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One recorded file in a report: sizes of its uncompressed content, findings by kind."""

    path: str
    bytes: int
    rows: int
    sha256: str
    is_indexed: bool
    runs: list[str]
    problems: dict[Problem, int]


class RecordingReport(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What `verify_recordings` found. Of each kind and file the first findings are listed, all counted."""

    timestamp: str
    path: str
    files: list[FileVerdict]
    findings: list[Finding]
    problems: dict[Problem, int]
    bytes: int
    rows: int
    seconds: float
    schema_version: int = 1

    @property
    def errors(self) -> int:
        return self._count(Severity.ERROR)

    @property
    def warnings(self) -> int:
        return self._count(Severity.WARN)

    @property
    def is_clean(self) -> bool:
        """Nothing is lost, changed or strange; what the recording itself says is missing may be."""
        return not (self.errors or self.warnings)

    def _count(self, severity: Severity) -> int:
        return sum(
            count for problem, count in self.problems.items() if severity_of(problem) is severity
        )


class FindingList:
    """Collects findings: of each kind and file the first `limit`, and counts of all."""

    def __init__(self, limit: int = 20) -> None:
        self.listed: list[Finding] = []
        self.counts: Counter[tuple[str, Problem]] = Counter()
        self._limit = limit

    def add(
        self,
        problem: Problem,
        path: str,
        detail: str,
        *,
        line: int | None = None,
        offset: int | None = None,
        recorder_run: str = "",
        seq: int | None = None,
        ts: int | None = None,
    ) -> None:
        self.counts[path, problem] += 1
        if self.counts[path, problem] <= self._limit:
            self.listed.append(
                Finding(
                    problem=problem,
                    path=path,
                    detail=detail,
                    severity=severity_of(problem),
                    line=line,
                    offset=offset,
                    recorder_run=recorder_run,
                    seq=seq,
                    ts=ts,
                )
            )

    def of(self, path: str) -> dict[Problem, int]:
        """Counts by kind of one file."""
        return _by_kind((key, n) for key, n in self.counts.items() if key[0] == path)

    def totals(self) -> dict[Problem, int]:
        return _by_kind(self.counts.items())


def _by_kind(counts: Iterable[tuple[tuple[str, Problem], int]]) -> dict[Problem, int]:
    found: Counter[Problem] = Counter()
    for (_, problem), number in counts:
        found[problem] += number
    return {problem: found[problem] for problem in Problem if found[problem]}
