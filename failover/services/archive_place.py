"""Where the archive's files are, for those who read them."""

from __future__ import annotations

from pathlib import Path

from django.conf import settings

from failover.domain.logging_config import LoggingConfig
from failover.services.config_reader import active_document


def active_logging() -> LoggingConfig:
    """Section `logging` of the active config, or of the one a first start takes. Asks the database."""
    section: LoggingConfig = active_document()["logging"]
    return section


def archive_folder() -> Path:
    """The folder of events, orders, trades_log, execution/quality and system/*_snapshot.json."""
    return active_logging().folder(Path(settings.DATA_DIR))
