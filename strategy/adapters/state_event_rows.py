"""State events as rows of the database."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec
from django.db import close_old_connections, connection

from strategy.models import StateEventRecord


class StateEventRows:
    """Writes batches; a row that is there already stays as it is, so a batch may be written again."""

    def write(self, records: Sequence[dict[str, Any]]) -> None:
        """Raises: DatabaseError."""
        close_old_connections()
        StateEventRecord.objects.bulk_create(map(_row, records), ignore_conflicts=True)

    def close(self) -> None:
        connection.close()


def _row(record: dict[str, Any]) -> StateEventRecord:
    return StateEventRecord(
        run_id=record["runId"],
        number=record["number"],
        timestamp=datetime.fromisoformat(record["timestamp"]),
        symbol=record["symbol"],
        from_state=record["fromState"],
        to_state=record["toState"],
        event_type=record["eventType"],
        reason=record["reason"],
        extra=_json_numbers(record["extra"]),
    )


def _json_numbers(extra: dict[str, Any]) -> dict[str, Any]:
    """NaN is no JSON: PostgreSQL refuses it. msgspec writes it as null."""
    plain: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(extra))
    return plain
