"""What the strategy's services need from outside."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol


class StateEventSink(Protocol):
    """Keeps state event records (phase 12 §3.1). May raise OSError, StorageError or DatabaseError."""

    def write(self, records: Sequence[dict[str, Any]]) -> None: ...

    def close(self) -> None: ...
