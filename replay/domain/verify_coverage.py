"""Which time the journals do not speak of: a stretch without any is no stretch without decisions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

# A service that was killed is back within this, its first compile included.
LONGEST_AWAY_NS = 60_000_000_000


class Span(NamedTuple):
    """Core times, the end exclusive."""

    from_ns: int
    to_ns: int


def asked_spans(from_ns: int | None, to_ns: int | None, there: Sequence[Span]) -> list[Span]:
    """What a window asks for. An open end asks for what is there; so does the time between two runs then."""
    if not there:
        return []
    if from_ns is not None and to_ns is not None:
        return [Span(from_ns, to_ns)]
    if from_ns is not None:
        return [Span(from_ns, min(span.from_ns for span in there))]
    if to_ns is not None:
        return [Span(max(span.to_ns for span in there), to_ns)]
    return []


def clipped(spans: Iterable[Span], from_ns: int | None, to_ns: int | None) -> list[Span]:
    """Their parts inside the window."""
    parts = [
        Span(
            span.from_ns if from_ns is None else max(span.from_ns, from_ns),
            span.to_ns if to_ns is None else min(span.to_ns, to_ns),
        )
        for span in spans
    ]
    return [part for part in parts if part.from_ns < part.to_ns]


def stretches_without(
    wanted: Iterable[Span], there: Sequence[Span], longest_ns: int = LONGEST_AWAY_NS
) -> list[Span]:
    """Parts of `wanted` longer than `longest_ns` in which nothing is there, oldest first."""
    found = []
    for span in sorted(wanted):
        reached_ns = span.from_ns
        for begin_ns, end_ns in [*sorted(there), Span(span.to_ns, span.to_ns)]:
            until_ns = min(begin_ns, span.to_ns)
            if until_ns - reached_ns > longest_ns:
                found.append(Span(reached_ns, until_ns))
            reached_ns = max(reached_ns, end_ns)
    return found
