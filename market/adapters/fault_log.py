"""Counts what goes wrong on a feed and logs each kind once: a hostile peer cannot flood the log."""

from __future__ import annotations

import logging
from collections import Counter

logger = logging.getLogger(__name__)

_KINDS = 64


class FaultLog:
    """`counts` by kind; kinds beyond a bounded number are counted as `other`."""

    def __init__(self, source: str) -> None:
        self.counts: Counter[str] = Counter()
        self._source = source

    def note(self, kind: str, detail: str) -> None:
        if kind not in self.counts:
            if len(self.counts) >= _KINDS:
                kind = "other"
            if kind not in self.counts:
                logger.warning(
                    "feed_fault",
                    extra={"source": self._source, "kind": kind, "detail": detail[:300]},
                )
        self.counts[kind] += 1
