"""`profileUpdater`: reads the last days of our own recordings and proposes thresholds per symbol.

It runs daily in the worker and on demand (`manage.py update_profiles`). Running it twice on the same
recordings proposes once. Memory stays small: days are streamed, statistics are histograms.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
from django.db.models import F, FloatField, Sum
from django.db.models.functions import Cast

from execution.models import Fill
from failover.domain.config import SYMBOLS, ConfigDocument
from failover.domain.config_versions import canonical_text, text_digest
from failover.models import ConfigVersion, VersionStatus
from failover.services.config_store import propose
from market.domain.config import MarketConfig
from market.domain.kernel import MarketKernel
from market.domain.recordings import BadRecording, MarketData
from replay.domain.profile_rules import ProfileUpdaterConfig, Suggestion, differing, suggested
from replay.domain.profile_statistics import SymbolStatistics

AUTHOR = "profileUpdater"
OpenDay = Callable[[Path], MarketData]


class Stopped(Exception):
    """Asked to end; nothing was proposed."""


@dataclass(slots=True, kw_only=True)
class Findings:
    """What the recordings told. `days`: one entry a day that was read; `notes`: what was not, and why."""

    statistics: dict[str, SymbolStatistics] = field(default_factory=dict)
    days: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def look_at(
    folder: Path,
    days: Sequence[str],
    market: MarketConfig,
    open_day: OpenDay,
    *,
    should_stop: Callable[[], bool] = lambda: False,
) -> Findings:
    """Stream the recorded `days` (YYYY-MM-DD) under `folder`. A day without data is noted and passed over.

    Raises: Stopped.
    """
    found = Findings()
    for day in days:
        if not (folder / day).is_dir():
            found.notes.append(f"{day}: no recording")
            continue
        try:
            data = open_day(folder / day)
            _read_day(data, day, market, found, should_stop)
        except BadRecording as error:
            found.notes.append(f"{day}: {error}")
    return found


def _read_day(
    data: MarketData,
    day: str,
    market: MarketConfig,
    found: Findings,
    should_stop: Callable[[], bool],
) -> None:
    kernel = MarketKernel(data.instruments, market)
    own = [
        found.statistics.setdefault(instrument.symbol, SymbolStatistics(instrument))
        for instrument in data.instruments
    ]
    for chunk in data.chunks:
        if should_stop():
            raise Stopped
        frames = kernel.process(chunk)
        for place, statistics in enumerate(own):
            statistics.take_frames(frames[frames["symbol"] == place])
            statistics.take_trades(chunk, place)
    found.days.append(
        {
            "day": day,
            "messages": sum(data.message_counts.values()),
            "faults": dict(data.faults.counts),
            "inputHashes": {
                instrument.symbol: f"{statistics.input_hash:016x}"
                for instrument, statistics in zip(data.instruments, own, strict=True)
            },
        }
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """A changed document with its evidence; `changes` by symbol, empty when nothing is to be changed."""

    document: dict[str, Any]
    changes: dict[str, Suggestion]
    evidence: dict[str, Any]
    notes: tuple[str, ...]


def conclude(
    findings: Findings,
    base: dict[str, Any],
    in_force: ConfigDocument,
    config: ProfileUpdaterConfig,
    fees: dict[str, Any],
) -> Proposal:
    """What the findings change in `base`, the raw document behind `in_force`."""
    changes, notes = {}, list(findings.notes)
    for symbol, statistics in sorted(findings.statistics.items()):
        if statistics.seconds < config.min_hours * 3600.0:
            notes.append(
                f"{symbol}: {statistics.seconds / 3600.0:.2f} h of sound data, "
                f"{config.min_hours:g} h needed"
            )
            continue
        held = msgspec.to_builtins(in_force.for_symbol(symbol))
        if own := differing(suggested(statistics, config), held, config.tolerance_pct):
            changes[symbol] = own
    evidence = {
        "kind": AUTHOR,
        "configVersion": in_force.version,
        "settings": msgspec.to_builtins(config),
        "days": findings.days,
        "notes": notes,
        "fees": fees,
        "symbols": {s: findings.statistics[s].summary() for s in sorted(findings.statistics)},
        "changes": changes,
    }
    return Proposal(
        document=_changed(base, changes), changes=changes, evidence=evidence, notes=tuple(notes)
    )


def _changed(base: dict[str, Any], changes: dict[str, Suggestion]) -> dict[str, Any]:
    symbols = {symbol: dict(own) for symbol, own in base.get(SYMBOLS, {}).items()}
    for symbol, sections in changes.items():
        own = symbols.setdefault(symbol, {})
        for section, fields in sections.items():
            own[section] = {**own.get(section, {}), **fields}
    return {**base, SYMBOLS: symbols} if symbols else base


def measured_fees(symbols: Sequence[str], in_force: ConfigDocument) -> dict[str, Any]:
    """Fees of the config, and what our own fills have really paid, bps of notional. Asks the database."""
    risk = in_force["risk"]
    paid: dict[str, dict[str, float]] = {}
    rows = (
        Fill.objects.filter(symbol__in=symbols)
        .values("symbol", "is_maker")
        .annotate(
            fees=Sum("fee"), notional=Sum(Cast(F("price") * F("qty"), output_field=FloatField()))
        )
        .order_by("symbol", "is_maker")
    )
    for row in rows:
        if row["notional"]:
            kind = "makerBps" if row["is_maker"] else "takerBps"
            paid.setdefault(row["symbol"], {})[kind] = round(row["fees"] / row["notional"] * 1e4, 4)
    return {"makerBps": risk.maker_fee_bps, "takerBps": risk.taker_fee_bps, "paid": paid}


def submit(proposal: Proposal) -> ConfigVersion | None:
    """Write the proposal unless the same one waits already or was declined; None when it was not written.

    Raises: BadConfigDocument with every error.
    """
    if not proposal.changes:
        return None
    digest = text_digest(canonical_text(msgspec.json.encode(proposal.document)))
    settled = (VersionStatus.PROPOSED, VersionStatus.DECLINED)
    if ConfigVersion.objects.filter(author=AUTHOR, digest=digest, status__in=settled).exists():
        return None
    fields = sum(len(own) for sections in proposal.changes.values() for own in sections.values())
    note = f"{fields} thresholds of {', '.join(proposal.changes)} from recordings"
    return propose(proposal.document, AUTHOR, proposal.evidence, note=note)
