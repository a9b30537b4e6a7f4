"""A verification in words, for the terminal."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from failover.domain.days import iso_ms
from replay.domain.verify_report import CoreReport, Divergence, Refusal, VerifyReport

_MOST_REFUSALS = 20


def verify_lines(report: VerifyReport) -> Iterator[str]:
    """Counts per core, the first divergence with both sides, what was refused, and the verdict."""
    yield f"verification {report.run_id}, {report.elapsed_s:.1f} s"
    for core in report.cores.values():
        yield _counts(core)
    if report.first_divergence is not None:
        yield ""
        yield from _divergence(report.first_divergence)
    for refusal in report.refused[:_MOST_REFUSALS]:
        yield _refusal(refusal)
    if len(report.refused) > _MOST_REFUSALS:
        yield f"and {len(report.refused) - _MOST_REFUSALS} more refused stretches"
    yield verdict(report)


def verdict(report: VerifyReport) -> str:
    """One line."""
    divergences = sum(core.divergences for core in report.cores.values())
    if divergences:
        return f"NOT EQUAL: {divergences} divergences"
    if report.refused:
        return f"NOT PROVED: {len(report.refused)} stretches refused"
    return "EQUAL: 0 divergences" if report.is_equal else "NOT PROVED: nothing was compared"


def _counts(core: CoreReport) -> str:
    unproved = f", {core.unproved} unproved in last moments" if core.unproved else ""
    return (
        f"{core.core:<10} {core.runs} runs, {core.inputs:,} inputs fed, "
        f"{core.compared:,} of {core.outputs:,} outputs and {core.states} states compared, "
        f"{core.divergences} divergences{unproved}"
    )


def _divergence(found: Divergence) -> Iterator[str]:
    yield f"first divergence: {found.core} run {found.run_id}, record {found.number}, {found.at}"
    yield f"  {found.what}: {found.place}"
    yield f"  recorded: {_text(found.recorded)}"
    yield f"  replayed: {_text(found.replayed)}"
    yield "  inputs around it:"
    for each in found.inputs_around:
        mark = ">" if each.get("atNs") == found.at_ns else " "
        yield f"  {mark} {_text(each)}"


def _refusal(refusal: Refusal) -> str:
    since = "the start" if refusal.from_ns is None else iso_ms(refusal.from_ns)
    until = "the end" if refusal.to_ns is None else iso_ms(refusal.to_ns)
    return f"refused: {refusal.core} {refusal.run_id} from {since} to {until}: {refusal.reason}"


def _text(value: object) -> str:
    return msgspec.json.encode(value).decode()
