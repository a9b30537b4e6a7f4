"""One measured figure, and the table and file they end up in."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import median

import msgspec

LATEST = Path(__file__).parents[2] / "data" / "bench" / "latest.json"


class Result(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A median over `runs`; `spread` is (worst - best) / median. `ratio` is value over peer value."""

    name: str
    value: float
    unit: str
    peer: str | None = None
    peer_value: float | None = None
    ratio: float | None = None
    runs: int = 1
    spread: float = 0.0
    note: str = ""


def measured(
    name: str,
    values: Sequence[float],
    unit: str,
    *,
    peer: str | None = None,
    peer_values: Sequence[float] = (),
    note: str = "",
) -> Result:
    """A result from the values of all runs, and of the peer's runs where there is a peer."""
    middle = median(values)
    peer_value = median(peer_values) if peer_values else None
    return Result(
        name=name,
        value=middle,
        unit=unit,
        peer=peer,
        peer_value=peer_value,
        ratio=middle / peer_value if peer_value else None,
        runs=len(values),
        spread=(max(values) - min(values)) / middle if middle else 0.0,
        note=note,
    )


def table(results: Sequence[Result]) -> str:
    head = ("benchmark", "value", "unit", "peer", "peer value", "ratio", "runs", "spread")
    lines = [_row(*head)]
    for r in results:
        peer_value = f"{r.peer_value:,.4g}" if r.peer_value is not None else "-"
        ratio = f"{r.ratio:.2f}" if r.ratio is not None else "-"
        lines.append(
            _row(
                r.name, f"{r.value:,.4g}", r.unit, r.peer or "-", peer_value, ratio,
                str(r.runs), f"{r.spread:.0%}",
            )
        )  # fmt: skip
        if r.note:
            lines.append(f"    {r.note}")
    return "\n".join(lines)


def _row(*cells: str) -> str:
    name, value, unit, peer, *figures = cells
    return f"{name:<44}{value:>14} {unit:<12}{peer:<26}" + "".join(f"{f:>12}" for f in figures)


def write_latest(results: Sequence[Result], path: Path = LATEST) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(msgspec.json.format(msgspec.json.encode(results), indent=2) + b"\n")
