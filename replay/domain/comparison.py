"""Two runs side by side: decisions aligned by time, and where they part.

A decision is what was decided or came of it: a transition of a symbol's state, an order, a fill, a closed
trade. Two decisions are equal when all that matters of them is, and their times differ by no more than the
tolerance. What is left is paired by what it is (the same transition, the same leg of an order) within a
window of time, and shown with the fields that differ; the rest is on one side only.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from enum import StrEnum
from typing import Any, TypeVar

from msgspec import Struct

_T = TypeVar("_T")


class Kind(StrEnum):
    """In the order of cause at equal times. SCORE is what a SCORING_ONLY run has, the others what decides."""

    SCORE = "SCORE"
    STATE = "STATE"
    ORDER = "ORDER"
    FILL = "FILL"
    TRADE = "TRADE"


class Outcome(StrEnum):
    EQUAL = "EQUAL"
    DIFFERENT = "DIFFERENT"
    ONLY_A = "ONLY_A"
    ONLY_B = "ONLY_B"


class Decision(Struct, frozen=True, kw_only=True, rename="camel"):
    """One decision. `role`: what it is, as `ARM → ENTRY_PENDING` or `PLACE STOP`; `facts`: what counts of it,
    each a text, a number, a yes or no, or None."""

    ts_ms: int
    symbol: str
    kind: Kind
    role: str
    facts: dict[str, Any]


class ComparedRow(Struct, frozen=True, kw_only=True, rename="camel"):
    """One line of the table; the sides as they were, None where one has nothing like it."""

    ts_ms: int
    symbol: str
    kind: Kind
    role: str
    outcome: Outcome
    a: Decision | None = None
    b: Decision | None = None
    differing: tuple[str, ...] = ()

    @property
    def lag_ms(self) -> int | None:
        """How much later B was than A."""
        return self.b.ts_ms - self.a.ts_ms if self.a and self.b else None


class Counts(Struct, frozen=True, kw_only=True, rename="camel"):
    """How many decisions of one kind."""

    equal: int = 0
    different: int = 0
    only_a: int = 0
    only_b: int = 0


class Alignment(Struct, frozen=True, kw_only=True, rename="camel"):
    """`rows` in order of time. `first_divergence`: the number of the first row that is not EQUAL."""

    rows: tuple[ComparedRow, ...]
    counts: dict[str, Counts]
    first_divergence: int | None

    @property
    def is_equal(self) -> bool:
        return self.first_divergence is None


def align(
    a: Sequence[Decision], b: Sequence[Decision], *, tolerance_ms: int, pair_window_ms: int
) -> Alignment:
    """Compare two sequences of decisions; each may be in any order.

    Args:
        tolerance_ms: equal decisions may be that far apart in time, >= 0.
        pair_window_ms: different ones of the same role are shown in one row up to that far apart.
    """
    equal, left_a, left_b = _paired(_by_time(a), _by_time(b), _content, tolerance_ms)
    different, left_a, left_b = _paired(left_a, left_b, _role, pair_window_ms)
    rows = [_row(Outcome.EQUAL, one, other, ()) for one, other in equal]
    rows += [
        _row(Outcome.DIFFERENT, one, other, _differing(one, other, tolerance_ms))
        for one, other in different
    ]
    rows += [_row(Outcome.ONLY_A, one, None, ()) for one in left_a]
    rows += [_row(Outcome.ONLY_B, None, other, ()) for other in left_b]
    rows.sort(key=lambda row: (row.ts_ms, _RANK[row.kind], row.symbol, row.role, row.outcome))
    first = next((n for n, row in enumerate(rows) if row.outcome is not Outcome.EQUAL), None)
    return Alignment(rows=tuple(rows), counts=_counts(rows), first_divergence=first)


def _by_time(decisions: Sequence[Decision]) -> list[Decision]:
    return sorted(decisions, key=lambda each: each.ts_ms)


def _role(decision: Decision) -> Hashable:
    return decision.symbol, decision.kind, decision.role


def _content(decision: Decision) -> Hashable:
    return _role(decision), tuple(sorted(decision.facts.items(), key=lambda item: item[0]))


def _paired(
    a: Sequence[Decision],
    b: Sequence[Decision],
    key: Callable[[Decision], Hashable],
    within_ms: int,
) -> tuple[list[tuple[Decision, Decision]], list[Decision], list[Decision]]:
    """Pairs with the same key and times within reach, and what is left of each side, in order of time."""
    queues: dict[Hashable, tuple[list[Decision], list[Decision]]] = defaultdict(lambda: ([], []))
    for decision in a:
        queues[key(decision)][0].append(decision)
    for decision in b:
        queues[key(decision)][1].append(decision)
    pairs: list[tuple[Decision, Decision]] = []
    for ones, others in queues.values():
        pairs += paired_in_time(ones, others, _time, within_ms)
    taken = {id(each) for pair in pairs for each in pair}
    left_a = [decision for decision in a if id(decision) not in taken]
    return pairs, left_a, [decision for decision in b if id(decision) not in taken]


def _time(decision: Decision) -> int:
    return decision.ts_ms


def paired_in_time(
    ones: Sequence[_T], others: Sequence[_T], time_of: Callable[[_T], int], within: int
) -> Iterator[tuple[_T, _T]]:
    """As many pairs as possible of two sequences in order of time, none further apart than `within`."""
    i = j = 0
    while i < len(ones) and j < len(others):
        apart = time_of(others[j]) - time_of(ones[i])
        if abs(apart) <= within:
            yield ones[i], others[j]
            i, j = i + 1, j + 1
        elif apart > 0:
            i += 1
        else:
            j += 1


def _differing(a: Decision, b: Decision, tolerance_ms: int) -> tuple[str, ...]:
    """Names of the facts that differ; `time` first where that is too far apart."""
    names = [*a.facts, *(name for name in b.facts if name not in a.facts)]
    facts = tuple(n for n in names if a.facts.get(n) != b.facts.get(n))
    return ("time", *facts) if abs(b.ts_ms - a.ts_ms) > tolerance_ms else facts


def _row(
    outcome: Outcome, a: Decision | None, b: Decision | None, differing: tuple[str, ...]
) -> ComparedRow:
    shown = a or b
    assert shown is not None
    return ComparedRow(
        ts_ms=min(each.ts_ms for each in (a, b) if each is not None),
        symbol=shown.symbol,
        kind=shown.kind,
        role=shown.role,
        outcome=outcome,
        a=a,
        b=b,
        differing=differing,
    )


def _counts(rows: Sequence[ComparedRow]) -> dict[str, Counts]:
    found = Counter((row.kind, row.outcome) for row in rows)
    return {
        kind: Counts(
            equal=found[kind, Outcome.EQUAL],
            different=found[kind, Outcome.DIFFERENT],
            only_a=found[kind, Outcome.ONLY_A],
            only_b=found[kind, Outcome.ONLY_B],
        )
        for kind in Kind
        if kind is not Kind.SCORE or any(found[kind, outcome] for outcome in Outcome)
    }


_RANK: Mapping[Kind, int] = {kind: number for number, kind in enumerate(Kind)}
