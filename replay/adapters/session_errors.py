"""What a failing disk means to who asked for a session."""

from __future__ import annotations

from failover.domain.errors import DiskFull, StorageError
from replay.domain.sessions import SessionRefused


def refusal_of(error: StorageError) -> SessionRefused:
    code = "DISK_FULL" if isinstance(error, DiskFull) else "STORAGE"
    return SessionRefused(code, str(error))
