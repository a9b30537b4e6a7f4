"""One run of `profileUpdater` from settings, for the worker and for the command."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
from django.conf import settings

from failover.models import ConfigVersion
from failover.services.config_reader import load_config
from replay.domain.profile_rules import ProfileUpdaterConfig
from replay.services.config_documents import configured_name, document_content
from replay.services.profile_updater import (
    OpenDay,
    Proposal,
    conclude,
    look_at,
    measured_fees,
    submit,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Update:
    """`version` is None when nothing was written: nothing changes, or the same was proposed before."""

    proposal: Proposal
    version: ConfigVersion | None
    days: tuple[str, ...]


def recent_days(count: int, now: datetime) -> tuple[str, ...]:
    """The last `count` UTC days, `now`'s included, oldest first."""
    return tuple(f"{now - timedelta(days=back):%Y-%m-%d}" for back in reversed(range(count)))


def update_profiles(
    open_day: OpenDay,
    *,
    folder: Path | None = None,
    days: int | None = None,
    now: datetime | None = None,
    is_dry: bool = False,
    should_stop: Callable[[], bool] = lambda: False,
) -> Update:
    """Look at the last days, conclude, and propose unless `is_dry`.

    Raises: BadConfigDocument, DatabaseError, Stopped.
    """
    name = configured_name()
    in_force = load_config(name)
    config: ProfileUpdaterConfig = in_force["profileUpdater"]
    names = recent_days(days or config.days, now or datetime.now(UTC))
    findings = look_at(
        folder or settings.DATA_DIR / "market", names, in_force["market"], open_day,
        should_stop=should_stop,
    )  # fmt: skip
    fees = measured_fees(sorted(findings.statistics), in_force)
    base = msgspec.json.decode(document_content(name))
    proposal = conclude(findings, base, in_force, config, fees)
    version = None if is_dry else submit(proposal)
    return Update(proposal=proposal, version=version, days=names)


def update_lines(update: Update) -> Sequence[str]:
    """What was found, in words."""
    proposal = update.proposal
    days = [each["day"] for each in proposal.evidence["days"]]
    lines = [f"read {', '.join(days)}" if days else "no day with data was found"]
    lines += [f"note: {note}" for note in proposal.notes]
    for symbol, facts in proposal.evidence["symbols"].items():
        lines.append(f"{symbol}: {_facts(facts)}")
        for section, fields in proposal.changes.get(symbol, {}).items():
            told = ", ".join(f"{name} {value:g}" for name, value in fields.items())
            lines.append(f"  suggests {section}: {told}")
    if update.version is not None:
        lines.append(f"proposed as config version {update.version.pk}, {update.version.status}")
    elif proposal.changes:
        lines.append("not written: a dry run, or the same proposal waits or was declined already")
    else:
        lines.append("nothing to propose")
    return lines


def _facts(facts: dict[str, Any]) -> str:
    return (
        f"{facts['seconds'] / 3600:.2f} h, spread {facts['spreadBps']['p50']} bps (p99 "
        f"{facts['spreadBps']['p99']}), depth {facts['depthUsd']['p50']} USD (p5 "
        f"{facts['depthUsd']['p5']}), rv300s {facts['rv300s']['p50']}, trade "
        f"{facts['tradeUsd']['p50']} USD"
    )
