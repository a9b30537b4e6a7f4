"""A comparison in lines for a terminal."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from failover.domain.days import iso_ms
from replay.domain.comparison import ComparedRow, Decision
from replay.services.compare import Comparison

_NS_PER_MS = 1_000_000


def comparison_lines(found: Comparison) -> Iterator[str]:
    """The verdict and the first divergence first, then counts and what the difference in PnL is made of."""
    yield f"A {_side(found, 'a')}"
    yield f"B {_side(found, 'b')}"
    yield f"compared {', '.join(found.symbols)} from {found.from_} to {found.to}"
    yield from found.notes
    for side in (found.a, found.b):
        yield from (f"note: {side.name}: {n} x {text}" for text, n in side.problems.items())
    yield ""
    yield from _divergence(found)
    yield ""
    yield f"{'':8}{'equal':>8}{'different':>11}{'only A':>8}{'only B':>8}"
    for kind, n in found.counts.items():
        yield f"{kind:8}{n.equal:8}{n.different:11}{n.only_a:8}{n.only_b:8}"
    yield ""
    yield from _attribution(found)


def _side(found: Comparison, name: str) -> str:
    side = getattr(found, name)
    parts = [side.mode, f"config {side.config_version}" if side.config_version else None]
    parts += [f"digest {side.digest}" if side.digest else None, f"{side.trades} trades"]
    return f"{side.name}: " + ", ".join(part for part in parts if part)


def _divergence(found: Comparison) -> Iterator[str]:
    row = found.first_divergence
    if row is None:
        yield "no divergence: both decided the same"
        return
    for before in found.before_divergence:
        yield f"  equal  {_place(before)}"
    differing = f" differ in {', '.join(row.differing)}" if row.differing else ""
    yield f"first divergence at {_place(row)}: {row.outcome}{differing}"
    yield f"  A: {_decision(row.a)}"
    yield f"  B: {_decision(row.b)}"


def _place(row: ComparedRow) -> str:
    return f"{iso_ms(row.ts_ms * _NS_PER_MS)} {row.symbol} {row.kind} {row.role}"


def _decision(decision: Decision | None) -> str:
    if decision is None:
        return "nothing"
    facts = ", ".join(f"{name} {value}" for name, value in decision.facts.items())
    return f"{iso_ms(decision.ts_ms * _NS_PER_MS)} {facts}"


def _attribution(found: Comparison) -> Iterator[str]:
    told = found.attribution
    yield (
        f"PnL  A {told.pnl_a_usdt:+f}  B {told.pnl_b_usdt:+f}  difference {told.difference_usdt:+f} USDT"
    )
    for name in told.parts.__struct_fields__:
        value: Any = getattr(told.parts, name)
        if value:
            yield f"  {name.replace('_', ' '):10}{value:+.8f}"
    yield (
        f"trades: {told.equal_trades} equal, {told.different_trades} different, "
        f"{told.only_a_trades} only in A, {told.only_b_trades} only in B"
    )
