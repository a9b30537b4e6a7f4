"""Leaves one row for one manual action."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from failover.models import AuditEntry, AuditSource


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """Who acts, by which door, and from where."""

    name: str
    source: AuditSource
    ip: str | None = None


def note_action(
    actor: Actor,
    action: str,
    target: str,
    *,
    reason: str = "",
    before: Any = None,
    after: Any = None,
    result: str = "OK",
) -> None:
    """Raises: DatabaseError."""
    AuditEntry.objects.create(
        timestamp=datetime.now(UTC),
        actor=actor.name[:150],
        source=actor.source,
        ip=actor.ip,
        action=action,
        target=target[:200],
        reason=reason,
        before=before,
        after=after,
        result=result[:200],
    )
