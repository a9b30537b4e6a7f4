"""The manifests of the sessions as rows: written beside the files, made anew from them at any time."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

import msgspec
from django.db import transaction

from replay.domain.sessions import ReplayManifest
from replay.models import ReplaySession


@dataclass(frozen=True, slots=True)
class RowChanges:
    """Session ids by what happened to their rows."""

    added: list[str]
    changed: list[str]
    removed: list[str]
    unchanged: int


def keep_row(manifest: ReplayManifest) -> None:
    """Write the row of a session. Raises: DatabaseError."""
    ReplaySession.objects.update_or_create(
        session_id=manifest.session_id, defaults=_values(manifest)
    )


def forget_row(session_id: str) -> None:
    """Raises: DatabaseError."""
    ReplaySession.objects.filter(session_id=session_id).delete()


def rebuild_rows(manifests: Iterable[ReplayManifest]) -> RowChanges:
    """Make the rows say what the manifests say, all or nothing. Raises: DatabaseError."""
    added, changed, unchanged = [], [], 0
    with transaction.atomic():
        rows = {row.session_id: row for row in ReplaySession.objects.select_for_update()}
        for manifest in manifests:
            row, values = rows.pop(manifest.session_id, None), _values(manifest)
            if row is None:
                ReplaySession.objects.create(session_id=manifest.session_id, **values)
                added.append(manifest.session_id)
            elif any(getattr(row, name) != value for name, value in values.items()):
                ReplaySession.objects.filter(pk=row.pk).update(**values)
                changed.append(manifest.session_id)
            else:
                unchanged += 1
        for row in rows.values():
            row.delete()
    return RowChanges(sorted(added), sorted(changed), sorted(rows), unchanged)


def _values(manifest: ReplayManifest) -> dict[str, object]:
    return {
        "created_at": datetime.fromisoformat(manifest.created_at),
        "created_by": manifest.created_by,
        "range_from": datetime.fromisoformat(manifest.source_date_range.from_),
        "range_to": datetime.fromisoformat(manifest.source_date_range.to),
        "symbols": manifest.symbols,
        "event_types": manifest.event_types,
        "speed_factor": manifest.speed_factor,
        "total_events": manifest.total_events,
        "truncated": manifest.truncated,
        "notes": manifest.notes or "",
        "digest": manifest.digest,
        "config_version": manifest.config_version,
        "manifest": msgspec.to_builtins(manifest, str_keys=True),
    }
