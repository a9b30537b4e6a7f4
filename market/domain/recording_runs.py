"""What all files together say of one recorder run: which numbers are there, and which are missing."""

from __future__ import annotations

import numpy as np

from market.domain.recording_findings import FindingList, Problem
from market.domain.recording_index import RecordedGap
from market.domain.seq_pages import SeqPages

CUT_TAIL_NS = 2_000_000_000
"""A killed recorder loses at most its last batch; how far before the end of its run a hole may be from it.

The batch is a tenth of a second of messages, and more only while the disk is slow.
"""


class RunSeen:
    """One run, over every file that was checked."""

    def __init__(self) -> None:
        self.seqs = SeqPages()
        self.last_ts = 0
        self.is_closed = True  # False when a writer did not close what it wrote
        self.is_open = False  # a recorder is writing it now
        self._gaps: set[tuple[int, int]] = set()
        self._first_seq_of_second: dict[int, int] = {}

    def add(self, seqs: np.ndarray, first_ts: int, last_ts: int) -> list[int]:
        """Take the message numbers of a block of one file; returns those seen before."""
        self.last_ts = max(self.last_ts, last_ts)
        if len(seqs):
            second = first_ts // 1_000_000_000
            known = self._first_seq_of_second.get(second)
            first = int(seqs[0])
            if known is None or first < known:
                self._first_seq_of_second[second] = first
        return self.seqs.add(seqs).tolist()

    def admit(self, gap: RecordedGap) -> None:
        """Take note of what the recorder says it dropped."""
        self._gaps.add((gap.from_seq or gap.seq - gap.dropped + 1, gap.seq))

    def report_holes(self, run: str, findings: FindingList) -> None:
        """Tell of every number that is missing and not admitted."""
        tail_from = self._tail_from_seq()
        for hole in self.seqs.holes():
            for first, last in _without(hole, sorted(self._gaps)):
                is_cut = first > tail_from and not self.is_closed
                if is_cut and self.is_open:
                    continue
                count = last - first + 1
                findings.add(
                    Problem.CUT_TAIL if is_cut else Problem.MISSING_SEQ,
                    "",
                    f"{count} message(s) missing, seq {first} to {last}"
                    + (", in the last batch of a killed recorder" if is_cut else ""),
                    recorder_run=run,
                    seq=first,
                )

    def _tail_from_seq(self) -> int:
        """No message before this number can belong to the last batch."""
        limit = (self.last_ts - CUT_TAIL_NS) // 1_000_000_000
        before = [seq for second, seq in self._first_seq_of_second.items() if second <= limit]
        return max(before, default=0)


def _without(hole: tuple[int, int], gaps: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """What of `hole` (first, last) no gap covers."""
    rest = []
    first, last = hole
    for start, end in gaps:
        if end < first or start > last:
            continue
        if start > first:
            rest.append((first, start - 1))
        first = end + 1
        if first > last:
            return rest
    rest.append((first, last))
    return rest
