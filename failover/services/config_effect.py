"""What an activation will not change before a restart, said to whoever activates."""

from __future__ import annotations

from failover.domain.config import ConfigDocument, load_document
from failover.models import ConfigVersion
from failover.services.config_follower import with_restart_only_of


def needing_restart(running: ConfigDocument, version: ConfigVersion) -> list[str]:
    """Paths of restart-only fields in which `version` differs from what runs."""
    wanted, _ = load_document(version.document.encode())
    return [] if wanted is None else with_restart_only_of(running, wanted)[1]
